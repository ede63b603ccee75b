"""Cells of a regular grid over the box [-1, 1]^d, and interpolation between their vertices."""

import functools
import itertools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, PyTree, UInt


def cells(x: Float[Array, "*b"], resolution: int) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """Return each coordinate's cell (its lower end) and the position in the cell.

    Coordinates are in [0, 1], cells in {0, ..., resolution - 1}, positions in [0, 1]. A coordinate
    outside [0, 1] gets the nearest cell, and a position outside [0, 1].
    """
    scaled = x * resolution
    # The upper boundary of the box belongs to the last cell.
    floor = jnp.clip(jnp.floor(scaled), 0, resolution - 1)
    return floor, scaled - floor


def corners_of_cell(num_dims: int) -> Int[np.ndarray, "k d"]:
    """Return the k = 2^d corners of a cell as 0/1 offsets."""
    return np.array(list(itertools.product((0, 1), repeat=num_dims)), np.int32)


def multilinear(f: Float[Array, "d n"]) -> tuple[UInt[Array, "d k #n"], Float[Array, "k n"]]:
    """Return the k = 2^d corners of a cell as 0/1 offsets, and their multilinear weights.

    f is the position in the cell, in [0, 1]^d.
    """
    corners = corners_of_cell(f.shape[0]).T.astype(np.uint32)
    # A corner's weight is the product over the axes of f at the upper end and 1 - f at the lower.
    chosen = jnp.where(corners[:, :, None] == 1, f[:, None], 1.0 - f[:, None])
    return jnp.asarray(corners)[:, :, None], functools.reduce(operator.mul, chosen)


def dense_row(vertex: Integer[Array, "d ..."], side: int) -> Int[Array, "..."]:
    """Return the row-major index of a vertex (or cell) in a grid of side^d of them."""
    row = vertex[0]
    for axis in range(1, vertex.shape[0]):
        row = row * side + vertex[axis]
    return row.astype(jnp.int32)


def local_coordinates(
    points: Float[Array, "*b d"], resolution: int
) -> tuple[Int[Array, "*b"], Float[Array, "*b d"]]:
    """Return the row-major index of each point's cell and the position in it, in [-1, 1]^d.

    A point outside the box gets the nearest cell, and a position outside [-1, 1]^d.
    """
    floor, place = cells(points * 0.5 + 0.5, resolution)
    cell = dense_row(jnp.moveaxis(floor.astype(jnp.int32), -1, 0), resolution)
    return cell, 2.0 * place - 1.0


def interpolate(table: Float[Array, "rows f"], x: Float[Array, "n d"]) -> Float[Array, "n f"]:
    """Return multilinearly interpolated table values at points of [-1, 1]^d.

    The table has one row per vertex of a grid with rows^(1/d) vertices along each axis, row-major.
    Points outside the box take the value at the nearest point of the box.
    """
    side = round(table.shape[0] ** (1.0 / x.shape[1]))
    floor, place = cells(jnp.clip(x.T * 0.5 + 0.5, 0.0, 1.0), side - 1)
    steps, weights = multilinear(place)
    rows = dense_row(floor.astype(jnp.uint32)[:, None] + steps, side)  # (k, n)
    rows, weights = _computed_once((rows, weights))
    found = _computed_once(table.at[rows].get(mode="promise_in_bounds"))  # (k, n, f)
    return sum(found[corner] * weights[corner, :, None] for corner in range(weights.shape[0]))


def _computed_once(arrays: PyTree) -> PyTree:
    """Return the arrays, which XLA:CPU would compute again for every feature that is made of them.

    Other devices may do so, since they wait for their memory (docs/performance.md).
    """
    barrier = jax.lax.optimization_barrier
    return jax.lax.platform_dependent(arrays, cpu=barrier, default=lambda x: x)
