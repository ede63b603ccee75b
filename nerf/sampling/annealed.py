"""Annealing of the weights that place samples (mip-NeRF 360, Barron et al., 2111.12077)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from nerf.encodings.annealing import no_progress
from nerf.foundation.instantiate import ConfigError


class AnnealedWeights(nnx.Module):
    """Another sampler, whose weights are flattened at the start (2111.12077, equation 18).

    Equation:
      w_i <- w_i^(b p / ((b - 1) p + 1))   p: the fraction of training that is done

    The exponent rises from 0 to 1, so that the samples of a proposal that knows nothing yet cover
    all of the ray.

    Args:
      sampler: a sampler that reads the weights of the previous stage.
      bias: b; the larger, the faster the exponent rises.
    """

    def __init__(self, sampler: Callable, bias: float = 10.0):
        if bias <= 0.0:
            raise ConfigError(f"AnnealedWeights: bias={bias}: not above 0: choose 10")
        self.sampler, self.bias = sampler, bias
        self.progress = no_progress()

    def __call__(
        self,
        previous: tuple[Float[Array, "*b k"], Float[Array, "*b m"]],
        shape: tuple[int, ...],
        keys: Key[Array, "*b"] | None,
    ) -> Float[Array, "*b e"]:
        """Return the edges that the sampler draws from the annealed weights.

        Args:
          previous: (s, weights) of the previous stage: edges (*b, k = m + 1) and weights (*b, m).
          shape: leading axes *b of the rays.
          keys: one random key per ray; None is deterministic.

        Returns:
          Increasing edges in [0, 1].
        """
        # The gradient of a power is not finite at a weight of 0.
        edges, weights = jax.lax.stop_gradient(previous)
        done = self.progress[...]
        exponent = self.bias * done / ((self.bias - 1.0) * done + 1.0)
        return self.sampler((edges, jnp.power(weights, exponent)), shape, keys)
