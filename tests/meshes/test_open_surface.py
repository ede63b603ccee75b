"""Open surfaces come out of unsigned distances without lids, holes and cracks."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nerf.foundation.errors import UserError
from nerf.meshes.isosurface import Bounds, lattice_in
from nerf.meshes.mesh import components, face_areas, open_edges, volume
from nerf.meshes.open_surface import extract_open
from nerf.scenes import open_surfaces
from tests.meshes.intersections import intersections
from tests.meshes.shapes import EVERYTHING, ball
from tests.meshes.test_proofs import on_mesh

TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
TURNED = Bounds(TURN * np.sign(np.linalg.det(TURN)), np.full(3, -1.1), np.full(3, 1.1))


def bowl_and_sheet(points):
    return open_surfaces.distance(points.astype(np.float64)).astype(np.float32)


def boundaries(mesh):
    """Return the number of edges of each boundary of a mesh, and check its other edges."""
    edges = np.stack([mesh.faces, np.roll(mesh.faces, -1, 1)], -1).reshape(-1, 2)
    unique, count = np.unique(np.sort(edges, -1), axis=0, return_counts=True)
    assert count.max() == 2
    assert len(np.unique(edges, axis=0)) == len(edges), "neighbours face opposite sides"
    rim = unique[count == 1]
    graph = coo_matrix((np.ones(len(rim)), tuple(rim.T)), 2 * [len(mesh.vertices)])
    part = connected_components(graph, directed=False)[1][rim[:, 0]]
    # At each vertex of a boundary, two of its edges meet.
    assert np.bincount(rim.reshape(-1))[np.unique(rim)].tolist() == [2] * len(rim)
    return np.unique(part, return_counts=True)[1]


@pytest.mark.parametrize("box", [EVERYTHING, TURNED], ids=["upright", "turned"])
@pytest.mark.parametrize("resolution", [32, 48, 64, pytest.param(128, marks=pytest.mark.long)])
def test_bowl_and_sheet_have_one_boundary_each_and_no_holes(resolution, box):
    mesh = extract_open(bowl_and_sheet, lattice_in(box, resolution, 8)).mesh
    part = components(mesh)
    assert part.max() == 1
    sizes = boundaries(mesh)
    assert len(sizes) == 2 and sizes.min() > resolution
    # The sheet is 2 pi / 3 0.45 wide and 0.8 high, the bowl is a slice of a sphere.
    area = np.bincount(part, face_areas(mesh))
    np.testing.assert_allclose(
        area, [2 * np.pi * 0.45 * 0.55, 0.3 * np.pi * 0.8], rtol=4 / resolution
    )


@pytest.mark.long
@pytest.mark.parametrize("box", [EVERYTHING, TURNED], ids=["upright", "turned"])
def test_the_mesh_lies_on_the_surface_covers_it_and_has_no_lid(box):
    mesh = extract_open(bowl_and_sheet, lattice_in(box, 64, 8)).mesh
    found, rng = on_mesh(mesh), np.random.default_rng(0)
    true = np.concatenate([surface.sample(10_000, rng) for surface in open_surfaces.SURFACES])
    accuracy = open_surfaces.distance(found)
    completeness = cKDTree(found).query(true)[0]
    assert 0.5 * (accuracy.mean() + completeness.mean()) < 0.003 * mesh.diagonal
    # A cell is 0.03 wide: at boundaries, less than half of it is missing or too much.
    assert accuracy.max() < 0.003 and completeness.max() < 0.035
    assert not open_surfaces.BOWL.is_over_opening(found).any()
    assert len(intersections(mesh)) == 0


def test_triangles_face_away_from_the_middle_of_their_part():
    mesh = extract_open(bowl_and_sheet, lattice_in(EVERYTHING, 48, 8)).mesh
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    normal = np.cross(b - a, c - a)
    outward = (mesh.corners.mean(1) - open_surfaces.BOWL.centre) * normal
    assert (outward.sum(-1)[components(mesh) == 0] > 0.0).all()


def test_a_closed_surface_is_closed():
    def sphere(points):
        return np.abs(ball(0.7)(points))

    mesh = extract_open(sphere, lattice_in(EVERYTHING, 32, 8), 2).mesh
    assert open_edges(mesh) == 0
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.02)


def test_coarse_lattices_miss_nothing_and_save_work():
    lattice = lattice_in(EVERYTHING, 64, 8)
    dense, sparse = extract_open(bowl_and_sheet, lattice, 0), extract_open(bowl_and_sheet, lattice)
    np.testing.assert_allclose(dense.mesh.vertices, sparse.mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(dense.mesh.faces, sparse.mesh.faces)
    assert sparse.evaluations < 0.5 * dense.evaluations


def test_a_distance_that_is_too_large_on_the_surface_moves_nothing():
    def too_large(points):
        return bowl_and_sheet(points) + np.float32(0.2 * 2 / 48)

    lattice = lattice_in(EVERYTHING, 48, 8)
    exact, found = (extract_open(f, lattice, 0).mesh for f in (bowl_and_sheet, too_large))
    assert len(boundaries(found)) == 2
    assert open_surfaces.distance(found.vertices).max() < 3e-3
    assert (
        open_surfaces.distance(found.vertices).max()
        < 2 * open_surfaces.distance(exact.vertices).max()
    )


def test_smoothing_removes_folds():
    def folded(points):
        # Where the ripples are above zero, there are two sheets and a hill between them.
        ripples = 0.02 / 3.0 * np.sin(90.0 * points.astype(np.float64)).sum(-1)
        return np.abs(bowl_and_sheet(points) - ripples).astype(np.float32)

    lattice = lattice_in(EVERYTHING, 64, 8)
    assert len(boundaries(extract_open(folded, lattice).mesh)) > 10
    mesh = extract_open(folded, lattice, smoothing=1.0).mesh
    assert len(boundaries(mesh)) == 2
    assert open_surfaces.distance(mesh.vertices).max() < 0.02


def test_a_box_without_a_surface_is_reported():
    with pytest.raises(UserError, match="nowhere zero"):
        extract_open(lambda points: np.ones(len(points), np.float32), lattice_in(EVERYTHING, 16), 0)
