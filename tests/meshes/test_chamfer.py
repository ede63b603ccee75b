"""The Chamfer distance, and points of true surfaces."""

import numpy as np
import pytest

from nerf.foundation.errors import UserError
from nerf.meshes.chamfer import chamfer_distance, sample_true_surface
from nerf.meshes.mesh import Mesh, area_outside_largest, sample_points, select_faces
from nerf.scenes import open_surfaces, toybox
from tests.meshes.shapes import cube, distance_to, sphere, together

COUNT = 20_000


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.6), (0.8, 0.5)])
def test_the_distance_of_two_spheres_is_that_of_their_radii(first, second):
    rng = np.random.default_rng(0)
    points = sample_points(sphere(first), COUNT, rng)
    true = sample_true_surface(distance_to(second), 2000, rng)
    chamfer = chamfer_distance(points, true, distance_to(second))
    np.testing.assert_allclose([*chamfer, chamfer.mean], abs(first - second), rtol=0.02)


def test_the_distance_of_a_plane_that_is_shifted_is_the_shift():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, (COUNT, 3)) * [1.0, 1.0, 0.0] + [0.0, 0.0, 0.3]

    def distance(at):
        return at[:, 2] - 0.1

    true = sample_true_surface(distance, 2000, rng)
    np.testing.assert_allclose(true[:, 2], 0.1, atol=1e-9)
    chamfer = chamfer_distance(points, true, distance)
    assert chamfer.accuracy == pytest.approx(0.2)
    assert chamfer.completeness == pytest.approx(0.2, rel=0.01)


def test_what_is_missing_and_what_is_too_much_count_in_one_direction_each():
    rng = np.random.default_rng(0)
    near, far = (sample_points(sphere(0.2, centre=(x, 0, 0)), COUNT, rng) for x in (-0.5, 0.5))

    def both(at):
        return np.minimum(*(np.linalg.norm(at - [x, 0, 0], axis=-1) - 0.2 for x in (-0.5, 0.5)))

    true = sample_true_surface(both, 2000, rng)
    missing = chamfer_distance(near, true, both)
    assert missing.accuracy < 0.005 and missing.completeness > 0.3

    def one(at):
        return np.linalg.norm(at - [-0.5, 0, 0], axis=-1) - 0.2

    true = sample_true_surface(one, 2000, rng)
    extra = chamfer_distance(np.concatenate([near, far]), true, one)
    assert extra.completeness < 0.01 and extra.accuracy > 0.3


@pytest.mark.long
@pytest.mark.parametrize("scene", [toybox, open_surfaces])
def test_points_of_a_true_surface_are_on_it_and_uniform(scene):
    points = sample_true_surface(scene.distance, COUNT, np.random.default_rng(0))
    assert np.abs(scene.distance(points)).max() < 1e-6
    if scene is toybox:
        # As many per area on the upper half of the ball, of radius 0.3, as on the disc's top.
        on_ball = np.abs(toybox.BALL.distance(points)) < 1e-6
        on_ball &= points[:, 2] > toybox.BALL.centre[2]
        over = np.hypot(points[:, 0] - 0.7, points[:, 1]) < 0.1
        on_disc = over & (np.abs(points[:, 2] - points[over][:, 2].max()) < 1e-6)
        per_area = on_ball.sum() / (2 * np.pi * 0.3**2), on_disc.sum() / (np.pi * 0.1**2)
    else:
        on_bowl = open_surfaces.BOWL.distance(points) < 1e-6
        on_sheet = open_surfaces.SHEET.distance(points) < 1e-6
        bowl = 2 * np.pi * open_surfaces.BOWL.radius * (0.45 + open_surfaces.BOWL.rim)
        sheet = 2 * np.pi / 3 * 0.45 * 0.8
        per_area = on_bowl.sum() / bowl, on_sheet.sum() / sheet
    assert per_area[0] == pytest.approx(per_area[1], rel=0.15)


@pytest.mark.long
def test_a_box_without_a_true_surface_has_no_points():
    with pytest.raises(UserError, match="hardly any"):
        sample_true_surface(lambda p: 0.0 * p[:, 0] + 1.0, 10, np.random.default_rng(0))


def test_points_of_a_mesh_are_uniform_over_its_area():
    mesh = together(cube(1.0), cube(0.5))
    points = sample_points(mesh, COUNT, np.random.default_rng(0))
    small = (points <= 0.5 + 1e-9).all(-1) & (np.abs(points - 0.5) < 1e-9).any(-1)
    # Half of the small cube's area is on the faces that are inside the large cube.
    assert small.mean() == pytest.approx(0.5 * 1.5 / 7.5, rel=0.1)
    surface = (np.abs(points) < 1e-9) | (np.abs(points - 1.0) < 1e-9)
    assert (surface.any(-1) | small).all()


def test_the_area_outside_of_the_largest_component_is_a_fraction_of_all():
    assert area_outside_largest(cube()) == 0.0
    assert area_outside_largest(together(cube(0.5), cube(1.0))) == pytest.approx(1.5 / 7.5)
    mesh = cube()
    top = select_faces(mesh, np.arange(12) < 2)
    assert area_outside_largest(together(mesh, top)) == pytest.approx(1 / 7)


def test_points_of_a_triangle_are_uniform_over_it():
    triangle = Mesh(np.array([[0.0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]]), np.array([[0, 1, 2]]))
    points = sample_points(triangle, COUNT, np.random.default_rng(0))
    np.testing.assert_allclose(points.mean(0), [1.0, 1.0, 0.0], atol=0.02)
    # A quarter of the area is in each corner of half the size.
    assert (points.sum(-1) < 1.5).mean() == pytest.approx(0.25, abs=0.02)
