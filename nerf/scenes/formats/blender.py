"""The "synthetic NeRF" format: `transforms_{train,val,test}.json` beside RGBA images (2003.08934).

Where there is no test file, the views of the validation file are "test"; without that too, every 8th training view is
held out. A test file none of whose images exists, as BlenderNeRF leaves it, is no reason not to train.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from nerf.scenes.base import NoViews, Problem, Scene, SceneError, hold_out, no_views
from nerf.scenes.checks import note_trained
from nerf.scenes.decode import MISSING
from nerf.scenes.formats.transforms import check_frames, read_transforms
from nerf.scenes.frames import Frame, is_bounded, to_scene
from nerf.scenes.normalise import normalise

TRAIN = "transforms_train.json"


class _Split(NamedTuple):
    """One file's frames, None without any; notes; and what is wrong with the file, NoViews if no image exists."""

    frames: list[Frame] | None = None
    notes: list[str] = []
    error: SceneError | None = None


def detect(root: Path) -> bool:
    """Return whether a folder is of this format."""
    return (root / TRAIN).is_file()


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """Load one split.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" out of "train" where both come from the training file.
      every: which training views are held out where a split has no file.

    Returns:
      The views of the split, in the world that the training file alone determines.

    Raises:
      NoViews: for "test", where the test file lists images and none of them exists.
      SceneError: for everything that is wrong with the scene.
    """
    train = _read(root, TRAIN)
    if train.error is not None or train.frames is None:
        raise train.error or SceneError([Problem(TRAIN, "", "no such file", "export it again")])
    read = {name: _read(root, f"transforms_{name}.json") for name in ("val", "test")}
    own = read.get(split, train)
    if own.error is not None and not (split == "val" and isinstance(own.error, NoViews)):
        raise own.error
    splits, notes = _splits(train.frames, read, every)
    if split == "train" and validation and read["val"].frames is None:
        splits["train"] = [frame for frame in splits["train"] if frame not in splits["val"]]
    if not splits[split]:
        raise no_views(split, len(train.frames), TRAIN)
    bounded = is_bounded(train.frames)
    transform = normalise(train.frames, bounded, level=False)
    notes = [
        *own.notes,
        *notes,
        *note_trained(splits["test"], splits["train"], "transforms_test.json"),
    ]
    scene = to_scene(splits[split], transform, root, max_side, not bounded, notes)
    return dataclasses.replace(scene, axes_kept=True)


def _splits(
    train: list[Frame], read: dict[str, _Split], every: int
) -> tuple[dict[str, list[Frame]], list[str]]:
    """Return all three splits, and notes on those that have no file or no image."""
    val, test = read["val"].frames, read["test"].frames
    notes = []
    if test is None and read["test"].error is None:
        if val is not None:
            test = val
            notes.append(
                "transforms_test.json does not exist: the views of transforms_val.json are scored for it"
            )
        else:
            carved = hold_out(train, every)
            train, test = carved["train"], carved["test"]
            notes.append(
                f"transforms_test.json does not exist: every {every}th view of {TRAIN} is held out as 'test'"
            )
    elif isinstance(read["test"].error, NoViews):
        notes.append(str(read["test"].error))
    return {"train": train, "val": val or hold_out(train, every)["test"], "test": test or []}, notes


def _read(root: Path, file: str) -> _Split:
    if not (root / file).is_file():
        return _Split()
    try:
        data = read_transforms(root / file)
        return _Split(*check_frames(data, root, file))
    except SceneError as error:
        if sum(problem.reason == MISSING for problem in error.problems) < len(error.problems):
            return _Split(error=error)
        if file == TRAIN or len(error.problems) < len(
            {str(frame.get("file_path")) for frame in data["frames"]}
        ):
            return _Split(error=error)
        reason = (
            f"none of its {len(data['frames'])} images exists, so nothing can be scored on them"
        )
        fix = "render them, or give --config.eval_split=val, which scores every 8th training view instead"
        return _Split(error=NoViews([Problem(file, "", reason, fix)]))
