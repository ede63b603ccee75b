"""A labelled scene whose classes are single objects, with other numbers in each training view.

    config.scene = {"name": "nerf.scenes.permuted_instances:load", "without": ["table"]}

So a method that learns objects from maps whose numbers do not agree between views can be measured:
the masks of a segmentation program that sees one photo at a time are like this.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from nerf import scenes
from nerf.foundation.instantiate import did_you_mean
from nerf.scenes.base import Problem, Scene, SceneError


def load(
    root: str | Path | None,
    split: str,
    without: Sequence[str] = (),
    permuted: bool = True,
    draw: int = 0,
    max_side: int = 1024,
    validation: bool = False,
) -> Scene:
    """Load one split of a scene with the map "instances" made from "labels", which it loses.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      without: names of the classes that are not objects; their pixels have the number 0.
      permuted: whether the numbers 1, 2, ... of the objects are permuted in each view of "train";
        otherwise, and in other splits, an object has the same number in all views.
      draw: number of the draw of permutations.
      max_side: as for `nerf.scenes.load`.
      validation: as for `nerf.scenes.load`.

    Raises:
      SceneError: the scene cannot be used, has no labels, or has no class of a name.
    """
    scene = scenes.load(root, split, max_side=max_side, validation=validation)
    objects = _objects(scene, without)
    maps = {name: arrays for name, arrays in scene.maps.items() if name != "labels"}
    instances: list[UInt16[np.ndarray, "h w"]] = []
    for view, labels in enumerate(scene.maps["labels"]):
        numbers = np.arange(1, len(objects) + 1)
        if permuted and split == "train":
            numbers = np.random.default_rng([draw, view]).permutation(numbers)
        # 1 + the number 0, but where the class is unknown.
        instance_of = np.ones(2**16, np.uint16)
        instance_of[0] = 0
        instance_of[np.array(objects, int) + 1] = numbers + 1
        instances.append(instance_of[labels])
    return dataclasses.replace(scene, maps={**maps, "instances": instances}, classes=())


def _objects(scene: Scene, without: Sequence[str]) -> list[int]:
    """Return the numbers of the classes that are objects, or raise SceneError."""
    if "labels" not in scene.maps:
        fix = "put label files into SCENE/labels"
        raise SceneError([Problem("scene", "", "no labels to make objects of", fix)])
    names = [each.name for each in scene.classes]
    if unknown := [name for name in without if name not in names]:
        hints = [did_you_mean(name, names) for name in unknown]
        flags = [f"--config.scene.without={name}" for name in unknown]
        pairs = zip(flags, hints, strict=True)
        raise SceneError([Problem(flag, "", "no such class", hint) for flag, hint in pairs])
    return [each.number for each in scene.classes if each.name not in without]
