"""Pictures of each mode, depth for a browser, and two runs side by side."""

import dataclasses

import numpy as np
import pytest

from nerf.cameras.cameras import axis_cosines
from nerf.evaluation.surfaces import rendered_normals
from nerf.foundation.png import to_bytes
from nerf.output.parts import in_world_of
from nerf.rendering.images import colour_depth, colour_normals, make_render_image
from nerf.scenes.base import LabelClass, Similarity
from nerf.viewer.drawing import Look, compose, draw
from nerf.viewer.frames import Frame, coarser, fitted
from nerf.viewer.modes import (
    FAR_DEPTH,
    colour_error,
    colour_mode,
    colour_quantity,
    depth_along_axis,
    enlarged,
    joined,
    mode_names,
)
from nerf.viewer.panel import frustum_size
from nerf.viewer.poses import fitting_fov, from_browser, pinhole, start_of, to_browser, usual_fov
from nerf.viewer.shown_run import show_run
from nerf.viewer.turns import Turns
from nerf.viewer.views import photo_as_seen, score_colours, views_of
from tests.output.test_classes import LEFT, RIGHT, halves
from tests.viewer.ball_run import TURNED, make_run, with_labels

SIZE = (60, 40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("modes") / "ball")


@pytest.fixture(scope="module")
def camera(run):
    pose = np.asarray(run.cameras["train"].c2w[0], np.float64)
    return pinhole(pose, usual_fov(run.cameras["train"], SIZE), SIZE)


@pytest.fixture(scope="module")
def picture(run, camera):
    return make_render_image(with_labels(run).model, run.config["background"], 1024)(camera)


@pytest.mark.long
def test_modes_are_the_pictures_that_films_and_scores_have(picture, camera):
    shown = {mode: colour_mode(mode, picture, camera) for mode in mode_names(picture)}
    assert list(shown) == ["colour", "depth", "opacity", "normals", "height", "labels"]
    np.testing.assert_array_equal(shown["colour"], to_bytes(picture["rgb"]))
    depth = colour_depth(picture["depth"], picture["opacity"])
    np.testing.assert_array_equal(shown["depth"], to_bytes(depth))
    normals = to_bytes(colour_normals(rendered_normals(picture, camera)[0]))
    assert np.abs(shown["normals"].astype(int) - normals).max() <= 1
    assert (shown["opacity"] == to_bytes(picture["opacity"])[..., None]).all()
    assert shown["height"].std() > 20 and (shown["height"] == shown["height"][..., :1]).all()


def test_normals_of_the_field_come_before_those_of_the_depth(camera):
    wide, high = SIZE
    field = np.zeros((high, wide, 3), np.float32)
    field[..., 2] = 0.5  # composited, so shorter than 1
    picture = {
        "rgb": field,
        "opacity": np.ones((high, wide), np.float32),
        "depth": np.ones((high, wide), np.float32),
        "normals": field,
    }
    assert (colour_mode("normals", picture, camera) == [128, 128, 255]).all()


def test_the_largest_score_is_the_colour_of_a_label_and_empty_pixels_are_black():
    scores = np.zeros((1, 4, 5), np.float32)
    scores[0, [0, 1, 2], [3, 3, 1]] = 1.0
    shown = colour_quantity(scores, np.array([[1.0, 1.0, 1.0, 0.0]], np.float32))
    assert (shown[0, 0] == shown[0, 1]).all() and (shown[0, 0] != shown[0, 2]).any()
    assert (shown[0, 3] == 0.0).all()
    three = np.random.default_rng(0).uniform(size=(5, 4, 3)).astype(np.float32)
    assert colour_quantity(three, np.ones((5, 4), np.float32)).shape == (5, 4, 3)
    assert colour_quantity(three[..., :2], np.ones((5, 4), np.float32)).shape == (5, 4, 3)


def test_an_error_is_white_from_a_quarter_on():
    truth = np.full((1, 3, 3), 0.5, np.float32)
    rgb = truth + np.array([0.0, 0.125, 0.25], np.float32)[None, :, None]
    assert colour_error(rgb, truth)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.long
def test_depth_for_a_browser_is_along_the_axis_and_far_where_nothing_is(picture, camera):
    depth = depth_along_axis(picture, camera)
    solid = picture["opacity"] > 0.5
    expected = picture["depth"] * axis_cosines(camera)
    np.testing.assert_allclose(depth[solid], expected[solid], rtol=1e-5)
    assert solid.any() and not solid.all() and (depth[~solid] == FAR_DEPTH).all()


def test_an_enlarged_tier_keeps_its_places():
    # A ramp is the same ramp at every resolution; blocks at the border lack pixels.
    wide, high, stride = 50, 31, 9
    ramp = np.broadcast_to((4.0 * np.arange(wide) + 2.0)[None, :, None], (high, wide, 3))
    middles = ramp[stride // 2 :: stride, stride // 2 :: stride].astype(np.uint8)
    found = enlarged(middles, (wide, high), stride).astype(float)
    assert found.shape == ramp.shape
    assert np.abs(found - ramp)[:, 6:-9].max() < 3.0
    assert enlarged(middles, (6, 4), 1) is middles


def test_two_pictures_meet_at_a_line():
    left, right = (np.full((4, 20, 3), value, np.uint8) for value in (10, 200))
    both = joined(left, right, 0.5)
    assert (both[:, :8] == 10).all() and (both[:, 12:] == 200).all() and (both[:, 10] == 255).all()
    assert (joined(left, right, 1.0) == 10).all() and (joined(left, right, 0.0) == 200).all()


@pytest.mark.long
def test_two_runs_with_other_worlds_are_drawn_from_one_camera(run, camera, tmp_path):
    # The same scene, whose normalised world is turned and twice as large.
    turn = np.array([[0.0, -1.0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    factor = 2.0
    moved = Similarity(
        TURNED.scale * factor, turn @ TURNED.rotation, factor * turn @ TURNED.shift + [1, 2, 3]
    )
    other = dataclasses.replace(run, transform=moved)
    shown = [show_run(each, Turns()) for each in (run, other)]
    there = in_world_of(shown[1].transform, shown[0].transform, camera)
    inside = run.transform.points_back(np.array([[0.1, 0.2, 0.3]]))
    seen = [
        (one.transform.points(inside)[0] - each.c2w[:, 3]) @ each.c2w[:, :3]
        for each, one in ((camera, shown[0]), (there, shown[1]))
    ]
    np.testing.assert_allclose(factor * seen[0], seen[1], atol=1e-5)
    same = show_run(run, Turns())
    frames = list(draw((shown[0], same), camera, lambda: False))[-1]
    drawn = compose(frames, Look("difference"), SIZE)
    assert (drawn.image == 0).all()
    drawn = compose(frames, Look("colour", share=0.25), SIZE)
    assert (drawn.image[:, 18:] == to_bytes(frames[1].picture["rgb"])[:, 18:]).all()
    frames = list(draw((shown[0], shown[1]), camera, lambda: False))[-1]
    assert (compose(frames, Look("difference"), SIZE).image > 0).any()
    # Depth of the second run is in the units of the first one's world.
    alone = shown[1].renderer.still(there).picture["depth"]
    np.testing.assert_allclose(frames[1].picture["depth"] * factor, alone, rtol=1e-4)


@pytest.mark.long
def test_depths_of_two_runs_have_one_scale_of_colours(run, camera):
    frame = show_run(run, Turns()).renderer.still(camera)
    far = {**frame.picture, "depth": frame.picture["depth"] + np.float32(0.3)}
    pair = (frame, dataclasses.replace(frame, picture=far))
    half = compose(pair, Look("depth", share=0.0), SIZE).image
    limits = tuple(np.percentile(frame.picture["depth"][frame.picture["opacity"] > 0.5], [2, 98]))
    expected = to_bytes(colour_depth(far["depth"], far["opacity"], limits))
    np.testing.assert_array_equal(half, expected)


@pytest.mark.long
def test_the_error_of_a_tier_is_that_of_the_photo_from_there(run, camera):
    frame = show_run(run, Turns()).renderer.still(camera)
    truth = np.clip(frame.picture["rgb"] + np.float32(0.1), 0.0, 1.0)
    known = np.ones(truth.shape[:2], bool)
    known[:5] = False
    look = Look("error", photo=lambda asked: (truth, known))
    shown = compose((frame,), look, SIZE).image
    np.testing.assert_array_equal(shown[5:], colour_error(frame.picture["rgb"], truth)[5:])
    assert (shown[:5] == 96).all()
    without = compose((frame,), Look("error"), SIZE).image
    np.testing.assert_array_equal(without, to_bytes(frame.picture["rgb"]))


def test_a_pose_comes_back_from_a_browser(camera):
    c2w = np.asarray(camera.c2w, np.float64)
    np.testing.assert_allclose(from_browser(*to_browser(c2w)), c2w, atol=1e-6)
    # A browser looks along +z with y down: the same ray.
    wxyz, _ = to_browser(np.eye(3, 4))
    assert np.abs(wxyz).tolist() == [0.0, 1.0, 0.0, 0.0]


def test_the_first_camera_looks_at_what_the_photos_show(run):
    start = start_of(run.cameras["train"], run.transform, False)
    np.testing.assert_allclose(start.look_at, 0.0, atol=1e-3)
    assert np.linalg.norm(start.position) == pytest.approx(np.hypot(2.5, 0.8), rel=1e-3)


@pytest.mark.parametrize("aspect", [2.0, 1.0, 0.5])
def test_a_whole_photo_is_in_sight_on_any_screen(run, aspect):
    photo = fitted(run.cameras["train"][0], 90, 60)
    fov = fitting_fov(photo, aspect)
    high = 60.0 / photo.K[1, 1]
    shown = 2.0 * np.tan(0.5 * fov)
    assert shown >= high * (1 - 1e-6) and aspect * shown >= 1.5 * high * (1 - 1e-6)
    assert min(shown / high, aspect * shown / (1.5 * high)) == pytest.approx(1.0)


def test_frusta_are_no_larger_than_half_the_way_to_the_next(run):
    cameras = [run.cameras["train"][i] for i in range(4)]
    assert frustum_size(cameras) == 0.06 == frustum_size(cameras[:1])
    near = [dataclasses.replace(c, c2w=c.c2w * np.float32(0.02)) for c in cameras]
    apart = np.linalg.norm(near[0].position - near[1].position)
    assert frustum_size(near) == pytest.approx(0.5 * apart, rel=1e-5)


def test_a_photo_is_known_where_another_camera_at_its_place_sees_it(run):
    view = views_of(run.cameras, run.names)[1]
    width, height = (int(side) for side in view.camera.size)
    y, x = np.mgrid[:height, :width]
    photo = np.stack([x / width, y / height, 0.0 * x], -1).astype(np.float32)
    there = np.ones((height, width), bool)
    seen, known = photo_as_seen(view.camera, photo, there, view.camera)
    np.testing.assert_allclose(seen, photo, atol=1e-3)
    assert known.mean() > 0.95
    # Twice as wide: the photo is in the middle, at half its size.
    c2w = np.asarray(view.camera.c2w, np.float64)
    fov = 2.0 * np.arctan(float(height / view.camera.K[1, 1]))
    wide = pinhole(c2w, fov, (width, height))
    seen, known = photo_as_seen(view.camera, photo, there, wide)
    assert known.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(seen[height // 2, width // 2, :2], 0.5, atol=0.03)
    np.testing.assert_allclose(
        seen[height // 2, width // 2 + 10, 0] - seen[height // 2, width // 2, 0],
        20 / width,
        atol=0.02,
    )
    there[:, :10] = False
    assert photo_as_seen(view.camera, photo, there, view.camera)[1][:, :9].sum() == 0


def test_scores_go_from_red_to_green():
    colours = score_colours({"a": 20.0, "b": 25.0, "c": 30.0})
    assert colours["a"][0] > colours["a"][1] and colours["c"][1] > colours["c"][0]
    assert score_colours({}) == {}


def test_a_frame_says_its_stride():
    frame = Frame(coarser(pinhole(np.eye(3, 4), 0.5, (30, 30)), 3), {}, 3, 0.0)
    assert frame.camera.size.tolist() == [10, 10] and frame.stride == 3


def test_classes_have_the_colours_of_the_scene():
    red = LabelClass(4, "cup", (200, 10, 20))
    picture = {"labels": np.array([[5, 0, 9]], np.uint16), "opacity": np.ones((1, 3), np.float32)}
    camera = pinhole(np.eye(3, 4), 0.5, (3, 1))
    shown = colour_mode("labels", picture, camera, classes=[red])
    np.testing.assert_array_equal(shown, [[[200, 10, 20], [0, 0, 0], [0, 0, 0]]])


@pytest.mark.parametrize("names", [(), ("objects", "instances")])
def test_a_viewer_shows_the_classes_of_a_run_in_their_colours(names):
    run = halves(*names)
    mode = names[1] if names else "labels"
    shown = show_run(run, Turns())
    frame = shown.renderer.still(run.cameras["train"][1])
    picture = compose((frame,), Look(mode), frame.picture["rgb"].shape[1::-1]).image
    assert {tuple(colour) for colour in picture.reshape(-1, 3)} == {LEFT.colour, RIGHT.colour}
