"""Spaces: what is inside the box, and the contraction's formula, continuity and inverse stretch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Rays
from nerf.sampling.spaces import Box, Contracted


def rays_of(rng, n, distance=3.0):
    origins = rng.normal(size=(n, 3))
    origins *= distance / np.linalg.norm(origins, axis=-1, keepdims=True)
    directions = rng.uniform(-1, 1, (n, 3)) - origins
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return Rays(*(jnp.array(np.float32(x)) for x in (origins, directions, directions)))


def test_points_of_the_box_interval_are_inside_and_those_beyond_are_not():
    rays = rays_of(np.random.default_rng(0), 200)
    t_near, t_far = jax.device_get(jax.jit(Box().interval)(rays))
    for s, inside in ((0.001, True), (0.999, True), (-0.01, False), (1.01, False)):
        t = t_near + s * (t_far - t_near)
        points = np.asarray(rays.origins) + t * np.asarray(rays.directions)
        assert (np.abs(points).max(-1) <= 1.0 + 1e-5).all() == inside


def test_a_ray_that_misses_the_box_has_an_empty_interval_and_one_from_inside_begins_at_zero():
    origins = jnp.array([[3.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    directions = jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    rays = Rays(origins, directions, directions)
    t_near, t_far = jax.device_get(jax.jit(Box().interval)(rays))
    np.testing.assert_allclose((t_far - t_near)[:, 0], [0.0, 1.0, 0.0], atol=1e-6)
    assert t_near[1, 0] == 0.0


def test_contraction_is_the_papers():
    points = np.random.default_rng(1).normal(size=(100, 3)) * 3
    norm = np.linalg.norm(points, axis=-1, keepdims=True)
    expected = np.where(norm <= 1, points, (2 - 1 / norm) * points / norm) / 2
    found = jax.jit(Contracted().warp)(jnp.array(np.float32(points)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 2)])
def test_contracted_points_lie_in_the_unit_ball_with_finite_gradients_also_at_the_origin(shape):
    space = Contracted()

    @jax.jit
    def warp_and_slope(points):
        return space.warp(points), jax.grad(lambda p: space.warp(p).sum())(points)

    for scale in (0.0, 1e-20, 1.0, 1e6):
        warped, slope = warp_and_slope(jnp.array(np.full((*shape, 3), scale, np.float32)))
        assert (np.linalg.norm(warped, axis=-1) <= 1.0 + 1e-6).all()
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("space", [Box(), Contracted()])
def test_unwarping_is_the_inverse_of_warping(space):
    points = np.random.default_rng(0).normal(size=(50, 3)) * np.geomspace(0.01, 50.0, 50)[:, None]
    back = space.unwarp(space.warp(jnp.asarray(points, jnp.float32)))
    np.testing.assert_allclose(back, points, rtol=1e-3, atol=1e-4)


def test_corners_of_the_contracted_box_unwarp_to_the_far_distance():
    back = Contracted(far=100.0).unwarp(jnp.ones((1, 3)))
    np.testing.assert_allclose(np.linalg.norm(back), 100.0, rtol=1e-4)


def test_stretch_is_the_length_that_contraction_takes_away():
    direction = jnp.array([0.6, 0.0, 0.8])
    space = Contracted()

    @jax.jit
    def stretch_and_slope(r):
        warped, slope = jax.jvp(lambda t: space.warp(t * direction), (r,), (jnp.ones_like(r),))
        return space.stretch(warped), slope

    for r in (0.3, 0.9, 1.5, 4.0, 20.0):
        stretch, slope = stretch_and_slope(jnp.float32(r))
        np.testing.assert_allclose(stretch, 1 / np.linalg.norm(slope), rtol=2e-3)


def test_distances_of_the_contracted_space_increase_from_near_to_far_without_a_jump():
    space = Contracted()
    near, far = jnp.array([space.near]), jnp.array([space.far])
    t = np.asarray(jax.jit(lambda: space.distance(jnp.linspace(0, 1, 1001), near, far))())
    assert abs(float(t[0]) - space.near) < 1e-6 and abs(float(t[-1]) / space.far - 1) < 1e-3
    steps = np.diff(t)
    assert (steps > 0).all() and (steps[1:] / steps[:-1]).max() < 1.5
