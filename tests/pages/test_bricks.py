"""The baked form of a field: what is stored, and how it is read and rendered."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.spherical_harmonics import SphericalHarmonics
from nerf.fields import Samples
from nerf.pages.baking import make_model
from nerf.pages.bricks import BRICK, CHANNELS, LEVELS, LOG_DENSITY, Bricks
from nerf.pages.page import pack_bricks
from nerf.sampling.spaces import Box


def filled(stored, seed=0):
    """Return bricks with random values of 8 bits."""
    field = Bricks(stored)
    values = np.random.default_rng(seed).integers(0, LEVELS + 1, field.values[...].shape) / LEVELS
    values[: BRICK**3] = 0.0
    field.values[...] = jnp.asarray(values, jnp.float32)
    return field


@pytest.fixture(scope="module")
def stored():
    return np.random.default_rng(1).uniform(size=(4, 4, 4)) < 0.6


def test_a_vertex_has_its_own_values(stored):
    field = filled(stored)
    found = field.interpolate(jnp.asarray(field.vertices()))
    np.testing.assert_allclose(found, field.values[...][BRICK**3 :], atol=1e-5)


def test_between_vertices_values_are_trilinear_and_zero_where_no_brick_is_stored(stored):
    field = filled(stored)
    n = stored.shape[0] * BRICK
    dense = np.zeros((n + 1, n + 1, n + 1, CHANNELS))
    vertex = np.round((field.vertices() + 1.0) * (n / 2)).astype(int)
    dense[tuple(vertex.T)] = field.values[...][BRICK**3 :]
    points = np.random.default_rng(2).uniform(-1.0, 1.0, (200, 3))
    cell = np.floor((points + 1.0) * (n / 2)).astype(int)
    place = (points + 1.0) * (n / 2) - cell
    expected = np.zeros((200, CHANNELS))
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, place, 1.0 - place).prod(-1)
        expected += weight[:, None] * dense[tuple((cell + corner).T)]
    found = field.interpolate(jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_values_are_rounded_to_8_bits_with_the_gradient_of_the_identity(stored):
    field = filled(stored)
    field.values[...] = field.values[...] + 0.3 / LEVELS
    point = jnp.asarray(field.vertices()[:1])
    found = field.interpolate(point)[0] * LEVELS
    np.testing.assert_allclose(found, np.round(found), atol=1e-2)

    graph, params, state = nnx.split(field, nnx.Param, ...)
    slope = jax.grad(lambda p: nnx.merge(graph, p, state).interpolate(point)[0, 0])(params)
    assert slope["values"][...].sum() == pytest.approx(1.0, abs=1e-3)


def test_density_is_the_exponential_of_the_interpolated_value():
    field = Bricks(np.ones((1, 1, 1), bool))
    field.values[...] = field.values[...].at[:, 0].set(1.0)
    point = jnp.asarray(field.vertices()[:1])
    found = field(Samples(point, jnp.asarray([[0.0, 0.0, 1.0]])))["density"]
    np.testing.assert_allclose(found, np.exp(LOG_DENSITY[1]), rtol=1e-5)


def test_the_view_dependence_of_an_opaque_ray_is_its_features_times_the_basis():
    model = make_model(np.ones((2, 2, 2), bool), Box(), steps=64)
    field = model.stages[0].field
    values = np.zeros(field.values[...].shape, np.float32)
    values[BRICK**3 :] = [1.0, 0.2, 0.4, 0.6, 1.0, 0.0, 1.0, 0.0]
    field.values[...] = jnp.asarray(values)
    field.basis[...] = 0.1 * jax.random.normal(jax.random.key(0), field.basis[...].shape)
    directions = jnp.asarray([[0.0, 0.0, -1.0], [0.6, 0.0, -0.8]])
    # The rays begin inside, since matter fades out towards vertices that are not stored.
    origins = jnp.full((2, 3), 0.2)
    rays = Rays(origins, directions, directions)
    rgb = model(rays, jnp.zeros((2, 3)))[-1].rgb
    features = np.array([1.0, -1.0, 1.0, -1.0])
    harmonics = SphericalHarmonics(num_degrees=3)(directions)
    view = np.einsum("k,rj,kjc->rc", features, harmonics, field.basis[...])
    np.testing.assert_allclose(rgb, np.array([0.2, 0.4, 0.6]) + view, atol=0.02)


def test_packed_bricks_hold_every_value_once(stored):
    field = filled(stored)
    data = np.frombuffer(zlib.decompress(pack_bricks(field)), np.uint8)
    bits, values = np.split(data, [stored.size // 8])
    assert (np.unpackbits(bits).astype(bool) == stored.reshape(-1)).all()
    u = values.reshape(CHANNELS, -1).T / LEVELS
    np.testing.assert_allclose(u, field.values[...][BRICK**3 :], atol=1e-6)
