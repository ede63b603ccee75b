"""The laboratory's metrics of classes: what weak labels are worth, and a labeller without space."""

import pytest

from benchmarks.systems import label_measures
from benchmarks.systems.claims import ROOT
from nerf.foundation.instantiate import build


@pytest.fixture
def scene(monkeypatch):
    config = {"scene": {"name": "nerf.scenes.weak_labels:load", "max_side": 40}}
    config |= {"background": "white", "chunk": None}
    test = build(config["scene"], root=ROOT / label_measures.LABELLED, split="test")

    def perfect(model, background, chunk):
        views = iter(range(len(test)))
        return lambda camera: {"labels": test.maps["labels"][next(views)]}

    monkeypatch.setattr(label_measures, "make_render_image", perfect)
    return config, test


def test_true_classes_have_the_score_one(scene):
    config, test = scene
    assert label_measures.classes(None, config, test) == {"miou": 1.0}


def test_the_gain_is_over_the_labels_that_were_given(scene):
    config, test = scene
    config["scene"]["noise"] = 0.5
    found = label_measures.classes_over_given(None, config, test)
    # 13 classes: 1/2 + 1/26 of each class keeps its label, and large classes add the wrong ones.
    assert 0.1 < found["miou_given"] < 0.4
    assert found["miou_gain"] == pytest.approx(1.0 - found["miou_given"])


def test_unknown_pixels_of_the_given_labels_do_not_count(scene):
    config, test = scene
    config["scene"]["clicks"] = 1
    found = label_measures.classes_over_given(None, config, test)
    assert found == {"miou_given": 1.0, "miou_gain": 0.0}


@pytest.mark.whole
def test_a_labeller_without_space_learns_colours_and_places(scene, monkeypatch):
    config, test = scene
    monkeypatch.setattr(label_measures, "STEPS", 300)
    all_views = label_measures.classes_in_2d(None, config, test)["miou_2d"]
    config["scene"]["views"] = 1
    one_view = label_measures.classes_in_2d(None, config, test)["miou_2d"]
    assert 0.1 < one_view < all_views < 0.95
    # Without training it knows nothing.
    monkeypatch.setattr(label_measures, "STEPS", 1)
    assert label_measures.classes_in_2d(None, config, test)["miou_2d"] < 0.1
