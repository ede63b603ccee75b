"""Multiresolution extraction finds the same triangles as dense extraction, with less work."""

import numpy as np
import pytest

from nerf.foundation.errors import UserError
from nerf.meshes.isosurface import Bounds, Lattice, extract, lattice_in
from nerf.meshes.mesh import components, open_edges, volume
from nerf.scenes import toybox
from tests.meshes.shapes import EVERYTHING, ball


def toys(points):
    return -toybox.distance(points.astype(np.float64)).astype(np.float32)


def test_triangles_are_those_of_dense_extraction():
    lattice = lattice_in(EVERYTHING, 64, 8)
    dense, sparse = extract(toys, lattice, 0), extract(toys, lattice, 3)
    np.testing.assert_array_equal(dense.mesh.vertices, sparse.mesh.vertices)
    np.testing.assert_array_equal(dense.mesh.faces, sparse.mesh.faces)
    assert dense.evaluations == dense.lattice_points == 65**3


@pytest.mark.long
def test_a_fifth_of_a_large_lattice_is_enough():
    surface = extract(toys, lattice_in(EVERYTHING, 256, 8), 3, refinements=3)
    assert surface.evaluations < 0.2 * surface.lattice_points
    assert open_edges(surface.mesh) == 0


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_sphere_is_closed_and_has_its_volume(halvings):
    mesh = extract(ball(0.7, (0.1, 0.0, -0.1)), lattice_in(EVERYTHING, 48, 4), halvings).mesh
    assert open_edges(mesh) == 0
    # Positive: the triangles face outwards.
    assert volume(mesh) == pytest.approx(4.0 / 3.0 * np.pi * 0.7**3, rel=0.01)
    distance = np.linalg.norm(mesh.vertices - [0.1, 0.0, -0.1], axis=-1)
    assert np.abs(distance - 0.7).max() < 1e-3


def test_refinement_moves_vertices_to_the_zero_within_their_cells():
    def cubed(points):
        # The same zeros, far from linear between points of the lattice.
        return ball(0.7)(points) ** 3 * 100.0

    lattice = lattice_in(EVERYTHING, 32, 4)
    plain, refined = extract(cubed, lattice, 2), extract(cubed, lattice, 2, refinements=6)
    before, after = (
        np.abs(np.linalg.norm(x.mesh.vertices, axis=-1) - 0.7) for x in (plain, refined)
    )
    assert after.mean() < 0.5 * before.mean()
    # Without the Illinois rule one end never moves, and the largest error hardly falls.
    assert after.max() < 0.5 * before.max()
    index = (refined.mesh.vertices - lattice.origin) @ np.linalg.inv(lattice.steps)
    np.testing.assert_allclose(
        np.floor(index[before > 0] + 1e-6),
        np.floor((plain.mesh.vertices - lattice.origin) @ np.linalg.inv(lattice.steps) + 1e-6),
    )
    assert refined.evaluations - plain.evaluations == 6 * len(plain.mesh.vertices)


def thin_arc(points):
    """Return the level of a thin torus, whose tube is thinner than a coarse cell."""
    around = np.hypot(points[:, 0], points[:, 1]) - 0.6
    return (0.03 - np.hypot(around, points[:, 2] - 0.031)).astype(np.float32)


def test_surface_is_followed_from_a_seed_through_coarse_cells_that_do_not_show_it():
    lattice = lattice_in(EVERYTHING, 128, 8)
    dense = extract(thin_arc, lattice, 0).mesh
    with pytest.raises(UserError, match="empty"):
        extract(thin_arc, lattice, 3)
    seeds = np.zeros((128, 128, 128), bool)
    seeds[102, 64, 65] = True  # contains (0.6, 0.01, 0.02)
    found = extract(thin_arc, lattice, 3, seeds)
    assert open_edges(found.mesh) == 0
    np.testing.assert_array_equal(found.mesh.faces, dense.faces)
    assert found.evaluations < 0.1 * found.lattice_points


def test_no_triangles_where_nothing_is_known():
    def half(points):
        return np.where(points[:, 0] > 0.3, np.nan, ball(0.7)(points)).astype(np.float32)

    mesh = extract(half, lattice_in(EVERYTHING, 32, 4), 2).mesh
    assert mesh.vertices[:, 0].max() <= 0.3 + 1e-6
    assert open_edges(mesh) > 0
    # What is left is that part of the sphere, not the border of the unknown.
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=-1), 0.7, atol=3e-3)


def test_two_parts_in_a_turned_box():
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])

    def pair(points):
        return np.maximum(ball(0.3, (0.5, 0.0, 0.0))(points), ball(0.2, (-0.5, 0.0, 0.0))(points))

    box = Bounds(turn, np.array([-1.0, -1.0, -0.5]), np.array([1.0, 1.0, 0.5]))
    mesh = extract(pair, lattice_in(box, 64, 4), 2).mesh
    label = components(mesh)
    assert label.max() == 1 and open_edges(mesh) == 0
    large = mesh.corners[label == 0].reshape(-1, 3)
    np.testing.assert_allclose(large.mean(0), [0.5, 0.0, 0.0], atol=0.02)
    assert volume(mesh) == pytest.approx(4.0 / 3.0 * np.pi * (0.3**3 + 0.2**3), rel=0.02)


def test_lattice_covers_its_box_with_cubes():
    box = Bounds(np.eye(3), np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 2.3]))
    lattice = lattice_in(box, 64, 8)
    assert lattice.cells == (64, 16, 16)
    ends = lattice.points(np.array([[0.0, 0.0, 0.0], lattice.cells]))
    assert (ends[0] <= box.low + 1e-12).all() and (ends[1] >= box.high - 1e-12).all()


def test_empty_and_huge_surfaces_are_refused():
    with pytest.raises(UserError, match="nowhere zero"):
        extract(lambda points: np.full(len(points), -1.0, np.float32), lattice_in(EVERYTHING, 8), 0)
    huge = Lattice(np.zeros(3), np.eye(3), (2**14, 2**14, 2**14))
    with pytest.raises(UserError, match="--resolution"):
        extract(toys, huge)
