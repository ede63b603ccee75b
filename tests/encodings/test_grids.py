"""Voxels, factors and planes against scipy's interpolation of the tables they hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.ndimage import map_coordinates

from nerf.encodings.factors import VectorMatrix, Vectors
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.planes import KPlanes, TriPlane
from nerf.encodings.voxels import Voxels

DIMS = pytest.mark.parametrize("d", [2, 3])
PAIRS = {2: [(0, 1)], 3: [(0, 1), (0, 2), (1, 2)]}


def points_in(d, n=40):
    """Points in the box, on its faces and corners, and beyond."""
    x = np.random.default_rng(d).uniform(-1.0, 1.0, (n, d)).astype(np.float32)
    x[0], x[1], x[2, 0], x[3] = 1.0, -1.0, 1.5, 0.0
    return x


def read(table, x, axes):
    """scipy's linear interpolation of a table over these axes of the box.

    Beyond the box, the nearest place counts.
    """
    side = round(table.shape[0] ** (1 / len(axes)))
    places = (np.clip(x[:, axes].T.astype(np.float64), -1, 1) + 1) * (0.5 * (side - 1))
    grids = np.moveaxis(np.asarray(table, np.float64).reshape(*[side] * len(axes), -1), -1, 0)
    return np.stack([map_coordinates(grid, places, order=1, mode="nearest") for grid in grids], -1)


def fill(encoding):
    """Tables of numbers of the size of 1, for a comparison that means something."""
    tables = encoding.table if isinstance(encoding.table, nnx.List) else [encoding.table]
    rng = np.random.default_rng(0)
    for table in tables:
        table[...] = jnp.array(np.float32(rng.normal(size=table.shape)))
    return [table[...] for table in tables]


def check(encoding, x, expected):
    found = jax.jit(lambda x: encoding(x))(jnp.array(x))
    assert found.shape == (len(x), encoding.num_features)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@DIMS
def test_voxels_are_interpolated(d):
    encoding, x = Voxels(5, 3, num_dims=d, rngs=nnx.Rngs(0)), points_in(d)
    (table,) = fill(encoding)
    assert table.shape == (6**d, 3)
    check(encoding, x, read(table, x, list(range(d))))


@pytest.mark.long
@DIMS
def test_vectors_and_matrices_are_multiplied_axis_by_axis(d):
    encoding, x = VectorMatrix(5, 3, num_dims=d, rngs=nnx.Rngs(0)), points_in(d)
    tables = fill(encoding)
    others = [[a for a in range(d) if a != m] for m in range(d)]
    blocks = [read(tables[m], x, [m]) * read(tables[d + m], x, others[m]) for m in range(d)]
    check(encoding, x, np.concatenate(blocks, -1))


@DIMS
def test_vectors_are_multiplied_over_the_axes(d):
    encoding, x = Vectors(5, 3, num_dims=d, rngs=nnx.Rngs(0)), points_in(d)
    check(encoding, x, np.prod([read(table, x, [m]) for m, table in enumerate(fill(encoding))], 0))


@DIMS
def test_planes_are_multiplied_at_each_scale(d):
    encoding, x = KPlanes((3, 6), 2, num_dims=d, rngs=nnx.Rngs(0)), points_in(d)
    tables, count = fill(encoding), len(PAIRS[d])
    scales = [tables[:count], tables[count:]]
    assert [table.shape[0] for table in tables] == [16] * count + [49] * count
    blocks = [
        np.prod([read(t, x, list(p)) for t, p in zip(scale, PAIRS[d], strict=True)], 0)
        for scale in scales
    ]
    check(encoding, x, np.concatenate(blocks, -1))


@DIMS
def test_three_planes_are_added(d):
    encoding, x = TriPlane(5, 3, num_dims=d, rngs=nnx.Rngs(0)), points_in(d)
    check(
        encoding,
        x,
        np.sum([read(t, x, list(p)) for t, p in zip(fill(encoding), PAIRS[d], strict=True)], 0),
    )


@pytest.mark.parametrize("simplex", [False, True])
def test_a_hash_grid_in_the_plane_reproduces_a_linear_function(simplex):
    encoding = HashGrid(1, 1, 10, 8, 8, simplex, num_dims=2, rngs=nnx.Rngs(0))
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9), indexing="ij")
    encoding.table[...] = jnp.array(np.float32((3.0 * x - 2.0 * y).reshape(-1, 1)))
    points = np.clip(points_in(2), -1, 1)
    check(encoding, points, points @ np.array([[3.0], [-2.0]]))


@pytest.mark.long
def test_a_hash_grid_in_the_plane_weighs_three_vertices_and_hashes_by_equation_4():
    encoding = HashGrid(1, 1, 6, 32, 32, num_dims=2, rngs=nnx.Rngs(0))
    assert encoding.table.shape == (64, 1)
    encoding.table[...] = jnp.array(np.arange(64, dtype=np.float32)[:, None])
    vertices = np.random.default_rng(0).integers(0, 33, (50, 2))
    hashed = [(x ^ (y * 2654435761) % 2**32) % 64 for x, y in vertices.tolist()]
    check(encoding, (vertices / 16 - 1).astype(np.float32), np.array(hashed)[:, None])
    low, high = np.array([3.0, 5.0]) / 16 - 1, np.array([4.0, 6.0]) / 16 - 1
    a, b, c = (
        (x ^ (y * 2654435761) % 2**32) % 64 for x, y in [(3, 5), (4, 5), (4, 6)]
    )  # x is the greater fraction
    inside = (low + (high - low) * np.array([0.75, 0.25])).astype(np.float32)
    check(encoding, inside[None], np.array([[0.25 * a + 0.5 * b + 0.25 * c]]))
