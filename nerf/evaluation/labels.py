"""Score rendered classes: intersection over union per class, from counts of pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt16

from nerf.scenes import Scene
from nerf.scenes.base import LabelClass

PER_VIEW = {
    "miou": (
        "intersection over union of each class that the view's true labels have, mean over these "
        "classes, mean over images; pixels of unknown class do not count"
    )
}
OF_ALL_VIEWS = {
    "labels": (
        "miou, accuracy and iou of each class from the pixels of all images together; classes "
        "without a true pixel do not count"
    ),
}


def confusion(
    shown: UInt16[np.ndarray, "h w"], scene: Scene, view: int
) -> Int[np.ndarray, "k k1"] | None:
    """Count the pixels of each true class that are shown as each class.

    Equation:
      N_ij = |{pixels of true class i that are shown as class j}|

    Args:
      shown: 1 + the number of the class of each pixel, 0 for none.
      scene: its label maps are the truth; pixels outside of its masks do not count.
      view: number of the view.

    Returns:
      The counts, with a last column for pixels that are shown as none of the scene's classes; None
      if the scene has no label maps.
    """
    if "labels" not in scene.maps:
        return None
    true = scene.maps["labels"][view]
    known = scene.counted(true > 0, view)
    numbers = np.array([each.number + 1 for each in scene.classes], int)
    count = len(numbers)
    table = np.full(2**16, count)
    table[numbers] = np.arange(count)
    pairs = table[true[known]] * (count + 1) + table[shown[known]]
    return np.bincount(pairs, minlength=count * (count + 1)).reshape(count, count + 1)


def intersections_over_unions(counts: Int[np.ndarray, "k k1"]) -> list[float | None]:
    """Return N_ii / (sum_j N_ij + sum_j N_ji - N_ii) of each class, None without a true pixel."""
    same, true = np.diag(counts), counts.sum(1)
    union = true + counts[:, :-1].sum(0) - same
    return [float(s / u) if t else None for s, t, u in zip(same, true, union, strict=True)]


def mean_over_classes(counts: Int[np.ndarray, "k k1"]) -> float | None:
    """Return the mean of the intersections over unions, None if no pixel is known."""
    found = [iou for iou in intersections_over_unions(counts) if iou is not None]
    return float(np.mean(found)) if found else None


def summary(
    counts: Sequence[Int[np.ndarray, "k k1"]], classes: Sequence[LabelClass]
) -> Mapping[str, Any]:
    """Return the scores of all views together.

    Args:
      counts: of each view.
      classes: of the scene.

    Returns:
      "miou"; "accuracy", the fraction of the known pixels that are right; and "iou", of each class
      by its name. All are None where nothing is known.
    """
    total = np.sum(counts, 0)
    known = total.sum()
    names = [each.name for each in classes]
    return {
        "miou": mean_over_classes(total),
        "accuracy": float(np.trace(total) / known) if known else None,
        "iou": dict(zip(names, intersections_over_unions(total), strict=True)),
    }
