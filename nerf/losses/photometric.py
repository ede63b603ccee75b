"""Photometric losses: squared error and Charbonnier."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.losses import Context


def _differences(context: Context) -> list[Float[Array, "*b 3"]]:
    """Return the difference from the true colour of each stage that has colour."""
    return [r.rgb - context.target.rgb for r in context.renderings if r.rgb is not None]


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """Squared error of the colour (NeRF, 2003.08934, equation 6).

    Equation:
      L = lambda sum_s 1/3 |hat(C)_s - C|^2

    hat(C)_s is the colour (r, g, b) that stage s rendered and C the true one. Stages without colour
    are skipped.

    Attributes:
      weight: lambda, factor on the loss.
    """

    weight: float = 1.0

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the weighted loss of each ray, (*b)."""
        errors = jnp.stack([jnp.square(x).mean(-1) for x in _differences(context)])
        return self.weight * errors.sum(0)


@dataclasses.dataclass(frozen=True)
class Charbonnier:
    """Charbonnier loss of the colour, robust to outliers (mip-NeRF 360, 2111.12077, equation 14).

    Equation:
      L = lambda sum_s sqrt(|hat(C)_s - C|^2 + epsilon^2)

    hat(C)_s is the colour (r, g, b) that stage s rendered and C the true one. Stages without colour
    are skipped.

    Attributes:
      weight: lambda, factor on the loss.
      eps: epsilon, difference where the loss becomes linear.
    """

    weight: float = 1.0
    eps: float = 0.001

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the weighted loss of each ray, (*b)."""
        squares = jnp.stack([jnp.square(x).sum(-1) for x in _differences(context)])
        return self.weight * jnp.sqrt(squares + self.eps**2).sum(0)
