"""Feature planes that are parallel to two axes each: K-Planes and the tri-plane."""

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
    """Features of points at their projections on the planes of each pair of axes."""
    pairs = itertools.combinations(range(x.shape[1]), 2)
    return [
        interpolate(table[...], x[:, jnp.array(pair)])
        for table, pair in zip(tables, pairs, strict=True)
    ]


class KPlanes(nnx.Module):
    """The Hadamard product over the planes c of P_c(projection of x), at several scales (K-Planes, 2301.10241).

    Features of the scales are concatenated, coarse to fine.

    Args:
      resolutions: cells along an axis, of each scale.
      features: of a plane.
      num_dims: d; there are d (d - 1) / 2 planes a scale.
      rngs: values start uniform in [0.1, 0.5], so that products are not near zero.
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
        shapes = [((n + 1) ** 2, features) for n in resolutions for _ in range(self.planes)]
        draws = [
            jax.random.uniform(rngs.params(), shape, minval=0.1, maxval=0.5) for shape in shapes
        ]
        self.table = nnx.List([nnx.Param(values) for values in draws])

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        x, count = points.reshape(-1, self.num_dims), self.planes
        scales = [self.table[i : i + count] for i in range(0, len(self.table), count)]
        features = jnp.concatenate(
            [functools.reduce(operator.mul, read_planes(scale, x)) for scale in scales], -1
        )
        return features.reshape(*points.shape[:-1], self.num_features)


class TriPlane(nnx.Module):
    """The sum over the planes c of P_c(projection of x) (EG3D, Chan et al., 2112.07945, section 4.1).

    Args:
      resolution: cells along an axis.
      features: of a plane.
      num_dims: d; there are d (d - 1) / 2 planes.
      rngs: values start as N(0, 0.01).
    """

    def __init__(
        self, resolution: int = 100, features: int = 16, num_dims: int = 3, *, rngs: nnx.Rngs
    ):
        self.num_dims, self.num_features = num_dims, features
        shape = ((resolution + 1) ** 2, features)
        draws = [
            0.1 * jax.random.normal(rngs.params(), shape) for _ in range(math.comb(num_dims, 2))
        ]
        self.table = nnx.List([nnx.Param(values) for values in draws])

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        features = functools.reduce(
            operator.add, read_planes(self.table, points.reshape(-1, self.num_dims))
        )
        return features.reshape(*points.shape[:-1], self.num_features)
