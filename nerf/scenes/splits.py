"""Which views of a scene are trained on and which are scored, and what a user should know about that."""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras.cameras import join_cameras
from nerf.foundation.instantiate import build
from nerf.scenes import Problem, Scene, SceneError
from nerf.scenes.base import NoViews

SAME_POSE = 0.01  # between entries of two matrices in the normalised world that are one pose, rounded in a file


@dataclasses.dataclass(frozen=True)
class Views:
    """The views of a run.

    Attributes:
      train: those that are trained on.
      held_out: those that are scored; None where the scene has none.
      trained_on: how many of those that are scored are trained on as well, by mistake of the scene's lists.
      notes: one line for each thing about the split that a user should know.
    """

    train: Scene
    held_out: Scene | None
    trained_on: int
    notes: list[str]

    def by_split(self, split: str) -> dict[str, Scene]:
        """Return the training views as "train", and the held-out ones, if there are any, as `split`."""
        scenes = {"train": self.train}
        return scenes if self.held_out is None else {**scenes, split: self.held_out}

    def describe(self) -> str:
        """Return one line on what is trained on and scored."""
        sizes = sorted({(int(w), int(h)) for w, h in np.asarray(self.train.cameras.size)})
        shown = f"{sizes[0][0]}x{sizes[0][1]}" if len(sizes) == 1 else f"{len(sizes)} sizes"
        extent = "unbounded" if self.train.unbounded else "bounded"
        more = "".join(
            f", with {name}"
            for name in ("masks", "depths")
            if getattr(self.train, name) is not None
        )
        scored = "none held out"
        if self.held_out is not None:
            kind = "scored" if self.trained_on else "held-out"
            scored = f"{len(self.held_out)} {kind} ones"
        return f"scene: {len(self.train)} training views and {scored}, {shown}, {extent}{more}"


def load_split(
    config: Mapping[str, Any], split: str, root: str | Path | None, plugins: tuple[str, ...] = ()
) -> Scene:
    """Load the views of one split as a config divides them. Raises SceneError.

    Args:
      config: its `eval_split` says whether validation views are left out of "train" ("val"), and whether "train" has
        the test views too ("none").
      split: "train", "val" or "test".
      root: the scene's folder.
      plugins: packages outside `nerf` that the config may name.
    """
    options = {"plugins": plugins, "root": root, "validation": config["eval_split"] == "val"}
    scene = build(config["scene"], split=split, **options)
    if split != "train" or config["eval_split"] != "none":
        return scene
    try:
        return join(scene, build(config["scene"], split="test", **options))
    except NoViews:
        return scene


def load_scenes(
    config: Mapping[str, Any], root: str | Path | None, plugins: tuple[str, ...] = ()
) -> tuple[Scene, Scene]:
    """Load the views to train on and those to score. Raises NoViews where there are none to score."""
    split = config["eval_split"]
    if split == "none":
        raise NoViews(
            [
                Problem(
                    "--config.eval_split=none",
                    "",
                    "it holds no view out",
                    "choose val or test, to score views",
                )
            ]
        )
    return load_split(config, "train", root, plugins), load_split(config, split, root, plugins)


def load_views(
    config: Mapping[str, Any], root: str | Path | None, plugins: tuple[str, ...] = ()
) -> Views:
    """Load the views of a run; a scene without views to score is trained on all the same. Raises SceneError."""
    split = config["eval_split"]
    train = load_split(config, "train", root, plugins)
    if split == "none":
        line = (
            f"check: eval_split=none: all {len(train)} views are trained on, and nothing is scored"
        )
        return Views(train, None, 0, [line])
    try:
        held_out = load_split(config, split, root, plugins)
    except NoViews as error:
        told = "; ".join(str(error).splitlines())
        if "eval_split" not in told and split != "val":
            told += "; --config.eval_split=val holds out every 8th training view"
        return Views(
            train, None, 0, [f"check: {told}: for now training goes on and nothing is scored"]
        )
    known = count_trained_on(train, held_out)
    if not known:
        return Views(train, held_out, 0, [])
    line = f"check: {known} of {len(held_out)} views of split '{split}' are trained on too: their scores say nothing"
    other = f"list other images for '{split}'" + (
        "" if split == "val" else ", or use --config.eval_split=val"
    )
    return Views(train, held_out, known, [f"{line} about new views: {other}"])


def count_trained_on(train: Scene, held_out: Scene) -> int:
    """Return how many held-out views have the pose and the pixels of a training view, whatever their names.

    Poses are alike up to what rounding in a file makes of them.
    """
    by_pixels: dict[tuple, list[np.ndarray]] = defaultdict(list)
    for image, c2w in zip(train.images, np.asarray(train.cameras.c2w), strict=True):
        by_pixels[_fingerprint(image)].append(c2w)
    pairs = zip(held_out.images, np.asarray(held_out.cameras.c2w), strict=True)
    return sum(
        any(
            np.allclose(c2w, other, rtol=0.0, atol=SAME_POSE)
            for other in by_pixels[_fingerprint(image)]
        )
        for image, c2w in pairs
    )


def _fingerprint(image: np.ndarray) -> tuple:
    """Return what two images have in common only if all their pixels are equal."""
    return (
        image.shape,
        str(image.dtype),
        hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest(),
    )


def join(first: Scene, second: Scene) -> Scene:
    """Return a scene of the views of two splits; views of one name are taken once.

    Views are in the order of their names where each split is, which is that of a video's frames, and otherwise those of
    the second come last. Raises SceneError where their pixels are of different kinds.
    """
    known = set(first.names)
    second = second.select([i for i, name in enumerate(second.names) if name not in known])
    if not len(second):
        return first
    kinds = {
        f"{image.dtype} with {image.shape[-1]} channels"
        for image in (*first.images, *second.images)
    }
    if len(kinds) > 1:
        reason = f"training and test images are of different kinds: {', '.join(sorted(kinds))}"
        raise SceneError(
            [
                Problem(
                    "scene",
                    "",
                    reason,
                    "convert them to one kind, or train without --config.eval_split=none",
                )
            ]
        )
    names = [*first.names, *second.names]
    both = dataclasses.replace(
        first,
        images=[*first.images, *second.images],
        cameras=join_cameras([first.cameras, second.cameras]),
        names=names,
        masks=_maps(first, second, "masks", np.ones, bool),
        depths=_maps(first, second, "depths", np.zeros, np.float32),
    )
    if [*first.names] != sorted(first.names) or [*second.names] != sorted(second.names):
        return both
    return both.select(sorted(range(len(names)), key=names.__getitem__))


def _maps(first: Scene, second: Scene, name: str, fill, dtype) -> list[np.ndarray] | None:
    """Return the masks or depths of both scenes, filled in for one that has none; None where neither has."""
    if getattr(first, name) is None and getattr(second, name) is None:
        return None
    maps: list[np.ndarray] = []
    for scene in (first, second):
        given = getattr(scene, name)
        maps += [fill(image.shape[:2], dtype) for image in scene.images] if given is None else given
    return maps
