"""Losses: one number per ray.

A loss is a callable `loss(renderings, target) -> (*b)`, given one `Rendering` per stage. Training
averages it over the rays that are `complete`.
"""

from jaxtyping import Array, Float

from nerf.foundation.pytrees import pytree


@pytree
class Target:
    """Supervision of each ray.

    Attributes:
      rgb: true sRGB over the background, (*b, 3).
      depth: true distance along the ray in world units, (*b), 0 if unknown; None if it is unknown
        for all rays.
    """

    rgb: Float[Array, "*b 3"]
    depth: Float[Array, "*b"] | None = None
