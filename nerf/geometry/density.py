"""Optical depth of a volume density (NeRF, 2003.08934, equation 3; Max 1995)."""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class VolumeDensity:
    """Optical depth from a field's `density`, per unit of the length in which `delta` is given.

    The exchangeable step from what a field predicts to how opaque an interval is: any callable
    (quantities, delta) -> tau >= 0 with alpha = 1 - exp(-tau) may take its place.
    """

    def __call__(
        self, quantities: Mapping[str, Array], delta: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return quantities["density"] * delta
