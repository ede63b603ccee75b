"""Opaque geometry, for fields without density such as a single image."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Opaque:
    """Geometry in which every interval is opaque: the first one hides all others.

    Equation:
      tau_i = 100   so that alpha_i = 1 - exp(-100), which is 1 in float32

    The rendering is then the field's colour in the first interval.
    """

    def __call__(
        self, quantities: Mapping[str, Array], delta: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """Return the optical depth 100 for each interval: alpha is 1 in float32."""
        return jnp.full(delta.shape, 100.0)
