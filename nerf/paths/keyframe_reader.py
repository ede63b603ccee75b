"""The content of a keyframe file, and a reader of JSON values that collects problems and notes."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import PERSPECTIVE
from nerf.foundation.instantiate import did_you_mean
from nerf.paths.motion import Poses, travel
from nerf.scenes.base import Problem, SceneError, Similarity
from nerf.scenes.formats.lens_keys import number
from nerf.scenes.rigid import nearest_pose
from nerf.scenes.tally import Tally

MAX_LAST_ROW_ERROR = 1e-3  # of a 4x4 matrix; a scene's files have the same limit


class PathError(SceneError):
    """A camera path cannot be made; the message lists all problems, one per line."""


def path_error(where: str, key: str, reason: str, fix: str) -> PathError:
    """Make the error for a single problem.

    Args:
      where: the file, or the name of the path.
      key: the wrong key or option; empty if the problem concerns the complete file.
      reason: what is wrong.
      fix: how to fix it.
    """
    return PathError([Problem(where, key, reason, fix)])


def load_json(file: str) -> Mapping[str, Any]:
    """Return the JSON object in a file, or an empty one if the file has something else.

    Raises:
      PathError: the file cannot be read or is not JSON.
    """
    try:
        data = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise path_error(file, "", error.strerror or str(error), "check its path") from error
    except (ValueError, RecursionError) as error:
        raise path_error(file, "", f"not valid JSON ({error})", "export it again") from error
    return data if isinstance(data, dict) else {}


@dataclasses.dataclass(frozen=True)
class Crop:
    """A box; nothing outside it is shown or exported.

    Attributes:
      to_box: the transform from the scene's file world to the axes of the box, whose centre is the
        origin.
      size: the box's sides after `to_box`.
      background: sRGB colour in [0, 1]; None is the run's.
    """

    to_box: Similarity
    size: tuple[float, float, float]
    background: tuple[float, float, float] | None


@dataclasses.dataclass(frozen=True)
class Keyframes:
    """Poses that a camera path passes through; a single pose is a still image.

    Attributes:
      c2w: camera-to-world matrices in the scene's file world.
      frames: the number of frames that the file asks for.
      fps: frames per second.
      fov: vertical field of view of each pose, in degrees.
      times: increasing times of the poses in seconds; None for constant speed.
      loop: whether the path returns to the first pose.
      size: width and height in pixels.
      aspect: width / height, if the file has no size.
      lens: one of the lenses of `nerf.cameras.lenses`.
      crop: the box that the video is limited to.
      names: of the poses, empty where a pose has none; no entries if the format has no names.
      from_nerfstudio_world: whether the poses may still be in nerfstudio's own world.
      notes: one line for each part of the file that is not used or needed an assumption.
    """

    c2w: Float[np.ndarray, "n 3 4"]
    frames: int
    fps: float
    fov: Float[np.ndarray, " n"] | None = None
    times: Float[np.ndarray, " n"] | None = None
    loop: bool = False
    size: tuple[int, int] | None = None
    aspect: float | None = None
    lens: int = PERSPECTIVE
    crop: Crop | None = None
    names: tuple[str, ...] = ()
    from_nerfstudio_world: bool = False
    notes: tuple[str, ...] = ()

    def path(
        self, transform: Similarity, frames: int
    ) -> tuple[Poses, Float[np.ndarray, " f"] | None]:
        """Interpolate the poses and fields of view.

        Args:
          transform: from the scene's file world to the normalised world.
          frames: the number of poses to return.

        Returns:
          Poses in the normalised world; and vertical fields of view in degrees, or None if the file
          has none.
        """
        if len(self.c2w) == 1:
            still_fov = None if self.fov is None else np.repeat(self.fov, frames)
            return np.repeat(transform.poses(self.c2w), frames, 0), still_fov
        # Interpolate -log(focal length): every real number is then a field of view in (0, 180).
        fov = np.zeros((len(self.c2w), 0)) if self.fov is None else self.fov[:, None]
        zoom = np.log(np.tan(np.radians(fov) / 2))
        c2w, zoom = travel(transform.poses(self.c2w), zoom, frames, self.times, self.loop)
        return c2w, None if self.fov is None else 2 * np.degrees(np.arctan(np.exp(zoom[:, 0])))


class Reader:
    """Read values from a JSON file and collect problems and notes.

    Wrong values are reported and replaced by usable ones, so that all problems of a file are found
    in one pass.

    Args:
      file: the file's name, for messages.

    Attributes:
      problems: the problems found so far.
    """

    def __init__(self, file: str):
        self.file = file
        self.problems: list[Problem] = []
        self._notes: list[str] = []
        self._tally = Tally()

    @property
    def notes(self) -> list[str]:
        """Return all notes; a note that holds for many poses is one line."""
        return [*self._notes, *self._tally.notes(self.file)]

    def report(self, key: str, reason: str, fix: str) -> None:
        """Collect a problem.

        Args:
          key: the wrong key.
          reason: what is wrong.
          fix: how to fix it.
        """
        self.problems.append(Problem(self.file, key, reason, fix))

    def merge(self, other: "Reader") -> None:
        """Add the problems and notes of the reader of another file."""
        self.problems += other.problems
        self._notes += other.notes

    def note(self, key: str, text: str) -> None:
        """Collect a note unless it was collected before."""
        if (line := f"{self.file}: {key}: {text}") not in self._notes:
            self._notes.append(line)

    def known(self, data: Mapping[str, Any], keys: tuple[str, ...], where: str = "") -> None:
        """Report every unknown key.

        Args:
          data: a section of the file.
          keys: the known ones.
          where: a prefix for messages.
        """
        for key in data:
            if key not in keys:
                self.report(where + key, "unknown key", did_you_mean(key, keys))

    def unused(self, data: Mapping[str, Any], keys: tuple[str, ...], where: str = "") -> None:
        """Note every key of `data` that is not in `keys`.

        Unknown keys in another program's file are not an error.

        Args:
          data: a JSON object.
          keys: the known keys.
          where: the object's position in the file, a prefix for messages.
        """
        for key in data:
            if key not in keys:
                self.note(where + key, "unknown key, not used")

    def entries(self, data: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
        """Return the objects of the list data[key] by their positions, e.g. "key[0]."."""
        entries = {f"{key}[{i}].": entry for i, entry in enumerate(data[key])}
        for where, entry in entries.items():
            if not isinstance(entry, dict):
                self.report(where[:-1], "not an object", "write {...}")
                entries[where] = {}
        return entries

    def number(
        self, data: Mapping[str, Any], key: str, low: float, high: float, where: str = ""
    ) -> float | None:
        """Return the number data[key], or None if it is missing or wrong.

        Args:
          data: a JSON object.
          key: the number's key; the number may be in quotes.
          low: exclusive lower bound.
          high: exclusive upper bound.
          where: the object's position in the file, a prefix for messages.
        """
        value = data.get(key)
        if value is None:
            return None
        found = number(value)
        if found is not None and low < found < high:
            return found
        self.report(
            where + key,
            f"{json.dumps(value)} is not a number between {low:g} and {high:g}",
            "correct it",
        )
        return None

    def flag(self, data: Mapping[str, Any], key: str) -> bool:
        """Return whether data[key] is true, also in quotes; False if missing or wrong."""
        value = data.get(key, False)
        word = value.strip().lower() if isinstance(value, str) else value
        if word not in ("true", "false") and not isinstance(word, bool):
            self.report(
                key, f"{json.dumps(value)} is neither true nor false", "write true or false"
            )
        return word in (True, "true")

    def column(
        self, entries: Mapping[str, Mapping[str, Any]], key: str, low: float, high: float
    ) -> Float[np.ndarray, " n"] | None:
        """Return one number of every entry, or None unless all entries have it.

        Args:
          entries: see `entries`.
          key: the number's key.
          low: exclusive lower bound.
          high: exclusive upper bound.
        """
        values = [self.number(entry, key, low, high, where) for where, entry in entries.items()]
        given = [value for value in values if value is not None]
        if len(given) == len(values):
            return np.array(given, np.float64)
        if given:
            reason = f"in {len(given)} of {len(values)} keyframes only"
            self.report(key, reason, "give it in every keyframe or in none")
        return None

    def vector(
        self,
        data: Mapping[str, Any],
        key: str,
        length: int,
        where: str = "",
        default: tuple[float, ...] | None = None,
    ) -> Float[np.ndarray, " n"]:
        """Return the list of numbers data[key].

        Args:
          data: a JSON object.
          key: the list's key.
          length: the number of entries that the list must have.
          where: the object's position in the file, a prefix for messages.
          default: used if the key is missing.
        """
        array = _numbers(data.get(key, default))
        if array is not None and array.shape == (length,) and np.isfinite(array).all():
            return array
        self.report(where + key, f"not {length} numbers", f"write a list of {length} numbers")
        return np.arange(1.0, length + 1)

    def poses(
        self, entries: Mapping[str, Mapping[str, Any]], key: str
    ) -> Float[np.ndarray, "n 3 4"]:
        """Return the camera-to-world matrix of every entry."""
        return np.stack(
            [self.pose(entry.get(key), where + key) for where, entry in entries.items()]
        )

    def pose(self, value: Any, where: str) -> Float[np.ndarray, "3 4"]:
        """Return the rigid matrix given as 3x4, 4x4 or 16 numbers by rows.

        A matrix that is rounded or scaled is replaced by the nearest rigid one, with a note.
        """
        array = _numbers(value)
        if array is None or array.shape not in ((3, 4), (4, 4), (16,)):
            self.report(where, "not 3x4 or 4x4 numbers", "write camera-to-world, OpenGL axes")
            return np.eye(3, 4)
        matrix = array.reshape(-1, 4)
        if len(matrix) == 4 and not np.allclose(matrix[3], [0, 0, 0, 1], atol=MAX_LAST_ROW_ERROR):
            self.report(
                where, "last row is not 0 0 0 1", "write it by rows, the position in column 4"
            )
            return matrix[:3]
        pose, problems = nearest_pose(matrix[:3], self.file, where, self._tally)
        self.problems += problems
        return pose


def _numbers(value: Any) -> Float[np.ndarray, "*s"] | None:
    """Return nested lists of numbers as an array, or None for anything else.

    The numbers may be in quotes.
    """
    entries = np.array(value, object)  # entries of ragged lists are lists, so `number` refuses them
    # Floats that are not finite are accepted here and reported later.
    found = [entry if isinstance(entry, float) else number(entry) for entry in entries.flat]
    if any(entry is None for entry in found):
        return None
    return np.array(found, np.float64).reshape(entries.shape)
