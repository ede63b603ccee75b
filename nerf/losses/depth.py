"""Depth supervision with a robust loss."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.losses import Context


@dataclasses.dataclass(frozen=True)
class DepthError:
    """Pseudo-Huber loss of the depth, summed over the stages.

    Equation:
      L = lambda sum_s (sqrt(((hat(D)_s - D) / r)^2 + 1) - 1)

    hat(D)_s is the depth that stage s rendered and D the true one (1701.03077, equation 1 with
    alpha = 1). The loss is quadratic for differences below `robust` and linear above, so that a
    sensor's outliers count less. Rays of unknown depth get 0.

    Attributes:
      weight: lambda, factor on the loss.
      robust: r, difference where the loss becomes linear, in world units.
    """

    weight: float = 1.0
    robust: float = 0.1

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its target may have the map "depth".

        Returns:
          The weighted loss, (*b).
        """
        if "depth" not in context.target.maps:
            return jnp.zeros(context.target.rgb.shape[:-1])
        true = context.target.maps["depth"]
        errors = jnp.stack([(r.depth - true) / self.robust for r in context.renderings])
        known = true > 0
        return jnp.where(known, self.weight * (jnp.sqrt(errors**2 + 1.0) - 1.0).sum(0), 0.0)
