"""One decoder for everywhere and a code for each place.

Deep Local Shapes (Chabra et al., 2003.10983) has the places side by side, Local Implicit Grids (Jiang et al.,
2003.08981) overlapping. Unlike with a grid of features, the decoder sees where in its cell a point is, and nothing of
where the cell is, so that what it learns of one place serves every other.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.networks import Network, OfPoints
from nerf.networks.cells import cell_of, corners, flat_index, local_coordinates


class CellCodes(nnx.Module):
    """Deep Local Shapes: f(x) = decoder(gamma(u), z_c), with the code z_c of x's cell and the place u in it."""

    def __init__(self, spec: "DeepLocalShapes", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.resolution, self.encoding = spec.resolution, spec.encoding
        shape = (spec.resolution**num_in, spec.features)
        self.table = nnx.Param(0.1 * jax.random.normal(rngs.params(), shape))
        self.decoder = spec.decoder(spec.encoding.num_features + spec.features, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        cell, local = local_coordinates(points, self.resolution)
        return self.decoder(jnp.concatenate([self.encoding(local), self.table[...][cell]], -1))


class BlendedCodes(nnx.Module):
    """Local Implicit Grids: f(x) = sum_j w_j decoder(gamma(u_j), z_j) over the 2^d vertices j around x.

    u_j in [-1, 1]^d is x as seen from vertex j, whose part reaches to its neighbours, and w_j the trilinear weight, so
    that f is continuous although a part ends there (equation 3).
    """

    def __init__(self, spec: "LocalImplicitGrid", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.resolution, self.encoding = spec.resolution, spec.encoding
        shape = ((spec.resolution + 1) ** num_in, spec.features)
        self.table = nnx.Param(0.1 * jax.random.normal(rngs.params(), shape))
        self.decoder = spec.decoder(spec.encoding.num_features + spec.features, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        cell, place = cell_of(points, self.resolution)
        steps = jnp.asarray(corners(points.shape[-1])).reshape(
            -1, *[1] * (points.ndim - 1), points.shape[-1]
        )
        local = place[None] - steps  # (2^d, *b, d) in [-1, 1]
        codes = self.table[...][flat_index(cell[None] + steps, self.resolution + 1)]
        decoded = self.decoder(jnp.concatenate([self.encoding(local), codes], -1))
        weights = jnp.prod(1.0 - jnp.abs(local), -1, keepdims=True)
        return (weights * decoded).sum(0)


@dataclasses.dataclass(frozen=True)
class _Codes(OfPoints):
    """What both have.

    Attributes:
      decoder: of (encoded local coordinates, code).
      encoding: gamma, of the local coordinates.
      resolution: cells along each axis of the box.
      features: length of a code.
    """

    decoder: Network
    encoding: Encoding
    resolution: int = 12
    features: int = 16


@dataclasses.dataclass(frozen=True)
class DeepLocalShapes(_Codes):
    """A code for each cell; neighbours meet where training makes them."""

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> CellCodes:
        return CellCodes(self, num_in, num_out, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class LocalImplicitGrid(_Codes):
    """A code for each vertex, the outputs around a point blended: 2^d times the work, and no seams."""

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> BlendedCodes:
        return BlendedCodes(self, num_in, num_out, rngs=rngs)
