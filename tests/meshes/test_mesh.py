"""Areas, normals, volume, openings and parts of meshes."""

import jax
import numpy as np
import pytest

from nerf.meshes.cleaning import decimate, drop_hidden, drop_parts, drop_small
from nerf.meshes.mesh import (
    components,
    face_areas,
    open_edges,
    select_faces,
    vertex_normals,
    volume,
)
from tests.meshes.shapes import cube, sphere, together
from tests.meshes.test_rasterizer import camera


def test_cube_is_closed_and_has_its_measures():
    mesh = cube(2.0)
    assert open_edges(mesh) == 0
    assert volume(mesh) == pytest.approx(8.0)
    assert face_areas(mesh).sum() == pytest.approx(24.0)
    assert mesh.diagonal == pytest.approx(2.0 * np.sqrt(3.0))


def test_a_missing_or_turned_triangle_opens_a_mesh():
    mesh = cube()
    assert open_edges(select_faces(mesh, np.arange(12) > 0)) == 3
    turned = mesh.faces.copy()
    turned[0] = turned[0, ::-1]
    assert open_edges(type(mesh)(mesh.vertices, turned)) == 6


def test_normals_of_a_sphere_point_outwards():
    mesh = sphere(0.6)
    along = (vertex_normals(mesh) * mesh.vertices).sum(-1) / 0.6
    assert along.min() > 0.98


def test_components_are_numbered_by_area():
    small, large = sphere(0.2, centre=(0.6, 0.0, 0.0)), sphere(0.4, centre=(-0.4, 0.0, 0.0))
    label = components(together(small, large))
    assert (label[: len(small.faces)] == 1).all() and (label[len(small.faces) :] == 0).all()


def test_selected_faces_keep_their_vertices_only():
    both = together(sphere(0.2, centre=(0.6, 0.0, 0.0)), sphere(0.4, centre=(-0.4, 0.0, 0.0)))
    kept = select_faces(both, components(both) == 1)
    np.testing.assert_allclose(np.linalg.norm(kept.vertices - [0.6, 0, 0], axis=-1), 0.2, atol=1e-3)


def test_small_parts_are_dropped():
    dust = sphere(0.05, 64, centre=(0.9, 0.0, 0.0))
    both = together(sphere(0.6), dust)
    assert len(drop_small(both, 0.02).faces) == len(sphere(0.6).faces)
    assert len(drop_small(both, 0.001).faces) == len(both.faces)


def test_parts_of_which_too_little_is_wanted_are_dropped():
    large, small = sphere(0.4, centre=(-0.4, 0.0, 0.0)), sphere(0.2, centre=(0.6, 0.0, 0.0))
    both = together(large, small)
    # All of the small sphere, and the left quarter of the large one.
    wanted = np.abs(both.corners.mean(1)[:, 0] - 0.1) > 0.3 + 0.4
    wanted[len(large.faces) :] = True
    assert len(drop_parts(both, wanted, 0.5).faces) == len(small.faces)
    assert len(drop_parts(both, wanted, 0.1).faces) == len(both.faces)


@pytest.mark.long
def test_hidden_parts_are_dropped_and_visible_ones_kept():
    outer, inner = sphere(0.6), sphere(0.2)
    beside = sphere(0.1, centre=(0.85, 0.0, 0.0))
    everything = together(outer, inner, beside)
    outside, within = (
        jax.tree.map(lambda x: np.asarray(x)[None], camera(back=z)) for z in (3, 0.4)
    )
    clean = drop_hidden(everything, outside)
    assert len(clean.faces) == len(outer.faces) + len(beside.faces)
    # A camera inside, as in a room, sees the inner sphere.
    assert len(drop_hidden(everything, within).faces) == len(everything.faces)


def test_decimation_keeps_the_shape_of_a_sphere():
    mesh = sphere(0.7, 64)
    coarse = decimate(mesh, 2000)
    assert len(coarse.faces) <= 2000 < len(mesh.faces)
    assert open_edges(coarse) == 0
    assert volume(coarse) == pytest.approx(volume(mesh), rel=0.01)
    assert decimate(coarse, 2000) is coarse
