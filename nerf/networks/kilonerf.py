"""Thousands of tiny networks, one for each cell of a grid (KiloNeRF, Reiser et al., 2103.13744)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from nerf.encodings import Encoding
from nerf.networks import OfPoints
from nerf.networks.cells import local_coordinates
from nerf.networks.layers import uniform


def blocks_by_cell(
    cell: Int[Array, " m"], cells: int, size: int
) -> tuple[Int[Array, " m"], Int[Array, " k"]]:
    """Where to put samples so that those of a cell lie together: each cell's run is padded to whole blocks.

    Returns the place of each sample, less than k * size, and the cell that each of the k blocks belongs to. All fit,
    always: with n_c = size q_c + r_c, sum ceil(n_c / size) <= sum q_c + #{r_c > 0} <= m // size + min(cells, m) = k.
    """
    m = cell.shape[0]
    counts = jnp.zeros(cells, jnp.int32).at[cell].add(1)
    blocks = -(-counts // size)
    ends = jnp.cumsum(blocks)
    order = jnp.argsort(cell)
    sorted_cell = cell[order]
    rank = (
        jnp.arange(m) - (jnp.cumsum(counts) - counts)[sorted_cell]
    )  # among the samples of its cell
    place = jnp.zeros(m, jnp.int32).at[order].set((ends - blocks)[sorted_cell] * size + rank)
    number = jnp.arange(m // size + min(cells, m))
    return place, jnp.minimum(jnp.searchsorted(ends, number, side="right"), cells - 1)


class TinyNetworks(nnx.Module):
    """A ReLU network for each cell, of the encoded place in it; a block of samples is multiplied by its cell's weights.

    Exact for any number of samples in any cell: nothing is dropped.
    """

    def __init__(self, spec: "KiloNeRF", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.resolution, self.block, self.cells = (
            spec.resolution,
            spec.block,
            spec.resolution**num_in,
        )
        self.encoding = spec.encoding
        widths = [spec.encoding.num_features, *[spec.width] * spec.depth, num_out]
        layers = list(zip(widths[:-1], widths[1:], strict=True))
        # He-uniform for each of the networks, whose kernels are stacked.
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
        x = (
            jnp.zeros((owner.shape[0] * self.block, x.shape[1]))
            .at[place]
            .set(x, unique_indices=True)
        )
        x = x.reshape(owner.shape[0], self.block, -1)
        for i, (kernels, biases) in enumerate(zip(self.kernels, self.biases, strict=True)):
            x = x @ kernels[...][owner] + biases[...][owner][:, None]
            x = jax.nn.relu(x) if i < len(self.kernels) - 1 else x
        return x.reshape(-1, x.shape[-1])[place].reshape(*points.shape[:-1], -1)


@dataclasses.dataclass(frozen=True)
class KiloNeRF(OfPoints):
    """f(x) = f_c(gamma(u)): the network of the cell c that x lies in, of the encoded place u in [-1, 1]^d in the cell.

    Trained from the start; the paper distils a large network into the tiny ones first.

    Attributes:
      encoding: gamma.
      resolution: cells along each axis of the box; the paper has up to 16.
      width, depth: of the hidden layers of each, and their number.
      block: samples that share one look-up of their cell's weights; any number gives the same result.
    """

    encoding: Encoding
    resolution: int = 8
    width: int = 32
    depth: int = 2
    block: int = 32

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> TinyNetworks:
        return TinyNetworks(self, num_in, num_out, rngs=rngs)
