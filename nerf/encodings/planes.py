"""Axis-aligned feature planes: K-Planes and the tri-plane."""

import functools
import itertools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.interpolation import interpolate


def read_planes(tables: Sequence[nnx.Param], x: Float[Array, "n d"]) -> list[Float[Array, "n f"]]:
    """Return features of points projected onto the plane of each pair of axes."""
    pairs = itertools.combinations(range(x.shape[1]), 2)
    return [
        interpolate(table[...], x[:, jnp.array(pair)])
        for table, pair in zip(tables, pairs, strict=True)
    ]


class KPlanes(nnx.Module):
    """Products of features of planes, at S scales (K-Planes, 2301.10241).

    Equation:
      f(x) = prod_c P_c(proj_c(x))   over the planes c of pairs of axes, elementwise

    The features of all scales are concatenated, coarse to fine: (*b, d) -> (*b, S F).

    Args:
      resolutions: number of cells along an axis, for each of the S scales.
      features: F, the number of features of a plane.
      num_dims: d; there are d (d - 1) / 2 planes per scale.
      rngs: source of the initial values, uniform in [0.1, 0.5] so that products are not near zero.
    """

    def __init__(
        self,
        resolutions: Sequence[int] = (64, 128),
        features: int = 8,
        num_dims: int = 3,
        *,
        rngs: nnx.Rngs,
    ):
        self.num_dims, self.num_features = num_dims, features * len(resolutions)
        self.bands = tuple(i for i in range(len(resolutions)) for _ in range(features))
        self.planes = math.comb(num_dims, 2)
        # The table lists all planes of the coarsest scale, then those of the next scale.
        shapes = [((n + 1) ** 2, features) for n in resolutions for _ in range(self.planes)]
        draws = [
            jax.random.uniform(rngs.params(), shape, minval=0.1, maxval=0.5) for shape in shapes
        ]
        self.table = nnx.List([nnx.Param(values) for values in draws])

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x, count = points.reshape(-1, self.num_dims), self.planes
        scales = [self.table[i : i + count] for i in range(0, len(self.table), count)]
        # Multiply the planes of each scale, (n, F), and concatenate the scales.
        features = jnp.concatenate(
            [functools.reduce(operator.mul, read_planes(scale, x)) for scale in scales], -1
        )
        return features.reshape(*points.shape[:-1], self.num_features)


class TriPlane(nnx.Module):
    """Sums of features of planes (EG3D, 2112.07945, section 4.1).

    Equation:
      f(x) = sum_c P_c(proj_c(x))   over the planes c of pairs of axes

    (*b, d) -> (*b, F), for d = 3 the three planes of Chan et al.

    Args:
      resolution: number of cells along an axis.
      features: F, the number of features of a plane.
      num_dims: d; there are d (d - 1) / 2 planes.
      rngs: source of the initial values, N(0, 0.01) (standard deviation 0.1).
    """

    def __init__(
        self, resolution: int = 100, features: int = 16, num_dims: int = 3, *, rngs: nnx.Rngs
    ):
        self.num_dims, self.num_features = num_dims, features
        shape = ((resolution + 1) ** 2, features)
        planes = math.comb(num_dims, 2)
        draws = [0.1 * jax.random.normal(rngs.params(), shape) for _ in range(planes)]
        self.table = nnx.List([nnx.Param(values) for values in draws])

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x = points.reshape(-1, self.num_dims)
        features = functools.reduce(operator.add, read_planes(self.table, x))
        return features.reshape(*points.shape[:-1], self.num_features)
