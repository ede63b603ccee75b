"""The views of a run: photo, render and error, and what happens without photos."""

import dataclasses
import json

import numpy as np
import pytest
from flax import nnx

from nerf.evaluation.evaluate import evaluate
from nerf.foundation.errors import UserError
from nerf.foundation.instantiate import ConfigError
from nerf.foundation.png import to_bytes
from nerf.sampling.spaces import Plane
from nerf.viewer.modes import colour_error
from nerf.viewer.shown_run import show_run
from nerf.viewer.turns import Turns
from nerf.viewer.views import Views, recorded_scores, views_of
from tests.viewer.ball_run import BACKGROUND, make_run, photos_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("views") / "ball")


def views_with(run, load):
    renderer = show_run(run, Turns()).renderer
    return Views(views_of(run.cameras, run.names), renderer, BACKGROUND, {}, load)


def test_a_view_has_its_photo_render_error_and_the_psnr_of_the_protocol(run):
    views = views_with(run, lambda split: photos_of(run, split, noise=0.03))
    scene = photos_of(run, "test", noise=0.03)
    scores = evaluate(run.model, scene, "test", BACKGROUND, 1024, None)["per_image"]
    for view in views.views[-2:]:
        pictures, score = views.compare(view)
        assert score == pytest.approx(scores[view.name]["psnr"], abs=1e-3)
        np.testing.assert_array_equal(pictures["photo"], scene.images[view.index])
        rendered = views.renderer.still(view.camera).picture["rgb"]
        np.testing.assert_array_equal(pictures["render"], to_bytes(rendered))
        truth = scene.images[view.index].astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(pictures["error"], colour_error(rendered, truth))
    assert views.scores.keys() == {view.label for view in views.views[-2:]}


def test_all_views_are_scored_one_after_the_other(run):
    asked = []

    def load(split):
        asked.append(split)
        return photos_of(run, split, noise=0.03)

    views = views_with(run, load)
    order = []
    while (view := views.score_next()) is not None:
        order.append(view.label)
    assert order == [view.label for view in views.views] and len(order) == 6
    assert asked == ["train", "test"]  # the photos of a split are read once
    # More noise with each photo: the PSNR falls.
    trained = [views.scores[label] for label in order[:4]]
    assert trained == sorted(trained, reverse=True)


def test_without_photos_there_is_one_line_and_the_render(run):
    def load(split):
        raise ConfigError("/nowhere: no such folder: give --scene\nand more")

    views = views_with(run, load)
    pictures, score = views.compare(views.views[0])
    assert list(pictures) == ["render"] and score is None
    assert views.problem == (
        "no photos of split 'train', so no errors: /nowhere: no such folder: give --scene"
    )
    assert views.photo_from(views.views[0]) is None
    assert views.score_next() is None


def test_the_view_where_a_camera_stands_is_found(run):
    views = views_with(run, lambda split: photos_of(run, split))
    place = np.asarray(views.views[2].camera.position, np.float64)
    assert views.nearest(place) is views.views[2]
    assert views.nearest(place + [0.0, 0.0, 0.01]) is None
    assert views.find(views.views[3].label) is views.views[3] and views.find("none") is None
    seen, known = views.photo_from(views.views[2])(views.views[2].camera)
    truth = photos_of(run, "train").images[2] / 255.0
    assert known.mean() > 0.9 and np.abs(seen - truth)[known].max() < 0.01


def test_recorded_scores_are_those_of_the_results(run, tmp_path):
    views = views_of(run.cameras, run.names)
    assert recorded_scores(run, views) == {}  # an unfinished run
    results = {"protocol": {"split": "test"}, "per_image": {"test b": {"psnr": 31.5}, "x": {}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    finished = dataclasses.replace(run, folder=tmp_path)
    assert recorded_scores(finished, views) == {"test 1: test b": 31.5}


def test_a_run_on_a_picture_is_refused(run):
    model = nnx.clone(run.model)
    model.space = Plane()
    flat = dataclasses.replace(run, model=model)
    with pytest.raises(UserError, match="nothing to fly through: nerf render .*--enlarge"):
        show_run(flat, Turns())
