"""Density from an unsigned distance, for surfaces without an inside (2S-UDF, 2303.15368)."""

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


class UnsignedDistance(nnx.Module):
    """Geometry of a field with an unsigned distance (first stage of 2S-UDF, 2303.15368).

    Equation:
      sigma(x) = c s exp(-s f(x)) / (1 + exp(-s f(x)))   f: unsigned distance
      tau_i = sigma_i delta_i

    The density is a ridge over the surface. A ray that crosses a plane at the angle theta to its
    normal has the optical depth 2 c log(2) / |cos(theta)| whatever s is, so that c alone decides
    how opaque a surface is: its transmittance is at most 4^(-c), 0.1 % for c = 5. With such a c,
    the weights of a ray are largest a distance of log(c / |cos(theta)|) / s in front of the
    surface, which vanishes as the sharpness s grows. s is a parameter, and the samples limit it:
    the ridge cannot become thinner than an interval.

    NeuralUDF (2211.14173) and the second stage of 2S-UDF, which are without this bias, need sums
    along the ray and not only the quantities of an interval.

    There is no inside, and so no `level`: `nerf.geometry.projection` finds points of the surface,
    and `nerf.meshes.open_surface` a mesh.
    A start that hides an opening, such as a sphere, keeps it closed; the distance of a point does
    not.

    Args:
      sharpness: s at the start of training, per unit of length in the box.
      opacity: c, half of the optical depth of a surface seen head-on in units of log(2).
    """

    reads: ClassVar[tuple[str, ...]] = ("udf",)
    hidden: ClassVar[tuple[str, ...]] = ("udf", "gradient", "laplacian")

    def __init__(self, sharpness: float = 10.0, opacity: float = 5.0):
        self.opacity = opacity
        self.exponent = nnx.Param(jnp.array(math.log(sharpness) / GAIN))

    @property
    def sharpness(self) -> Float[Array, ""]:
        """The present sharpness s."""
        return jnp.exp(GAIN * self.exponent[...])

    def distance(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the unsigned distance, (*b)."""
        return quantities["udf"]

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the density sigma, (*b)."""
        ridge = jax.nn.sigmoid(-self.sharpness * quantities["udf"])
        return self.opacity * self.sharpness * ridge

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals, (*b), from their "udf" (*b)."""
        assert samples.lengths is not None
        return self.density(quantities) * samples.lengths
