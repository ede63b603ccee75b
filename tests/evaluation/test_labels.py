"""Scores of classes against counts of sets of pixels."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from nerf.evaluation.evaluate import evaluate
from nerf.evaluation.labels import (
    confusion,
    intersections_over_unions,
    mean_over_classes,
    summary,
)
from nerf.runs.config_files import load_config
from nerf.runs.read import load_run
from nerf.scenes import load
from nerf.scenes.base import LabelClass
from nerf.training.loop import train
from tests.conftest import ROOT
from tests.support.plugins import small_toybox
from tests.support.small_scenes import write_small_tabletop

CLASSES = tuple(LabelClass(n, f"c{n}", (n, n, n)) for n in (0, 2, 5))


def scene_of(true, mask=None):
    scene = small_toybox("train").select([0])
    maps = {"labels": [true], **({} if mask is None else {"mask": [mask]})}
    return dataclasses.replace(scene, maps=maps, classes=CLASSES)


@pytest.mark.parametrize("seed", range(30))
def test_iou_is_that_of_sets_of_pixels(seed):
    rng = np.random.default_rng(seed)
    true = rng.choice(np.array([0, 1, 3, 6], np.uint16), (4, 5), p=[0.3, 0.3, 0.3, 0.1])
    shown = rng.choice(np.array([0, 1, 3, 6, 9], np.uint16), (4, 5))
    mask = rng.random((4, 5)) < 0.7
    counts = confusion(shown, scene_of(true, mask), 0)
    found = []
    for each in CLASSES:
        there, mine = (true == each.number + 1) & mask, (shown == each.number + 1) & mask
        mine &= true > 0
        found.append((there & mine).sum() / (there | mine).sum() if there.any() else None)
    assert intersections_over_unions(counts) == pytest.approx(found)
    known = [iou for iou in found if iou is not None]
    assert mean_over_classes(counts) == (pytest.approx(np.mean(known)) if known else None)


def test_views_are_counted_together():
    first = confusion(*(np.full((2, 2), 1, np.uint16), scene_of(np.full((2, 2), 1, np.uint16)), 0))
    second = confusion(*(np.full((2, 2), 1, np.uint16), scene_of(np.full((2, 2), 3, np.uint16)), 0))
    found = summary([first, second], CLASSES)
    assert found == {"miou": 0.25, "accuracy": 0.5, "iou": {"c0": 0.5, "c2": 0.0, "c5": None}}
    nothing = summary([np.zeros((3, 4), int)], CLASSES)
    assert (nothing["miou"], nothing["accuracy"]) == (None, None)
    assert confusion(np.zeros((2, 2), np.uint16), small_toybox("train"), 0) is None
    none = dataclasses.replace(scene_of(np.zeros((2, 2), np.uint16)), classes=())
    assert mean_over_classes(confusion(np.ones((2, 2), np.uint16), none, 0)) is None


@pytest.mark.whole
def test_labels_of_two_views_teach_the_classes_of_all(tmp_path):
    """The photos of the others say where the labelled matter is; mirrored labels teach nothing."""
    miou = {}
    for name in ("labels", "mirrored"):
        root = write_small_tabletop(tmp_path / name)
        shutil.copy(ROOT / "data" / "tabletop" / "labels.json", root)
        images = [*sorted((root / "train").iterdir())[4:24:12], *sorted((root / "test").iterdir())]
        for image in images:
            file = root / "labels" / image.relative_to(root)
            file.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(ROOT / "data" / "tabletop" / file.relative_to(root)) as labels:
                small = labels.resize((40, 40), Image.Resampling.NEAREST)
            if name == "mirrored" and "train" in file.parts:
                small = small.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
            small.save(file)
        config = load_config("labels", ["steps=200", "log_every=200", "save_every=200"])
        results = train(config, root, tmp_path / f"run_{name}")
        miou[name] = results["labels"]["miou"]
    assert miou["labels"] > 0.45 and miou["mirrored"] < 0.15
    folder = tmp_path / "run_labels"
    results = json.loads((folder / "results.json").read_text())
    assert "table" in results["labels"]["iou"] and "labels" in results["protocol"]
    assert 0.0 < results["miou"] <= 1.0
    shown = sorted((folder / "eval" / "labels").iterdir())
    assert len(shown) == len(list((folder / "eval" / "true_labels").iterdir())) == 2
    # A model that is read again shows the same classes.
    run = load_run(folder)
    scene = load(tmp_path / "labels", "test")
    again = evaluate(run.model, scene, "test", (1.0, 1.0, 1.0), None, tmp_path / "again")
    assert again["labels"] == results["labels"]
    with Image.open(shown[0]) as image:
        assert image.mode == "P" and set(np.unique(np.asarray(image))) <= set(range(13))
    # Views that nobody labelled are shown in the classes' colours, too.
    plain = dataclasses.replace(scene, maps={}, classes=())
    unlabelled = evaluate(run.model, plain, "test", (1.0, 1.0, 1.0), None, tmp_path / "plain")
    assert "labels" not in unlabelled
    for file in shown:
        with Image.open(file) as one, Image.open(tmp_path / "plain" / "labels" / file.name) as two:
            colours = np.asarray(two.convert("RGB"))
            np.testing.assert_array_equal(colours, np.asarray(one.convert("RGB")))
            assert len(np.unique(colours.reshape(-1, 3), axis=0)) > 3
