"""Keyframe files: poses that a camera path passes through, in our format or in nerfstudio's.

Ours: {"keyframes": [{"c2w": 3x4 or 4x4, "fov": vertical degrees, "time": seconds}, ...], "loop": false, "fps": 30,
"seconds": 8}. All but `c2w` may be left out; `fov` and `time` stand in every keyframe or in none. Poses are
camera-to-world, OpenGL axes, in the units and axes of the scene's file. Without `time` the speed is constant and
the whole takes `seconds` (default: 2 a keyframe).

nerfstudio's camera path: {"camera_type", "render_width", "render_height", "camera_path": [{"camera_to_world":
16 numbers by rows, "fov": vertical degrees}, ...], "fps"}; every entry is one frame. The poses are taken to be in
the world of `transforms.json`. nerfstudio writes them in its own, which is the same only for a model trained with
`--orientation-method none --center-method none --auto-scale-poses False`; undo `dataparser_transforms.json` else.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.building import did_you_mean
from nerf.cameras import Cameras
from nerf.files import write_json
from nerf.motion import Number, Poses, distinct, lap_time, travel
from nerf.scenes.base import Problem, SceneError, Similarity, check_poses


class PathError(SceneError):
    """A camera path that cannot be made; the message lists all problems, one a line."""


def path_error(where: str, key: str, reason: str, mend: str) -> PathError:
    """The error of a single problem."""
    return PathError([Problem(where, key, reason, mend)])


@dataclasses.dataclass(frozen=True)
class Keyframes:
    """At least two poses to pass through.

    Attributes:
      c2w: in the scene's file world.
      frames: how many the file asks for.
      fps: frames a second.
      fov: vertical, degrees.
      times: increasing, one a pose; None: constant speed.
      loop: return to the first pose.
      size: width and height in pixels.
    """

    c2w: Float[np.ndarray, "n 3 4"]
    frames: int
    fps: float
    fov: Float[np.ndarray, " n"] | None = None
    times: Float[np.ndarray, " n"] | None = None
    loop: bool = False
    size: tuple[int, int] | None = None

    def path(self, transform: Similarity, frames: int) -> tuple[Poses, Float[np.ndarray, " f"] | None]:
        """Poses in the normalised world, to which `transform` leads, and vertical fields of view in degrees."""
        # The logarithm of the focal length: whatever the spline makes of it is a field of view in (0, 180).
        fov = np.zeros((len(self.c2w), 0)) if self.fov is None else self.fov[:, None]
        zoom = np.log(np.tan(np.radians(fov) / 2))
        c2w, zoom = travel(transform.poses(self.c2w), zoom, frames, self.times, self.loop)
        return c2w, None if self.fov is None else 2 * np.degrees(np.arctan(np.exp(zoom[:, 0])))


def read_keyframes(file: str | os.PathLike[str]) -> Keyframes:
    """The keyframes of a JSON file in either format. Raises PathError that lists every problem of the file."""
    file = os.fspath(file)
    try:
        data = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise path_error(file, "", error.strerror or str(error), "check its path") from error
    except (ValueError, RecursionError) as error:
        raise path_error(file, "", f"not valid JSON ({error})", "export it again") from error
    data = data if isinstance(data, dict) else {}
    # nerfstudio's file may hold keyframes of its own too.
    key, read = ("camera_path", _nerfstudio) if "camera_path" in data else ("keyframes", _ours)
    if not isinstance(data.get(key), list):
        raise path_error(file, "", "no list of keyframes", "give 'keyframes' (ours) or 'camera_path' (nerfstudio)")
    if len(data[key]) < 2:
        raise path_error(file, key, f"{len(data[key])} of them", "a path needs at least two")
    reader = _Reader(file)
    keys = read(data, reader)
    if reader.problems:
        raise PathError(reader.problems)
    if keys.times is not None:
        return keys
    kept = distinct(keys.c2w, keys.loop)
    if len(kept) < 2:
        raise path_error(file, key, "fewer than two different poses", "add keyframes")
    return dataclasses.replace(keys, c2w=keys.c2w[kept], fov=None if keys.fov is None else keys.fov[kept])


def save_keyframes(file: str | os.PathLike[str], cameras: Cameras, transform: Similarity, fps: Number = 30.0) -> None:
    """Write a path, every frame a keyframe in the scene's file world, to be edited and read again."""
    c2w = transform.poses_back(np.asarray(cameras.c2w, np.float64))
    fov = 2 * np.degrees(np.arctan(0.5 * cameras.size[:, 1] / np.asarray(cameras.K, np.float64)[:, 1, 1]))
    entries = [{"c2w": c2w[i].tolist(), "fov": float(fov[i]), "time": i / fps} for i in range(len(c2w))]
    write_json(Path(file), {"keyframes": entries, "loop": False, "fps": fps})


def _ours(data: Mapping[str, Any], read: "_Reader") -> Keyframes:
    entries = read.entries(data, "keyframes")
    read.known(data, ("keyframes", "loop", "fps", "seconds"))
    for where, entry in entries.items():
        read.known(entry, ("c2w", "fov", "time"), where)
    times = read.column(entries, "time", -1e6, 1e6)
    if times is not None and (np.diff(times) <= 0).any():
        read.report("time", "does not increase from keyframe to keyframe", "put the keyframes in order")
    if times is not None and "seconds" in data:
        read.report("seconds", "given as well as the keyframes' time", "leave one of them out")
    loop = data.get("loop", False)
    if not isinstance(loop, bool):
        read.report("loop", f"{json.dumps(loop)} is neither true nor false", "write true or false")
    fps, seconds = read.number(data, "fps", 0.0, 1000.0) or 30.0, read.number(data, "seconds", 0.0, 1e6)
    if times is None:
        frames = round(fps * (seconds or 2.0 * len(entries)))
    else:
        frames = round(fps * lap_time(times)) if loop else round(fps * (times[-1] - times[0])) + 1
    fov = read.column(entries, "fov", 0.0, 180.0)
    return Keyframes(read.poses(entries, "c2w"), frames, fps, fov, times, loop is True)


def _nerfstudio(data: Mapping[str, Any], read: "_Reader") -> Keyframes:
    entries = read.entries(data, "camera_path")
    if data.get("camera_type", "perspective") != "perspective":
        read.report("camera_type", f"{json.dumps(data['camera_type'])} is not supported", "export it as perspective")
    fps = read.number(data, "fps", 0.0, 1000.0) or 24.0
    wide, high = (read.number(data, key, 0.0, 1e5) for key in ("render_width", "render_height"))
    return Keyframes(
        read.poses(entries, "camera_to_world"),
        len(entries),
        fps,
        fov=read.column(entries, "fov", 0.0, 180.0),
        times=np.arange(len(entries)) / fps,
        size=(round(wide), round(high)) if wide and high else None,
    )


class _Reader:
    """Values out of a JSON file; what is wrong with them is collected, and replaced by what is usable."""

    def __init__(self, file: str):
        self.file = file
        self.problems: list[Problem] = []

    def report(self, key: str, reason: str, mend: str) -> None:
        self.problems.append(Problem(self.file, key, reason, mend))

    def known(self, data: Mapping[str, Any], keys: tuple[str, ...], where: str = "") -> None:
        for key in data:
            if key not in keys:
                self.report(where + key, "unknown key", did_you_mean(key, keys))

    def entries(self, data: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
        """The objects of the list data[key], by where they stand."""
        entries = {f"{key}[{i}].": entry for i, entry in enumerate(data[key])}
        for where, entry in entries.items():
            if not isinstance(entry, dict):
                self.report(where[:-1], "not an object", "write {...}")
                entries[where] = {}
        return entries

    def number(self, data: Mapping[str, Any], key: str, low: float, high: float, where: str = "") -> float | None:
        """data[key] in the open interval (low, high), or None where it is missing or wrong."""
        value = data.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and low < value < high:
            return float(value)
        self.report(where + key, f"{json.dumps(value)} is not a number between {low:g} and {high:g}", "correct it")
        return None

    def column(
        self, entries: Mapping[str, Mapping[str, Any]], key: str, low: float, high: float
    ) -> Float[np.ndarray, " n"] | None:
        """A number of every entry, or None."""
        values = [self.number(entry, key, low, high, where) for where, entry in entries.items()]
        given = [value for value in values if value is not None]
        if len(given) == len(values):
            return np.array(given, np.float64)
        if given:
            reason = f"in {len(given)} of {len(values)} keyframes only"
            self.report(key, reason, "give it in every keyframe or in none")
        return None

    def poses(self, entries: Mapping[str, Mapping[str, Any]], key: str) -> Float[np.ndarray, "n 3 4"]:
        return np.stack([self._pose(entry.get(key), where + key) for where, entry in entries.items()])

    def _pose(self, value: Any, where: str) -> Float[np.ndarray, "3 4"]:
        try:
            array = np.asarray(value)
        except ValueError:  # ragged
            array = np.asarray(None)
        if array.dtype.kind not in "iuf" or array.shape not in ((3, 4), (4, 4), (16,)):
            self.report(where, "not 3x4 or 4x4 numbers", "write camera-to-world, OpenGL axes")
            return np.eye(3, 4)
        matrix = array.astype(np.float64).reshape(-1, 4)
        if len(matrix) == 4 and not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
            self.report(where, "last row is not 0 0 0 1", "write it by rows, the position in column 4")
        else:
            self.problems += check_poses(matrix[None, :3], self.file, [where])
        return matrix[:3]
