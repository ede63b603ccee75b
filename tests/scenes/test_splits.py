"""What is trained on and what is scored.

Nothing held out, everything trained on, and held-out views that are not.
"""

import dataclasses

import numpy as np
import pytest

from nerf.cameras.lenses import FISHEYE, PERSPECTIVE
from nerf.comparing.study_scenes import load_comparable
from nerf.scenes import Problem, SceneError, synthetic
from nerf.scenes.base import NoViews
from nerf.scenes.splits import count_trained_on, join, load_scenes, load_views


def scene_of(split, **changes):
    scene = synthetic.load(None, split, size=8, views=4)
    return dataclasses.replace(scene, names=[f"{split}_{i}" for i in range(4)], **changes)


def without_test(root, split, validation=False):
    if split == "test":
        raise NoViews(
            [Problem("transforms_test.json", "", "no such file", "use --config.eval_split=val")]
        )
    return scene_of("train")


def copied(root, split, validation=False):
    """The habit of copying transforms_train.json: half of the test views are training views."""
    train, test = scene_of("train"), scene_of("test")
    return train if split == "train" else join(test.select([0, 1]), train.select([0, 1]))


def usual(root, split, validation=False):
    return scene_of(split)


@pytest.fixture
def config(monkeypatch):
    def make(loader, eval_split="test"):
        monkeypatch.setattr(
            "nerf.scenes.splits.build", lambda section, plugins, **options: loader(**options)
        )
        return {"scene": {}, "eval_split": eval_split}

    return make


def test_a_scene_without_test_views_is_trained_on_and_told_how_it_could_be_scored(config):
    views = load_views(config(without_test), None)
    assert views.held_out is None and len(views.train) == 4 and views.trained_on == 0
    (line,) = views.notes
    assert (
        line.startswith("check: ")
        and "nothing is scored" in line
        and "--config.eval_split=val" in line
    )
    assert "none held out" in views.describe()
    with pytest.raises(NoViews):
        load_scenes(config(without_test), None)


def test_none_trains_on_all_views_on_purpose(config):
    views = load_views(config(usual, "none"), None)
    assert views.held_out is None
    assert sorted(views.train.names) == sorted(
        [f"{split}_{i}" for split in ("train", "test") for i in range(4)]
    )
    assert "nothing is scored" in views.notes[0]
    assert len(load_views(config(without_test, "none"), None).train) == 4


def test_views_that_are_trained_on_too_are_counted_and_not_called_held_out(config):
    views = load_views(config(copied), None)
    assert views.trained_on == 2 and len(views.held_out) == 4
    assert "2 of 4 views of split 'test' are trained on too" in views.notes[0]
    assert "held-out" not in views.describe()
    usually = load_views(config(usual), None)
    assert (
        usually.trained_on == 0 and usually.notes == [] and "4 held-out ones" in usually.describe()
    )


def test_copies_are_known_by_pose_and_pixels_whatever_their_names():
    train = scene_of("train")
    renamed = dataclasses.replace(train, names=["a", "b", "c", "d"])
    assert count_trained_on(train, renamed) == 4
    other = dataclasses.replace(renamed, images=[255 - image for image in train.images])
    assert count_trained_on(train, other) == 0, "one pose may show two moments"


def test_copies_are_known_though_their_poses_were_rounded_and_not_where_places_differ():
    train = scene_of("train")

    def moved(by):
        cameras = dataclasses.replace(
            train.cameras, c2w=np.asarray(train.cameras.c2w) + np.float32(by)
        )
        return dataclasses.replace(train, names=["a", "b", "c", "d"], cameras=cameras)

    assert count_trained_on(train, moved(0.0005)) == 4, (
        "matrices with three digits are the same poses"
    )
    assert count_trained_on(train, moved(0.1)) == 0, "two places may look alike"


def test_a_study_refuses_what_says_nothing_about_new_views(config):
    with pytest.raises(SceneError, match="2 of 4 views.*--split=val"):
        load_comparable(config(copied), "scene")
    with pytest.raises(SceneError, match="no held-out view.*use --split=val$"):
        load_comparable(config(without_test), "scene")
    assert len(load_comparable(config(usual), "scene")[1]) == 4


def test_views_of_two_splits_are_in_the_order_of_their_names_with_all_that_belongs_to_them():
    whole = scene_of("train", maps={"mask": [np.full((8, 8), i % 2 == 0) for i in range(4)]})
    whole = dataclasses.replace(whole, names=list("abcd"))
    both = join(whole.select([0, 1, 3]), dataclasses.replace(whole.select([2, 3]), maps={}))
    assert both.names == list("abcd")
    for i in range(4):
        np.testing.assert_array_equal(both.images[i], whole.images[i])
        np.testing.assert_array_equal(both.cameras.c2w[i], whole.cameras.c2w[i])
    assert [bool(mask.all()) for mask in both.maps["mask"]] == [True, False, True, False], (
        "no mask is a mask of all"
    )


def test_views_of_unlike_kinds_are_not_joined():
    train, test = scene_of("train"), scene_of("test")
    grey = dataclasses.replace(test, images=[image[..., :1] for image in test.images])
    with pytest.raises(SceneError, match="different kinds"):
        join(train, grey)


def test_views_through_different_lenses_are_joined():
    train, test = (synthetic.load(None, split, size=8, views=2) for split in ("train", "test"))
    fisheye = dataclasses.replace(test.cameras, model=np.full(2, FISHEYE, np.int32))
    test = dataclasses.replace(test, cameras=fisheye, names=["z0", "z1"])
    both = join(train, test)
    assert sorted(both.cameras.model.tolist()) == [PERSPECTIVE, PERSPECTIVE, FISHEYE, FISHEYE]
    assert both.cameras.lenses == (PERSPECTIVE, FISHEYE) and len(both) == 4
