"""Surfaces are closed where no view sees them, and are left alone where views do."""

import jax
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, pixel_centres, pixels_to_rays, repeat_camera
from nerf.meshes.isosurface import Bounds, EmptySurfaceError, extract, lattice_in
from nerf.meshes.levels import DepthImages
from nerf.meshes.mesh import components, open_edges
from nerf.meshes.unseen import close_unseen, harmonic, interpolate
from tests.meshes.shapes import EVERYTHING
from tests.meshes.test_rasterizer import camera

SIDE = 96  # pixels of an image
RADIUS = 0.5
CELLS = 48


def ball(points):
    return (RADIUS - np.linalg.norm(points, axis=-1)).astype(np.float32)


def with_clutter(points):
    """Return a ball that is hollow, with an open pocket, and small balls behind it (z < 0)."""
    level = np.minimum(ball(points), np.linalg.norm(points, axis=-1) - 0.25)
    for centre in ([0.2, 0.1, -0.7], [-0.1, 0.0, -0.9]):
        level = np.maximum(level, 0.08 - np.linalg.norm(points - centre, axis=-1))
    pocket = np.linalg.norm(points - [0.0, 0.0, -0.5], axis=-1) - 0.2
    return np.minimum(level, pocket).astype(np.float32)


def from_z(distance=3.0):
    """Return a camera on the z axis that looks at the origin."""
    return camera(SIDE, SIDE * distance / 2.4)


def depth_of_ball(view: Cameras):
    """Return the depth of the ball in the image of a camera, inf beside it."""
    many = jax.tree.map(np.asarray, repeat_camera(view, SIDE * SIDE))
    rays = pixels_to_rays(many, pixel_centres(view, 0, SIDE * SIDE))
    origins, directions = np.asarray(rays.origins), np.asarray(rays.directions)
    size = np.linalg.norm(directions, axis=-1)
    along = -(origins * directions).sum(-1) / size
    missed = (origins**2).sum(-1) - along**2
    depth = along - np.sqrt(np.maximum(RADIUS**2 - missed, 0.0))
    return np.where(missed < RADIUS**2, depth, np.inf).reshape(SIDE, SIDE).astype(np.float32)


def images_of(*rotations):
    """Return the ball's depth images from cameras that are turned around the origin."""
    views = []
    for rotation in rotations:
        view = from_z()
        c2w = np.asarray(rotation) @ np.asarray(view.c2w)
        views.append(Cameras(**{**vars(view), "c2w": c2w.astype(np.float32)}))
    together = jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x]), *views)
    return DepthImages(together, np.stack([depth_of_ball(view) for view in views]))


SAME = np.eye(3)
AROUND = [
    SAME,
    np.diag([-1.0, 1.0, -1.0]),
    *([[0, 0, s], [0, 1, 0], [-s, 0, 0]] for s in (1.0, -1.0)),
    *([[1, 0, 0], [0, 0, s], [0, -s, 0]] for s in (1.0, -1.0)),
]


def mesh_of(level, images, box=EVERYTHING, cut=False):
    lattice = lattice_in(box, CELLS, 8)
    return extract(close_unseen(level, images, lattice, cut), lattice, 3, refinements=4).mesh


def test_what_views_see_from_all_sides_is_left_as_it_is():
    mesh = mesh_of(ball, images_of(*AROUND))
    assert np.abs(ball(mesh.vertices)).max() < 1e-5
    assert open_edges(mesh) == 0


def test_parts_and_pockets_that_no_view_sees_are_gone_and_the_back_is_closed():
    raw = extract(with_clutter, lattice_in(EVERYTHING, CELLS), 0).mesh
    assert components(raw).max() >= 3
    mesh = mesh_of(with_clutter, images_of(SAME))
    assert components(mesh).max() == 0 and open_edges(mesh) == 0
    front = mesh.vertices[:, 2] > 0.25
    assert front.sum() > 100 and np.abs(ball(mesh.vertices[front])).max() < 1e-3
    # Between the front and the end of the box, and no wider than what the camera sees of the ball.
    assert -1.0 < mesh.vertices[:, 2].min() < 0.0
    # The shadow of the ball widens with the distance from the camera.
    shadow = RADIUS / np.sqrt(9.0 - RADIUS**2) * (3.0 - mesh.vertices[:, 2])
    assert (np.hypot(*mesh.vertices[:, :2].T) < shadow + 2.0 * 4 / CELLS).all()


def test_free_space_that_views_look_through_has_no_matter():
    def floating(points):
        blob = 0.1 - np.linalg.norm(points - [0.7, 0.7, 0.5], axis=-1)
        return np.maximum(ball(points), blob).astype(np.float32)

    mesh = mesh_of(floating, images_of(*AROUND))
    assert components(mesh).max() == 0 and np.abs(ball(mesh.vertices)).max() < 1e-5


def test_pixels_that_look_through_a_pinhole_leave_no_dent_behind_it():
    whole, pierced = images_of(SAME), images_of(SAME)
    pierced.depth[0, 47:49, 47] = np.inf
    smooth, dented = (mesh_of(ball, images).vertices[:, 2].min() for images in (whole, pierced))
    assert smooth < -0.1 and dented == pytest.approx(smooth, abs=0.03)


def test_a_given_box_cuts_a_surface_open_and_one_that_was_found_closes_it():
    box = Bounds(np.eye(3), np.array([-0.2, -0.2, -1.0]), np.array([0.2, 0.2, 1.0]))
    cut = mesh_of(ball, images_of(*AROUND), box, cut=True)
    assert np.abs(ball(cut.vertices)).max() < 1e-3 and open_edges(cut) > 0
    whole = mesh_of(ball, images_of(*AROUND), box)
    assert open_edges(whole) == 0 and components(whole).max() == 0
    # Only the caps, within the outermost cells, are not on the ball.
    side = np.abs(whole.vertices[:, :2]).max()
    on_side = np.abs(whole.vertices[:, :2]).max(-1) > side - 2.0 / CELLS
    assert np.abs(ball(whole.vertices[~on_side])).max() < 1e-3


def test_free_space_ends_the_closed_back():
    images = images_of(SAME, AROUND[2])
    images.depth[1] = np.inf  # a view from the side that looks through everything
    thick, thin = (mesh_of(ball, x).vertices[:, 2].min() for x in (images_of(SAME), images))
    assert thin > thick + 0.1


@pytest.mark.parametrize(
    ("pixels", "depth"),
    [(slice(47, 48), 3.65), (slice(45, 51), 2.65)],
    ids=["a pixel that sees a hidden blob", "pixels that end within matter"],
)
def test_depth_alone_is_no_surface(pixels, depth):
    """At 3.65 there is a blob behind the ball, at 2.65 the middle of its hollow wall."""

    def level(points):
        blob = 0.15 - np.linalg.norm(points - [0.0, 0.0, -0.8], axis=-1)
        return np.maximum(with_clutter(points), blob).astype(np.float32)

    images = images_of(SAME)
    images.depth[0, pixels, pixels] = depth
    assert components(mesh_of(level, images)).max() == 0


def test_a_surface_that_no_view_sees_is_refused():
    behind = Bounds(np.eye(3), np.array([-1.0, -1.0, -1.0]), np.array([1.0, 1.0, -0.2]))
    with pytest.raises(EmptySurfaceError, match="the training views see none of it"):
        mesh_of(ball, images_of(SAME), behind)
    corner = Bounds(np.eye(3), np.full(3, 0.6), np.full(3, 1.0))
    with pytest.raises(EmptySurfaceError, match="nowhere zero"):
        mesh_of(ball, images_of(SAME), corner)


def test_few_views_are_enough_and_of_many_one_is_not():
    one = images_of(SAME)
    lonely = images_of(SAME, *[AROUND[1]] * 23)
    lonely.depth[1:] = np.inf
    assert len(mesh_of(ball, one).faces) > 0
    with pytest.raises(EmptySurfaceError):
        mesh_of(ball, lonely)


@pytest.mark.parametrize("outside", [-2.0, None])
def test_unknown_values_are_means_of_their_neighbours(outside):
    rng = np.random.default_rng(0)
    values, known = rng.uniform(-1.0, 1.0, (9, 8, 7)), rng.uniform(size=(9, 8, 7)) < 0.2
    found = harmonic(values, known, outside)
    np.testing.assert_array_equal(found[known], values[known])
    # A neighbour that is not there has no say, like one of the same value.
    more = {"mode": "edge"} if outside is None else {"constant_values": outside}
    padded = np.pad(found, 1, **more)
    mean = np.zeros(found.shape)
    for axis in range(3):
        for shift in (-1, 1):
            mean += np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1] / 6.0
    assert np.abs(found - mean)[~known].max() < 1e-3


def test_interpolation_is_exact_for_linear_functions():
    index = np.indices((4, 5, 6)).astype(np.float64)
    values = 2.0 * index[0] - index[1] + 0.5 * index[2]
    place = np.array([[0.5, 1.25, 3.0], [2.9, 0.1, 4.7], [-1.0, 0.0, 9.0]])
    np.testing.assert_allclose(interpolate(values, place), [1.25, 8.05, 2.5])
