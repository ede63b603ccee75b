"""Density from a signed distance with a learned width (VolSDF, Yariv et al., 2106.12052)."""

import math
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.geometry import Quantities

# Factor on the parameter in the exponent: Adam changes all parameters by equal amounts, and the
# width has to fall by orders of magnitude.
GAIN = 10.0


class VolSDF(nnx.Module):
    """Geometry of a field with a signed distance that blurs its inside (VolSDF, 2106.12052).

    Equation:
      sigma(x) = 1 / beta Psi_beta(-f(x))   f: signed distance, positive outside
      Psi_beta(u) = 1/2 exp(u / beta)   if u <= 0
      Psi_beta(u) = 1 - 1/2 exp(-u / beta)   otherwise
      tau_i = sigma_i delta_i

    Psi_beta is the cumulative distribution of Laplace's distribution (equations 2 and 3). Its width
    beta is a parameter, or follows training progress: photos with soft edges ask for a wide one,
    which blurs the depth there.

    Args:
      beta: width at the start of training, in units of the box, or a function without arguments
        that returns the width, such as `nerf.encodings.annealing:Shrinking`.
      min_beta: added to the learned part of the width, so that densities stay finite.
    """

    reads: ClassVar[tuple[str, ...]] = ("sdf",)
    hidden: ClassVar[tuple[str, ...]] = ("sdf", "gradient", "laplacian")

    def __init__(self, beta: float | Callable[[], Float[Array, ""]] = 0.1, min_beta: float = 1e-4):
        self.min_beta, self.schedule = min_beta, beta if callable(beta) else None
        if not callable(beta):
            self.exponent = nnx.Param(jnp.array(math.log(beta - min_beta) / GAIN))

    @property
    def beta(self) -> Float[Array, ""]:
        """The present width beta."""
        if self.schedule is not None:
            return self.schedule()
        return jnp.exp(GAIN * self.exponent[...]) + self.min_beta

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the density sigma, (*b)."""
        inside = -quantities["sdf"] / self.beta
        # The exponent is never positive, so that the branch that is not taken has finite gradients.
        tail = 0.5 * jnp.exp(-jnp.abs(inside))
        return jnp.where(inside <= 0.0, tail, 1.0 - tail) / self.beta

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals, (*b), from their "sdf" (*b)."""
        assert samples.lengths is not None
        return self.density(quantities) * samples.lengths

    def level(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the distance with its sign flipped, which is positive inside, (*b)."""
        return -quantities["sdf"]
