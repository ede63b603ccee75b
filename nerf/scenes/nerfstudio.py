"""The nerfstudio / instant-ngp format: one `transforms.json`.

What the file says holds for all frames, or for the one that says it: lens (`camera_model`, or `is_fisheye`), its size
(`w h fl_x fl_y cx cy`, or `camera_angle_x`) and distortion (`k1` ... `k6 p1 p2`), so that cameras may be mixed. A frame
may have a `mask_path` (black is neither learned from nor scored) and a `depth_file_path` (PNG, EXR or .npy, times the
file's `depth_unit_scale_factor`, by default 0.001, along the optical axis for perspective lenses, else along the ray).
`ply_file_path` names sparse points. `applied_transform` is in the poses and in the points already, so that the file's
world, in which everything leaves this program, is the one after it.
"""

import dataclasses
import posixpath
from pathlib import Path
from typing import Any

from nerf.scenes.base import Problem, Scene, SceneError, hold_out
from nerf.scenes.frames import Frame, is_bounded, locate, to_scene
from nerf.scenes.normalise import normalise
from nerf.scenes.ply import read_points
from nerf.scenes.transforms import check_frames, read_transforms

FILE, KEY = "transforms.json", "ply_file_path"


def recognise(root: Path) -> bool:
    """Whether a folder is of this format."""
    return (root / FILE).is_file()


def load(
    root: Path,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    every: int = 8,
    max_missing: float = 0.3,
) -> Scene:
    """One split: by the file's `{train,val,test}_filenames` where it has them, else every 8th view is "test".

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" (every `every`-th view if the file names none) out of "train".
      every: which views are held out where the file names no split.
      max_missing: the fraction of listed images that may be missing.
    """
    data = read_transforms(root / FILE)
    frames, notes = check_frames(data, root, FILE, max_missing, suffixes=("", ".png", ".jpg"))
    frames = sorted(frames, key=lambda frame: frame.name)
    bounded = is_bounded(frames)
    splits = _splits(frames, data, every)
    if split == "train" and validation:
        splits["train"] = [frame for frame in splits["train"] if frame not in splits["val"]]
    if not splits[split]:
        raise SceneError([Problem(FILE, f"{split}_filenames", f"no view in split '{split}'", "add images to it")])
    transform = normalise(frames, bounded, level=True)
    scene = to_scene(splits[split], transform, root, max_side, not bounded, notes)
    return _with_points(scene, data, root)


def _with_points(scene: Scene, data: dict[str, Any], root: Path) -> Scene:
    """The scene with the sparse points that the file names, if it does."""
    if not data.get(KEY):
        return scene
    problems: list[Problem] = []
    name, path = locate(data[KEY], root, ("",), lambda *what: problems.append(Problem(FILE, *what)), KEY)
    if path is None:
        raise SceneError(problems)
    if not path.is_file():
        return dataclasses.replace(scene, notes=[*scene.notes, f"{FILE}: {KEY}: {name} does not exist, left out"])
    points, colours = read_points(path, name)
    return dataclasses.replace(scene, points=scene.transform.points(points), point_colours=colours)


def _splits(frames: list[Frame], data: dict[str, Any], every: int) -> dict[str, list[Frame]]:
    keys = {split: f"{split}_filenames" for split in ("train", "val", "test")}
    if keys["train"] in data:
        named = {split: _named(data, key) for split, key in keys.items()}
        splits = {split: [f for f in frames if f.name in names] for split, names in named.items()}
        splits["test"] = splits["test"] or splits["val"]
        splits["val"] = splits["val"] or hold_out(splits["train"], every)["test"]
        return splits
    return hold_out(frames, every)


def _named(data: dict[str, Any], key: str) -> set[str]:
    """The images that a list of the file names; each must be one of its frames (perhaps missing on disk)."""
    names = data.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SceneError([Problem(FILE, key, "not a list of image names", "write the file_path of its frames")])
    known = {posixpath.normpath(entry["file_path"]) for entry in data["frames"]}
    wanted = {posixpath.normpath(name) for name in names}
    if strange := sorted(wanted - known):
        raise SceneError([Problem(FILE, key, f"{name!r} is no frame's file_path", "correct it") for name in strange])
    return wanted
