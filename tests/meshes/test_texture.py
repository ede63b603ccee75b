"""Texture atlases have a place for each triangle, and show what was painted."""

import numpy as np
import pytest

from nerf.meshes.rasterizer import draw_colours, rasterize
from nerf.meshes.texture import bake_texture, make_atlas, texture_size
from tests.meshes.shapes import cube, sphere
from tests.meshes.test_rasterizer import camera


def gradient(points, normals):
    return np.rint(255 * np.clip(0.5 + points / 2.0, 0, 1)).astype(np.uint8)


def test_triangles_do_not_share_texels():
    atlas = make_atlas(sphere(0.6, 24), 512)
    used = np.zeros((512, 512), int)
    for (x, y), side, upper in zip(atlas.place, atlas.side, atlas.upper, strict=True):
        rows, columns = np.mgrid[:side, :side]
        half = (rows + columns >= side) if upper else (rows + columns < side)
        used[y : y + side, x : x + side] += half
    assert used.max() == 1
    assert used.mean() > 0.25


def test_long_triangles_get_more_texels():
    mesh = sphere(0.6, 16)
    atlas = make_atlas(mesh, 512)
    longest = np.linalg.norm(mesh.corners - np.roll(mesh.corners, 1, 1), axis=-1).max(-1)
    order = np.argsort(longest)
    assert (np.diff(atlas.side[order]) >= 0).all()
    assert atlas.side.max() > atlas.side.min()


@pytest.mark.parametrize("size", [64, 512])
def test_a_baked_gradient_is_seen_again(size):
    mesh = bake_texture(cube(0.8), size, gradient)
    raster = rasterize(mesh, camera(60, 60.0))
    picture = draw_colours(mesh, raster, np.zeros(3))
    points = (mesh.corners[raster.face] * raster.weights[..., None]).sum(-2)
    there = raster.face >= 0
    # 8-bit colours, and interpolation between texels of a linear function.
    np.testing.assert_allclose(picture[there], 0.5 + points[there] / 2.0, atol=0.01)


def test_normals_that_are_painted_with_are_those_of_the_surface():
    def paint(points, normals):
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-6)
        along = (normals * points).sum(-1) / np.linalg.norm(points, axis=-1)
        assert np.median(along) > 0.98
        return gradient(points, normals)

    bake_texture(sphere(0.6, 16), 512, paint)


def test_size_grows_with_the_number_of_triangles():
    assert texture_size(12) == 256
    assert texture_size(100_000) == 2048
    assert texture_size(10**9) == 8192
    with pytest.raises(ValueError, match="no room"):
        make_atlas(sphere(0.6, 32), 64)
