"""Unsigned distances: the density and what a plane hides, and projection onto surfaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Rays
from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError
from nerf.geometry import Geometry, WithSurface
from nerf.geometry.projection import project, sample_surface
from nerf.geometry.udf import UnsignedDistance
from nerf.rendering.model import Model, Stage
from nerf.rendering.surface import Surface
from nerf.sampling.stratified import UniformSteps
from nerf.scenes.open_surfaces import Bowl

SLANTED = np.array([0.6, 0.0, 0.8])  # unit


def plane(samples):
    """The unsigned distance of the plane z = 0, which looks different from both sides."""
    z = samples.means[..., 2]
    rgb = jnp.where((samples.viewdirs[..., 2] < 0)[..., None], jnp.array([1.0, 0, 0]), 0.5)
    return {"udf": jnp.abs(z), "rgb": jnp.broadcast_to(rgb, (*z.shape, 3))}


def seen_through(geometry, directions, steps=4000, renderer=None):
    """Render rays in unit `directions` whose middle lies on the plane."""
    down = jnp.array(directions, jnp.float32)
    rays = Rays(-2.0 * down, down, down)
    stage = {"main": Stage(UniformSteps(steps), plane)}
    model = Model(stage, ["main"], geometry=geometry, renderer=renderer)
    return jax.jit(lambda rays: model(rays, jnp.zeros(down.shape))[-1])(rays)


def test_the_density_is_that_of_its_equation():
    f = np.array([0.0, 0.01, 0.1, 1.0])
    expected = 3.0 * 40.0 * np.exp(-40.0 * f) / (1.0 + np.exp(-40.0 * f))
    geometry, quantities = UnsignedDistance(40.0, 3.0), {"udf": jnp.array(f, jnp.float32)}
    np.testing.assert_allclose(geometry.density(quantities), expected, rtol=1e-4)
    steps = jnp.full((4, 3), 0.1)
    samples = Samples(steps, steps, jnp.linalg.norm(steps, axis=-1), steps)
    tau = geometry(quantities, samples)
    np.testing.assert_allclose(tau, expected * 0.1 * np.sqrt(3.0), rtol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("sharpness", [50.0, 400.0])
@pytest.mark.parametrize("opacity", [0.25, 1.0])
def test_a_plane_hides_as_much_for_any_sharpness(sharpness, opacity):
    """Its optical depth is 2 c log(2) / |cos(theta)|, so that T = 4^(-c / |cos(theta)|)."""
    up = np.array([0.0, 0.0, 1.0])
    got = seen_through(UnsignedDistance(sharpness, opacity), [-up, up, -SLANTED, SLANTED])
    cosine = np.array([1.0, 1.0, 0.8, 0.8])
    np.testing.assert_allclose(1.0 - got.opacity, 4.0 ** (-opacity / cosine), rtol=0.01)


@pytest.mark.long
def test_an_opaque_plane_shows_the_side_that_faces_the_ray_where_it_is():
    up = np.array([0.0, 0.0, 1.0])
    got = seen_through(UnsignedDistance(sharpness=2000.0), [-up, up, -SLANTED])
    np.testing.assert_allclose(got.opacity, 1.0, atol=2e-3)
    np.testing.assert_allclose(got.depth, 2.0, atol=3e-3)
    np.testing.assert_allclose(got.rgb, [[1, 0, 0], [0.5] * 3, [1, 0, 0]], atol=3e-3)
    assert not got.extras, "what is hidden is not composited"


@pytest.mark.long
def test_weights_are_largest_in_front_of_the_plane_by_the_distance_of_the_docstring():
    up = np.array([[0.0, 0.0, -1.0]])
    got = seen_through(UnsignedDistance(sharpness=20.0, opacity=5.0), up)
    peak = got.intervals.t_start[0, int(jnp.argmax(got.intervals.weights[0]))]
    np.testing.assert_allclose(2.0 - peak, np.log(5.0) / 20.0, atol=2e-3)


def test_there_is_no_inside_so_that_a_surface_renderer_refuses():
    assert isinstance(UnsignedDistance(), Geometry)
    assert not isinstance(UnsignedDistance(), WithSurface)
    with pytest.raises(ConfigError, match="UnsignedDistance has no surface"):
        seen_through(UnsignedDistance(), [[0.0, 0.0, 1.0]], renderer=Surface())


@pytest.mark.parametrize("udf", [0.0, 1e-3, 2.0])
def test_gradients_are_finite(udf):
    def total(udf, geometry):
        return geometry.density({"udf": udf}).sum()

    slope = jax.grad(total)(jnp.array([udf]), UnsignedDistance(2000.0))
    assert np.isfinite(slope).all() and slope[0] <= 0


def bowl_distance(points):
    """The exact unsigned distance of a bowl of radius 0.5 with its rim at height 0.1."""
    flat = jnp.sqrt(jnp.maximum(jnp.square(points[:, :2]).sum(-1), 1e-12))
    length = jnp.sqrt(jnp.maximum(jnp.square(points).sum(-1), 1e-12))
    rim = jnp.sqrt(jnp.square(flat - jnp.sqrt(0.24)) + jnp.square(points[:, 2] - 0.1))
    return jnp.where(points[:, 2] * 0.5 <= 0.1 * length, jnp.abs(length - 0.5), rim)


def random_points(count, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, 3)).astype(np.float32)


@pytest.mark.long
def test_one_step_with_an_exact_distance_ends_on_the_surface():
    points = random_points(500)
    bowl = Bowl((0.0, 0.0, 0.0), 0.5, 0.1)
    np.testing.assert_allclose(bowl_distance(points), bowl.distance(points), atol=1e-6)
    ends = np.asarray(project(bowl_distance, jnp.array(points), steps=1), np.float64)
    np.testing.assert_allclose(bowl.distance(ends), 0.0, atol=2e-3)
    moved = np.linalg.norm(ends - points, axis=-1)
    np.testing.assert_allclose(moved, bowl.distance(points), atol=2e-3)


@pytest.mark.long
def test_steps_are_repeated_and_work_for_signed_distances_that_are_not_exact():
    def stretched(points):
        """Not a distance: its slope is 0.7 and it is negative inside."""
        return 0.7 * (jnp.linalg.norm(points, axis=-1) - 0.5)

    points = jnp.array(random_points(200))
    once, often = (project(stretched, points, steps) for steps in (1, 10))
    remaining = np.abs(np.linalg.norm(points, axis=-1) - 0.5)
    # Each step leaves 30 % of the distance.
    np.testing.assert_allclose(
        np.abs(np.linalg.norm(once, axis=-1) - 0.5), 0.3 * remaining, atol=1e-4
    )
    np.testing.assert_allclose(np.linalg.norm(often, axis=-1), 0.5, atol=1e-4)


def test_a_point_without_a_gradient_stays():
    points = jnp.array([[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(project(lambda p: 0.0 * p[:, 0] + 0.4, points), points)


@pytest.mark.long
def test_a_cloud_lies_on_the_surface_and_covers_it():
    bowl = Bowl((0.0, 0.0, 0.0), 0.5, 0.1)
    cloud, left = sample_surface(bowl_distance, jax.random.key(0), 4000)
    assert np.asarray(left).max() < 1e-4
    cloud = np.asarray(cloud, np.float64)
    assert bowl.distance(cloud).max() < 2e-3
    wanted = bowl.sample(300, np.random.default_rng(0))
    nearest = np.sqrt(((wanted[:, None] - cloud) ** 2).sum(-1).min(-1))
    assert nearest.max() < 0.12 and nearest.mean() < 0.03
    assert not bowl.is_over_opening(cloud).any()


@pytest.mark.long
def test_a_box_without_a_surface_is_not_a_cloud_of_made_up_points():
    cloud, left = sample_surface(lambda p: 0.0 * p[:, 0] + 0.4, jax.random.key(0), 50)
    assert np.isnan(cloud).all() and np.isnan(left).all()
