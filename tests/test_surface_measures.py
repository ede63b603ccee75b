"""Metrics of surfaces in the laboratory: exact fields score as they must, and wrong ones worse."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.systems import surface_measures
from benchmarks.systems.surface_measures import certain, cloud, level, mesh, slopes, textured, views
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.signed_distance import SignedDistance
from nerf.geometry.udf import UnsignedDistance
from nerf.meshes import chamfer
from nerf.rendering.model import Model, Stage
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import open_surfaces
from tests.support import ball

RED = jnp.array([0.8, 0.3, 0.2])


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr(surface_measures, "RESOLUTION", 48)
    monkeypatch.setattr(chamfer, "MESH_POINTS", 50_000)
    monkeypatch.setattr(chamfer, "TRUE_POINTS", 5_000)
    monkeypatch.setattr(surface_measures, "CLOUD_POINTS", 2_000)


def config_of(scale=1.0, turned=0.0):
    scene = {"name": "tests.support.ball:load", "scale": scale, "turned": turned}
    return {"scene": scene, "background": (1.0, 1.0, 1.0), "chunk": 1024}


class BallField:
    """The exact distance to the ball in the normalised world, times `slope`, plus `shift`."""

    quantity = "sdf"

    def __init__(self, world, slope=1.0, shift=0.0):
        self.centre = jnp.asarray(world.points(np.array(ball.BALL.centre)), jnp.float32)
        self.radius = world.scale * ball.BALL.radius
        self.slope, self.shift = slope, shift

    def __call__(self, samples):
        offset = samples.means - jnp.broadcast_to(self.centre, samples.means.shape)
        length = jnp.maximum(jnp.linalg.norm(offset, axis=-1), 1e-6)
        normals = offset / length[..., None]
        return {
            "sdf": self.slope * (length - self.radius) + self.shift,
            "gradient": self.slope * normals,
            "normals": normals,
            "rgb": jnp.broadcast_to(RED, normals.shape),
        }


def ball_model(config, slope=1.0, shift=0.0):
    scene = ball.load(None, "test", **{k: v for k, v in config["scene"].items() if k != "name"})
    field = BallField(scene.transform, slope, shift)
    stages = {"main": Stage(UniformSteps(256), field)}
    return Model(stages, ("main",), geometry=SignedDistance()), config, scene


@pytest.mark.long
@pytest.mark.parametrize(("scale", "turned"), [(1.0, 0.0), (0.5, 0.7)])
def test_an_exact_field_has_the_true_surface_in_any_world(scale, turned):
    """Errors are fractions of the true size, so that they do not depend on the world."""
    exact = ball_model(config_of(scale, turned))
    found = mesh(*exact)
    assert found["chamfer"] < 0.004 and found["outside_largest"] == 0.0
    seen = views(*exact)
    assert seen["view_normal_degrees"] < 1.0
    assert seen["depth_rmse"] < 0.01
    larger = ball_model(config_of(scale, turned), shift=-0.1 * scale)
    diagonal = 2.0 * ball.BALL.radius * np.sqrt(3.0)
    # Below, where no view sees the ball, it is closed a little inside.
    assert mesh(*larger)["chamfer"] == pytest.approx(0.1 / diagonal, rel=0.06)
    # A ball with a radius that is larger by 0.1 is met earlier, by at least 0.1.
    assert 0.1 / diagonal < views(*larger)["depth_rmse"] < 0.2 / diagonal


@pytest.mark.long
def test_the_colour_inside_of_pixels_counts_and_not_their_borders():
    scored = views(*ball_model(config_of()))["psnr_inside"]
    model, config, scene = ball_model(config_of())
    painted = [np.where(image[..., 3:] == 255, image, 0) for image in scene.images]
    without_borders = type(scene)(
        painted, scene.cameras, scene.names, scene.transform, unbounded=False
    )
    assert views(model, config, without_borders)["psnr_inside"] == pytest.approx(scored, abs=1e-6)
    # The ball of the scene is shaded, and that of the field is red everywhere.
    assert 5.0 < scored < 25.0


@pytest.mark.long
def test_a_field_without_a_surface_has_the_largest_error():
    nothing = ball_model(config_of(), shift=10.0)
    assert mesh(*nothing) == {"chamfer": 1.0, "outside_largest": 1.0}
    assert textured(*nothing)["mesh_psnr"] > 60.0  # nothing looks like nothing


@pytest.mark.long
def test_a_textured_mesh_looks_like_its_field():
    assert textured(*ball_model(config_of()))["mesh_psnr"] > 25.0


@pytest.mark.long
def test_extraction_of_a_part_of_the_lattice_is_compared_with_that_of_all(monkeypatch):
    model = ball_model(config_of(), slope=0.7)
    found = level(*model)
    assert found["evaluated"] < 0.2 and found["different_triangles"] == 0.0
    assert found["refined"] < 0.5
    # The complete lattice is evaluated if its spacing is not halved.
    monkeypatch.setattr(surface_measures, "HALVINGS", 0)
    assert level(*model)["evaluated"] == 1.0


def test_triangles_are_equal_if_their_corners_are_in_the_same_cyclic_order():
    corners = np.random.default_rng(0).normal(size=(3, 3))

    def of(order):
        return surface_measures._triangles(surface_measures.Mesh(corners, np.array([order])))

    assert of([0, 1, 2]) == of([1, 2, 0]) == of([2, 0, 1])
    assert of([0, 1, 2]) != of([0, 2, 1])


def test_slopes_are_compared_with_1():
    assert slopes(*ball_model(config_of()))["slope_error"] == pytest.approx(0.0, abs=1e-5)
    steep = slopes(*ball_model(config_of(), slope=1.3))
    assert steep["slope_error"] == pytest.approx(0.3, abs=1e-5)


def test_occupancies_are_certain_near_0_and_1():
    def half_certain(samples):
        x = samples.means[..., 0]
        logit = jnp.where(x > 0.0, 9.0 * jnp.sign(samples.means[..., 1]), 0.5)
        return {"logit": logit, "rgb": jnp.broadcast_to(RED, samples.means.shape)}

    model = Model({"main": Stage(UniformSteps(8), half_certain)}, ("main",), geometry=Occupancy())
    found = certain(model, {}, ball.load(None, "test"))
    assert found["certain"] == pytest.approx(0.5, abs=0.02)


class BowlField:
    """The exact unsigned distance to the bowl, with or without a flat lid, and to the sheet."""

    quantity = "udf"

    def __init__(self, closed):
        self.closed = closed

    def __call__(self, samples):
        points = samples.points
        bowl, sheet = open_surfaces.BOWL, open_surfaces.SHEET
        offset = points - jnp.broadcast_to(jnp.array(bowl.centre), points.shape)
        flat = jnp.sqrt(jnp.square(offset[..., :2]).sum(-1) + 1e-12)
        length = jnp.sqrt(flat**2 + offset[..., 2] ** 2)
        to_rim = jnp.sqrt((flat - bowl.rim_radius) ** 2 + (offset[..., 2] - bowl.rim) ** 2 + 1e-12)
        below = offset[..., 2] * bowl.radius <= bowl.rim * length
        to_bowl = jnp.where(below, jnp.abs(length - bowl.radius), to_rim)
        if self.closed:
            above = jnp.abs(offset[..., 2] - bowl.rim)
            to_lid = jnp.where(flat < bowl.rim_radius, above, to_rim)
            to_bowl = jnp.minimum(to_bowl, to_lid)
        axis = jnp.broadcast_to(jnp.array(sheet.centre), points.shape)
        x, y, z = jnp.moveaxis(points - axis, -1, 0)
        end = sheet.radius * jnp.array([jnp.cos(sheet.half_angle), jnp.sin(sheet.half_angle)])
        beside = jnp.hypot(x - end[0], jnp.abs(y) - end[1])
        facing = jnp.abs(jnp.arctan2(y, x)) <= sheet.half_angle
        across = jnp.where(facing, jnp.abs(jnp.hypot(x, y) - sheet.radius), beside)
        to_sheet = jnp.hypot(across, jnp.maximum(jnp.abs(z) - sheet.half_height, 0.0))
        rgb = jnp.broadcast_to(RED, points.shape)
        return {"udf": jnp.minimum(to_bowl, to_sheet), "rgb": rgb}


@pytest.mark.long
def test_points_of_open_surfaces_are_near_them_and_do_not_close_the_bowl():
    def measured(closed):
        grid = OccupancyGrid(8, 0.5, 0.9, 16, 0.01, 0.05)
        model = Model(
            {"main": Stage(UniformSteps(8), BowlField(closed))},
            ("main",),
            geometry=UnsignedDistance(),
            occupancy=grid,
            max_samples_per_ray=8,
        )
        return cloud(model, {}, ball.load(None, "test"))

    exact, closed = measured(False), measured(True)
    assert exact["cloud_chamfer"] < 0.02 and exact["left"] < 0.005 and exact["lid"] < 0.01
    assert closed["cloud_chamfer"] > exact["cloud_chamfer"] + 0.004
    assert closed["lid"] > 0.6
