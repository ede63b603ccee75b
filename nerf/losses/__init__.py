"""Losses, one number a ray; training reduces them over the rays that were rendered whole.

A loss is a callable `loss(renderings, target) -> (*b)`: `renderings` one a stage, `target` what they should be.
"""

from jaxtyping import Array, Float

from nerf.foundation.pytrees import pytree


@pytree
class Target:
    """What is known of each ray.

    Attributes:
      rgb: true sRGB, over the background.
      depth: distance along the ray in world units, 0 where it is not known; None where it is known of no ray.
    """

    rgb: Float[Array, "*b 3"]
    depth: Float[Array, "*b"] | None = None
