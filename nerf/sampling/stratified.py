"""Stratified and uniform sampling along a ray."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def even_edges(shape: tuple[int, ...], n: int) -> Float[Array, "*b e"]:
    """Return the edges of n equal intervals of [0, 1] for rays of `shape`: (*shape, n + 1)."""
    return jnp.broadcast_to(jnp.linspace(0.0, 1.0, n + 1), (*shape, n + 1))


def uniform(keys: Key[Array, "*b"], n: int) -> Float[Array, "*b n"]:
    """Draw n uniform numbers in [0, 1) for each key."""
    flat = jax.vmap(lambda key: jax.random.uniform(key, (n,)))(keys.reshape(-1))
    return flat.reshape(*keys.shape, n)


@dataclasses.dataclass(frozen=True)
class Stratified:
    """Sampler of n intervals that cover [0, 1] (NeRF, 2003.08934, equation 2).

    Equation:
      s_i = (i + xi_i) / n with xi_i ~ U(-1/2, 1/2)   for the inner edges, 0 < i < n
      s_0 = 0 with s_n = 1

    Attributes:
      num_samples: number of intervals n.
    """

    num_samples: int

    def __call__(
        self,
        previous: tuple[Array, Array] | None,
        shape: tuple[int, ...],
        keys: Key[Array, "*b"] | None,
    ) -> Float[Array, "*b e"]:
        """Return the edges of the intervals.

        Args:
          previous: not used.
          shape: leading axes *b of the rays.
          keys: one random key per ray, (*b); None returns equal intervals.

        Returns:
          Increasing edges in [0, 1], (*b, n + 1).
        """
        edges = even_edges(shape, self.num_samples)
        if keys is None:
            return edges
        # An edge moves by at most half a stratum, so the edges stay in increasing order.
        jitter = (uniform(keys, self.num_samples - 1) - 0.5) / self.num_samples
        return edges.at[..., 1:-1].add(jitter)


@dataclasses.dataclass(frozen=True)
class UniformSteps:
    """Sampler of n equal intervals of [0, 1], with one random offset per ray.

    Equation:
      s_0 = 0 with s_i = (i - xi) / n, xi ~ U(0, 1)   for i > 0

    The offset shortens the first interval.

    Attributes:
      num_samples: number of intervals n.
    """

    num_samples: int

    def __call__(
        self,
        previous: tuple[Array, Array] | None,
        shape: tuple[int, ...],
        keys: Key[Array, "*b"] | None,
    ) -> Float[Array, "*b e"]:
        """Return the edges of the intervals.

        Args:
          previous: not used.
          shape: leading axes *b of the rays.
          keys: one random key per ray, (*b); None returns equal intervals of [0, 1].

        Returns:
          Increasing edges in [0, 1], (*b, n + 1).
        """
        edges = even_edges(shape, self.num_samples)
        if keys is None:
            return edges
        return edges.at[..., 1:].add(-uniform(keys, 1) / self.num_samples)
