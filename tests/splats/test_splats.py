"""Splats in another world: what a camera sees of them does not change when both are mapped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.scenes import Similarity
from nerf.splats.splats import (
    Y_00,
    Splats,
    colours_towards,
    inverse,
    rotate_harmonics,
    rotation_matrices,
    transform_splats,
)

MOVED = Similarity(3.0, Rotation.random(random_state=5).as_matrix(), np.array([0.4, -2.0, 7.0]))


def random_splats(count=20, degree=3, seed=0):
    """Return random splats with colours well inside of [0, 1]."""
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    splats = Splats(
        means=rng.uniform(-1.0, 1.0, (count, 3)),
        scales=rng.uniform(0.01, 0.1, (count, 3)),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True),
        opacities=rng.uniform(0.1, 0.9, count),
        harmonics=rng.uniform(-0.1, 0.1, (count, (degree + 1) ** 2, 3)),
    )
    return jax.tree.map(np.float32, splats)


def covariances(splats):
    axes = np.asarray(rotation_matrices(jnp.asarray(splats.quaternions, jnp.float32)), float)
    axes = axes * np.asarray(splats.scales)[:, None]
    return axes @ axes.transpose(0, 2, 1)


def colours_from(splats, eye):
    towards = np.asarray(splats.means) - eye
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    arrays = (splats.harmonics, towards)
    return np.asarray(colours_towards(*(jnp.asarray(x, jnp.float32) for x in arrays)))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_camera_that_moves_with_the_splats_sees_the_same_colours(degree):
    splats = random_splats(degree=degree)
    moved = transform_splats(splats, MOVED)
    for eye in (np.array([3.0, 1.0, 0.5]), np.array([0.0, -4.0, 2.0])):
        before, after = colours_from(splats, eye), colours_from(moved, MOVED.points(eye))
        np.testing.assert_allclose(after, before, atol=2e-6)
        if degree:
            unmoved = colours_from(splats, MOVED.points(eye))
            assert np.abs(unmoved - before).max() > 0.05, "colours depend on the direction"


def test_the_shape_turns_and_grows_with_the_world():
    splats = random_splats()
    moved = transform_splats(splats, MOVED)
    turned = MOVED.rotation @ covariances(splats) @ MOVED.rotation.T
    np.testing.assert_allclose(covariances(moved), MOVED.scale**2 * turned, atol=1e-6)
    np.testing.assert_allclose(moved.means, MOVED.points(splats.means.astype(float)), atol=1e-12)
    np.testing.assert_array_equal(moved.opacities, splats.opacities)
    np.testing.assert_allclose(np.linalg.norm(moved.quaternions, axis=-1), 1.0)


def test_the_way_back_undoes_the_way_there():
    splats = random_splats()
    there = transform_splats(splats, MOVED)
    back = transform_splats(there, inverse(MOVED))
    for name in ("means", "scales", "harmonics"):
        np.testing.assert_allclose(getattr(back, name), getattr(splats, name), atol=2e-6)
    np.testing.assert_allclose(covariances(back), covariances(splats), atol=1e-6)


def test_rotated_harmonics_keep_their_power_and_follow_one_another():
    first, second = Rotation.random(2, random_state=1).as_matrix()
    both = rotate_harmonics(first @ second, 3)
    np.testing.assert_allclose(
        rotate_harmonics(first, 3) @ rotate_harmonics(second, 3), both, atol=2e-6
    )
    np.testing.assert_allclose(both @ both.T, np.eye(16), atol=2e-6)
    assert both[1:4, 4:].any() == 0.0, "degrees do not mix"


def test_quaternions_are_read_as_other_programs_read_them():
    splats = random_splats()
    expected = Rotation.from_quat(splats.quaternions, scalar_first=True).as_matrix()
    found = rotation_matrices(2.0 * jnp.asarray(splats.quaternions))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_colours_without_a_direction_are_those_of_the_constant_harmonic():
    splats = random_splats(degree=0)
    np.testing.assert_allclose(
        splats.colours, colours_from(splats, np.array([5.0, 0.0, 0.0])), atol=1e-6
    )
    white = Splats(
        *(splats.means, splats.scales, splats.quaternions, splats.opacities),
        np.full_like(splats.harmonics, 0.6 / Y_00),
    )
    assert (white.colours == 1.0).all() and white.degree == 0
