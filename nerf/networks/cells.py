"""Cells of the box [-1, 1]^d, for networks that have something of their own in each."""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def flat_index(index: Int[Array, "*b d"], side: int) -> Int[Array, "*b"]:
    """The number of a cell or vertex, the last axis fastest."""
    number = index[..., 0]
    for axis in range(1, index.shape[-1]):
        number = number * side + index[..., axis]
    return number


def cell_of(
    points: Float[Array, "*b d"], resolution: int
) -> tuple[Int[Array, "*b d"], Float[Array, "*b d"]]:
    """The cell of each point and the place in it, in [0, 1]^d; points outside count to the nearest cell."""
    scaled = (points + 1.0) * (0.5 * resolution)
    cell = jnp.clip(jnp.floor(scaled), 0, resolution - 1)
    return cell.astype(jnp.int32), scaled - cell


def local_coordinates(
    points: Float[Array, "*b d"], resolution: int
) -> tuple[Int[Array, "*b"], Float[Array, "*b d"]]:
    """The number of each point's cell and the place in it, in [-1, 1]^d."""
    cell, place = cell_of(points, resolution)
    return flat_index(cell, resolution), 2.0 * place - 1.0


def corners(num_dims: int) -> np.ndarray:
    """The 2^d corners of a cell, as steps along its axes."""
    return np.array(list(itertools.product((0, 1), repeat=num_dims)), np.int32)
