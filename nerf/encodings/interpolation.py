"""Interpolate values stored at the vertices of a regular grid over the box [-1, 1]^d."""

import functools
import itertools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt


def cells(
    x: Float[Array, "d n"], resolution: int
) -> tuple[Float[Array, "d n"], Float[Array, "d n"]]:
    """Return each point's cell (its lowest corner) and the position in the cell.

    Points are in [0, 1]^d, cells in {0, ..., resolution - 1}^d, positions in [0, 1]^d.
    """
    scaled = x * resolution
    # The upper boundary of the box belongs to the last cell.
    floor = jnp.clip(jnp.floor(scaled), 0, resolution - 1)
    return floor, scaled - floor


def multilinear(f: Float[Array, "d n"]) -> tuple[UInt[Array, "d k #n"], Float[Array, "k n"]]:
    """Return the k = 2^d corners of a cell as 0/1 offsets, and their multilinear weights.

    f is the position in the cell, in [0, 1]^d.
    """
    corners = np.array(list(itertools.product((0, 1), repeat=f.shape[0])), np.uint32).T
    # A corner's weight is the product over the axes of f at the upper end and 1 - f at the lower.
    chosen = jnp.where(corners[:, :, None] == 1, f[:, None], 1.0 - f[:, None])
    return jnp.asarray(corners)[:, :, None], functools.reduce(operator.mul, chosen)


def dense_row(vertex: UInt[Array, "d ..."], side: int) -> Int[Array, "..."]:
    """Return the row-major index of a vertex in a grid of side^d vertices."""
    row = vertex[0]
    for axis in range(1, vertex.shape[0]):
        row = row * side + vertex[axis]
    return row.astype(jnp.int32)


def interpolate(table: Float[Array, "rows f"], x: Float[Array, "n d"]) -> Float[Array, "n f"]:
    """Return multilinearly interpolated table values at points of [-1, 1]^d.

    The table has one row per vertex of a grid with rows^(1/d) vertices along each axis, row-major.
    Points outside the box take the value at the nearest point of the box.
    """
    side = round(table.shape[0] ** (1.0 / x.shape[1]))
    floor, place = cells(jnp.clip(x.T * 0.5 + 0.5, 0.0, 1.0), side - 1)
    steps, weights = multilinear(place)
    rows = dense_row(floor.astype(jnp.uint32)[:, None] + steps, side)  # (k, n)
    # The barriers make XLA:CPU compute rows and weights once; otherwise it recomputes them for
    # every feature (docs/performance.md).
    rows, weights = jax.lax.optimization_barrier((rows, weights))
    found = jax.lax.optimization_barrier(table.at[rows].get(mode="promise_in_bounds"))  # (k, n, f)
    return sum(found[corner] * weights[corner, :, None] for corner in range(weights.shape[0]))
