"""Cells of a regular grid over [-1, 1]^d, for networks with separate parameters in each cell."""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def flat_index(index: Int[Array, "*b d"], side: int) -> Int[Array, "*b"]:
    """Return the row-major index of a cell or vertex in a grid of side^d."""
    number = index[..., 0]
    for axis in range(1, index.shape[-1]):
        number = number * side + index[..., axis]
    return number


def cell_of(
    points: Float[Array, "*b d"], resolution: int
) -> tuple[Int[Array, "*b d"], Float[Array, "*b d"]]:
    """Return each point's cell and its position in the cell, in [0, 1]^d.

    A point outside the box gets the nearest cell, and a position outside [0, 1]^d.
    """
    scaled = (points + 1.0) * (0.5 * resolution)
    cell = jnp.clip(jnp.floor(scaled), 0, resolution - 1)
    return cell.astype(jnp.int32), scaled - cell


def local_coordinates(
    points: Float[Array, "*b d"], resolution: int
) -> tuple[Int[Array, "*b"], Float[Array, "*b d"]]:
    """Return each point's flat cell index and its position in the cell, in [-1, 1]^d."""
    cell, place = cell_of(points, resolution)
    return flat_index(cell, resolution), 2.0 * place - 1.0


def corners(num_dims: int) -> np.ndarray:
    """Return the 2^d corners of a cell as 0/1 offsets (2^d, d)."""
    return np.array(list(itertools.product((0, 1), repeat=num_dims)), np.int32)
