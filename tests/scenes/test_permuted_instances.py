"""Objects made of classes: which pixels are objects, and which numbers they have in each view."""

import numpy as np
import pytest

from nerf.scenes import SceneError, load
from nerf.scenes.permuted_instances import load as load_permuted
from tests.conftest import ROOT
from tests.support.small_scenes import write_small_tabletop

TABLETOP = ROOT / "data" / "tabletop"
WITHOUT = ("background", "table")


def objects(split, **options):
    return load_permuted(TABLETOP, split, WITHOUT, max_side=40, **options).maps["instances"]


def test_an_object_is_a_class_and_other_classes_have_the_number_0():
    scene = load(TABLETOP, "test", max_side=40)
    names = [each.name for each in scene.classes]
    kept = [name for name in names if name not in WITHOUT]
    for labels, found in zip(scene.maps["labels"], objects("test"), strict=True):
        for each in scene.classes:
            number = kept.index(each.name) + 1 if each.name in kept else 0
            assert (found[labels == each.number + 1] == number + 1).all()


def test_numbers_are_permuted_in_each_training_view():
    plain, permuted = objects("train", permuted=False), objects("train")
    tables = []
    for one, other in zip(plain, permuted, strict=True):
        pairs = sorted({(int(a), int(b)) for a, b in zip(one.ravel(), other.ravel(), strict=True)})
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        assert dict(pairs).get(1, 1) == 1  # no object stays no object
        tables.append(pairs)
    assert len({tuple(table) for table in tables}) > 90
    again = objects("train", draw=1)
    assert any((a != b).any() for a, b in zip(permuted, again, strict=True))


def test_the_scene_has_no_labels_besides():
    scene = load_permuted(TABLETOP, "train", WITHOUT, max_side=40)
    assert "labels" not in scene.maps and not scene.classes


def test_unknown_names_and_scenes_without_labels_are_refused(tmp_path):
    with pytest.raises(SceneError) as error:
        load_permuted(TABLETOP, "test", ("tabel", "sky"), max_side=40)
    lines = str(error.value).splitlines()
    assert lines[0] == "--config.scene.without=tabel: no such class: did you mean 'table'?"
    assert lines[1].startswith("--config.scene.without=sky: no such class: known: background,")
    root = write_small_tabletop(tmp_path / "scene")
    with pytest.raises(SceneError, match="no labels to make objects of"):
        load_permuted(root, "train")


@pytest.mark.parametrize("unknown", [True, False])
def test_pixels_of_unknown_class_are_of_unknown_object(unknown, monkeypatch):
    scene = load(TABLETOP, "test", max_side=40)
    if unknown:
        for labels in scene.maps["labels"]:
            labels[:5] = 0
    monkeypatch.setattr("nerf.scenes.load", lambda *a, **k: scene)
    found = np.stack(load_permuted(None, "test").maps["instances"])
    assert (found[:, :5] == 0).all() == unknown
    assert (found[:, 5:] > 0).all()
