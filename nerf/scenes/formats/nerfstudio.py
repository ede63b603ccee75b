"""Load the nerfstudio / instant-ngp format: one `transforms.json`.

A key at the top level of the file applies to all frames; a frame may override it. Keys that
describe one property are overridden together, so a file may mix cameras. The keys of a lens are its
model (`camera_model`, or `is_fisheye`), image size (`w h`), focal length (`fl_x fl_y`, or
`camera_angle_x camera_angle_y`), principal point (`cx cy`) and distortion (`k1` ... `k6 p1 p2`).

A frame may have:
  - `mask_path`: black pixels are neither trained on nor scored.
  - instant-ngp's `dynamic_mask_NAME.png` beside its image: pixels that are not black show moving
    objects and are neither trained on nor scored.
  - `depth_file_path` (PNG, EXR or .npy, multiplied by the file's `depth_unit_scale_factor`, by
    default 0.001), or instant-ngp's `depth_path` with `integer_depth_scale`. Depth is measured
    along the optical axis for perspective lenses and along the ray for all others.
  - `is_bad`: the frame is skipped.

`ply_file_path` names a file of sparse points. ScanNet++'s `test_frames` are the test views. Poses
and points already include `applied_transform`; all outputs are in that coordinate frame.
"""

import dataclasses
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.scenes.base import Problem, Scene, SceneError, hold_out, no_views, one_line
from nerf.scenes.checks import note_trained
from nerf.scenes.formats.folders import note_unposed, photos
from nerf.scenes.formats.transforms import check_frames, read_transforms
from nerf.scenes.frames import Frame, frames_of, is_bounded
from nerf.scenes.lookup import POINTS, Finder, plain
from nerf.scenes.maps import map_files
from nerf.scenes.normalise import distances_to_points, measured_distances, normalise
from nerf.scenes.ply import read_points
from nerf.scenes.reading import to_scene
from nerf.scenes.tally import Tally

FILE = "transforms.json"
POINTS_KEY = "ply_file_path"
SPLITS = ("train", "val", "test")


def detect(root: Path) -> bool:
    """Return whether the folder contains a `transforms.json`."""
    return (root / FILE).is_file()


def load(
    root: Path,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    every: int = 8,
    max_missing: float = 0.3,
) -> Scene:
    """Load one split of a nerfstudio scene, with the sparse points of the file if it names any.

    The file's `{train,val,test}_filenames` define the splits. Listed images that do not exist are
    skipped with a note if they are at most the fraction `max_missing` of all.
    """
    data = read_transforms(root / FILE)
    lists = _SplitLists(data)
    frames, notes = check_frames(data, root, FILE, max_missing, lists.extra)
    frames = sorted(frames, key=lambda frame: frame.name)
    notes = [*notes, *_note_unnamed(frames, lists.file_paths, root)]
    bounded = is_bounded(frames)
    splits, more = _splits(frames, lists, every)
    splits[split] = frames_of(splits, split, validation)
    if not splits[split]:
        raise _no_views(split, len(frames), lists)
    points, colours, of_points = _points(data, root)
    # Distances from cameras to surfaces come from depth images, otherwise from sparse points.
    distances = measured_distances(frames, root)
    if distances is None and points is not None:
        distances = distances_to_points(frames, points)
    # All frames determine the transform, so that every split of the scene gets the same one.
    transform = normalise(frames, bounded, level=True, distances=distances)
    notes = [*notes, *more, *of_points]
    scene = to_scene(splits[split], transform, root, max_side, not bounded, notes)
    if points is None:
        return scene
    return dataclasses.replace(scene, points=transform.points(points), point_colours=colours)


def _points(
    data: dict[str, Any], root: Path
) -> tuple[np.ndarray | None, np.ndarray | None, list[str]]:
    """Return sparse points, their colours and notes; None, None if the file names no points."""
    if not data.get(POINTS_KEY):
        return None, None, []
    problems: list[Problem] = []
    tally = Tally()
    finder = Finder(root, tally)
    name, path = finder.locate(
        data[POINTS_KEY], lambda *what: problems.append(Problem(FILE, *what)), POINTS_KEY, POINTS
    )
    if path is None:
        raise SceneError(problems)
    notes = tally.notes(FILE)
    if not path.is_file():
        notes = [*notes, f"{FILE}: {POINTS_KEY}: {one_line(name)} does not exist, skipped"]
        return None, None, notes
    return *read_points(path, name), list(notes)


def _note_unnamed(frames: Sequence[Frame], file_paths: Sequence[str], root: Path) -> list[str]:
    """Return notes on photos and masks in the scene folder that the file does not name."""
    notes = []
    used = map_files(frames)
    # These include the names of frames that are marked as bad, so that their photos are not
    # reported.
    names = {plain(name).rpartition("/")[2] for name in file_paths}
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


class _SplitLists:
    """The split lists of a file, `{train,val,test}_filenames` or `{train,val,test}_frames`.

    The latter are ScanNet++'s.

    Attributes:
      keys: the splits that the file defines, each with the key that defines it.
      names: by split, the (key, image name) pairs of its lists.
      extra: by key, frames that are listed there but not in `frames`; they belong to the split of
        that key.
      file_paths: the `file_path` of all frames, `extra` included.
    """

    def __init__(self, data: Mapping[str, Any]):
        self.keys: dict[str, str] = {}
        self.names: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
        self.extra: dict[str, list[Any]] = {}
        self.file_paths = _file_paths(data["frames"])
        known = {posixpath.normpath(name) for name in self.file_paths}
        for split in SPLITS:
            for key in (f"{split}_filenames", f"{split}_frames"):
                for entry in self._entries(data, key, split):
                    name = entry.get("file_path") if isinstance(entry, dict) else entry
                    # A complete frame that `frames` does not contain is a frame of its own.
                    if isinstance(entry, dict) and not (
                        isinstance(name, str) and posixpath.normpath(name) in known
                    ):
                        self.extra.setdefault(key, []).append(entry)
                    if isinstance(name, str):
                        self.names[split].append((key, name))
        self.file_paths += [
            name for entries in self.extra.values() for name in _file_paths(entries)
        ]

    def _entries(self, data: Mapping[str, Any], key: str, split: str) -> list[Any]:
        """Return the list under `key`, and record that the file defines its split."""
        if key not in data:
            return []
        entries = [] if data[key] is None else data[key]
        kinds = (str, dict) if key.endswith("frames") else (str,)
        if not isinstance(entries, list) or not all(isinstance(entry, kinds) for entry in entries):
            fix = "write a list of the frames' file_path"
            raise SceneError([Problem(FILE, key, "not a list of image names", fix)])
        self.keys.setdefault(split, key)
        return entries

    def frames_by_split(self) -> dict[str, set[str]]:
        """Return the `file_path`s of each split's frames.

        Raises:
          SceneError: with every listed name that matches no frame, or more than one.
        """
        problems: list[Problem] = []
        exact: dict[str, list[str]] = {}
        loose: dict[str, list[str]] = {}
        for name in dict.fromkeys(self.file_paths):
            exact.setdefault(posixpath.normpath(name), []).append(name)
            loose.setdefault(plain(name), []).append(name)
        found: dict[str, set[str]] = {split: set() for split in SPLITS}
        for split, names in self.names.items():
            for key, name in names:
                # An exact match wins over one that ignores case and extension, and that over a
                # common path end.
                matches = (
                    exact.get(posixpath.normpath(name))
                    or loose.get(plain(name))
                    or _match_path_end(name, loose)
                )
                if not matches:
                    reason = f"{name!r} is no frame's file_path"
                    problems.append(Problem(FILE, key, reason, "correct it"))
                elif len({posixpath.normpath(other) for other in matches}) > 1:
                    shown = ", ".join(matches[:3])
                    reason = f"{name!r} matches {len(matches)} frames ({shown})"
                    problems.append(Problem(FILE, key, reason, "write the full file_path of one"))
                else:
                    found[split].update(matches)
        if problems:
            raise SceneError(list(dict.fromkeys(problems)))
        return found


def _file_paths(entries: Sequence[Any]) -> list[str]:
    """Return the `file_path` of every entry that has one."""
    named = [entry.get("file_path") for entry in entries if isinstance(entry, dict)]
    return [name for name in named if isinstance(name, str)]


def _match_path_end(name: str, known: Mapping[str, list[str]]) -> list[str]:
    """Return the frames whose path ends with `name`, or whose path is the end of `name`."""
    wanted = f"/{plain(name)}"
    if wanted == "/":
        return []
    alike = [
        names
        for other, names in known.items()
        if f"/{other}".endswith(wanted) or wanted.endswith(f"/{other}")
    ]
    return [name for names in alike for name in names]


def _no_views(split: str, count: int, lists: _SplitLists) -> SceneError:
    """Return the error for an empty split, naming the key of the file that defines it."""
    if split == "train" and lists.keys and split not in lists.keys and count > 1:
        keys = ", ".join(lists.keys.values())
        reason = "all images are listed, which leaves none to train on"
        fix = "list fewer there, or name some in train_filenames"
        return SceneError([Problem(FILE, keys, reason, fix)])
    return no_views(split, count, FILE, lists.keys.get(split, ""))


def _splits(
    frames: list[Frame], lists: _SplitLists, every: int
) -> tuple[dict[str, list[Frame]], list[str]]:
    """Return the frames of each split, and notes."""
    listed = lists.frames_by_split()
    if not lists.keys:
        return hold_out(frames, every), []
    splits = {
        split: [frame for frame in frames if frame.listed in listed[split]] for split in SPLITS
    }
    # A file that lists only held-out views trains on all others.
    if "train" not in lists.keys:
        others = {frame.name for split in ("val", "test") for frame in splits[split]}
        splits["train"] = [frame for frame in frames if frame.name not in others]
    notes = []
    if not splits["test"] and splits["val"]:
        splits["test"] = splits["val"]
        notes.append(f"{FILE}: lists no test views: those of the split 'val' are scored as 'test'")
    splits["val"] = splits["val"] or hold_out(splits["train"], every)["test"]
    named = {frame.name for split in splits.values() for frame in split}
    if left := [frame.name for frame in frames if frame.name not in named]:
        shown = one_line(", ".join(left[:5]))
        notes.append(f"{FILE}: {len(left)} frames are in no split, skipped: {shown}")
    return splits, [*notes, *note_trained(splits["test"], splits["train"], FILE)]
