"""KiloNeRF: thousands of tiny networks, one per cell of a grid (Reiser et al., 2103.13744)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from nerf.encodings import Encoding
from nerf.encodings.interpolation import local_coordinates
from nerf.networks import PositionIndexed
from nerf.networks.layers import uniform


def blocks_by_cell(
    cell: Int[Array, " m"], cells: int, size: int
) -> tuple[Int[Array, " m"], Int[Array, " k"]]:
    """Assign samples to blocks such that all samples of a block share one cell.

    The samples of each cell are padded to a multiple of the block size. The number of blocks k is
    static and always suffices: with n_c = size q_c + r_c samples in cell c,
    sum ceil(n_c / size) <= sum q_c + #{r_c > 0} <= m // size + min(cells, m) = k.

    Args:
      cell: (m,) cell index of each sample.
      cells: number of cells.
      size: number of samples per block.

    Returns:
      The slot of each sample (m,), less than k * size, and the cell of each block (k,).
    """
    m = cell.shape[0]
    counts = jnp.zeros(cells, jnp.int32).at[cell].add(1)
    blocks = -(-counts // size)  # ceil(n_c / size)
    ends = jnp.cumsum(blocks)
    order = jnp.argsort(cell)
    sorted_cell = cell[order]
    # The rank of each sorted sample among the samples of its cell.
    rank = jnp.arange(m) - (jnp.cumsum(counts) - counts)[sorted_cell]
    # A cell's first slot is the end of the blocks of all cells before it.
    place = jnp.zeros(m, jnp.int32).at[order].set((ends - blocks)[sorted_cell] * size + rank)
    # Block j belongs to the first cell whose blocks end after j; unused blocks get the last cell.
    number = jnp.arange(m // size + min(cells, m))
    return place, jnp.minimum(jnp.searchsorted(ends, number, side="right"), cells - 1)


class TinyNetworks(nnx.Module):
    """One ReLU network per cell, applied to the encoded position in the cell.

    Each block of samples is multiplied by the weights of its cell. The result is exact for any
    distribution of the samples over the cells: no sample is dropped.

    Args:
      spec: the network's specification.
      num_in: number of coordinates of a point.
      num_out: number of outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, spec: "KiloNeRF", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.resolution, self.block = spec.resolution, spec.block
        self.cells = spec.resolution**num_in
        self.encoding = spec.encoding
        widths = [spec.encoding.num_features, *[spec.width] * spec.depth, num_out]
        layers = list(zip(widths[:-1], widths[1:], strict=True))
        # The kernels of all cells are stacked, (cells, n_in, n_out). Each starts He-uniform.
        self.kernels = nnx.List(
            [
                nnx.Param(
                    uniform(math.sqrt(6.0 / n_in))(
                        rngs.params(), (self.cells, n_in, n_out), jnp.float32
                    )
                )
                for n_in, n_out in layers
            ]
        )
        self.biases = nnx.List([nnx.Param(jnp.zeros((self.cells, n_out))) for _, n_out in layers])

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        cell, local = local_coordinates(points.reshape(-1, points.shape[-1]), self.resolution)
        place, owner = blocks_by_cell(cell, self.cells, self.block)
        x = self.encoding(local)
        # Scatter the samples to their slots: (k * block, f), then (k, block, f).
        x = (
            jnp.zeros((owner.shape[0] * self.block, x.shape[1]))
            .at[place]
            .set(x, unique_indices=True)
        )
        x = x.reshape(owner.shape[0], self.block, -1)
        for i, (kernels, biases) in enumerate(zip(self.kernels, self.biases, strict=True)):
            # One batched product: each block with the weights of its cell.
            x = jnp.matmul(x, kernels[...][owner], precision="highest")
            x = x + biases[...][owner][:, None]
            x = jax.nn.relu(x) if i < len(self.kernels) - 1 else x
        # Gather the samples back in their original order.
        return x.reshape(-1, x.shape[-1])[place].reshape(*points.shape[:-1], -1)


@dataclasses.dataclass(frozen=True)
class KiloNeRF(PositionIndexed):
    """Specification of one tiny network f_c for each cell c of a grid.

    Equation:
      f(x) = f_c(gamma(u))
      c = floor(N (x + 1) / 2) with u = N (x + 1) - 2 c - 1   cell, position in it in [-1, 1]^d

    N is `resolution`. The tiny networks f_c are trained directly; the paper first distils a large
    network into them.

    Attributes:
      encoding: gamma, the encoding of u.
      resolution: number of cells along each axis of the box; the paper has up to 16.
      width: width of the hidden layers of each network.
      depth: number of hidden layers of each network.
      block: number of samples that share one gather of their cell's weights; it does not change the
        result.
    """

    encoding: Encoding
    resolution: int = 8
    width: int = 32
    depth: int = 2
    block: int = 32

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> TinyNetworks:
        return TinyNetworks(self, num_in, num_out, rngs=rngs)
