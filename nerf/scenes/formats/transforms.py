"""Read `transforms*.json` files of Blender and nerfstudio: frames with pose, image and lens."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nerf.scenes.base import Problem, SceneError, one_line, read_bytes
from nerf.scenes.checks import check_camera, check_mask, settle
from nerf.scenes.decode import check_header, check_numbers
from nerf.scenes.formats.lens_keys import KEYS, UNSUPPORTED_LENSES, flag, number, read_lens
from nerf.scenes.frames import Frame
from nerf.scenes.images import orientation
from nerf.scenes.lookup import DEPTH, IMAGE, MASK, NUMBERS, Finder, Kind
from nerf.scenes.rigid import nearest_pose
from nerf.scenes.tally import Tally

MAX_JSON_BYTES = 200_000_000
MAX_KEY_NOTES = 10  # unread keys that get a note of their own
MILLIMETRE = 1e-3  # default unit of depth: nerfstudio's, if the file gives none
MOVING_PREFIX = "dynamic_mask_"  # instant-ngp's files beside the images that mark moving objects
MASKS = ("mask_path", "mask", "mask_file_path")
# nerfstudio's key, and instant-ngp's, whose unit is `integer_depth_scale`.
DEPTHS = ("depth_file_path", "depth_path")
LABELS, INSTANCES = "semantics_path", "instances_path"
SPLIT_LISTS = tuple(
    f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("filenames", "frames")
)
# The keys that are read, at the top level of the file and in a frame.
READ_KEYS = {
    "file": KEYS
    | {
        "frames",
        *SPLIT_LISTS,
        "ply_file_path",
        "depth_unit_scale_factor",
        "integer_depth_scale",
        "has_mask",
    },
    "frame": KEYS
    | {
        "file_path",
        "transform_matrix",
        *MASKS,
        *DEPTHS,
        LABELS,
        INSTANCES,
        "is_bad",
        "depth_unit_scale_factor",
        "integer_depth_scale",
    },
}
# Unread keys that do not change the scene and get no note: other programs' bounding boxes and world
# transforms, their training options, and metadata of the capture.
IGNORED_KEYS = {
    *("aabb", "aabb_scale", "render_aabb", "scale", "offset", "up", "from_na", "n_frames"),
    *("fix_premult", "applied_scale", "applied_transform", "orientation_override"),
    *("auto_scale_poses_override", "n_extra_learnable_dims", "enable_depth_loading", "sharpness"),
    *("motion_blur_score", "blur_score", "rotation", "colmap_im_id", "colmap_image_id"),
    *("image_id", "camera_id", "frame_id", "id", "name", "timestamp", "exposure_time", "iso"),
}
# Unread keys that would change the scene, and the effect of ignoring each.
UNREAD_EFFECTS = {
    "time": "moving objects are learned as if they stood still",
    "rolling_shutter": "every image is taken as exposed at once",
    "rolling_shutter_time": "every image is taken as exposed at once",
    "transform_matrix_start": "every image is taken as exposed at once",
    "black_transparent": "black pixels count as black",
    "white_transparent": "white pixels count as white",
    "mask_color": "pixels of that colour count",
}


def read_transforms(path: Path) -> dict[str, Any]:
    """Read the JSON object of a transforms file.

    Raises:
      SceneError: if the file is not valid JSON, has a duplicate key, or has no list of `frames`.
    """
    try:
        text = read_bytes(path, MAX_JSON_BYTES).decode("utf-8-sig")
        data = json.loads(text, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:
        if isinstance(error, SceneError):
            raise
        reason = f"not valid JSON ({error})"
        raise SceneError([Problem(path.name, "", reason, "export it again")]) from error
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames:
        fix = "write a list of {file_path, transform_matrix}"
        raise SceneError([Problem(path.name, "frames", "no list of frames", fix)])
    return data


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object and refuse duplicate keys.

    The standard parser would silently keep the last one.
    """
    data = dict(pairs)
    if len(data) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"duplicate key {key!r}")
    return data


def check_frames(
    data: Mapping[str, Any],
    root: Path,
    file: str,
    max_missing: float = 0.0,
    more: Mapping[str, Sequence[Any]] | None = None,
) -> tuple[list[Frame], list[str]]:
    """Read and check all frames of a transforms file.

    Args:
      data: the JSON object of the file.
      root: the scene folder.
      file: name of the file, for messages.
      max_missing: largest allowed fraction of listed images that do not exist; they are skipped
        with a note.
      more: further lists of frames besides `frames`, by their key.

    Returns:
      The frames in the file's order without those marked as bad, and notes.

    Raises:
      SceneError: with every problem of every frame.
    """
    found: list[Problem] = []
    tally = Tally()
    finder = Finder(root, tally)
    frames: list[Frame] = []
    lists = {"frames": data["frames"], **(more or {})}
    for name, entries in lists.items():
        for i, entry in enumerate(entries):
            frame = _Entry(entry, data, finder, file, f"{name}[{i}]", found).frame()
            frames.extend([frame] if frame else [])
    total = sum(map(len, lists.values()))
    frames, notes = settle(frames, found, total, root, file, max_missing, tally)
    if not frames:
        fix = "unmark those that are to be used"
        raise SceneError([Problem(file, "is_bad", "every frame is marked as bad", fix)])
    return frames, [*notes, *_note_unread_keys(data, lists, file)]


def _note_unread_keys(
    data: Mapping[str, Any], lists: Mapping[str, Sequence[Any]], file: str
) -> list[str]:
    """Return a note for each key that is not read and may change the scene."""
    unread = dict.fromkeys(key for key in data if key not in READ_KEYS["file"] | IGNORED_KEYS)
    for entry in (
        entry for entries in lists.values() for entry in entries if isinstance(entry, dict)
    ):
        unread |= dict.fromkeys(
            key for key in entry if key not in READ_KEYS["frame"] | IGNORED_KEYS
        )
    lines = []
    # A lens that is not supported is refused with an error instead.
    for key in (key for key in unread if key not in UNSUPPORTED_LENSES):
        effect = f": {UNREAD_EFFECTS[key]}" if key in UNREAD_EFFECTS else ""
        lines.append(f"{file}: key {one_line(repr(key))} is not read{effect}")
    if len(lines) > MAX_KEY_NOTES + 1:
        lines[MAX_KEY_NOTES:] = [f"{file}: {len(lines) - MAX_KEY_NOTES} more keys are not read"]
    return lines


class _Entry:
    """One frame of a transforms file, while it is read and checked.

    Args:
      entry: the frame's JSON value.
      data: the JSON object of the file; its keys apply to frames that do not have them.
      finder: finds files in the scene folder.
      file: name of the transforms file, for messages.
      key: where the frame is in the file, for example "frames[3]".
      found: list to which the frame's problems are added.
    """

    def __init__(
        self,
        entry: Any,
        data: Mapping[str, Any],
        finder: Finder,
        file: str,
        key: str,
        found: list[Problem],
    ):
        self.own = entry if isinstance(entry, dict) else None
        self.data = data
        self.finder = finder
        self.tally = finder.tally
        self.file = file
        self.key = key
        self.found = found

    def report(self, where: str, reason: str, fix: str) -> None:
        """Add a problem with the key `where` of the frame, or of the file if the frame lacks it.

        Args:
          where: the key.
          reason: the problem.
          fix: how to fix it.
        """
        own = where in (self.own or {}) or where in ("file_path", "transform_matrix")
        self.found.append(Problem(self.file, f"{self.key}.{where}" if own else where, reason, fix))

    def get(self, key: str) -> Any:
        """Return the frame's value of a key, or the file's if the frame lacks it."""
        own = self.own or {}
        return own.get(key, self.data.get(key))

    def frame(self) -> Frame | None:
        """Return the checked frame; None if it has a problem or is marked as bad."""
        if self.own is None:
            fix = "write {file_path, transform_matrix}"
            self.found.append(Problem(self.file, self.key, "not an object", fix))
            return None
        if flag(self.own.get("is_bad")):
            self.tally.add("is_bad, skipped", str(self.own.get("file_path")))
            return None
        before = len(self.found)
        c2w = self._pose()
        listed = self.own.get("file_path")
        name, path = self.finder.locate(listed, self.report, kind=IMAGE)
        if path is None:
            return None
        header, wrong = check_header(path, name)
        if wrong:
            self.found.append(wrong)
            return None
        size = header.size
        lens = read_lens(self.own, self.data, size, self.report, self.tally)
        if lens is not None:
            model, K, distortion, declared = lens
            check_camera(K, size, declared, distortion.tolist(), self.report, path, model)
        # Masks and depth are checked even if the pose or lens has a problem, so that all problems
        # are reported at once.
        mask = self._mask(size)
        moving = self._moving(path, size)
        depth, unit = self._depth()
        labels, instances = (self._file((key,), NUMBERS)[2] for key in (LABELS, INSTANCES))
        if len(self.found) > before or c2w is None or lens is None:
            return None
        return Frame(
            name,
            path,
            header,
            c2w,
            K,
            distortion,
            model,
            orientation(path),
            str(listed),
            mask=mask,
            moving=moving,
            depth=depth,
            depth_unit=unit,
            labels=labels,
            instances=instances,
        )

    def _pose(self) -> np.ndarray | None:
        """Return the camera-to-world matrix (3, 4); None if it is not rigid."""
        matrix = _matrix(self.own.get("transform_matrix") if self.own else None)
        if matrix is None:
            fix = "write it by rows: camera-to-world, OpenGL axes, the last row 0 0 0 1"
            self.report("transform_matrix", "not a 4x4 (or 3x4) rigid matrix of numbers", fix)
            return None
        c2w, problems = nearest_pose(matrix, self.file, f"{self.key}.transform_matrix", self.tally)
        self.found.extend(problems)
        return c2w

    def _file(self, keys: Sequence[str], kind: Kind) -> tuple[str, str, Path | None]:
        """Return key, name and path of the file under the first of `keys` that the frame has."""
        own = self.own or {}
        key = next((key for key in keys if own.get(key) is not None), None)
        if key is None:
            return "", "", None
        name, path = self.finder.locate(own[key], self.report, key, kind)
        if path is not None and not path.is_file():
            self.report(key, f"{name}: no such file", "add it or remove its entry")
            return key, name, None
        return key, name, path

    def _mask(self, size: tuple[int, int]) -> Path | None:
        """Return the mask of the frame, if it names one and the file does not disable masks."""
        if not flag(self.data.get("has_mask", True)):
            return None
        key, name, path = self._file(MASKS, MASK)
        if path is None:
            return None
        check_mask(path, name, size, self.found, partial(self.report, key))
        return path

    def _moving(self, image: Path, size: tuple[int, int]) -> Path | None:
        """Return instant-ngp's mask of moving objects, which lies beside its image."""
        path = image.with_name(f"{MOVING_PREFIX}{image.stem}.png")
        if not path.is_file():
            return None
        relative = path.relative_to(self.finder.root).as_posix()
        name, found = self.finder.locate(relative, self.report, "file_path", MASK)
        if found is None:
            return None
        check_mask(found, name, size, self.found)
        effect = "pixels that are not black there are neither trained on nor scored"
        self.tally.add(f"{MOVING_PREFIX}* files are read: {effect}", name)
        return found

    def _depth(self) -> tuple[Path | None, float]:
        """Return the depth file, and its unit in units of the poses."""
        unit = self._unit("depth_unit_scale_factor", MILLIMETRE)
        key, name, path = self._file(DEPTHS, DEPTH)
        if key == DEPTHS[1]:
            # instant-ngp's depth has a unit of its own, without a default.
            if self.get("integer_depth_scale") is not None:
                unit = self._unit("integer_depth_scale", MILLIMETRE)
            elif self.get("depth_unit_scale_factor") is None:
                note = f"{key} without integer_depth_scale (the length of its unit): skipped"
                self.tally.add(note)
                return None, unit
        if path is not None:
            _, wrong = check_numbers(path, name)
            self.found.extend([wrong] if wrong else [])
        return path, unit

    def _unit(self, key: str, default: float) -> float:
        """Return the unit of depth under `key`, in units of the poses."""
        value = self.get(key)
        unit = default if value is None and key not in self.data else number(value)
        if unit is None or not unit > 1e-12:
            fix = "write how many units of the poses one unit of the depth is, as 0.001"
            self.report(key, f"{value!r} is not a positive number", fix)
            return default
        return unit


def _matrix(value: Any) -> np.ndarray | None:
    """Return the upper 3x4 part of a JSON matrix; None if it is malformed.

    The last row of a 4x4 matrix must be 0 0 0 1.
    """
    if not isinstance(value, list) or len(value) not in (3, 4):
        return None
    if not all(isinstance(row, list) and len(row) == 4 for row in value):
        return None
    numbers = [[_matrix_entry(x) for x in row] for row in value]
    if any(x is None for row in numbers for x in row):
        return None
    matrix = np.array(numbers, np.float64)
    rigid = np.allclose(matrix[3:], [0.0, 0.0, 0.0, 1.0], atol=1e-3, equal_nan=True)
    return matrix[:3] if rigid else None


def _matrix_entry(value: Any) -> float | None:
    """Return a number of a matrix; NaN passes, because `nearest_pose` reports it as such."""
    return value if isinstance(value, float) and value != value else number(value)
