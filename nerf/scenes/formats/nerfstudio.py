"""The nerfstudio / instant-ngp format: one `transforms.json`.

What the file says holds for all frames, or for the one that says it: lens (`camera_model`, or `is_fisheye`), its size
(`w h`), focal length (`fl_x fl_y`, or `camera_angle_x camera_angle_y`), centre (`cx cy`) and distortion (`k1` ... `k6
p1 p2`), each replaced as a whole, so that cameras may be mixed.

A frame may have a `mask_path` (black is neither learned from nor scored), instant-ngp's `dynamic_mask_NAME.png` beside
its image (what is not black moves, and is neither learned from nor scored) and a `depth_file_path` (PNG, EXR or .npy,
times the file's `depth_unit_scale_factor`, by default 0.001, along the optical axis for perspective lenses, otherwise
along the ray) or instant-ngp's `depth_path` with `integer_depth_scale`. ScanNet++'s `test_frames` are its test views,
and frames that are marked `is_bad` are left out.

`ply_file_path` names sparse points. `applied_transform` is in the poses and in the points already, so that the file's
world, in which everything leaves this program, is the one after it.
"""

import dataclasses
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.scenes.base import Problem, Scene, SceneError, hold_out, no_views, one_line
from nerf.scenes.checks import attachments, note_trained
from nerf.scenes.formats.folders import note_unposed, photos
from nerf.scenes.formats.transforms import check_frames, read_transforms
from nerf.scenes.frames import Frame, is_bounded, to_scene
from nerf.scenes.lookup import POINTS, Finder, plain
from nerf.scenes.normalise import distances_to_points, measured_distances, normalise
from nerf.scenes.ply import read_points
from nerf.scenes.tally import Tally

FILE, KEY = "transforms.json", "ply_file_path"
SPLITS = ("train", "val", "test")


def detect(root: Path) -> bool:
    """Return whether a folder is of this format."""
    return (root / FILE).is_file()


def load(
    root: Path,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    every: int = 8,
    max_missing: float = 0.3,
) -> Scene:
    """Load one split: by the file's `{train,val,test}_filenames` where it has them, otherwise every 8th view is "test".

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" (every `every`-th view if the file names none) out of "train".
      every: which views are held out where the file names no split.
      max_missing: the fraction of listed images that may be missing.

    Raises:
      NoViews: for "test", where the file names training views and no others.
      SceneError: for everything that is wrong with the scene.
    """
    data = read_transforms(root / FILE)
    lists = _Lists(data)
    frames, notes = check_frames(data, root, FILE, max_missing, lists.more)
    frames = sorted(frames, key=lambda frame: frame.name)
    notes = [*notes, *_unnamed(frames, lists.known, root)]
    bounded = is_bounded(frames)
    splits, more = _splits(frames, lists, every)
    if split == "train" and validation:
        splits["train"] = [frame for frame in splits["train"] if frame not in splits["val"]]
    if not splits[split]:
        raise _no_views(split, len(frames), lists)
    points, colours, of_points = _points(data, root)
    distances = measured_distances(frames, root)
    if distances is None and points is not None:
        distances = distances_to_points(frames, points)
    transform = normalise(frames, bounded, level=True, distances=distances)
    scene = to_scene(
        splits[split], transform, root, max_side, not bounded, [*notes, *more, *of_points]
    )
    if points is None:
        return scene
    return dataclasses.replace(scene, points=transform.points(points), point_colours=colours)


def _points(
    data: dict[str, Any], root: Path
) -> tuple[np.ndarray | None, np.ndarray | None, list[str]]:
    """Return the sparse points that the file names, their colours, and notes; None where it names none."""
    if not data.get(KEY):
        return None, None, []
    problems: list[Problem] = []
    tally = Tally()
    finder = Finder(root, tally)
    name, path = finder.locate(
        data[KEY], lambda *what: problems.append(Problem(FILE, *what)), KEY, POINTS
    )
    if path is None:
        raise SceneError(problems)
    notes = tally.notes(FILE)
    if not path.is_file():
        return None, None, [*notes, f"{FILE}: {KEY}: {one_line(name)} does not exist, left out"]
    return *read_points(path, name), list(notes)


def _unnamed(frames: Sequence[Frame], known: Sequence[str], root: Path) -> list[str]:
    """Return notes on photos beside those of the frames, and on masks, that the file does not name."""
    notes = []
    used = attachments(frames)
    names = {
        plain(name).rpartition("/")[2] for name in known
    }  # of frames that are left out for being bad, too
    endings = {frame.path.suffix.lower() for frame in frames}
    for folder in dict.fromkeys(frame.path.parent for frame in frames):
        found = [
            path for path in photos(folder) if path.suffix.lower() in endings and path not in used
        ]
        poses = {frame.path for frame in frames}
        found = [path for path in found if path in poses or plain(path.name) not in names]
        where = folder.relative_to(root).as_posix()
        notes += note_unposed(frames, found, "the folder" if where == "." else where, FILE)
    if not any(frame.mask for frame in frames):
        for name in ("masks", "mask"):
            if photos(root / name):
                notes.append(
                    f"{FILE}: the masks in {name} are not read: name each in its frame's mask_path"
                )
    return notes


class _Lists:
    """What a file says of its splits, in `{train,val,test}_filenames` or ScanNet++'s `{train,val,test}_frames`.

    Attributes:
      given: the splits of which the file says something, with the key under which it does.
      names: by split, what a list calls its images.
      more: by key, frames that are not among `frames`; they are of the split that their key names.
    """

    def __init__(self, data: Mapping[str, Any]):
        self.given: dict[str, str] = {}
        self.names: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
        self.more: dict[str, list[Any]] = {}
        self.known = _names(data["frames"])
        known = {posixpath.normpath(name) for name in self.known}
        for split in SPLITS:
            for key in (f"{split}_filenames", f"{split}_frames"):
                for entry in self._entries(data, key, split):
                    name = entry.get("file_path") if isinstance(entry, dict) else entry
                    if isinstance(entry, dict) and not (
                        isinstance(name, str) and posixpath.normpath(name) in known
                    ):
                        self.more.setdefault(key, []).append(entry)
                    if isinstance(name, str):
                        self.names[split].append((key, name))
        self.known += [name for entries in self.more.values() for name in _names(entries)]

    def _entries(self, data: Mapping[str, Any], key: str, split: str) -> list[Any]:
        """Return one list of the file, and note that the file says something of its split."""
        if key not in data:
            return []
        entries = [] if data[key] is None else data[key]
        kinds = (str, dict) if key.endswith("frames") else (str,)
        if not isinstance(entries, list) or not all(isinstance(entry, kinds) for entry in entries):
            raise SceneError(
                [
                    Problem(
                        FILE,
                        key,
                        "not a list of image names",
                        "write a list of the frames' file_path",
                    )
                ]
            )
        self.given.setdefault(split, key)
        return entries

    def listed(self) -> dict[str, set[str]]:
        """Return by split the file_path of its frames; raises a SceneError for every name that is none."""
        problems: list[Problem] = []
        exact: dict[str, list[str]] = {}
        loose: dict[str, list[str]] = {}
        for name in dict.fromkeys(self.known):
            exact.setdefault(posixpath.normpath(name), []).append(name)
            loose.setdefault(plain(name), []).append(name)
        found: dict[str, set[str]] = {split: set() for split in SPLITS}
        for split, names in self.names.items():
            for key, name in names:
                meant = (
                    exact.get(posixpath.normpath(name))
                    or loose.get(plain(name))
                    or _ends_alike(name, loose)
                )
                if not meant:
                    problems.append(
                        Problem(FILE, key, f"{name!r} is no frame's file_path", "correct it")
                    )
                elif len({posixpath.normpath(other) for other in meant}) > 1:
                    shown = ", ".join(meant[:3])
                    problems.append(
                        Problem(
                            FILE,
                            key,
                            f"{name!r} fits {len(meant)} frames ({shown})",
                            "write the one that is meant",
                        )
                    )
                else:
                    found[split].update(meant)
        if problems:
            raise SceneError(list(dict.fromkeys(problems)))
        return found


def _names(entries: Sequence[Any]) -> list[str]:
    named = [entry.get("file_path") for entry in entries if isinstance(entry, dict)]
    return [name for name in named if isinstance(name, str)]


def _ends_alike(name: str, known: Mapping[str, list[str]]) -> list[str]:
    """Return the frames of which one name is the end of the other's path, as with an absolute path."""
    wanted = f"/{plain(name)}"
    if wanted == "/":
        return []
    alike = [
        names
        for other, names in known.items()
        if f"/{other}".endswith(wanted) or wanted.endswith(f"/{other}")
    ]
    return [name for names in alike for name in names]


def _no_views(split: str, count: int, lists: _Lists) -> SceneError:
    """Return the error for a split without frames, which names a key that the file has."""
    if split == "train" and lists.given and split not in lists.given and count > 1:
        keys = ", ".join(lists.given.values())
        fix = "list fewer there, or name some in train_filenames"
        return SceneError(
            [Problem(FILE, keys, "all images are listed, which leaves none to train on", fix)]
        )
    return no_views(split, count, FILE, lists.given.get(split, ""))


def _splits(
    frames: list[Frame], lists: _Lists, every: int
) -> tuple[dict[str, list[Frame]], list[str]]:
    """Return the frames of each split, and what is to be noted of them."""
    listed = lists.listed()
    if not lists.given:
        return hold_out(frames, every), []
    splits = {
        split: [frame for frame in frames if frame.listed in listed[split]] for split in SPLITS
    }
    if "train" not in lists.given:
        others = {frame.name for split in ("val", "test") for frame in splits[split]}
        splits["train"] = [frame for frame in frames if frame.name not in others]
    notes = []
    if not splits["test"] and splits["val"]:
        splits["test"] = splits["val"]
        notes.append(f"{FILE}: names no test views: those of the split 'val' are scored as 'test'")
    splits["val"] = splits["val"] or hold_out(splits["train"], every)["test"]
    named = {frame.name for split in splits.values() for frame in split}
    if left := [frame.name for frame in frames if frame.name not in named]:
        notes.append(
            f"{FILE}: {len(left)} frames are in no split, left out: {one_line(', '.join(left[:5]))}"
        )
    return splits, [*notes, *note_trained(splits["test"], splits["train"], FILE)]
