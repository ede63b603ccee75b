"""Multiresolution hash grid (instant-ngp, Mueller et al., 2201.05989, section 3)."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, UInt

from nerf.encodings.interpolation import cells, dense_row, multilinear
from nerf.foundation.instantiate import ConfigError

PRIMES = (1, 2654435761, 805459861)  # p1, p2, p3 of the paper's equation 4


class HashGrid(nnx.Module):
    """Feature vectors at the vertices of L grids, interpolated at a point and concatenated.

    Equation:
      N_l = N_min b^l with b = (N_max / N_min)^(1 / (L - 1))   resolution of level l
      h(v) = (v_1 xor v_2 p_2 xor v_3 p_3) mod T   table row of vertex v
      f_l(x) = sum_v w_v(x) table_l[h(v)]   over the vertices v around x

    These are equations 2 to 4 of the paper. A level with at most T vertices has one table row per
    vertex, without hashing. The weights w_v interpolate. The features of all levels are
    concatenated: (*b, L F).

    Args:
      num_levels: L, the number of grids.
      features_per_level: F, the length of a table row.
      log2_table_size: log2 of T, the maximum number of table rows of a level.
      min_resolution: N_min, the number of cells of the coarsest level along an axis of [-1, 1]^d.
      max_resolution: N_max, the number of cells of the finest level along an axis.
      simplex: interpolate between the d + 1 vertices of the simplex around a point (as in
        PermutoSDF, 2211.12562, but on the Kuhn simplices of the cubic grid) instead of the 2^d
        corners of its cell; in 3D this halves the memory traffic.
      num_dims: d, 2 or 3.
      rngs: source of the initial table rows, uniform in +-1e-4 as in the paper.
    """

    def __init__(
        self,
        num_levels: int = 8,
        features_per_level: int = 4,
        log2_table_size: int = 17,
        min_resolution: int = 16,
        max_resolution: int = 512,
        simplex: bool = True,
        num_dims: int = 3,
        *,
        rngs: nnx.Rngs,
    ):
        if num_dims not in (2, 3):
            raise ConfigError(f"HashGrid: num_dims={num_dims}: choose 2 or 3")
        # Geometric progression of resolutions from N_min to N_max: equations 2 and 3.
        growth = np.linspace(np.log(min_resolution), np.log(max_resolution), num_levels)
        self.resolutions = tuple(int(round(r)) for r in np.exp(growth))
        self.table_size = 2**log2_table_size
        # The tables of all levels lie one after the other in one array; level i begins at offset i.
        rows = [min((n + 1) ** num_dims, self.table_size) for n in self.resolutions]
        self.offsets = tuple(int(o) for o in np.cumsum([0, *rows[:-1]]))
        self.corners = {2: triangle, 3: simplex_of_cube}[num_dims] if simplex else multilinear
        self.bands = tuple(level for level in range(num_levels) for _ in range(features_per_level))
        self.num_dims, self.num_features = num_dims, num_levels * features_per_level
        shape = (sum(rows), features_per_level)
        self.table = nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-1e-4, maxval=1e-4))

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        # Map [-1, 1]^d to [0, 1]^d, coordinates first.
        x = jnp.clip(points.reshape(-1, self.num_dims).T * 0.5 + 0.5, 0.0, 1.0)
        vertices = [self.level(x, i) for i in range(len(self.resolutions))]
        rows, weights = (jnp.stack(parts) for parts in zip(*vertices, strict=True))  # (L, k, n)
        # One gather reads the rows of all levels.
        found = self.table[...].at[rows].get(mode="promise_in_bounds")  # (L, k, n, F)
        levels = sum(
            found[:, corner] * weights[:, corner, :, None] for corner in range(weights.shape[1])
        )  # (L, n, F)
        # Join the levels with split and concatenate, which are each other's transpose: XLA:CPU
        # would compute the gradient of indexing by padding and adding (docs/performance.md).
        features = jnp.concatenate(jax.lax.split(levels, [1] * len(self.resolutions), axis=0), -1)
        return features.reshape(*points.shape[:-1], self.num_features)

    def level(
        self, x: Float[Array, "d n"], i: int
    ) -> tuple[Int[Array, "k n"], Float[Array, "k n"]]:
        """Return table rows and weights of the k vertices around points at level `i`.

        x is in [0, 1]^d; rows count from the beginning of the shared table.
        """
        floor, place = cells(x, self.resolutions[i])
        corners, weights = self.corners(place)
        vertices = floor.astype(jnp.uint32)[:, None] + corners  # (d, k, n)
        return self.rows(vertices, self.resolutions[i]) + self.offsets[i], weights

    def rows(self, vertex: UInt[Array, "d ..."], resolution: int) -> Int[Array, "..."]:
        """Return the table row of each vertex within its level."""
        if (resolution + 1) ** self.num_dims <= self.table_size:
            return dense_row(vertex, resolution + 1)
        # The spatial hash of equation 4; T is a power of two, so mod T is a bit mask.
        mixed = [v * jnp.uint32(p) for v, p in zip(vertex, PRIMES, strict=False)]
        hashed = functools.reduce(operator.xor, mixed)
        return (hashed & jnp.uint32(self.table_size - 1)).astype(jnp.int32)


def triangle(f: Float[Array, "2 n"]) -> tuple[UInt[Array, "2 3 n"], Float[Array, "3 n"]]:
    """Return the vertices and barycentric weights of the Kuhn triangle around f in [0, 1]^2.

    Sort f_a >= f_b. The vertices are 0, e_a and (1, 1), with the weights 1 - f_a, f_a - f_b and
    f_b.
    """
    first = jnp.stack([f[0] >= f[1], f[1] > f[0]])  # e_a
    high, low = f.max(0), f.min(0)
    corners = jnp.stack([jnp.zeros_like(first), first, jnp.ones_like(first)], 1).astype(jnp.uint32)
    return corners, jnp.stack([1.0 - high, high - low, low])


def simplex_of_cube(f: Float[Array, "3 n"]) -> tuple[UInt[Array, "3 4 n"], Float[Array, "4 n"]]:
    """Return the vertices and barycentric weights of the Kuhn simplex around f in [0, 1]^3.

    Sort f_a >= f_b >= f_c. The vertices are 0, e_a, e_a + e_b and (1, 1, 1), with the weights
    1 - f_a, f_a - f_b, f_b - f_c and f_c.
    """
    x, y, z = f
    # One-hot e_a of the largest and e_c of the smallest coordinate; ties have a fixed order.
    first = jnp.stack([(x >= y) & (x >= z), (y > x) & (y >= z), (z > x) & (z > y)])
    last = jnp.stack([(x < y) & (x < z), (y <= x) & (y < z), (z <= x) & (z <= y)])
    high, low = f.max(0), f.min(0)
    middle = jnp.maximum(jnp.minimum(x, y), jnp.minimum(jnp.maximum(x, y), z))
    zero, one = jnp.zeros_like(first), jnp.ones_like(first)
    corners = jnp.stack([zero, first, ~last, one], 1).astype(jnp.uint32)  # e_a + e_b = 1 - e_c
    return corners, jnp.stack([1.0 - high, high - middle, middle - low, low])
