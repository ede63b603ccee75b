"""What tables share: reading values that are stored at the vertices of a grid over the box [-1, 1]^d."""

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
    """The lowest corner of the cell each point of [0, 1]^d lies in, and its place in the cell, in [0, 1]^d."""
    scaled = x * resolution
    floor = jnp.clip(jnp.floor(scaled), 0, resolution - 1)
    return floor, scaled - floor


def multilinear(f: Float[Array, "d n"]) -> tuple[UInt[Array, "d k #n"], Float[Array, "k n"]]:
    """The 2^d corners of a cell, as steps along its axes, and their weights at the place f in it."""
    corners = np.array(list(itertools.product((0, 1), repeat=f.shape[0])), np.uint32).T
    chosen = jnp.where(corners[:, :, None] == 1, f[:, None], 1.0 - f[:, None])
    return jnp.asarray(corners)[:, :, None], functools.reduce(operator.mul, chosen)


def dense_row(vertex: UInt[Array, "d ..."], side: int) -> Int[Array, "..."]:
    """Number of a vertex among the side^d of a grid, the last axis running fastest."""
    row = vertex[0]
    for axis in range(1, vertex.shape[0]):
        row = row * side + vertex[axis]
    return row.astype(jnp.int32)


def interpolate(table: Float[Array, "rows f"], x: Float[Array, "n d"]) -> Float[Array, "n f"]:
    """Values at points of the box, multilinear between the vertices of a grid with rows^(1/d) of them along an axis."""
    side = round(table.shape[0] ** (1.0 / x.shape[1]))
    floor, place = cells(jnp.clip(x.T * 0.5 + 0.5, 0.0, 1.0), side - 1)
    steps, weights = multilinear(place)
    rows = dense_row(floor.astype(jnp.uint32)[:, None] + steps, side)
    # Rows and weights are computed once, as XLA:CPU would else do anew for every feature (docs/performance.md).
    rows, weights = jax.lax.optimization_barrier((rows, weights))
    found = jax.lax.optimization_barrier(table.at[rows].get(mode="promise_in_bounds"))  # (k, n, f)
    return sum(found[corner] * weights[corner, :, None] for corner in range(weights.shape[0]))
