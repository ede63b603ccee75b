"""Grids factored into vectors and matrices (TensoRF, Chen et al., 2203.09517)."""

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
    """Return one table with N(0, scale^2) initial values for each key.

    Args:
      keys: random keys, one per table.
      rows: number of rows of each table.
      features: number of columns of each table.
      scale: standard deviation of the initial values.

    Returns:
      Parameters of shape (rows, features).
    """
    return [nnx.Param(scale * jax.random.normal(key, (rows, features))) for key in keys]


class VectorMatrix(nnx.Module):
    """Products of a vector along each axis and a matrix over the others (VM, section 3).

    Equation:
      f_(m r)(x) = v_(m r)(x_m) M_(m r)(x_(-m))   component r of axis m; x_(-m) is x without x_m

    Vectors and matrices are interpolated. The components are the features: (*b, d) -> (*b, d R).
    The network that follows weighs and sums them, as the paper's matrix B does.

    Args:
      resolution: number of cells along an axis.
      components: R, the number of components per axis.
      scale: standard deviation of the initial values.
      num_dims: d, the number of coordinates of a point; the matrices have d - 1 axes.
      rngs: source of the initial values.
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
        # The table lists the d vectors first, then the d matrices, flattened to rows.
        vectors = factors(keys[:num_dims], side, components, scale)
        matrices = factors(keys[num_dims:], side ** (num_dims - 1), components, scale)
        self.table = nnx.List(vectors + matrices)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x, d = points.reshape(-1, self.num_dims), self.num_dims
        # v_m(x_m) and M_m(the other coordinates), each (n, R), for every axis m.
        vectors = [interpolate(self.table[m][...], x[:, m : m + 1]) for m in range(d)]
        matrices = [interpolate(self.table[d + m][...], jnp.delete(x, m, axis=1)) for m in range(d)]
        features = jnp.concatenate([v * w for v, w in zip(vectors, matrices, strict=True)], -1)
        return features.reshape(*points.shape[:-1], self.num_features)


class Vectors(nnx.Module):
    """Products of one vector along each axis: the CP decomposition (section 3).

    Equation:
      f_r(x) = prod_m v_(m r)(x_m)   component r

    Vectors are interpolated. The components are the features: (*b, d) -> (*b, R).

    Args:
      resolution: number of cells along an axis.
      components: R, the number of components.
      scale: standard deviation of the initial values.
      num_dims: d, the number of coordinates of a point.
      rngs: source of the initial values.
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
        keys = [rngs.params() for _ in range(num_dims)]
        self.table = nnx.List(factors(keys, resolution + 1, components, scale))

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x = points.reshape(-1, self.num_dims)
        # v_m(x_m), (n, R) for every axis m; their product over the axes is the feature vector.
        vectors = [interpolate(self.table[m][...], x[:, m : m + 1]) for m in range(self.num_dims)]
        features = functools.reduce(operator.mul, vectors)
        return features.reshape(*points.shape[:-1], self.num_features)
