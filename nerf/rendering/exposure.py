"""Per-image exposure and white balance, learned with the scene.

Each training image i has an affine map A_i of sRGB (as in Urban Radiance Fields, Rematas et al.,
2111.14643, section 4.2). A rendering goes through the map before the loss compares it with the
photo.

Equation:
  C' = C + (A_i - 1 / n sum_j A_j) (C, 1)   of the colour C in image i of n

Subtracting the mean fixes the overall brightness; otherwise the scene could be dark and every photo
bright. Cameras that are not training images get the mean exposure, so that videos do not flicker.
Held-out photos have exposures of their own, so `evaluate` also reports a colour-corrected PSNR.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int


class AffineColour(nnx.Module):
    """Affine colour map A_i of each training image, initialised to zero.

    Args:
      num_images: number of images in the training split.
    """

    def __init__(self, num_images: int):
        self.exposure = nnx.Param(jnp.zeros((num_images, 3, 4)))

    def __call__(self, rgb: Float[Array, "*b 3"], image: Int[Array, "*b"]) -> Float[Array, "*b 3"]:
        """Apply the colour map of each ray's image; rays of other cameras (-1) keep `rgb`."""
        maps = self.exposure[...] - self.exposure[...].mean(0, keepdims=True)
        mine = jnp.where((image >= 0)[..., None, None], maps[image], 0.0)
        # (A_i - mean A) (rgb, 1): the first three columns are linear, the last is the offset.
        change = jnp.einsum("...ij,...j->...i", mine[..., :3], rgb, precision="highest")
        return rgb + change + mine[..., 3]
