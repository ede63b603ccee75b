"""A camera path that a user edits: keyframes with names, and every step can be undone.

The editor has no rules of its own for what a path shows. It writes the program's own keyframe
format, and what a viewer plays is read back from that, as `nerf render --path=FILE` reads it.
"""

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras
from nerf.foundation.files import write_json
from nerf.paths.keyframe_reader import Keyframes
from nerf.paths.keyframes import parse_keyframes, read_keyframes
from nerf.paths.other_tools import save_nerfstudio
from nerf.paths.paths import make_path
from nerf.paths.video_cameras import film_size
from nerf.scenes.base import Similarity
from nerf.viewer.poses import usual_fov

SECONDS_PER_KEY = 2.0  # of a path at constant speed, until the user sets its duration
MAX_UNDO = 200
NAME = "the path of the viewer"  # for messages


@dataclasses.dataclass(frozen=True)
class Key:
    """A keyframe.

    Attributes:
      name: shown to the user.
      c2w: camera-to-world, OpenGL axes, in the units and axes of the scene's file.
      fov: vertical field of view in degrees.
      time: seconds from the start; used if the path is `timed`.
    """

    name: str
    c2w: Float[np.ndarray, "3 4"]
    fov: float
    time: float


@dataclasses.dataclass(frozen=True)
class EditedPath:
    """A path in one state of its editing.

    Attributes:
      keys: the keyframes in their order.
      loop: whether the path returns to the first.
      timed: whether each keyframe is reached at its time; otherwise the speed is constant.
      seconds: duration at constant speed; None: two seconds per keyframe.
      fps: frames per second.
    """

    keys: tuple[Key, ...] = ()
    loop: bool = False
    timed: bool = False
    seconds: float | None = None
    fps: float = 30.0

    @property
    def duration(self) -> float:
        """Return the duration at constant speed, in seconds."""
        return SECONDS_PER_KEY * len(self.keys) if self.seconds is None else self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return the content of a keyframe file."""
        entries = [
            {"c2w": key.c2w.tolist(), "fov": key.fov, "name": key.name}
            | ({"time": key.time} if self.timed else {})
            for key in self.keys
        ]
        data = {"keyframes": entries, "loop": self.loop, "fps": self.fps}
        return data if self.timed or len(self.keys) < 2 else {**data, "seconds": self.duration}

    def keyframes(self) -> Keyframes:
        """Return what reading the path's file would return.

        Raises:
          PathError: the path has no keyframe, or times that do not increase.
        """
        return parse_keyframes(self.to_json(), NAME)


class PathEditor:
    """Edits a path; several threads may use it.

    Args:
      train: the training cameras, which decide the size of a film.
      transform: from the scene's file world to the normalised one.
      on_change: called after every change.

    Attributes:
      path: its present state.
    """

    def __init__(
        self,
        train: Cameras,
        transform: Similarity,
        on_change: Callable[[], None] = lambda: None,
    ):
        self.train, self.transform, self.on_change = train, transform, on_change
        self.path = EditedPath()
        self._past: list[EditedPath] = []
        self._lock = threading.RLock()

    def _set(self, path: EditedPath) -> None:
        with self._lock:
            self._past = [*self._past[1 - MAX_UNDO :], self.path]
            self.path = path
        self.on_change()

    def change(self, **values: Any) -> None:
        """Change attributes of the path, such as `loop`."""
        self._set(dataclasses.replace(self.path, **values))

    def undo(self) -> None:
        """Return to the state before the last change; without one, do nothing."""
        with self._lock:
            if not self._past:
                return
            self.path = self._past.pop()
        self.on_change()

    def add(self, c2w: Float[np.ndarray, "3 4"], fov: float, after: int | None = None) -> int:
        """Add a keyframe.

        Args:
          c2w: its pose, in the scene's file world.
          fov: vertical field of view in degrees.
          after: number of the keyframe before it; None: at the end.

        Returns:
          The number of the new keyframe.
        """
        with self._lock:
            keys = list(self.path.keys)
            place = len(keys) if after is None else after + 1
            keys.insert(place, Key(self._free_name(), np.asarray(c2w), fov, self._time_at(place)))
            self.change(keys=tuple(keys))
        return place

    def _free_name(self) -> str:
        """Return a name that no keyframe has."""
        names = {key.name for key in self.path.keys}
        return next(f"key {i}" for i in range(1, len(names) + 2) if f"key {i}" not in names)

    def _time_at(self, place: int) -> float:
        """Return a time for a keyframe that is inserted at a place."""
        times = [key.time for key in self.path.keys]
        if place == len(times):
            return times[-1] + SECONDS_PER_KEY if times else 0.0
        before = times[place - 1] if place else times[0] - 2.0 * SECONDS_PER_KEY
        return 0.5 * (before + times[place])

    def edit(self, number: int, **values: Any) -> None:
        """Change a keyframe.

        Args:
          number: of the keyframe.
          **values: its new `c2w`, `fov`, `name` or `time`.
        """
        with self._lock:
            keys = list(self.path.keys)
            keys[number] = dataclasses.replace(keys[number], **values)
            self.change(keys=tuple(keys))

    def remove(self, number: int) -> None:
        """Remove a keyframe."""
        with self._lock:
            keys = self.path.keys
            self.change(keys=keys[:number] + keys[number + 1 :])

    def swap(self, number: int, other: int) -> None:
        """Exchange two keyframes; each place keeps its time."""
        with self._lock:
            keys = list(self.path.keys)
            if not 0 <= min(number, other) <= max(number, other) < len(keys):
                return
            one, two = keys[number], keys[other]
            keys[number] = dataclasses.replace(two, time=one.time)
            keys[other] = dataclasses.replace(one, time=two.time)
            self.change(keys=tuple(keys))

    def time_evenly(self) -> None:
        """Give keyframes even times over the path's duration, to be changed one by one."""
        with self._lock:
            count = len(self.path.keys)
            gaps = max(count if self.path.loop else count - 1, 1)
            keys = tuple(
                dataclasses.replace(key, time=self.path.duration * i / gaps)
                for i, key in enumerate(self.path.keys)
            )
            self.change(keys=keys, timed=True)

    def cameras(self, width: int | None = None, height: int | None = None) -> Cameras:
        """Return the cameras of all frames, in the normalised world.

        Args:
          width: pixels; default: as `nerf render`.
          height: pixels; default: as `nerf render`.

        Raises:
          PathError: the path has no keyframe, or times that do not increase.
        """
        keys = self.path.keyframes()
        return make_path(
            f"{NAME}.json", self.train, self.transform, width=width, height=height, keys=keys
        )

    def save(self, file: Path) -> None:
        """Write the path as a keyframe file for `nerf render --path=FILE`."""
        self.path.keyframes()  # raises for a path that cannot be read again
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, self.path.to_json())

    def save_for_nerfstudio(self, file: Path, root: str | None) -> list[str]:
        """Write all frames as a camera path of nerfstudio's viewer, and return notes.

        Args:
          file: the file to write.
          root: the scene's folder, see `save_nerfstudio`.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        return save_nerfstudio(file, self.cameras(), self.transform, self.path.fps, root)

    def open(self, file: str | os.PathLike[str], root: str | None = None) -> list[str]:
        """Edit the path in a file of this program, of nerfstudio or of instant-ngp.

        Args:
          file: the file.
          root: the scene's folder, see `read_keyframes`.

        Returns:
          Notes for the user.

        Raises:
          PathError: the file has problems.
        """
        found = read_keyframes(file, scene_root=root)
        default = np.degrees(usual_fov(self.train, film_size(self.train)))
        count = len(found.c2w)
        fov = np.full(count, default) if found.fov is None else found.fov
        names = found.names or ("",) * count
        times = SECONDS_PER_KEY * np.arange(count) if found.times is None else found.times
        keys = tuple(
            Key(names[i] or f"key {i + 1}", found.c2w[i], float(fov[i]), float(times[i]))
            for i in range(count)
        )
        timed = found.times is not None and count > 1
        seconds = None if timed or count < 2 else found.frames / found.fps
        self._set(EditedPath(keys, found.loop, timed, seconds, found.fps))
        return [*found.notes, *_not_kept(found)]


def _not_kept(found: Keyframes) -> list[str]:
    """Return a line for each part of a file that the editor does not keep."""
    lines = []
    if found.size is not None:
        width, height = found.size
        lines.append(f"size {width}x{height}: not kept: render with --width and --height")
    if found.crop is not None:
        lines.append("crop: not kept: give a box with --crop")
    return lines
