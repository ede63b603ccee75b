"""Curvature loss, which makes the surface smooth (Neuralangelo, Li et al., 2306.03092)."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context


@dataclasses.dataclass(frozen=True)
class Curvature:
    """Absolute Laplacian of a signed distance (Neuralangelo, 2306.03092, equation 8).

    Equation:
      L = lambda 1/n sum_i |nabla^2 f(x_i)|   over the n intervals of a ray

    The Laplacian of a signed distance is twice the mean curvature of its level set: 2 / r on a
    sphere of radius r and 0 on a plane. The field computes it from the differences that are its
    gradient. Intervals that were not evaluated do not count.

    Attributes:
      weight: lambda, factor on the loss; the Laplacian is per unit of length in the box.
    """

    weight: float = 5e-4

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: the last stage's field returns "laplacian".

        Returns:
          The weighted loss, (*b).

        Raises:
          ConfigError: the field has no Laplacian.
        """
        intervals = context.renderings[-1].intervals
        assert intervals is not None
        if "laplacian" not in intervals.quantities:
            reason = "the field differentiates its network, and has no Laplacian"
            raise ConfigError(f"losses.curvature: {reason}: give the field a spacing, such as 0.01")
        return self.weight * intervals.mean(jnp.abs(intervals.quantities["laplacian"]))
