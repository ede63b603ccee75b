"""Opacity from an occupancy (UNISURF, Oechsle et al., 2104.10078)."""

import dataclasses
from typing import ClassVar

import jax
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.geometry import Quantities


@dataclasses.dataclass(frozen=True)
class Occupancy:
    """Geometry of a field with the logit of an occupancy (UNISURF, 2104.10078, equation 5).

    Equation:
      alpha_i = 1 / (1 + exp(-l_i))   the occupancy of interval i is its opacity
      tau_i = log(1 + exp(l_i))   so that 1 - exp(-tau_i) = alpha_i

    The opacity does not depend on the length of the interval, so that the field changes its meaning
    with the number of samples. The surface is where l = 0.

    Attributes:
      interval: length in the box of a typical interval, with which an occupancy grid compares
        optical depth and density.
    """

    reads: ClassVar[tuple[str, ...]] = ("logit",)
    hidden: ClassVar[tuple[str, ...]] = ("logit", "gradient", "laplacian")

    interval: float = 2.0 / 128.0

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals, (*b), from their "logit" (*b)."""
        return jax.nn.softplus(quantities["logit"])

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the optical depth of a typical interval per unit of length, (*b)."""
        return jax.nn.softplus(quantities["logit"]) / self.interval

    def level(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the logit, which is positive inside, (*b)."""
        return quantities["logit"]
