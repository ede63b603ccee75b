"""A scene whose training labels are few, wrong or coarse, to measure what a method makes of them.

    config.scene = {"name": "nerf.scenes.weak_labels:load", "views": 2}

These are the cases of Semantic-NeRF (Zhi et al., 2103.15875, section 4): sparse labels, noise per
pixel, labels of low resolution, and single clicks. Labels of the held-out views stay what they are.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from nerf import scenes
from nerf.scenes.base import LabelClass, Problem, Scene, SceneError


def load(
    root: str | Path | None,
    split: str,
    views: int | None = None,
    clicks: int | None = None,
    noise: int | float = 0.0,
    coarse: int = 1,
    draw: int = 0,
    max_side: int = 1024,
    validation: bool = False,
) -> Scene:
    """Load one split of a scene, and weaken the labels of "train".

    The options combine, in the order coarse, noise, clicks, views.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      views: number of views that keep their labels, evenly spaced; None for all.
      clicks: number of pixels of each class and view that keep their labels; None for all.
      noise: fraction of the pixels whose label becomes any class, all with the same probability.
      coarse: side in pixels of the squares that have the label of their middle pixel.
      draw: number of the draw of random labels and clicks.
      max_side: as for `nerf.scenes.load`.
      validation: as for `nerf.scenes.load`.

    Returns:
      The scene; a note says how its labels were weakened.

    Raises:
      SceneError: the scene cannot be used, its training views have no labels, or an option is
        impossible.
    """
    scene = scenes.load(root, split, max_side=max_side, validation=validation)
    if split != "train":
        return scene
    _check(scene, views, clicks, noise, coarse)
    weakened: list[UInt16[np.ndarray, "h w"]] = []
    for i, labels in enumerate(scene.maps["labels"]):
        rng = np.random.default_rng([draw, i])
        weak = _coarsened(labels, coarse)
        weak = _with_noise(weak, noise, scene.classes, rng)
        weakened.append(weak if clicks is None else _clicked(weak, clicks, rng))
    if views is not None:
        weakened = _of_views(weakened, views)
    given = {"views": views, "clicks": clicks, "noise": noise, "coarse": coarse}
    said = ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)
    notes = [*scene.notes, f"labels of the training views are weakened: {said}"]
    return dataclasses.replace(scene, maps={**scene.maps, "labels": weakened}, notes=notes)


def _check(
    scene: Scene, views: int | None, clicks: int | None, noise: int | float, coarse: int
) -> None:
    """Raise SceneError with all problems of the options."""
    labelled = sum(labels.any() for labels in scene.maps.get("labels", ()))
    wrong: list[tuple[str, object, str, str]] = []
    if not labelled:
        reason = "no training view has labels to weaken"
        wrong.append(("name", f"{__name__}:load", reason, "put label files into SCENE/labels"))
    elif views is not None and not 1 <= views <= labelled:
        fix = f"choose 1 to {labelled}"
        wrong.append(("views", views, f"{labelled} training views have labels", fix))
    if clicks is not None and clicks < 1:
        wrong.append(("clicks", clicks, "keeps no label", "choose at least 1"))
    if not 0.0 <= noise <= 1.0:
        wrong.append(("noise", noise, "not a fraction", "choose 0 to 1"))
    if coarse < 1:
        wrong.append(("coarse", coarse, "not a number of pixels", "choose at least 1"))
    if wrong:
        raise SceneError(
            [
                Problem(f"--config.scene.{option}={value}", "", reason, fix)
                for option, value, reason, fix in wrong
            ]
        )


def _of_views(
    labels: Sequence[UInt16[np.ndarray, "_ _"]], count: int
) -> list[UInt16[np.ndarray, "_ _"]]:
    """Keep the labels of the middle views of as many equal parts."""
    labelled = [i for i, each in enumerate(labels) if each.any()]
    kept = {labelled[(2 * i + 1) * len(labelled) // (2 * count)] for i in range(count)}
    return [each if i in kept else np.zeros_like(each) for i, each in enumerate(labels)]


def _coarsened(labels: UInt16[np.ndarray, "h w"], side: int) -> UInt16[np.ndarray, "h w"]:
    """Give all pixels of a square the label of its middle."""
    row, column = (np.minimum(np.arange(n) // side * side + side // 2, n - 1) for n in labels.shape)
    return labels[row[:, None], column[None, :]]


def _with_noise(
    labels: UInt16[np.ndarray, "h w"],
    fraction: int | float,
    classes: Sequence[LabelClass],
    rng: np.random.Generator,
) -> UInt16[np.ndarray, "h w"]:
    """Replace the labels of a random fraction of the known pixels by random classes."""
    wrong = (rng.random(labels.shape) < fraction) & (labels > 0)
    any_class = rng.choice(np.array([each.number + 1 for each in classes], np.uint16), labels.shape)
    return np.where(wrong, any_class, labels)


def _clicked(
    labels: UInt16[np.ndarray, "h w"], count: int, rng: np.random.Generator
) -> UInt16[np.ndarray, "h w"]:
    """Keep the labels of a number of random pixels of each class."""
    kept = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        where = np.argwhere(labels == number)
        row, column = rng.choice(where, min(count, len(where)), replace=False).T
        kept[row, column] = number
    return kept
