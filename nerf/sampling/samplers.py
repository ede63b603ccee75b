"""Where along a ray to evaluate the field.

Contract. A sampler is called as `sampler(previous, shape, keys) -> s`: `s` (*b, n + 1) are increasing edges in [0, 1]
of n intervals on each of `shape` (*b) rays; the space turns them into distances. `previous` is the (s, weights) of the
stage before, or None. `keys` (*b) holds a random key for each ray, so that no two rays share their jitter and a ray's
does not depend on how a batch is split over devices; None means deterministic.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def even_edges(shape: tuple[int, ...], n: int) -> Float[Array, "*b e"]:
    """Edges of n equal intervals of [0, 1], for each of `shape` rays."""
    return jnp.broadcast_to(jnp.linspace(0.0, 1.0, n + 1), (*shape, n + 1))


def uniform(keys: Key[Array, "*b"], n: int) -> Float[Array, "*b n"]:
    """n numbers in [0, 1) for each key."""
    flat = jax.vmap(lambda key: jax.random.uniform(key, (n,)))(keys.reshape(-1))
    return flat.reshape(*keys.shape, n)


@dataclasses.dataclass(frozen=True)
class Stratified:
    """n intervals that cover [0, 1], inner edges jittered within their stratum (NeRF, 2003.08934, eq. 2)."""

    num_samples: int

    def __call__(self, previous, shape: tuple[int, ...], keys: Key[Array, "*b"] | None) -> Float[Array, "*b e"]:
        edges = even_edges(shape, self.num_samples)
        if keys is None:
            return edges
        # An edge moves by less than half a stratum, so edges stay increasing; the ends stay put.
        jitter = (uniform(keys, self.num_samples - 1) - 0.5) / self.num_samples
        return edges.at[..., 1:-1].add(jitter)


@dataclasses.dataclass(frozen=True)
class Marched:
    """n equal intervals of [0, 1]; keys move all of a ray's towards 0 by one offset, which cuts the first short."""

    num_samples: int

    def __call__(self, previous, shape: tuple[int, ...], keys: Key[Array, "*b"] | None) -> Float[Array, "*b e"]:
        edges = even_edges(shape, self.num_samples)
        return edges if keys is None else edges.at[..., 1:].add(-uniform(keys, 1) / self.num_samples)


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

    def __call__(self, previous, shape: tuple[int, ...], keys: Key[Array, "*b"] | None) -> Float[Array, "*b e"]:
        edges, weights = jax.lax.stop_gradient(previous)
        weights = weights + self.padding / weights.shape[-1]
        drawn = invert_cdf(edges, weights, self.num_samples + 1, keys)
        return jnp.sort(jnp.concatenate([edges, drawn], -1), -1) if self.union else drawn


def invert_cdf(
    edges: Float[Array, "*b e"], weights: Float[Array, "*b m"], n: int, keys: Key[Array, "*b"] | None
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
    flat = jax.vmap(jnp.interp)(*(x.reshape(-1, x.shape[-1]) for x in (u, cdf, jnp.broadcast_to(edges, cdf.shape))))
    return flat.reshape(*shape, n)
