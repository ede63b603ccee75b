"""The "synthetic NeRF" format: `transforms_{train,val,test}.json` beside RGBA images (2003.08934)."""

import dataclasses
from pathlib import Path

from nerf.scenes.base import Problem, Scene, SceneError, every_nth
from nerf.scenes.frames import Frame, is_bounded, to_scene
from nerf.scenes.normalise import normalise
from nerf.scenes.transforms import check_frames, read_transforms

SUFFIXES = (".png", ".jpg", ".jpeg", "")


def recognise(root: Path) -> bool:
    """Whether a folder is of this format."""
    return (root / "transforms_train.json").is_file()


def load(root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8) -> Scene:
    """One split. Where there is no validation file, every `every`-th training view serves as "val".

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" out of "train" where both come from the training file.
      every: which training views are "val".
    """
    train, train_notes = _frames(root, "train")
    bounded = is_bounded(train)
    transform = normalise(train, bounded, level=False)
    own_file = (root / f"transforms_{split}.json").is_file()
    if split == "train" or (split == "val" and not own_file):
        frames, notes = train, train_notes
        if split == "val" or (validation and not (root / "transforms_val.json").is_file()):
            frames = [train[i] for i in every_nth(len(train), split, every)]
    elif own_file:
        frames, notes = _frames(root, split)
    else:
        file = f"transforms_{split}.json"
        raise SceneError([Problem(file, "", "no such file", f"a Blender scene needs one for '{split}'")])
    if not frames:
        raise SceneError([Problem("transforms_train.json", "frames", "too few to leave any out", "add images")])
    return dataclasses.replace(to_scene(frames, transform, root, max_side, not bounded, notes), axes_kept=True)


def _frames(root: Path, split: str) -> tuple[list[Frame], list[str]]:
    file = f"transforms_{split}.json"
    return check_frames(read_transforms(root / file), root, file, suffixes=SUFFIXES)
