"""The mesh of an exact signed distance is closed, does not intersect itself, and is accurate."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from nerf.meshes.cleaning import decimate
from nerf.meshes.isosurface import extract, lattice_in
from nerf.meshes.mesh import Mesh, components, face_areas, open_edges
from nerf.scenes import toybox
from nerf.scenes.solids import normals
from tests.meshes.intersections import intersections
from tests.meshes.shapes import EVERYTHING, sphere, together
from tests.meshes.test_isosurface import toys

COUNT = 30_000  # of sampled points
TRIANGLES = {"complete": None, "a third": 3, "a tenth": 10, "a thirtieth": 30}


@pytest.fixture(scope="module")
def complete():
    """Return the mesh of the toybox, whose solids touch each other."""
    return extract(toys, lattice_in(EVERYTHING, 128, 8), refinements=3).mesh


@pytest.fixture(params=TRIANGLES.values(), ids=TRIANGLES.keys())
def mesh(request, complete):
    """Return the mesh of the toybox before and after decimation."""
    divisor = request.param
    return complete if divisor is None else decimate(complete, len(complete.faces) // divisor)


def on_mesh(mesh):
    """Return points that are uniformly distributed over a mesh."""
    rng = np.random.default_rng(0)
    area = face_areas(mesh)
    chosen = rng.choice(len(area), COUNT, p=area / area.sum())
    weights = rng.dirichlet(np.ones(3), COUNT)
    return (weights[..., None] * mesh.corners[chosen]).sum(1)


def on_toys():
    """Return points on the exact surface, by one step of projection from outside."""
    points = np.random.default_rng(1).uniform(-1.0, 1.0, (20 * COUNT, 3))
    away = toybox.distance(points)
    # The distance is exact outside only, and where it is small the density varies little.
    near = (away > 0.0) & (away < 0.1)
    points, away = points[near], away[near]
    points = points - away[:, None] * normals(toybox.distance, points)
    return points[np.abs(toybox.distance(points)) < 1e-4]


@pytest.mark.long
def test_it_is_watertight(mesh):
    assert open_edges(mesh) == 0


@pytest.mark.long
def test_it_does_not_intersect_itself(mesh):
    assert len(intersections(mesh)) == 0


@pytest.mark.long
def test_its_chamfer_distance_is_far_below_a_hundredth_of_the_diagonal(mesh):
    true, found = on_toys(), on_mesh(mesh)
    assert len(true) > COUNT
    accuracy = np.abs(toybox.distance(found))
    # This includes about half of the spacing of the sampled points.
    completeness = cKDTree(found).query(true)[0]
    assert accuracy.mean() < 0.0005 * mesh.diagonal
    assert 0.5 * (accuracy.mean() + completeness.mean()) < 0.0025 * mesh.diagonal
    # Nothing is missing and nothing is made up.
    assert accuracy.max() < 0.01 * mesh.diagonal
    assert completeness.max() < 0.015 * mesh.diagonal


def test_two_spheres_that_overlap_intersect_on_a_circle_and_nested_ones_do_not():
    assert len(intersections(together(sphere(0.4), sphere(0.2)))) == 0
    both = together(sphere(0.4, centre=(-0.2, 0.0, 0.0)), sphere(0.4, centre=(0.211, 0.0, 0.0)))
    found = intersections(both)
    # Each passes through the other, all around the circle.
    assert len(np.unique(components(both)[found[:, 2]])) == 2
    middle = both.corners[found[:, 2]].mean(1) - [0.0055, 0.0, 0.0]
    np.testing.assert_allclose(middle[:, 0], 0.0, atol=0.06)
    angle = np.sort(np.arctan2(middle[:, 1], middle[:, 2]))
    assert np.diff(angle).max() < 0.3


@pytest.mark.parametrize(("z", "found"), [(0.0, [[3, 4, 0]]), (1.5, [])])
def test_triangles_that_share_a_vertex_may_intersect(z, found):
    vertices = np.array([[0, 0, 0], [2, -1, 0], [2, 1, 0], [1, 0.1, z - 1.0], [1, 0.2, z + 1.0]])
    assert intersections(Mesh(vertices, np.array([[0, 1, 2], [0, 3, 4]]))).tolist() == found
