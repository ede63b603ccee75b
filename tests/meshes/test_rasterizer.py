"""Pictures of meshes agree with rays and triangles in closed form."""

import jax
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, intrinsics, pixels_to_rays
from nerf.cameras.lenses import FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.meshes.mesh import Mesh
from nerf.meshes.rasterizer import (
    INSIDE,
    OUTSIDE,
    draw_colours,
    draw_normals,
    draw_shaded,
    outside_cameras,
    rasterize,
)
from tests.meshes.shapes import cube, sphere, together


def camera(size=40, focal=40.0, model=PERSPECTIVE, back=3.0):
    """Return a camera at (0, 0, back) that looks along -z."""
    return Cameras(
        c2w=np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, back]]),
        K=intrinsics(focal, focal, size / 2, size / 2),
        distortion=np.zeros(8),
        size=np.array([size, size]),
        model=np.array(model),
    )


def rays(view):
    """Return origins and directions of all pixels of a camera, in double precision."""
    width, height = view.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2) + 0.5
    many = jax.tree.map(lambda x: np.broadcast_to(x, (len(pixels), *np.shape(x))), view)
    found = pixels_to_rays(many, pixels.astype(np.float32))
    return np.asarray(found.origins, float), np.asarray(found.directions, float)


@pytest.mark.parametrize("model", [PERSPECTIVE, ORTHOGRAPHIC, FISHEYE])
def test_pixels_see_the_nearest_triangle_and_the_right_point_on_it(model):
    rng = np.random.default_rng(0)
    # A lens that bends lines needs small triangles.
    extent, count = (0.1, 200) if model == FISHEYE else (0.35, 40)
    corners = rng.uniform(-0.5, 0.5, (count, 1, 3)) + rng.uniform(-extent, extent, (count, 3, 3))
    mesh = Mesh(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3).astype(np.int32))
    view = camera(model=model)
    origins, directions = rays(view)
    # Moeller and Trumbore (1997), for all rays and triangles.
    a, b, c = np.moveaxis(corners, 1, 0)
    across = np.cross(directions[:, None], (c - a)[None])
    determinant = (across * (b - a)).sum(-1)
    offset = origins[:, None] - a
    u = (offset * across).sum(-1) / determinant
    other = np.cross(offset, np.broadcast_to(b - a, offset.shape))
    v = (directions[:, None] * other).sum(-1) / determinant
    t = ((c - a) * other).sum(-1) / determinant
    t = np.where((u >= 0) & (v >= 0) & (u + v <= 1), t, np.inf)
    nearest = np.where(np.isfinite(t.min(-1)), t.argmin(-1), -1)
    raster = rasterize(mesh, view)
    same = raster.face.reshape(-1) == nearest
    assert same.mean() > (0.99 if model == FISHEYE else 0.999)
    hit = same & (nearest >= 0)
    assert hit.sum() > 60
    points = (raster.weights.reshape(-1, 3)[hit, :, None] * corners[nearest[hit]]).sum(1)
    true = origins[hit] + t[hit, nearest[hit]][:, None] * directions[hit]
    assert np.abs(points - true).max() < (5e-3 if model == FISHEYE else 1e-5)


def test_front_and_back_sides_are_told_apart():
    assert rasterize(cube(), camera()).front.any()
    inside_out = Mesh(cube().vertices, cube().faces[:, ::-1])
    raster = rasterize(inside_out, camera())
    assert (raster.face >= 0).any() and not raster.front.any()


def test_large_triangles_are_drawn_completely_and_those_behind_the_camera_skipped():
    near = Mesh(np.array([[-50.0, -50, 0], [50, -50, 0], [0, 80, 0]]), np.array([[0, 1, 2]]))
    behind = Mesh(near.vertices + [0, 0, 10.0], near.faces)
    assert (rasterize(near, camera()).face == 0).all()
    assert (rasterize(behind, camera()).face == -1).all()
    assert (rasterize(together(behind, near), camera()).face == 1).all()


def test_normals_of_a_sphere_are_drawn_as_colours():
    view = camera(64, 64.0, ORTHOGRAPHIC)
    picture = draw_normals(sphere(0.4, 64), rasterize(sphere(0.4, 64), view))
    np.testing.assert_allclose(picture[0, 0], 1.0)
    np.testing.assert_allclose(picture[32, 32], [0.5, 0.5, 1.0], atol=0.06)
    # 20 pixels to the right the normal is (20.5 / 64 / 0.4, 0, ...).
    assert 2 * picture[32, 52, 0] - 1 == pytest.approx(20.5 / 64 / 0.4, abs=0.08)


def test_shading_falls_with_the_cosine_and_the_inside_has_another_colour():
    view = camera(64, 64.0, ORTHOGRAPHIC)
    mesh = sphere(0.4, 64)
    picture = draw_shaded(mesh, rasterize(mesh, view), view)
    np.testing.assert_array_equal(picture[0, 0], 1.0)
    np.testing.assert_allclose(picture[32, 32], OUTSIDE, atol=0.01)
    cosine = np.sqrt(1.0 - (20.5 / 64 / 0.4) ** 2)
    np.testing.assert_allclose(picture[32, 52], OUTSIDE * (0.25 + 0.75 * cosine), atol=0.06)
    inside_out = Mesh(mesh.vertices, mesh.faces[:, ::-1])
    red = draw_shaded(inside_out, rasterize(inside_out, view), view)
    np.testing.assert_allclose(red[32, 32], INSIDE, atol=0.01)


def test_colours_of_vertices_are_interpolated():
    mesh = cube()
    mesh = Mesh(mesh.vertices - 0.5, mesh.faces, (255 * mesh.vertices).astype(np.uint8))
    view = camera(20, 16.0, ORTHOGRAPHIC)
    picture = draw_colours(mesh, rasterize(mesh, view), np.zeros(3))
    # On the front face z = 1/2, so blue is 1, and red and green are x + 1/2 and y + 1/2.
    np.testing.assert_allclose(picture[9, 12], [0.5 + 2.5 / 16, 0.5 + 0.5 / 16, 1.0], atol=0.01)
    np.testing.assert_array_equal(picture[0, 0], 0.0)


def test_cameras_around_a_mesh_see_all_of_it():
    mesh = sphere(0.3, centre=(0.4, 0.2, 0.0))
    seen = np.zeros(len(mesh.faces), bool)
    for view in outside_cameras(mesh, 12, 64):
        raster = rasterize(mesh, view)
        assert (raster.face[[0, -1]] == -1).all() and (raster.face[:, [0, -1]] == -1).all()
        assert raster.front[raster.face >= 0].all()
        seen[raster.face[raster.face >= 0]] = True
    assert seen.mean() > 0.95
