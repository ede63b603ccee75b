"""Importance samples from the weights of the previous stage (NeRF, 2003.08934, section 5.2)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from nerf.sampling.stratified import uniform


@dataclasses.dataclass(frozen=True)
class Importance:
    """n intervals drawn from the weights of the stage before (NeRF, 2003.08934, section 5.2).

    Attributes:
      num_samples: how many new intervals.
      padding: added to every weight, in units of 1 / number of intervals, so that empty space is visited too.
      union: keep the previous edges beside the new ones, as NeRF's fine network does.
    """

    num_samples: int
    padding: float = 0.01
    union: bool = True

    def __call__(
        self, previous, shape: tuple[int, ...], keys: Key[Array, "*b"] | None
    ) -> Float[Array, "*b e"]:
        edges, weights = jax.lax.stop_gradient(previous)
        weights = weights + self.padding / weights.shape[-1]
        drawn = invert_cdf(edges, weights, self.num_samples + 1, keys)
        return jnp.sort(jnp.concatenate([edges, drawn], -1), -1) if self.union else drawn


def invert_cdf(
    edges: Float[Array, "*b e"],
    weights: Float[Array, "*b m"],
    n: int,
    keys: Key[Array, "*b"] | None,
) -> Float[Array, "*b n"]:
    """n increasing positions distributed as the histogram (edges, weights >= 0, not all zero), one from each n-th.

    The cumulative distribution is linear within an interval; its inverse is read off by interpolation.
    """
    shape = weights.shape[:-1]
    total = weights.sum(-1, keepdims=True)
    cdf = jnp.cumsum(weights / total, -1)
    cdf = jnp.concatenate([jnp.zeros((*shape, 1)), cdf[..., :-1], jnp.ones((*shape, 1))], -1)
    offset = 0.5 if keys is None else uniform(keys, n)
    u = (jnp.broadcast_to(jnp.arange(n), (*shape, n)) + offset) / n
    flat = jax.vmap(jnp.interp)(
        *(x.reshape(-1, x.shape[-1]) for x in (u, cdf, jnp.broadcast_to(edges, cdf.shape)))
    )
    return flat.reshape(*shape, n)
