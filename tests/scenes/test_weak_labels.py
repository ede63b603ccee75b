"""Weakened labels: which pixels keep their label, what the others get, and what stays true."""

import numpy as np
import pytest

from nerf.scenes import SceneError, load
from nerf.scenes.weak_labels import _with_noise
from nerf.scenes.weak_labels import load as load_weak
from tests.conftest import ROOT
from tests.support.small_scenes import write_small_tabletop

TABLETOP = ROOT / "data" / "tabletop"
SIDE = 40
RNG = np.random.default_rng(0)
MIDDLES = [25, 75]  # of two halves of its 100 training views


@pytest.fixture(scope="module")
def true():
    return load(TABLETOP, "train", max_side=SIDE).maps["labels"]


def weakened(**options):
    return load_weak(TABLETOP, "train", max_side=SIDE, **options).maps["labels"]


def test_without_an_option_labels_are_kept(true):
    np.testing.assert_array_equal(weakened(), true)


def test_views_with_labels_are_the_middle_ones_of_equal_parts(true):
    kept = [i for i, labels in enumerate(weakened(views=2)) if labels.any()]
    assert kept == MIDDLES
    np.testing.assert_array_equal(weakened(views=2)[25], true[25])
    assert all(labels.any() for labels in weakened(views=100))


def test_clicks_keep_as_many_pixels_of_each_class(true):
    for weak, labels in zip(weakened(clicks=3), true, strict=True):
        numbers, counts = np.unique(labels, return_counts=True)
        found = dict(zip(*np.unique(weak[weak > 0], return_counts=True), strict=True))
        assert found == {n: min(c, 3) for n, c in zip(numbers, counts, strict=True) if n}
        assert ((weak == 0) | (weak == labels)).all()


def test_noise_changes_a_fraction_to_any_class(true):
    scene = load(TABLETOP, "train", max_side=SIDE)
    weak, labels = np.stack(weakened(noise=0.5)), np.stack(true)
    # A random class is the true one once in as many as there are.
    expected = 0.5 * (1.0 - 1.0 / len(scene.classes))
    assert np.mean(weak != labels) == pytest.approx(expected, abs=0.02)
    drawn = np.unique(weak[weak != labels], return_counts=True)
    assert list(drawn[0]) == [each.number + 1 for each in scene.classes]
    rare = drawn[1][1:] / drawn[1][1:].mean()
    assert rare.min() > 0.7 and rare.max() < 1.3


def test_coarse_labels_are_those_of_the_middle_of_each_square(true):
    for weak, labels in zip(weakened(coarse=4), true, strict=True):
        squares = weak.reshape(10, 4, 10, 4)
        np.testing.assert_array_equal(
            squares, np.broadcast_to(squares[:, :1, :, :1], squares.shape)
        )
        np.testing.assert_array_equal(squares[:, 0, :, 0], labels[2::4, 2::4])


def test_options_combine(true):
    both = weakened(views=2, clicks=1, coarse=4)
    coarse = weakened(coarse=4)
    assert [i for i, labels in enumerate(both) if labels.any()] == MIDDLES
    assert (both[25] > 0).sum() == len(np.unique(coarse[25]))
    assert ((both[25] == 0) | (both[25] == coarse[25])).all()


def test_each_view_and_each_draw_has_noise_of_its_own(true):
    one, other = weakened(noise=0.5), weakened(noise=0.5, draw=1)
    np.testing.assert_array_equal(one, weakened(noise=0.5))
    assert (np.stack(one) != np.stack(other)).any()
    changed = [weak != labels for weak, labels in zip(one, true, strict=True)]
    # Of independent noise, a pixel changes in both views once in about four times.
    both = np.mean(changed[0] & changed[1])
    assert both == pytest.approx(changed[0].mean() * changed[1].mean(), abs=0.05)


def test_unknown_pixels_stay_unknown(true):
    few = np.where(np.arange(SIDE) % 2, true[0], 0).astype(np.uint16)
    weak = _with_noise(few, 1.0, load(TABLETOP, "train", max_side=SIDE).classes, RNG)
    np.testing.assert_array_equal(weak > 0, few > 0)


def test_held_out_labels_stay_true_and_a_note_says_what_is_weak():
    weak = load_weak(TABLETOP, "test", noise=1.0, max_side=SIDE)
    true = load(TABLETOP, "test", max_side=SIDE)
    np.testing.assert_array_equal(weak.maps["labels"], true.maps["labels"])
    notes = load_weak(TABLETOP, "train", views=2, noise=0.5, max_side=SIDE).notes
    assert notes[-1] == "labels of the training views are weakened: views=2, noise=0.5, coarse=1"


def test_all_impossible_options_are_named():
    with pytest.raises(SceneError) as error:
        load_weak(TABLETOP, "train", max_side=SIDE, views=101, clicks=0, noise=1.5, coarse=0)
    assert str(error.value).splitlines() == [
        "--config.scene.views=101: 100 training views have labels: choose 1 to 100",
        "--config.scene.clicks=0: keeps no label: choose at least 1",
        "--config.scene.noise=1.5: not a fraction: choose 0 to 1",
        "--config.scene.coarse=0: not a number of pixels: choose at least 1",
    ]


def test_a_scene_without_labels_is_refused(tmp_path):
    root = write_small_tabletop(tmp_path / "scene")
    with pytest.raises(SceneError, match="no training view has labels to weaken"):
        load_weak(root, "train", views=1)
