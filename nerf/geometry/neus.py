"""Optical depth from a signed distance with a learned sharpness (NeuS, Wang et al., 2106.10689)."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.geometry import Quantities

# Factor on the parameter in the exponent: Adam changes all parameters by equal amounts, and the
# sharpness has to grow by orders of magnitude.
GAIN = 10.0


class NeuS(nnx.Module):
    """Geometry of a field with a signed distance, opaque where a ray enters (NeuS, 2106.10689).

    Equation:
      a = f_i - 1/2 nabla f_i * step_i   distance at the start of interval i
      b = f_i + 1/2 nabla f_i * step_i   distance at its end
      alpha_i = max((Phi(a) - Phi(b)) / (Phi(a)), 0) with Phi(x) = 1 / (1 + exp(-s x))
      tau_i = max(log Phi(a) - log Phi(b), 0)   so that 1 - exp(-tau_i) = alpha_i

    These are equations 10 and 13 of the paper; the distances of both ends follow from the gradient
    in the middle. A ray that leaves the surface, along which f grows, meets no matter. The
    sharpness s is a parameter: it grows in training, and the surface becomes thin.

    Args:
      sharpness: s at the start of training, per unit of length in the box.
    """

    reads: ClassVar[tuple[str, ...]] = ("sdf", "gradient")
    hidden: ClassVar[tuple[str, ...]] = ("sdf", "gradient", "laplacian")

    def __init__(self, sharpness: float = 20.0):
        self.exponent = nnx.Param(jnp.array(math.log(sharpness) / GAIN))

    @property
    def sharpness(self) -> Float[Array, ""]:
        """The present sharpness s."""
        return jnp.exp(GAIN * self.exponent[...])

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals.

        Args:
          quantities: with "sdf" (*b), positive outside, and its "gradient" (*b, 3) in the box.
          samples: with the steps of the intervals.

        Returns:
          Optical depths, (*b).
        """
        assert samples.steps is not None
        change = (quantities["gradient"] * samples.steps).sum(-1)
        start = jax.nn.log_sigmoid(self.sharpness * (quantities["sdf"] - 0.5 * change))
        end = jax.nn.log_sigmoid(self.sharpness * (quantities["sdf"] + 0.5 * change))
        return jnp.maximum(start - end, 0.0)

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the slope of the optical depth along a ray against a unit gradient, (*b)."""
        return self.sharpness * jax.nn.sigmoid(-self.sharpness * quantities["sdf"])

    def level(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the distance with its sign flipped, which is positive inside, (*b)."""
        return -quantities["sdf"]
