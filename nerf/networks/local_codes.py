"""A shared decoder with one latent code per cell or vertex of a grid.

In Deep Local Shapes (Chabra et al., 2003.10983) the regions of the codes are disjoint; in Local
Implicit Grids (Jiang et al., 2003.08981) they overlap. Unlike the network after a feature grid, the
decoder sees the position in the cell but not the position of the cell, so the decoder shares what
it learns between all cells.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.encodings.interpolation import cells, corners_of_cell, dense_row, local_coordinates
from nerf.networks import Network, PositionIndexed


class CellCodes(nnx.Module):
    """Deep Local Shapes: one code per cell (2003.10983).

    Equation:
      f(x) = decoder(gamma(u), z_c)

    z_c is the code of the cell c that contains x, and u in [-1, 1]^d the position in the cell.

    Args:
      spec: the network's specification.
      num_in: number of coordinates of a point.
      num_out: number of outputs.
      rngs: source of the initial parameters; codes start as N(0, 0.01).
    """

    def __init__(self, spec: "DeepLocalShapes", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.resolution, self.encoding = spec.resolution, spec.encoding
        shape = (spec.resolution**num_in, spec.features)
        self.table = nnx.Param(0.1 * jax.random.normal(rngs.params(), shape))
        num_features = spec.encoding.num_features + spec.features
        self.decoder = spec.decoder(num_features, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        cell, local = local_coordinates(points, self.resolution)
        return self.decoder(jnp.concatenate([self.encoding(local), self.table[...][cell]], -1))


class BlendedCodes(nnx.Module):
    """Local Implicit Grids: one code per vertex, and blended outputs (2003.08981, equation 3).

    Equation:
      f(x) = sum_j w_j decoder(gamma(u_j), z_j)   over the 2^d vertices j
      w_j = prod_k (1 - |u_(j k)|)

    The vertices are the corners of the cell that contains x. u_j in [-1, 1]^d is x relative to
    vertex j, in units of a cell: the region of a vertex reaches to its neighbours. w_j is the
    multilinear weight, which is zero at the region's boundary, so f is continuous.

    Args:
      spec: the network's specification.
      num_in: number of coordinates of a point.
      num_out: number of outputs.
      rngs: source of the initial parameters; codes start as N(0, 0.01).
    """

    def __init__(self, spec: "LocalImplicitGrid", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.resolution, self.encoding = spec.resolution, spec.encoding
        shape = ((spec.resolution + 1) ** num_in, spec.features)
        self.table = nnx.Param(0.1 * jax.random.normal(rngs.params(), shape))
        num_features = spec.encoding.num_features + spec.features
        self.decoder = spec.decoder(num_features, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        d = points.shape[-1]
        floor, place = cells(points * 0.5 + 0.5, self.resolution)
        steps = jnp.asarray(corners_of_cell(d)).reshape(-1, *[1] * (points.ndim - 1), d)
        local = place[None] - steps  # u_j: (2^d, *b, d) in [-1, 1]
        vertices = floor.astype(jnp.int32)[None] + steps
        codes = self.table[...][dense_row(jnp.moveaxis(vertices, -1, 0), self.resolution + 1)]
        # Decode once per vertex, then blend the outputs: equation 3.
        decoded = self.decoder(jnp.concatenate([self.encoding(local), codes], -1))
        weights = jnp.prod(1.0 - jnp.abs(local), -1, keepdims=True)
        return (weights * decoded).sum(0)


@dataclasses.dataclass(frozen=True)
class Codes(PositionIndexed):
    """Attributes that both specifications share.

    Attributes:
      decoder: network of (encoded local coordinates, code).
      encoding: gamma, the encoding of local coordinates.
      resolution: number of cells along each axis of the box.
      features: length of a code.
    """

    decoder: Network
    encoding: Encoding
    resolution: int = 12
    features: int = 16


@dataclasses.dataclass(frozen=True)
class DeepLocalShapes(Codes):
    """One code per cell; only training makes the outputs of neighbouring cells agree."""

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> CellCodes:
        return CellCodes(self, num_in, num_out, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class LocalImplicitGrid(Codes):
    """One code per vertex and blended outputs: 2^d times the work, but continuous."""

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> BlendedCodes:
        return BlendedCodes(self, num_in, num_out, rngs=rngs)
