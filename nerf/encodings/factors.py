"""A grid as a sum of products of vectors and matrices (TensoRF, Chen et al., 2203.09517)."""

import functools
import operator
from collections.abc import Iterable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from nerf.encodings.interpolation import interpolate


def factors(
    keys: Iterable[PRNGKeyArray], rows: int, features: int, scale: float
) -> list[nnx.Param]:
    """Tables that start as N(0, scale^2), one a key."""
    return [nnx.Param(scale * jax.random.normal(key, (rows, features))) for key in keys]


class VectorMatrix(nnx.Module):
    """Component r of axis m is v_mr(x_m) M_mr(the other coordinates of x), interpolated (section 3).

    The components are the features; the network after them weighs and sums them, as the paper's matrix B does.

    Args:
      resolution: cells along an axis.
      components: R, of each axis.
      scale: standard deviation of the values at the start.
      num_dims: of points; the matrices have one axis less.
    """

    def __init__(
        self,
        resolution: int = 64,
        components: int = 12,
        scale: float = 0.1,
        num_dims: int = 3,
        *,
        rngs: nnx.Rngs,
    ):
        self.num_dims, self.num_features = num_dims, num_dims * components
        keys, side = [rngs.params() for _ in range(2 * num_dims)], resolution + 1
        vectors = factors(keys[:num_dims], side, components, scale)
        self.table = nnx.List(
            vectors + factors(keys[num_dims:], side ** (num_dims - 1), components, scale)
        )

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x, d = points.reshape(-1, self.num_dims), self.num_dims
        vectors = [interpolate(self.table[m][...], x[:, m : m + 1]) for m in range(d)]
        matrices = [interpolate(self.table[d + m][...], jnp.delete(x, m, axis=1)) for m in range(d)]
        features = jnp.concatenate([v * w for v, w in zip(vectors, matrices, strict=True)], -1)
        return features.reshape(*points.shape[:-1], self.num_features)


class Vectors(nnx.Module):
    """Component r is the product over the axes of v_mr(x_m), interpolated: the CP decomposition (section 3).

    Args:
      resolution: cells along an axis.
      components: R.
      scale: standard deviation of the values at the start.
      num_dims: of points.
    """

    def __init__(
        self,
        resolution: int = 256,
        components: int = 96,
        scale: float = 0.2,
        num_dims: int = 3,
        *,
        rngs: nnx.Rngs,
    ):
        self.num_dims, self.num_features = num_dims, components
        self.table = nnx.List(
            factors([rngs.params() for _ in range(num_dims)], resolution + 1, components, scale)
        )

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x = points.reshape(-1, self.num_dims)
        along = [interpolate(self.table[m][...], x[:, m : m + 1]) for m in range(self.num_dims)]
        return functools.reduce(operator.mul, along).reshape(*points.shape[:-1], self.num_features)
