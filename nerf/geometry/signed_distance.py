"""Opaque matter where a signed distance is negative, for the surface renderer."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.geometry import Quantities


@dataclasses.dataclass(frozen=True)
class SignedDistance:
    """Geometry of a field with a signed distance, without a soft edge.

    Equation:
      tau_i = 100   if f_i < 0; alpha is then 1 in float32
      tau_i = 0   otherwise

    It has no gradient, so it is trained by `nerf.rendering.surface`, which finds the zeros of f;
    the volume renderer shows what was trained.
    """

    reads: ClassVar[tuple[str, ...]] = ("sdf",)
    hidden: ClassVar[tuple[str, ...]] = ("sdf", "gradient", "laplacian")

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Return the optical depths of intervals, (*b), from their "sdf" (*b)."""
        return self.density(quantities)

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return 100 inside and 0 outside, (*b)."""
        return jnp.where(quantities["sdf"] < 0.0, 100.0, 0.0)

    def level(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the distance with its sign flipped, which is positive inside, (*b)."""
        return -quantities["sdf"]
