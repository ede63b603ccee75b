"""Split the views of a scene into training views and held-out views, and check the split."""

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
from nerf.scenes.maps import MAPS
from nerf.scenes.palette import union

# Maximum difference between entries of two normalised poses that count as the same pose, because
# files contain rounded numbers.
SAME_POSE_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Views:
    """The views of a run.

    Attributes:
      train: the training views.
      held_out: the views that are scored; None if there are none.
      trained_on: number of scored views that are also training views, because the scene's lists
        overlap.
      notes: one line for each fact about the split that a user should know.
    """

    train: Scene
    held_out: Scene | None
    trained_on: int
    notes: list[str]

    def by_split(self, split: str) -> dict[str, Scene]:
        """Return the training views as "train", and any held-out ones as `split`."""
        scenes = {"train": self.train}
        return scenes if self.held_out is None else {**scenes, split: self.held_out}

    def describe(self) -> str:
        """Return one line that describes the training views and the scored views."""
        sizes = sorted({(int(w), int(h)) for w, h in np.asarray(self.train.cameras.size)})
        shown = f"{sizes[0][0]}x{sizes[0][1]}" if len(sizes) == 1 else f"{len(sizes)} sizes"
        extent = "unbounded" if self.train.unbounded else "bounded"
        more = f", with {' and '.join(self.train.maps)} maps" if self.train.maps else ""
        scored = "none held out"
        if self.held_out is not None:
            kind = "scored" if self.trained_on else "held-out"
            scored = f"{len(self.held_out)} {kind} ones"
        return f"scene: {len(self.train)} training views and {scored}, {shown}, {extent}{more}"


def load_split(
    config: Mapping[str, Any],
    split: str,
    root: str | Path | None,
    plugins: tuple[str, ...] = (),
) -> Scene:
    """Load the views of one split, as the config's `eval_split` defines it.

    Args:
      config: the config. With `eval_split` "val", "train" excludes the validation views; with
        "none", it includes the test views.
      split: "train", "val" or "test".
      root: the scene folder.
      plugins: packages outside `nerf` that the config may name.

    Returns:
      The scene with the views of the split.

    Raises:
      SceneError: the scene cannot be used.
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
    """Load the training views and the held-out views.

    Args:
      config: the config; its `eval_split` names the held-out split.
      root: the scene folder.
      plugins: packages outside `nerf` that the config may name.

    Returns:
      The scene of the training views and the scene of the held-out views.

    Raises:
      NoViews: there are no held-out views.
      SceneError: the scene cannot be used.
    """
    split = config["eval_split"]
    if split == "none":
        fix = "choose val or test, to score views"
        raise NoViews([Problem("--config.eval_split=none", "", "it holds out no views", fix)])
    return load_split(config, "train", root, plugins), load_split(config, split, root, plugins)


def load_views(
    config: Mapping[str, Any], root: str | Path | None, plugins: tuple[str, ...] = ()
) -> Views:
    """Load the views of a run, also if the scene has no held-out views.

    Args:
      config: the config; its `eval_split` names the held-out split, or is "none".
      root: the scene folder.
      plugins: packages outside `nerf` that the config may name.

    Returns:
      The views, with notes about missing held-out views or an overlap with training views.

    Raises:
      SceneError: the scene cannot be used.
    """
    split = config["eval_split"]
    train = load_split(config, "train", root, plugins)
    if split == "none":
        count = len(train)
        line = f"check: eval_split=none: all {count} views are trained on, and nothing is scored"
        return Views(train, None, 0, [line])
    try:
        held_out = load_split(config, split, root, plugins)
    except NoViews as error:
        reason = "; ".join(str(error).splitlines())
        if "eval_split" not in reason and split != "val":
            reason += "; --config.eval_split=val holds out every 8th training view"
        line = f"check: {reason}: training continues and nothing is scored"
        return Views(train, None, 0, [line])
    known = count_trained_on(train, held_out)
    if not known:
        return Views(train, held_out, 0, [])
    shared = f"{known} of {len(held_out)} views of split '{split}' are trained on too"
    fix = f"list other images for '{split}'"
    if split != "val":
        fix += ", or use --config.eval_split=val"
    line = f"check: {shared}: their scores do not measure new views: {fix}"
    return Views(train, held_out, known, [line])


def count_trained_on(train: Scene, held_out: Scene) -> int:
    """Return the number of held-out views that are also training views.

    Two views are the same if they have the same pixels and the same pose up to rounding in a file.
    Their names do not matter.
    """
    by_pixels: dict[tuple, list[np.ndarray]] = defaultdict(list)
    for image, c2w in zip(train.images, np.asarray(train.cameras.c2w), strict=True):
        by_pixels[_fingerprint(image)].append(c2w)
    pairs = zip(held_out.images, np.asarray(held_out.cameras.c2w), strict=True)
    return sum(
        any(
            np.allclose(c2w, other, rtol=0.0, atol=SAME_POSE_TOLERANCE)
            for other in by_pixels[_fingerprint(image)]
        )
        for image, c2w in pairs
    )


def _fingerprint(image: np.ndarray) -> tuple:
    """Return a key that is equal for two images only if all their pixels are equal."""
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    return image.shape, str(image.dtype), digest


def join(first: Scene, second: Scene) -> Scene:
    """Join the views of two splits; views with the same name are taken once.

    If each split is sorted by name, as video frames are, the result is sorted too; otherwise the
    views of `second` come last.

    Raises:
      SceneError: the images of the two splits differ in type or number of channels.
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
        fix = "convert them to one kind, or train without --config.eval_split=none"
        raise SceneError([Problem("scene", "", reason, fix)])
    names = [*first.names, *second.names]
    both = dataclasses.replace(
        first,
        images=[*first.images, *second.images],
        cameras=join_cameras([first.cameras, second.cameras]),
        names=names,
        maps=_join_maps(first, second),
        classes=union(first.classes, second.classes),
    )
    if [*first.names] != sorted(first.names) or [*second.names] != sorted(second.names):
        return both
    return both.select(sorted(range(len(names)), key=names.__getitem__))


def _join_maps(first: Scene, second: Scene) -> dict[str, list[np.ndarray]]:
    """Return the maps of both scenes; a scene without one gets the map's default."""
    joined: dict[str, list[np.ndarray]] = {}
    for name, known in {**first.maps, **second.maps}.items():
        default = MAPS[name].default if name in MAPS else 0
        channels, kind = known[0].shape[2:], known[0].dtype
        joined[name] = []
        for scene in (first, second):
            joined[name] += scene.maps.get(name) or [
                np.full((*x.shape[:2], *channels), default, kind) for x in scene.images
            ]
    return joined
