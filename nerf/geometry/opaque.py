"""Opaque geometry, for fields without density such as a single image."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError
from nerf.geometry import Quantities


@dataclasses.dataclass(frozen=True)
class Opaque:
    """Geometry in which every interval is opaque: the first one hides all others.

    Equation:
      tau_i = 100   so that alpha_i = 1 - exp(-100), which is 1 in float32

    The rendering is then the field's colour in the first interval.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Return the optical depth 100 for each interval: alpha is 1 in float32."""
        return jnp.full(samples.means.shape[:-1], 100.0)

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Raise ConfigError: a picture has no empty space that a grid could skip."""
        raise ConfigError(
            "model.occupancy: a picture has no empty space: use --config.model.occupancy=None"
        )
