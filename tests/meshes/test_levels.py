"""Depth of surfaces, and the fusion of depth images, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, Rays, pixels_to_rays
from nerf.meshes.isosurface import extract, lattice_in
from nerf.meshes.levels import (
    DepthImages,
    count_points,
    evaluated_points,
    fused_level,
    render_depth,
    surface_level,
)
from nerf.meshes.mesh import open_edges
from nerf.rendering.model import Model, Stage
from nerf.rendering.surface_depth import BLOCKED, surface_depth
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import toybox
from tests.meshes.shapes import EVERYTHING
from tests.meshes.test_rasterizer import camera


def slab(density):
    """Return a field of matter at z < 0."""

    def field(samples):
        z = samples.points[..., 2]
        return {"density": jnp.where(z < 0.0, density, 0.0), "rgb": 0.0 * samples.points + 0.5}

    return field


def model_of(field, occupancy):
    grid = OccupancyGrid(16) if occupancy else None
    stages = {"main": Stage(UniformSteps(512), field)}
    return Model(stages, ("main",), occupancy=grid, max_samples_per_ray=512 if occupancy else None)


def rays_down(count=5):
    origins = jnp.stack(
        [jnp.linspace(-0.5, 0.5, count), jnp.zeros(count), jnp.full(count, 2.0)], -1
    )
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (count, 3))
    return Rays(origins, down, down)


@pytest.mark.parametrize("occupancy", [False, True])
def test_a_surface_is_where_its_share_of_the_light_is_blocked(occupancy):
    depth = surface_depth(model_of(slab(3.0), occupancy), rays_down())
    np.testing.assert_allclose(depth, 2.0 - np.log(1.0 - BLOCKED) / 3.0, atol=1e-3)


@pytest.mark.parametrize("occupancy", [False, True])
def test_views_from_both_sides_of_soft_thin_matter_agree_that_it_is_there(occupancy):
    def sheet(samples):
        z = samples.points[..., 2]
        return {"density": jnp.where(jnp.abs(z) < 0.1, 5.0, 0.0), "rgb": 0.0 * samples.points}

    down = rays_down()
    up = Rays(-down.origins, -down.directions, -down.directions)
    above, below = (surface_depth(model_of(sheet, occupancy), rays) for rays in (down, up))
    # The height at which views from above see it is over that at which those from below do.
    assert ((2.0 - above) > -(2.0 - below) + 0.01).all()


@pytest.mark.parametrize("occupancy", [False, True])
def test_rays_that_stay_half_transparent_meet_no_surface(occupancy):
    # The slab of length 1 blocks 1 - exp(-0.6) < 1/2.
    np.testing.assert_array_equal(surface_depth(model_of(slab(0.6), occupancy), rays_down()), 0.0)


def exact_depth(size=96, views=24):
    """Return exact depth images of the toybox."""
    scene = toybox.load(None, "train", sizes=(size,), views=views, samples=1)
    images = []
    for i in range(views):
        origins, directions = toybox.look(toybox.place("train", views)[i], size)
        images.append(toybox.trace(origins, directions).t.reshape(size, size))
    return DepthImages(scene.cameras, np.array(images, np.float32))


@pytest.fixture(scope="module")
def images():
    return exact_depth()


def test_points_of_depth_images_lie_on_the_surface(images):
    points = images.points
    assert len(points) == np.isfinite(images.depth).sum()
    assert np.abs(toybox.distance(points)).max() < 1e-3


@pytest.mark.long
def test_fused_depth_is_the_surface_that_the_views_see(images):
    lattice = lattice_in(EVERYTHING, 64, 8)
    cell = 2.0 / 64
    level = fused_level(images, 2.0 * cell, cell)
    seeds = count_points(lattice, images.points) > 0
    mesh = extract(level, lattice, 3, seeds).mesh
    error = np.abs(toybox.distance(mesh.vertices))
    assert np.median(error) < 0.1 * cell and np.percentile(error, 95) < cell
    # The disc is seen from above only, so that its lower side is missing.
    assert open_edges(mesh) > 0 and mesh.vertices[:, 2].min() > -0.43


def test_fused_depth_is_signed_and_unknown_behind_the_surface():
    image = np.full((1, 40, 40), 3.0, np.float32)
    image[0, :, :10] = np.inf
    view = jax.tree.map(lambda x: np.asarray(x)[None], camera())
    # A camera at (0, 0, 3) sees a surface at a distance of 3 everywhere but on the left.
    level = fused_level(DepthImages(view, image), 0.3, 0.1)
    points = np.array([[0, 0, 0.05], [0, 0, 1], [0, 0, -0.2], [0, 0, -0.5], [-1, 0, 0], [0, 0, 5]])
    found = level(points.astype(np.float32))
    np.testing.assert_allclose(found[:3], [-0.05, -0.1, 0.1], atol=1e-5)
    assert np.isnan(found[3]) and np.isnan(found[5])
    assert found[4] == pytest.approx(-0.1)


def test_rendered_depth_is_that_of_the_field():
    view = jax.tree.map(lambda x: np.asarray(x)[None], camera(12, 12.0))
    found = render_depth(model_of(slab(200.0), occupancy=False), view).depth[0]
    pixels = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2) + 0.5
    many = jax.tree.map(lambda x: np.broadcast_to(x, (144, *np.shape(x))), camera(12, 12.0))
    rays = pixels_to_rays(Cameras(**vars(many)), pixels.astype(np.float32))
    expected = 3.0 / -np.asarray(rays.directions)[:, 2]
    inside = np.abs(np.asarray(rays.origins) + expected[:, None] * rays.directions).max(-1) < 0.95
    assert inside.sum() > 30
    np.testing.assert_allclose(found.reshape(-1)[inside], expected[inside], atol=0.02)


def test_a_density_has_no_level():
    assert surface_level(model_of(slab(3.0), occupancy=False)) is None


def test_points_in_cells_that_rays_skip_are_not_evaluated():
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 3))
    model = model_of(slab(3.0), occupancy=True)
    assert model.occupancy is not None
    possible = np.zeros((16, 16, 16), bool)
    possible[8:] = True
    model.occupancy.restrict(possible)
    np.testing.assert_array_equal(evaluated_points(model, points), points[:, 0] > 0.0)
    assert evaluated_points(model_of(slab(3.0), occupancy=False), points).all()
