"""Importance sampling from the weights of the previous stage (NeRF, 2003.08934, section 5.2)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from nerf.sampling.stratified import uniform


@dataclasses.dataclass(frozen=True)
class Importance:
    """Sampler of intervals drawn from the previous stage's weights (NeRF, 2003.08934, section 5.2).

    Equation:
      p_j = (w_j + padding / m) / (sum_k (w_k + padding / m))   probability of interval j of m
      s_i = F^(-1)((i + xi_i) / n) with xi_i ~ U(0, 1)   F: the cumulative distribution of p

    Without `union`, the first and the last edge are those of the previous stage, so that all of the
    ray is rendered.

    Attributes:
      num_samples: number of new intervals.
      padding: added to every weight, in units of 1 / number of intervals, so that empty space is
        sampled too.
      union: whether to merge the new edges with the previous ones, as NeRF's fine network does.
    """

    num_samples: int
    padding: float = 0.01
    union: bool = True

    def __call__(
        self,
        previous: tuple[Float[Array, "*b k"], Float[Array, "*b m"]],
        shape: tuple[int, ...],
        keys: Key[Array, "*b"] | None,
    ) -> Float[Array, "*b e"]:
        """Draw edges from the previous stage's weights; no gradient flows through them.

        Args:
          previous: (s, weights) of the previous stage: edges (*b, k = m + 1) and weights (*b, m).
          shape: not used; the shape is that of the edges.
          keys: one random key per ray; None takes the middle of each stratum.

        Returns:
          Increasing edges in [0, 1]: num_samples + 1, plus the m + 1 previous ones with `union`.
        """
        edges, weights = jax.lax.stop_gradient(previous)
        weights = weights + self.padding / weights.shape[-1]
        if not self.union:
            # Without the ends, what lies before the first position would never be rendered.
            drawn = invert_cdf(edges, weights, self.num_samples - 1, keys)
            return jnp.concatenate([edges[..., :1], drawn, edges[..., -1:]], -1)
        drawn = invert_cdf(edges, weights, self.num_samples + 1, keys)
        return jnp.sort(jnp.concatenate([edges, drawn], -1), -1)


def invert_cdf(
    edges: Float[Array, "*b e"],
    weights: Float[Array, "*b m"],
    n: int,
    keys: Key[Array, "*b"] | None,
) -> Float[Array, "*b n"]:
    """Draw increasing positions from a histogram by inverse transform sampling.

    The cumulative distribution is piecewise linear, and its inverse is read off by interpolation.

    Args:
      edges: edges of the bins, increasing, (*b, m + 1).
      weights: weights of the bins, >= 0 and not all zero, (*b, m).
      n: number of positions.
      keys: one random key per ray; None takes the middle of each stratum of probability.

    Returns:
      One position from each n-th of the probability, (*b, n).
    """
    shape = weights.shape[:-1]
    # Cumulative distribution at the edges, from exactly 0 to exactly 1: (*b, m + 1).
    total = weights.sum(-1, keepdims=True)
    cdf = jnp.cumsum(weights / total, -1)
    cdf = jnp.concatenate([jnp.zeros((*shape, 1)), cdf[..., :-1], jnp.ones((*shape, 1))], -1)
    # Stratified probabilities u_i = (i + offset) / n in [0, 1), increasing in i.
    offset = 0.5 if keys is None else uniform(keys, n)
    u = (jnp.broadcast_to(jnp.arange(n), (*shape, n)) + offset) / n
    # Evaluate the inverse: interpolate the edges as a function of the cdf, ray by ray.
    arrays = (u, cdf, jnp.broadcast_to(edges, cdf.shape))
    flat = jax.vmap(jnp.interp)(*(x.reshape(-1, x.shape[-1]) for x in arrays))
    return flat.reshape(*shape, n)
