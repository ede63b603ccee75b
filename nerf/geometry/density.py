"""Optical depth from a volume density (NeRF, 2003.08934, equation 3; Max 1995)."""

import dataclasses
from typing import ClassVar

from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.geometry import Quantities


@dataclasses.dataclass(frozen=True)
class VolumeDensity:
    """Geometry of a field with a volume density.

    Equation:
      tau_i = sigma_i delta_i   density times length of interval i

    The density is per unit of length in the box.
    """

    reads: ClassVar[tuple[str, ...]] = ("density",)
    hidden: ClassVar[tuple[str, ...]] = ("density",)

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals, (*b), from their "density" (*b)."""
        assert samples.lengths is not None
        return quantities["density"] * samples.lengths

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the density, (*b)."""
        return quantities["density"]
