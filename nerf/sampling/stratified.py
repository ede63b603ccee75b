"""Stratified and uniform samples along a ray."""

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

    def __call__(
        self, previous, shape: tuple[int, ...], keys: Key[Array, "*b"] | None
    ) -> Float[Array, "*b e"]:
        edges = even_edges(shape, self.num_samples)
        if keys is None:
            return edges
        # An edge moves by less than half a stratum, so edges stay increasing; the ends stay put.
        jitter = (uniform(keys, self.num_samples - 1) - 0.5) / self.num_samples
        return edges.at[..., 1:-1].add(jitter)


@dataclasses.dataclass(frozen=True)
class UniformSteps:
    """n equal intervals of [0, 1]; keys move all of a ray's towards 0 by one offset, which cuts the first short."""

    num_samples: int

    def __call__(
        self, previous, shape: tuple[int, ...], keys: Key[Array, "*b"] | None
    ) -> Float[Array, "*b e"]:
        edges = even_edges(shape, self.num_samples)
        return (
            edges if keys is None else edges.at[..., 1:].add(-uniform(keys, 1) / self.num_samples)
        )
