"""Read and write keyframe files: poses that a camera path passes through.

The format of this program: {"keyframes": [{"c2w": 3x4 or 4x4, "fov": vertical degrees, "time":
seconds, "name": "door"}, ...], "loop": false, "fps": 30, "seconds": 8}. Only `c2w` is required;
`fov` and `time` are given in every keyframe or in none. Poses are camera-to-world, OpenGL axes, in
the units and axes of the scene's file. Without `time` the speed is constant and the path takes
`seconds` (default: 2 per keyframe). A single keyframe is a still image. A `name` is for the user.

For the formats of nerfstudio and instant-ngp see `nerf.paths.other_tools`.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras.cameras import Cameras
from nerf.foundation.files import write_json
from nerf.paths.keyframe_reader import Keyframes, PathError, Reader, load_json, path_error
from nerf.paths.motion import Number, distinct, lap_time
from nerf.paths.other_tools import DATAPARSER, nerfstudio_world, read_instant_ngp, read_nerfstudio
from nerf.scenes.base import Similarity

FORMATS = {
    "camera_path": "nerfstudio",
    "path": "instant-ngp",
    "keyframes": "ours",
}  # by the key of their poses


def is_path_file(name: str | os.PathLike[str]) -> bool:
    """Return whether the name of a camera path is that of a keyframe file (*.json)."""
    return os.fspath(name).lower().endswith(".json")


def read_keyframes(
    file: str | os.PathLike[str],
    dataparser: str | os.PathLike[str] | None = None,
    scene_root: str | os.PathLike[str] | None = None,
) -> Keyframes:
    """Read a keyframe file of this program, nerfstudio or instant-ngp.

    Args:
      file: the path of the JSON file.
      dataparser: for nerfstudio's paths, the dataparser_transforms.json of the model; default: the
        file of that name next to `file`, if it exists.
      scene_root: folder of the scene. Its `applied_transform` is part of the transform in
        `dataparser` and must be removed from it.

    Returns:
      The keyframes, without consecutive poses that are equal unless they have times.

    Raises:
      PathError: the file has problems; the message lists all of them.
    """
    file = os.fspath(file)
    return parse_keyframes(load_json(file), file, dataparser, scene_root)


def parse_keyframes(
    data: Mapping[str, Any],
    file: str,
    dataparser: str | os.PathLike[str] | None = None,
    scene_root: str | os.PathLike[str] | None = None,
) -> Keyframes:
    """Read the content of a keyframe file; see `read_keyframes`.

    Args:
      data: the content.
      file: the file's name, for messages and for the files beside it.
      dataparser: see `read_keyframes`.
      scene_root: see `read_keyframes`.

    Raises:
      PathError: the content has problems; the message lists all of them.
    """
    # FORMATS is ordered: nerfstudio's file may also contain its own list called "keyframes".
    key = next((key for key in FORMATS if key in data), "")
    if not isinstance(data.get(key), list):
        known = "'keyframes' (ours), 'camera_path' (nerfstudio) or 'path' (instant-ngp)"
        if "frames" in data:
            reason = "a scene's file, not a camera path"
            raise path_error(file, "", reason, "--path=follow follows its photos")
        raise path_error(file, "", "no list of keyframes", f"give {known}")
    if not data[key]:
        raise path_error(file, key, "empty", "give at least one pose")
    reader = Reader(file)
    keys = _read(FORMATS[key], data, reader, dataparser, scene_root)
    if reader.problems:
        raise PathError(reader.problems)
    keys = dataclasses.replace(keys, notes=tuple(reader.notes))
    if keys.times is not None or len(keys.c2w) == 1:
        return keys
    # Equal consecutive poses would give the spline two knots at the same place.
    kept = distinct(keys.c2w, keys.loop)
    if len(kept) < 2:  # all poses are equal: a still image
        kept = np.array([0])
        keys = keys if "seconds" in data else dataclasses.replace(keys, frames=1)
    return dataclasses.replace(
        keys,
        c2w=keys.c2w[kept],
        fov=None if keys.fov is None else keys.fov[kept],
        names=tuple(keys.names[i] for i in kept) if keys.names else (),
    )


def _read(
    kind: str,
    data: Mapping[str, Any],
    reader: Reader,
    dataparser: str | os.PathLike[str] | None,
    scene_root: str | os.PathLike[str] | None,
) -> Keyframes:
    """Read one of the formats; the reader collects problems and notes.

    Args:
      kind: a value of `FORMATS`.
      data: the content of the file.
      reader: the reader of the file.
      dataparser: see `read_keyframes`.
      scene_root: see `read_keyframes`.
    """
    if kind != "nerfstudio":
        if dataparser is not None:
            reason = f"only for nerfstudio's paths, but the format of this file is {kind}"
            reader.report("dataparser", reason, "remove it")
        return _ours(data, reader) if kind == "ours" else read_instant_ngp(data, reader)
    beside = Path(reader.file).with_name(DATAPARSER)
    world = Similarity()
    has_transform = dataparser is not None or beside.exists()
    if has_transform:
        transform_file = beside if dataparser is None else Path(dataparser)
        about = Reader(str(transform_file))
        world = nerfstudio_world(transform_file, scene_root, about)
        reader.merge(about)
        reader.note("camera_path", f"poses converted to the scene's world with {transform_file}")
    keys = read_nerfstudio(data, reader, world)
    return keys if has_transform else dataclasses.replace(keys, from_nerfstudio_world=True)


def save_keyframes(
    file: str | os.PathLike[str], cameras: Cameras, transform: Similarity, fps: Number = 30.0
) -> None:
    """Write a path as a keyframe file that can be edited and read again.

    Every frame becomes a keyframe in the scene's file world.

    Args:
      file: the file to write.
      cameras: the cameras of the path, normalised world.
      transform: from the scene's file world to the normalised world.
      fps: frames per second.
    """
    c2w = transform.poses_back(np.asarray(cameras.c2w, np.float64))
    fov = 2 * np.degrees(
        np.arctan(0.5 * cameras.size[:, 1] / np.asarray(cameras.K, np.float64)[:, 1, 1])
    )
    entries = [
        {"c2w": c2w[i].tolist(), "fov": float(fov[i]), "time": i / fps} for i in range(len(c2w))
    ]
    write_json(Path(file), {"keyframes": entries, "loop": False, "fps": fps})


def _ours(data: Mapping[str, Any], read: Reader) -> Keyframes:
    entries = read.entries(data, "keyframes")
    read.known(data, ("keyframes", "loop", "fps", "seconds"))
    for where, entry in entries.items():
        read.known(entry, ("c2w", "fov", "time", "name"), where)
    times = read.column(entries, "time", -1e6, 1e6)
    if times is not None and (np.diff(times) <= 0).any():
        read.report(
            "time", "does not increase from keyframe to keyframe", "put the keyframes in order"
        )
    if times is not None and "seconds" in data:
        read.report("seconds", "given as well as the keyframes' time", "remove one of them")
    loop = read.flag(data, "loop")
    fps, seconds = (
        read.number(data, "fps", 0.0, 1000.0) or 30.0,
        read.number(data, "seconds", 0.0, 1e6),
    )
    fov = read.column(entries, "fov", 0.0, 180.0)
    frames = _frames(len(entries), times, loop, fps, seconds)
    names = tuple(_name(entry, where, read) for where, entry in entries.items())
    return Keyframes(read.poses(entries, "c2w"), frames, fps, fov, times, loop, names=names)


def _name(entry: Mapping[str, Any], where: str, read: Reader) -> str:
    """Return the name of a keyframe, empty if it has none."""
    name = entry.get("name", "")
    if not isinstance(name, str):
        read.report(f"{where}name", f"{name!r} is not text", "put it in quotes, or remove it")
        return ""
    return name


def _frames(
    poses: int, times: np.ndarray | None, loop: bool, fps: float, seconds: float | None
) -> int:
    """Return the number of frames of a path in our format.

    Args:
      poses: the number of keyframes.
      times: their times in seconds, or None.
      loop: whether the path returns to the first keyframe.
      fps: frames per second.
      seconds: the duration if there are no times; default: 2 per keyframe.
    """
    if times is None:
        still = 1 if poses == 1 else round(fps * 2.0 * poses)
        return still if seconds is None else round(fps * seconds)
    if poses == 1:
        return 1
    return round(fps * lap_time(times)) if loop else round(fps * (times[-1] - times[0])) + 1
