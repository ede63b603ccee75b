"""Encodings against independent formulas.

Waves, the addition theorem of harmonics, interpolation on hashed grids.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.encodings import Encoding
from nerf.encodings.annealed import Annealed, FrequencyMask, RaisedCosine
from nerf.encodings.factors import VectorMatrix, Vectors
from nerf.encodings.fourier import Fourier
from nerf.encodings.gaussian_fourier import Gaussian
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.identity import Identity
from nerf.encodings.integrated import Integrated
from nerf.encodings.planes import KPlanes, TriPlane
from nerf.encodings.spherical_harmonics import SphericalHarmonics
from nerf.encodings.voxels import Voxels
from nerf.foundation.instantiate import ConfigError, build

BATCHES = [(), (1,), (3, 1, 2)]
SHARED = {simplex: HashGrid(3, 2, 9, 4, 32, simplex, rngs=nnx.Rngs(0)) for simplex in (False, True)}


def of_every_kind(d):
    """Encodings of points with d coordinates."""
    rngs = {"num_dims": d, "rngs": nnx.Rngs(0)}
    waves = Fourier(4, num_dims=d)
    grids = [HashGrid(2, 2, 6, 3, 12, simplex, **rngs) for simplex in (False, True)]
    tables = [Voxels(3, 2, **rngs), VectorMatrix(3, 2, **rngs), Vectors(3, 2, **rngs)]
    planes = [KPlanes((3, 5), 2, **rngs), TriPlane(3, 2, **rngs)]
    annealed = [Annealed(waves, RaisedCosine()), Annealed(grids[0], FrequencyMask())]
    random = [Gaussian(5, 0.5, learn, **rngs) for learn in (False, True)]
    plain = [Identity(d), waves, Fourier(4, False, 1.0, 6, True, d), Integrated(waves)]
    return plain + random + annealed + grids + tables + planes


ALL = [(2, e) for e in of_every_kind(2)] + [
    (3, e) for e in (*of_every_kind(3), *map(SphericalHarmonics, range(1, 5)))
]
EACH = pytest.mark.parametrize(
    "d, encoding", ALL, ids=[f"{type(e).__name__}-{d}d-{e.num_features}" for d, e in ALL]
)


@functools.partial(jax.jit, static_argnums=0)
def _encode(graph, params, points):
    return nnx.merge(graph, params)(points)


def encode(grid, points):
    """grid(points), compiled once for all grids of one kind."""
    return _encode(*nnx.split(grid), points)


def unit(shape, seed=0):
    x = np.random.default_rng(seed).normal(size=(*shape, 3))
    return jnp.array(np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True)))


@pytest.mark.long
@EACH
def test_every_encoding_gives_as_many_features_as_it_says_for_any_batch_and_under_jit(d, encoding):
    assert isinstance(encoding, Encoding)
    for shape in BATCHES:
        assert jax.eval_shape(encoding, jnp.zeros((*shape, d))).shape == (
            *shape,
            encoding.num_features,
        )
    graph, state = nnx.split(encoding) if isinstance(encoding, nnx.Module) else (encoding, None)

    @jax.jit
    def ways(state, x):
        encode = graph if state is None else nnx.merge(graph, state)
        one_by_one = jax.lax.map(encode, x.reshape(-1, d))
        together, back = jax.vjp(encode, x)
        return together, one_by_one, back(2.0 * (1.0 + together))[0]  # of sum((1 + features)^2)

    x = np.random.default_rng(0).uniform(-1.0, 1.0, (3, 1, 2, d)).astype(np.float32)
    x[0, 0, 0], x[0, 0, 1], x[1, 0, 0], x[1, 0, 1, 0], x[2, 0, 0] = 0.0, 1.0, -1.0, 1.0, 2.0
    together, apart, slope = ways(state, jnp.array(x))
    np.testing.assert_allclose(np.reshape(together, (6, -1)), apart, atol=1e-5)
    assert np.isfinite(slope).all(), "at the middle, on the faces and corners of the box, or beyond"
    assert (
        np.asarray(slope).any() or encoding.num_features == 1
    )  # the harmonic of degree 0 is constant


@EACH
def test_the_bands_of_an_encoding_are_numbers_of_its_features(d, encoding):
    if hasattr(encoding, "bands"):
        assert len(encoding.bands) == encoding.num_features
        assert sorted(set(encoding.bands) - {-1}) == list(range(max(encoding.bands) + 1))


def test_a_section_is_built_for_the_plane_by_the_context_alone():
    section = {
        "name": "nerf.encodings.integrated:Integrated",
        "waves": {"name": "nerf.encodings.fourier:Fourier"},
    }
    section["waves"]["num_freqs"] = 3
    assert build(section, num_dims=2).num_features == 14
    assert build(section).num_features == 21
    with pytest.raises(ConfigError, match="directions in space"):
        build({"name": "nerf.encodings.spherical_harmonics:SphericalHarmonics"}, num_dims=2)
    with pytest.raises(ConfigError, match="2 or 3"):
        build({"name": "nerf.encodings.hash_grid:HashGrid"}, num_dims=4, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    "options, frequencies",
    [
        ({}, [np.pi, 2 * np.pi, 4 * np.pi, 8 * np.pi, 16 * np.pi]),
        ({"base": 1.0}, [1, 2, 4, 8, 16]),
        ({"base": 1.0, "octaves": 2}, [1, 2**0.5, 2, 2**1.5, 4]),
        ({"base": 1.0, "linear": True}, [1, 4.75, 8.5, 12.25, 16]),
        ({"base": 2.0, "octaves": 2, "linear": True}, [2, 3.5, 5, 6.5, 8]),
    ],
)
def test_frequencies_double_or_lie_denser_or_evenly(options, frequencies):
    encoding = Fourier(5, include_input=False, **options)
    np.testing.assert_allclose(encoding.frequencies, frequencies)
    x = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    waves = [f(w * x.astype(np.float64)) for w in frequencies for f in (np.sin, np.cos)]
    found = jax.jit(encoding)(jnp.array(x))
    np.testing.assert_allclose(found, np.concatenate(waves, -1), atol=5e-5)


def test_gaussian_features_are_the_papers_and_their_kernel_sees_differences_alone():
    encoding = Gaussian(2000, 3.0, rngs=nnx.Rngs(0))
    B = np.asarray(encoding.B[...], np.float64)
    np.testing.assert_allclose([B.mean(), B.std()], [0.0, 3.0], atol=0.15)
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 20, 3)).astype(np.float32)
    angles = 2 * np.pi * x @ B.T
    features = [np.asarray(encode(encoding, p)) for p in (x, y)]
    np.testing.assert_allclose(
        features[0], np.concatenate([np.cos(angles), np.sin(angles)], -1), atol=2e-3
    )
    kernel = np.cos(2 * np.pi * (x - y) @ B.T).sum(-1)
    np.testing.assert_allclose((features[0] * features[1]).sum(-1), kernel, atol=1.0)


@pytest.mark.parametrize("learn", [False, True])
def test_random_frequencies_are_trained_only_on_request_and_are_kept_either_way(learn):
    params, state = nnx.split(Gaussian(4, 1.0, learn, rngs=nnx.Rngs(0)), nnx.Param, ...)[1:]
    assert [len(jax.tree.leaves(part)) for part in (params, state)] == [learn, not learn]


@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize("num_freqs", [1, 4, 10])
def test_fourier_features_are_the_papers(num_freqs, include_input):
    x = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    columns = [x] if include_input else []
    for k in range(num_freqs):
        columns += [
            np.sin(2.0**k * np.pi * x.astype(np.float64)),
            np.cos(2.0**k * np.pi * x.astype(np.float64)),
        ]
    encoding = Fourier(num_freqs, include_input)
    assert encoding.num_features == 6 * num_freqs + 3 * include_input
    found = jax.jit(encoding)(jnp.array(x))
    np.testing.assert_allclose(found, np.concatenate(columns, -1), atol=5e-4)


@functools.partial(jax.jit, static_argnums=0)
def harmonics(degrees, directions):
    return SphericalHarmonics(degrees)(directions)


def test_spherical_harmonics_are_orthonormal_over_the_sphere():
    z, weights = np.polynomial.legendre.leggauss(8)  # exact for polynomials of degree 15 in z
    phi = np.arange(16) * (2 * np.pi / 16)
    flat = np.sqrt(1 - z**2)[:, None]
    directions = np.stack(
        [flat * np.cos(phi), flat * np.sin(phi), np.broadcast_to(z[:, None], (8, 16))], -1
    )
    values = np.asarray(harmonics(4, np.float32(directions)), np.float64)
    gram = np.einsum("zpi,zpj,z->ij", values, values, weights) * (2 * np.pi / 16)
    np.testing.assert_allclose(gram, np.eye(16), atol=1e-5)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_spherical_harmonics_obey_the_addition_theorem(seed):
    """No rotation changes what a band of degree l tells.

    sum_m Y_lm(a) Y_lm(b) = (2 l + 1) / (4 pi) P_l(a . b).
    """
    a, b = unit((40,), seed), unit((40,), seed + 1000)
    first, second = (np.asarray(harmonics(4, directions)) for directions in (a, b))
    cosine = (np.asarray(a, np.float64) * np.asarray(b)).sum(-1)
    for degree in range(4):
        band = slice(degree**2, (degree + 1) ** 2)
        scale = (2 * degree + 1) / (4 * np.pi)
        expected = scale * np.polynomial.legendre.Legendre.basis(degree)(cosine)
        np.testing.assert_allclose((first[:, band] * second[:, band]).sum(-1), expected, atol=1e-5)
        np.testing.assert_allclose(np.square(first[:, band]).sum(-1), np.full(40, scale), atol=1e-5)


def test_fewer_degrees_are_the_first_features_of_more():
    directions = unit((20,))
    all_of_them = np.asarray(harmonics(4, directions))
    for degrees in (1, 2, 3):
        np.testing.assert_array_equal(harmonics(degrees, directions), all_of_them[:, : degrees**2])


@pytest.mark.parametrize("degrees", [0, 5])
def test_degrees_that_do_not_exist_are_refused(degrees):
    with pytest.raises(ValueError, match="choose 1 to 4"):
        SphericalHarmonics(degrees)


# A grid of one level. Resolutions are powers of two, so that vertices are exact in float32.


def one_level(resolution=8, log2_table_size=10, simplex=True, features=1):
    return HashGrid(1, features, log2_table_size, resolution, resolution, simplex, rngs=nnx.Rngs(0))


def vertices_of(resolution):
    return np.array(list(itertools.product(range(resolution + 1), repeat=3)))


def to_points(vertices, resolution):
    return jnp.array(np.float32(np.asarray(vertices) * (2.0 / resolution) - 1.0))


def rows_at(grid, vertices):
    """Which row of the table each vertex reads: its value where row k holds the number k."""
    before = grid.table[...]
    grid.table[...] = jnp.array(np.arange(before.shape[0], dtype=np.float32)[:, None])
    rows = np.asarray(encode(grid, to_points(vertices, grid.resolutions[0])))[:, 0]
    grid.table[...] = before
    return rows


@pytest.mark.parametrize("simplex", [False, True])
def test_vertices_of_a_dense_level_do_not_collide_and_use_every_row(simplex):
    grid = one_level(8, 10, simplex)
    assert grid.table.shape == (9**3, 1)
    assert sorted(rows_at(grid, vertices_of(8))) == list(range(9**3))


@pytest.mark.parametrize("simplex", [False, True])
def test_a_hashed_level_reads_the_row_of_equation_4(simplex):
    grid = one_level(64, 10, simplex)
    assert grid.table.shape == (2**10, 1)
    vertices = np.random.default_rng(0).integers(0, 65, (500, 3))
    hashed = [
        ((x * 1) ^ (y * 2654435761) % 2**32 ^ (z * 805459861) % 2**32) % 2**10
        for x, y, z in vertices.tolist()
    ]
    np.testing.assert_array_equal(rows_at(grid, vertices), hashed)


@pytest.mark.parametrize("simplex", [False, True])
def test_a_linear_function_is_reproduced_everywhere(simplex):
    grid = one_level(8, 10, simplex, features=2)
    slope, offset = np.array([[0.3, -1.0], [2.0, 0.1], [-0.7, 1.3]]), np.array([0.2, -0.4])
    rows = rows_at(one_level(8, 10, simplex), vertices_of(8)).astype(int)
    table = np.zeros((9**3, 2), np.float32)
    table[rows] = np.asarray(to_points(vertices_of(8), 8)) @ slope + offset
    grid.table[...] = jnp.array(table)
    points = np.random.default_rng(1).uniform(-1, 1, (500, 3)).astype(np.float32)
    np.testing.assert_allclose(encode(grid, jnp.array(points)), points @ slope + offset, atol=5e-6)


def reference(table, rows, points, resolution, simplex):
    """Interpolation, a point at a time, from the textbook; `rows` maps vertices to table rows."""
    result = []
    for point in points:
        scaled = np.clip(point.astype(np.float64) * 0.5 + 0.5, 0, 1) * resolution
        base = np.minimum(np.floor(scaled), resolution - 1)
        f = scaled - base
        if (
            simplex
        ):  # walk from the lowest corner to the highest along the axes in order of falling f
            order = np.argsort(-f, kind="stable")
            steps = np.concatenate([np.zeros((1, 3)), np.cumsum(np.eye(3)[order], 0)])
            weights = -np.diff([1.0, *f[order], 0.0])
        else:
            steps = np.array(list(itertools.product((0, 1), repeat=3)))
            weights = np.prod(np.where(steps == 1, f, 1 - f), -1)
        found = rows((base + steps).astype(np.int64))
        result.append(weights @ table[found])
    return np.array(result)


@pytest.mark.long
@pytest.mark.parametrize("simplex", [False, True])
def test_levels_are_interpolated_independently_and_concatenated(simplex):
    grid = HashGrid(3, 2, 9, 4, 64, simplex, rngs=nnx.Rngs(0))
    assert grid.resolutions == (4, 16, 64)  # growth 4, equations 2 and 3
    rng = np.random.default_rng(2)
    table = rng.normal(size=grid.table.shape).astype(np.float32)
    assert len(table) == 5**3 + 2**9 + 2**9
    grid.table[...] = jnp.array(table)
    points = rng.uniform(-1, 1, (60, 3)).astype(np.float32)
    dense = rows_at(one_level(4, 9, simplex), vertices_of(4)).astype(int).reshape(5, 5, 5)

    def dense_rows(v):
        return dense[tuple(v.T)]

    def hashed_rows(v):
        return (v[:, 0] ^ v[:, 1] * 2654435761 ^ v[:, 2] * 805459861) % 2**9

    parts = [
        (table[:125], dense_rows, 4),
        (table[125:637], hashed_rows, 16),
        (table[637:], hashed_rows, 64),
    ]
    expected = [reference(part, rows, points, n, simplex) for part, rows, n in parts]
    np.testing.assert_allclose(
        encode(grid, jnp.array(points)), np.concatenate(expected, -1), atol=5e-5
    )


@pytest.mark.long
@pytest.mark.parametrize("simplex", [False, True])
def test_weights_are_never_negative_sum_to_one_and_touch_only_corners_of_the_cell(simplex):
    grid = one_level(8, 10, simplex)
    numbers = rows_at(grid, vertices_of(8)).astype(int).reshape(9, 9, 9)
    points = np.random.default_rng(3).uniform(-1, 1, (40, 3)).astype(np.float32)
    weigh = jax.jit(jax.vmap(lambda point: weights_of_traced(grid, point)))
    for point, weights in zip(points, np.asarray(weigh(points)), strict=True):
        x, y, z = np.floor((point + 1) * 4).astype(int)
        corners = numbers[x : x + 2, y : y + 2, z : z + 2].reshape(-1)
        assert (weights >= 0).all()
        assert abs(weights.sum() - 1) < 1e-6
        assert np.count_nonzero(weights) == (4 if simplex else 8)
        assert set(np.flatnonzero(weights)) <= set(corners)


def weights_of_traced(grid, point):
    graph, params = nnx.split(grid)
    gradient = jax.grad(lambda p: nnx.merge(graph, p)(point).sum())(params)
    return jax.tree.leaves(gradient)[0][:, 0]


@pytest.mark.parametrize("simplex", [False, True])
@pytest.mark.parametrize("resolution", [8, 64])  # dense, hashed
def test_features_are_continuous_across_faces_of_cells_and_of_simplices(simplex, resolution):
    grid = one_level(resolution, 10, simplex)
    rng = np.random.default_rng(4)
    grid.table[...] = jnp.array(np.float32(rng.normal(size=grid.table.shape)))
    cells, f = rng.integers(0, resolution - 1, (300, 3)), rng.uniform(0.05, 0.95, (300, 3))
    on_cell_face = np.where(np.eye(3)[rng.integers(0, 3, 300)] == 1, 1.0, f)
    a, b = rng.permuted(np.tile(np.arange(3), (300, 1)), axis=1)[:, :2].T
    on_simplex_face = f.copy()
    on_simplex_face[np.arange(300), a] = f[np.arange(300), b]
    for face in (on_cell_face, on_simplex_face, np.repeat(f[:, :1], 3, 1), np.ones((300, 3))):
        aside = 1e-5 * rng.normal(size=(300, 3))
        below, above = (
            encode(grid, to_points(cells + face + s * aside, resolution)) for s in (-1, 1)
        )
        np.testing.assert_allclose(
            below, above, atol=2e-3
        )  # a jump would be as large as the rows are: 1


@pytest.mark.parametrize("simplex", [False, True])
def test_equal_fractions_are_interpolated_too(simplex):
    """Ties between coordinates decide which simplex holds a point, never that none does."""
    grid = one_level(8, 10, simplex)
    rows = rows_at(grid, vertices_of(8)).astype(int)
    table = np.zeros((9**3, 1), np.float32)
    table[rows, 0] = vertices_of(8) @ np.array([1.0, 10.0, 100.0])
    grid.table[...] = jnp.array(table)
    f = np.array(list(itertools.product((0.0, 0.25, 0.5, 1.0), repeat=3)))
    np.testing.assert_allclose(
        encode(grid, to_points(3 + f, 8)), (3 + f) @ [[1.0], [10.0], [100.0]], rtol=1e-6
    )


@pytest.mark.long
@pytest.mark.parametrize("simplex", [False, True])
def test_points_on_and_beyond_the_box_read_its_boundary(simplex):
    grid = SHARED[simplex]
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3)), np.float32)
    inside = np.asarray(encode(grid, jnp.array(corners)))
    assert np.isfinite(inside).all()
    assert (
        len(np.unique(inside[:, :2], axis=0)) == 8
    )  # the coarsest level is dense: each corner has its own row
    for factor in (1.0000001, 1.5, 1e9):
        np.testing.assert_array_equal(encode(grid, jnp.array(corners * np.float32(factor))), inside)


@pytest.mark.long
@pytest.mark.parametrize("simplex", [False, True])
def test_gradients_are_finite_everywhere_and_zero_for_rows_that_no_point_touches(simplex):
    grid = SHARED[simplex]
    graph, params = nnx.split(grid)
    points = np.random.default_rng(5).uniform(-1, 1, (6, 3)).astype(np.float32)
    points[:3] = [[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [0.0, 0.5, 2.0]]

    def total(params, points):
        return jnp.square(1.0 + nnx.merge(graph, params)(points)).sum()

    of_params, of_points = jax.jit(jax.grad(total, (0, 1)))(params, jnp.array(points))
    of_table = np.asarray(jax.tree.leaves(of_params)[0])
    assert np.isfinite(of_table).all()
    assert np.isfinite(of_points).all()
    touched = np.abs(of_table).sum(-1) > 0
    assert (
        len(grid.resolutions)
        <= touched.sum()
        <= len(points) * len(grid.resolutions) * (4 if simplex else 8)
    )


def test_rows_start_small_and_differ():
    table = np.asarray(HashGrid(2, 2, 8, 4, 8, rngs=nnx.Rngs(1)).table[...])
    assert 5e-5 < np.abs(table).max() <= 1e-4
    assert len(np.unique(table)) > 0.99 * table.size
