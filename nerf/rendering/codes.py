"""One learned latent code per training image, which a field may read with each sample.

NeRF in the Wild (Martin-Brualla et al., 2008.02268, section 4.1) lets the colour depend on the code
of the photo, so that photos of one place may differ in light, exposure and white balance. The codes
are parameters that training optimizes together with the field; there is no encoder (generative
latent optimization, Bojanowski et al., 1707.05776).

Equation:
  rgb = colour(h, gamma_d(viewdir), l_i)   of a sample on a ray of image i
  l = 1/n sum_j l_j   for every other camera and for points without a ray

In `nerf.fields.composed` densities do not depend on the code, so that all photos show one shape.
Cameras that are not training images get the mean, so that videos do not flicker. Held-out photos
have a light of their own, which the mean does not know, so `evaluate` also reports a
colour-corrected PSNR.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from nerf.foundation.instantiate import ConfigError


class ImageCodes(nnx.Module):
    """Latent code l_i of each training image, initialised to N(0, deviation^2).

    Args:
      num_images: number of images in the training split, n.
      features: length of a code.
      deviation: standard deviation of the initial numbers.
      rngs: source of the initial codes.
    """

    def __init__(
        self, num_images: int, features: int = 16, deviation: float = 0.01, *, rngs: nnx.Rngs
    ):
        self.features = features
        drawn = jax.random.normal(rngs.params(), (num_images, features))
        self.codes = nnx.Param(deviation * drawn)

    def __call__(self, image: Int[Array, "*b"]) -> Float[Array, "*b c"]:
        """Return the code of each image, and the mean code for -1."""
        codes = self.codes[...]
        mean = jnp.broadcast_to(codes.mean(0), (*image.shape, self.features))
        return jnp.where((image >= 0)[..., None], codes[image], mean)


def check_codes(codes: Any, fields: Mapping[str, Callable | None]) -> None:
    """Check that the fields of a model read the codes that it has.

    Args:
      codes: image -> code, with the attribute `features`; None without codes.
      fields: the fields by the names of their stages; None repeats a field. One that reads codes
        has their length as its attribute `code_features`.

    Raises:
      ConfigError: no field reads the codes, or a field reads others than there are.
    """
    lengths = {name: getattr(field, "code_features", 0) for name, field in fields.items()}
    length = 0 if codes is None else codes.features
    for name, wanted in lengths.items():
        key = f"model.stages.{name}.field.code_features"
        if wanted and codes is None:
            fix = "set it to 0, or use the section model.codes of configs/systems/appearance.py"
            raise ConfigError(f"{key}={wanted}: the model has no codes to read: {fix}")
        if wanted and wanted != length:
            reason = f"a code of model.codes has {length} numbers"
            raise ConfigError(f"{key}={wanted}: {reason}: set it to {length}")
    if codes is not None and not any(lengths.values()):
        reader = f"nerf.fields.composed:Composed with code_features={length}"
        fix = f"use one that does, as {reader}, or switch them off with --config.model.codes=None"
        raise ConfigError(f"model.codes: no field of the model reads them: {fix}")
