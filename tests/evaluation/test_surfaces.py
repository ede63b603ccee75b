"""Normals and depth of rendered views, and their errors."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from nerf.cameras.cameras import Cameras, intrinsics, points_at_depth
from nerf.cameras.lenses import COEFFICIENTS
from nerf.evaluation.evaluate import evaluate, picture_name
from nerf.evaluation.surfaces import (
    OF_DEPTH,
    OF_FIELD,
    normals_of_depth,
    rendered_normals,
    score_surface,
)
from nerf.rendering.images import RenderingError, colour_normals
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import Scene, Similarity, load, synthetic, toybox
from nerf.scenes.solids import Sphere
from tests.conftest import ROOT

SIDE = 24
POSE = toybox.place("test", 3)[1].astype(np.float32)
CAMERA = Cameras(
    c2w=POSE,
    K=intrinsics(40.0, 40.0, SIDE / 2, SIDE / 2).astype(np.float32),
    distortion=np.zeros(COEFFICIENTS, np.float32),
    size=np.array([SIDE, SIDE], np.int32),
)
ONES = np.ones((SIDE, SIDE), np.float32)


def plane_depth(normal, offset):
    """Depth along the rays of the plane n . x = offset."""
    origins = points_at_depth(CAMERA, 0.0 * ONES)
    directions = points_at_depth(CAMERA, ONES) - origins
    return ((offset - origins @ normal) / (directions @ normal)).astype(np.float32)


def scene_of(**maps):
    """A scene of one view with these maps."""
    arrays = {name: [array] for name, array in maps.items()}
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    fields = (CAMERA.c2w, CAMERA.K, CAMERA.distortion, CAMERA.size)
    cameras = Cameras(*(np.asarray(x)[None] for x in fields))
    return Scene([image], cameras, ["a"], Similarity(), False, maps=arrays)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (-0.48, 0.36, -0.8)])
def test_the_normals_of_a_plane_s_depth_are_its_own_and_face_the_camera(normal):
    depth = plane_depth(np.array(normal), 0.1)
    assert (depth > 0.0).all()
    normals, source = rendered_normals({"opacity": ONES, "depth": depth}, CAMERA)
    towards = np.sign((POSE[:, 3] * normal).sum() - 0.1)
    np.testing.assert_allclose(normals, towards * np.array(normal) + 0.0 * normals, atol=2e-3)
    assert source == OF_DEPTH


def test_pixels_beside_empty_ones_have_no_normal_of_depth():
    there = np.ones((SIDE, SIDE), bool)
    there[10, 5] = False
    points = points_at_depth(CAMERA, plane_depth(np.array([0.0, 0.0, 1.0]), 0.0))
    zero = (normals_of_depth(points, there, CAMERA) == 0.0).all(-1)
    assert set(zip(*np.nonzero(zero), strict=True)) == {
        *((10, 4), (10, 5), (10, 6), (9, 5), (11, 5))
    }


def test_a_picture_of_one_row_has_no_normals_of_depth():
    points, there = np.ones((1, SIDE, 3)), np.ones((1, SIDE), bool)
    assert not normals_of_depth(points, there, CAMERA).any()


def test_normals_of_a_field_are_normalised_where_it_is_opaque():
    composited = np.zeros((SIDE, SIDE, 3), np.float32) + np.array([0.0, 0.3, 0.4], np.float32)
    opacity = ONES.copy()
    opacity[0] = 0.5
    picture = {"opacity": opacity, "depth": ONES, "normals": composited}
    normals, source = rendered_normals(picture, CAMERA)
    assert source == OF_FIELD and not normals[0].any()
    np.testing.assert_allclose(normals[1:], [[[0.0, 0.6, 0.8]]] + 0.0 * normals[1:], rtol=1e-6)
    composited[3, 3, 1] = np.nan
    with pytest.raises(RenderingError, match="'normals' must be finite"):
        rendered_normals(picture, CAMERA)


def test_errors_are_medians_of_angles_and_of_relative_depth():
    angle = np.radians(20.0)
    rendered = np.zeros((SIDE, SIDE, 3)) + [0.0, np.sin(angle), np.cos(angle)]
    true = np.zeros((SIDE, SIDE, 3), np.float32) + np.array([0.0, 0.0, 1.0], np.float32)
    # A minority is quite wrong, and so is the upper part, of which nothing is known.
    rendered[16:18] = [0.0, 0.0, -1.0]
    true[:16], rendered[:16] = 0.0, [1.0, 0.0, 0.0]
    depth = np.where(true[..., 2] > 0.0, 2.0, 0.0).astype(np.float32)
    off = 1.1 * depth
    off[16:18] = 0.0
    scores = score_surface(
        rendered, off + 0.3 * (depth == 0.0), scene_of(normals=true, depth=depth), 0
    )
    assert scores["normal_degrees"] == pytest.approx(20.0, abs=1e-4)
    assert scores["depth_error"] == pytest.approx(0.1, abs=1e-5)


def test_what_is_not_rendered_counts_as_90_degrees_and_as_the_whole_depth():
    true = np.zeros((SIDE, SIDE, 3), np.float32) + np.array([0.0, 0.0, 1.0], np.float32)
    scene = scene_of(normals=true, depth=2.0 * ONES)
    assert score_surface(0.0 * true, 0.0 * ONES, scene, 0) == {
        "normal_degrees": 90.0,
        "depth_error": 1.0,
    }
    # Most pixels are outside of the mask, and there the rendering is right.
    inside = np.zeros((SIDE, SIDE), bool)
    inside[:4] = True
    masked = scene_of(normals=true, depth=2.0 * ONES, mask=inside)
    rendered = np.where(inside[..., None], 0.0, true)
    assert score_surface(rendered, np.where(inside, 0.0, 2.0 * ONES), masked, 0) == {
        "normal_degrees": 90.0,
        "depth_error": 1.0,
    }


def test_views_of_which_nothing_is_known_have_no_errors():
    scene = scene_of(depth=0.0 * ONES)
    assert score_surface(np.zeros((SIDE, SIDE, 3)), ONES, scene, 0) == {"depth_error": None}
    assert score_surface(np.zeros((SIDE, SIDE, 3)), ONES, scene_of(), 0) == {}


def test_colours_of_normals_are_half_of_them_plus_one_and_black_without_one():
    normals = np.array([[[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    expected = [[[0.5, 0.5, 1.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]]
    np.testing.assert_array_equal(colour_normals(normals), expected)


@pytest.mark.long
def test_the_true_normals_of_the_bundled_scene_are_those_of_its_true_depth():
    """Both are in the axes and units of the normalised world, whichever files they come from."""
    scene = load(ROOT / "data" / "tabletop", "test")
    for view in (0, 7):
        depth, true = scene.maps["depth"][view], scene.maps["normals"][view]
        camera = scene.cameras[view]
        np.testing.assert_array_equal(depth > 0.0, np.abs(true).max(-1) > 0.0)
        points = points_at_depth(camera, depth)
        mine = normals_of_depth(points, depth > 0.0, camera)
        errors = score_surface(mine, depth, scene, view)
        assert errors["normal_degrees"] < 10.0 and errors["depth_error"] == 0.0
        # The table's surface is at z = -0.5 of the file's world.
        table = true[..., 2] > 0.999
        assert np.median(mine[table][:, 2]) > 0.9999
        heights = scene.transform.points_back(points)[table][:, 2]
        assert np.median(np.abs(heights + 0.5)) < 1e-3


RADIUS = 0.6


def ball(with_normals):
    """A field of an opaque ball around the origin of the normalised world."""

    def field(samples):
        length = jnp.linalg.norm(samples.means, axis=-1)
        density = 300.0 * (length < RADIUS)
        normals = samples.means / jnp.maximum(length, 1e-6)[..., None]
        quantities = {"density": density, "rgb": 0.5 + 0.0 * normals}
        return {**quantities, "normals": normals} if with_normals else quantities

    return field


@pytest.mark.long
@pytest.mark.parametrize("with_normals", [False, True])
def test_scoring_a_ball_finds_its_surface_and_writes_it_in_the_axes_of_the_file(
    tmp_path, with_normals
):
    scene = synthetic.load(None, "test", size=32, views=2)
    assert not np.allclose(scene.transform.rotation, np.eye(3))
    depth, normals = [], []
    for i in range(2):
        origin = np.asarray(scene.cameras[i].position)
        directions = points_at_depth(scene.cameras[i], np.ones((32, 32), np.float32)) - origin
        solid = Sphere((0.0, 0.0, 0.0), RADIUS)
        t = solid.enter(np.broadcast_to(origin, (1024, 3)), directions.reshape(-1, 3))
        t = t.reshape(32, 32)
        hit = np.isfinite(t)
        depth.append(np.where(hit, t, 0.0).astype(np.float32))
        points = origin + depth[i][..., None] * directions
        normals.append(np.where(hit[..., None], points / RADIUS, 0.0).astype(np.float32))
    scene = dataclasses.replace(scene, maps={"depth": depth, "normals": normals})
    model = Model({"main": Stage(UniformSteps(256), ball(with_normals))}, ("main",))
    scores = evaluate(model, scene, "test", (0.0, 0.0, 0.0), 1024, tmp_path)
    assert scores["protocol"]["normals"] == (OF_FIELD if with_normals else OF_DEPTH)
    assert scores["mean"]["normal_degrees"] < (1.0 if with_normals else 8.0)
    assert scores["mean"]["depth_error"] < 0.005
    for i, name in enumerate(scene.names):
        stem = picture_name(i, name)
        with np.load(tmp_path / "true_depth" / f"{stem}.npz") as array:
            np.testing.assert_allclose(array["array"] * scene.transform.scale, depth[i], rtol=1e-6)
        true, mine = (
            np.asarray(Image.open(tmp_path / kind / f"{stem}.png")) / 127.5 - 1.0
            for kind in ("true_normals", "normals")
        )
        hit = depth[i] > 0.0
        in_world = true[hit] @ scene.transform.rotation.T
        np.testing.assert_allclose(in_world, normals[i][hit], atol=0.02)
        assert np.median(np.abs(mine[hit] - true[hit]).max(-1)) < 0.2
        assert (true[~hit] == -1.0).all()
