"""Load the "synthetic NeRF" format: `transforms_{train,val,test}.json` beside RGBA images.

The format is that of the data published with NeRF (2003.08934).

Without a test file, the views of the validation file are "test". Without either, every 8th training
view is held out. A test file whose images are all missing, as BlenderNeRF leaves it, does not
prevent training.

The true distance and normals of the image `test/r_000.png` are read from `depth/test/r_000.npz` and
`normals/test/r_000.npz`, if these files exist; see data/README.md.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from nerf.scenes.base import NoViews, Problem, Scene, SceneError, hold_out, no_views
from nerf.scenes.checks import note_trained
from nerf.scenes.decode import MISSING
from nerf.scenes.formats.transforms import check_frames, read_transforms
from nerf.scenes.frames import Frame, frames_of, is_bounded
from nerf.scenes.normalise import normalise
from nerf.scenes.reading import to_scene

TRAIN = "transforms_train.json"


class _Split(NamedTuple):
    """The content of one split's file.

    Attributes:
      frames: None without a file, or after an error.
      notes: notes for the user.
      error: the problems of the file; NoViews if it is valid but none of its images exists.
    """

    frames: list[Frame] | None = None
    notes: list[str] = []
    error: SceneError | None = None


def detect(root: Path) -> bool:
    """Return whether the folder contains a `transforms_train.json`."""
    return (root / TRAIN).is_file()


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """Load one split of a synthetic scene.

    The training file alone determines the normalised world.
    """
    train = _read(root, TRAIN)
    if train.error is not None or train.frames is None:
        raise train.error or SceneError([Problem(TRAIN, "", "no such file", "export it again")])
    read = {name: _read(root, f"transforms_{name}.json") for name in ("val", "test")}
    own = read.get(split, train)
    # Without validation images, "val" is held out from the training views.
    if own.error is not None and not (split == "val" and isinstance(own.error, NoViews)):
        raise own.error
    splits, notes = _splits(train.frames, read, every)
    splits[split] = frames_of(splits, split, validation and read["val"].frames is None)
    if not splits[split]:
        raise no_views(split, len(train.frames), TRAIN)
    bounded = is_bounded(train.frames)
    transform = normalise(train.frames, bounded, level=False)
    test_notes = note_trained(splits["test"], splits["train"], "transforms_test.json")
    notes = [*own.notes, *notes, *test_notes]
    scene = to_scene(splits[split], transform, root, max_side, not bounded, notes)
    return dataclasses.replace(scene, axes_kept=True)


def _splits(
    train: list[Frame], read: dict[str, _Split], every: int
) -> tuple[dict[str, list[Frame]], list[str]]:
    """Return the frames of all three splits, and notes on splits without a file or images."""
    val, test = read["val"].frames, read["test"].frames
    notes = []
    if test is None and read["test"].error is None:
        if val is not None:
            test = val
            replacement = "the views of transforms_val.json are scored instead"
        else:
            held_out = hold_out(train, every)
            train, test = held_out["train"], held_out["test"]
            replacement = f"every {every}th view of {TRAIN} is held out as 'test'"
        notes.append(f"transforms_test.json does not exist: {replacement}")
    elif isinstance(read["test"].error, NoViews):
        notes.append(str(read["test"].error))
    return {"train": train, "val": val or hold_out(train, every)["test"], "test": test or []}, notes


def _read(root: Path, file: str) -> _Split:
    """Read the file of one split, if it exists."""
    if not (root / file).is_file():
        return _Split()
    try:
        data = read_transforms(root / file)
        frames, notes = check_frames(data, root, file)
        return _Split([_with_truth(frame, root) for frame in frames], notes)
    except SceneError as error:
        # NoViews stands for exactly one situation: a held-out split, all of whose images are
        # missing.
        if sum(problem.reason == MISSING for problem in error.problems) < len(error.problems):
            return _Split(error=error)
        listed = {str(frame.get("file_path")) for frame in data["frames"]}
        if file == TRAIN or len(error.problems) < len(listed):
            return _Split(error=error)
        reason = f"none of its {len(data['frames'])} images exists, so they cannot be scored"
        alternative = "--config.eval_split=val, which scores every 8th training view instead"
        fix = f"render them, or give {alternative}"
        return _Split(error=NoViews([Problem(file, "", reason, fix)]))


def _with_truth(frame: Frame, root: Path) -> Frame:
    """Return a frame with the files of its true distance and normals, if they exist."""
    place = frame.path.relative_to(root).with_suffix(".npz")
    distance, normals = root / "depth" / place, root / "normals" / place
    return dataclasses.replace(
        frame,
        distance=distance if distance.is_file() else None,
        normals=normals if normals.is_file() else None,
    )
