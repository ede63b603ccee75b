"""Optical depth from a volume density (NeRF, 2003.08934, equation 3; Max 1995)."""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class VolumeDensity:
    """Geometry of a field with a volume density.

    Equation:
      tau_i = sigma_i delta_i   density times length of interval i

    The density is per unit of the length in which `delta` is given. Any other geometry, a callable
    (quantities, delta) -> tau >= 0 with alpha = 1 - exp(-tau), may take its place.
    """

    def __call__(
        self, quantities: Mapping[str, Array], delta: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """Compute optical depths (*b) from densities (*b) and lengths `delta` (*b)."""
        return quantities["density"] * delta
