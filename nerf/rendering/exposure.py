"""What each photo's exposure and white balance make of the colours that are there, learned with the scene.

An affine map of sRGB for each training image (as in Rematas et al., Urban Radiance Fields, 2111.14643, section 4.2),
which a rendering goes through before it is held against the photo:

  rgb' = rgb + (A_i - mean_j A_j) (rgb, 1)

Without the mean, the scene could be dark and every photo bright. Cameras that are no training image see the mean
exposure, so that films do not flicker; held-out photos have exposures of their own, for which `evaluate` has a number
after a correction of colours beside the one before it.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int


class AffineColour(nnx.Module):
    """A_i for each training image, zero at first.

    Args:
      num_images: in the training split.
    """

    def __init__(self, num_images: int):
        self.exposure = nnx.Param(jnp.zeros((num_images, 3, 4)))

    def __call__(self, rgb: Float[Array, "*b 3"], image: Int[Array, "*b"]) -> Float[Array, "*b 3"]:
        """Colours as the photo of each ray shows them; `image` is -1 where there is none."""
        maps = self.exposure[...] - self.exposure[...].mean(0, keepdims=True)
        mine = jnp.where((image >= 0)[..., None, None], maps[image], 0.0)
        return rgb + jnp.einsum("...ij,...j->...i", mine[..., :3], rgb) + mine[..., 3]
