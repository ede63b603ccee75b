"""The box and the ruler: what is saved is what is shown, in the units of the scene's file."""

import threading
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from flax import nnx

from nerf.foundation.errors import UserError
from nerf.output.video_rendering import cropped
from nerf.paths.crops import read_crop
from nerf.rendering.images import make_render_image
from nerf.viewer.browser import Browser
from nerf.viewer.crop_box import CropBox, box_around, distance_text, edges
from nerf.viewer.poses import pinhole
from nerf.viewer.ruler import Ruler
from nerf.viewer.shown_run import show_run
from nerf.viewer.turns import Turns
from tests.viewer.ball_run import TURNED, make_run

BOX = CropBox((1.0, 2.0, 3.0), (0.5, 1.0, 2.0), (0.0, 0.0, 30.0))


def test_a_saved_box_is_the_one_that_is_shown(tmp_path):
    for box in (BOX, CropBox((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))):
        BOX.save(tmp_path / "boxes" / "mine.json")
        assert repr(read_crop(tmp_path / "boxes" / "mine.json")) == repr(BOX.crop())
        box.save(tmp_path / "boxes" / "mine.json")
        assert repr(read_crop(tmp_path / "boxes" / "mine.json")) == repr(box.crop())


def test_a_box_without_room_is_an_error_and_is_not_saved(tmp_path):
    flat = CropBox((0.0, 0.0, 0.0), (1.0, 0.0, 1.0))
    with pytest.raises(UserError, match="not above zero"):
        flat.save(tmp_path / "flat.json")
    assert not (tmp_path / "flat.json").exists()


def test_edges_are_those_of_the_box_in_the_files_world():
    ends = TURNED.points_back(edges(BOX.crop(), TURNED))
    lengths = np.sort(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1))
    np.testing.assert_allclose(lengths, np.repeat([0.5, 1.0, 2.0], 4), atol=1e-9)
    np.testing.assert_allclose(ends.mean((0, 1)), BOX.center, atol=1e-9)
    # The longest edges are along z, which the turn about z keeps.
    longest = ends[np.argsort(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1))[-4:]]
    np.testing.assert_allclose(np.abs(longest[:, 0] - longest[:, 1])[:, 2], 2.0)


def test_the_first_box_holds_most_points():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, 3))
    box = box_around(points, TURNED)
    inside = np.abs(TURNED.points_back(points) - box.center) <= 0.5 * np.array(box.size)
    assert 0.93 < inside.all(-1).mean() < 1.0


def test_a_distance_is_in_units_of_the_file():
    one, two = (TURNED.points(np.array(p)) for p in ([1.0, 2.0, 3.0], [1.0, 2.0, 5.5]))
    text = distance_text(one, two, TURNED)
    assert text.startswith("2.5 (x ") and text.endswith(", z 2.5)")


def test_a_second_click_that_comes_early_waits_for_the_first():
    told, begun = [], threading.Event()

    def tell(line):
        if "second" in line:
            begun.set()
            time.sleep(0.1)  # as a slow connection
        told.append(line)

    run = SimpleNamespace(
        renderer=SimpleNamespace(pick=lambda camera, place: np.array([*place, 0.0])),
        transform=TURNED,
    )
    camera = SimpleNamespace(size=(10, 10))
    browser = MagicMock(spec=Browser)
    browser.client, browser.runs, browser.camera = MagicMock(), [run], lambda: camera
    ruler = Ruler(browser, tell)
    ruler.switch(True)
    (click,) = browser.client.scene.on_click.return_value.call_args.args
    places = [SimpleNamespace(screen_pos=(0.1, 0.2)), SimpleNamespace(screen_pos=(0.4, 0.6))]
    first = threading.Thread(target=click, args=(places[0],))
    first.start()
    begun.wait()
    click(places[1])
    first.join()
    np.testing.assert_allclose(ruler.points, [[1.0, 2.0, 0.0], [4.0, 6.0, 0.0]])
    assert told[:2] == ["click two points", "click the second point"]
    assert told[2].startswith(f"distance {5.0 / TURNED.scale:.4g} ") and len(told) == 3


@pytest.mark.long
def test_a_click_sees_the_surface_of_the_ball(tmp_path):
    run = make_run(tmp_path / "ball", steps=96)
    shown = show_run(run, Turns())
    pose = np.asarray(run.cameras["train"].c2w[0], np.float64)
    camera = pinhole(pose, 0.8, (200, 100))
    point = shown.renderer.pick(camera, (100.0, 50.0))
    assert np.linalg.norm(point) == pytest.approx(0.7, abs=0.05)
    # It lies on the optical axis, in front of the camera.
    local = pose[:, :3].T @ (point - pose[:, 3])
    assert np.abs(local[:2]).max() < 1e-4 and local[2] < 0
    assert shown.renderer.pick(camera, (2.0, 2.0)) is None


@pytest.mark.long
def test_pictures_are_limited_to_the_box_as_films_are(tmp_path):
    run = make_run(tmp_path / "ball")
    shown = show_run(run, Turns())
    pose = np.asarray(run.cameras["train"].c2w[0], np.float64)
    camera = pinhole(pose, 0.8, (60, 40))
    before = shown.renderer.still(camera).picture["opacity"]
    middle = run.transform.points_back(np.zeros(3))
    crop = CropBox(tuple(middle.tolist()), (9.0, 9.0, 1.0)).crop()
    shown.limit(crop)
    found = shown.renderer.still(camera).picture
    expected = make_render_image(cropped(run, crop).model, run.config["background"])(camera)
    np.testing.assert_allclose(found["rgb"], expected["rgb"], atol=1e-5)
    assert found["opacity"].sum() < 0.9 * before.sum()
    shown.limit(None)
    np.testing.assert_array_equal(shown.renderer.still(camera).picture["opacity"], before)
    assert nnx.split(run.model)[0] == shown.renderer.source()[0]
