"""What Blender's and nerfstudio's `transforms*.json` share: frames with a pose, an image and a lens."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.scenes.base import Problem, SceneError, one_line, read_bytes
from nerf.scenes.checks import check_camera, check_mask, settle
from nerf.scenes.decode import check_numbers
from nerf.scenes.formats.lens_keys import KEYS, OTHER_LENSES, flag, number, read_lens
from nerf.scenes.frames import Frame
from nerf.scenes.images import check_image, orientation
from nerf.scenes.lookup import DEPTH, IMAGE, MASK, Finder, Kind
from nerf.scenes.rigid import nearest_pose
from nerf.scenes.tally import Tally

MAX_JSON_BYTES = 200_000_000
MAX_KEY_NOTES = 10  # keys that are not read, each with a line of its own
MILLIMETRE = 1e-3  # nerfstudio's unit of depth where a file names none
MOVING_PREFIX = "dynamic_mask_"  # of files beside images in which instant-ngp marks what moves
MASKS = ("mask_path", "mask", "mask_file_path")
DEPTHS = (
    "depth_file_path",
    "depth_path",
)  # nerfstudio's, and instant-ngp's with `integer_depth_scale`
LISTS = tuple(
    f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("filenames", "frames")
)
READ = {
    "file": KEYS
    | {
        "frames",
        *LISTS,
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
        "is_bad",
        "depth_unit_scale_factor",
        "integer_depth_scale",
    },
}
# Keys without influence on what a scene is here: where other programs put their box, how they turn or scale the world
# for themselves, what they learn besides, and what a capture wrote down about an image.
HARMLESS = {
    *(
        "aabb",
        "aabb_scale",
        "render_aabb",
        "scale",
        "offset",
        "up",
        "from_na",
        "n_frames",
        "fix_premult",
    ),
    *("applied_scale", "applied_transform", "orientation_override", "auto_scale_poses_override"),
    *(
        "n_extra_learnable_dims",
        "enable_depth_loading",
        "sharpness",
        "motion_blur_score",
        "blur_score",
    ),
    *(
        "rotation",
        "colmap_im_id",
        "colmap_image_id",
        "image_id",
        "camera_id",
        "frame_id",
        "id",
        "name",
    ),
    *("timestamp", "exposure_time", "iso"),
}
EFFECTS = {
    "time": "whatever moves is learned as if it stood still",
    "rolling_shutter": "every image is taken as exposed at once",
    "rolling_shutter_time": "every image is taken as exposed at once",
    "transform_matrix_start": "every image is taken as exposed at once",
    "black_transparent": "black pixels count as black",
    "white_transparent": "white pixels count as white",
    "mask_color": "pixels of that colour count",
}


def read_transforms(path: Path) -> dict[str, Any]:
    """Read the JSON object in a transforms file, with its `frames`. Raises SceneError for anything else."""
    try:
        text = read_bytes(path, MAX_JSON_BYTES).decode("utf-8-sig")
        data = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError(
            [Problem(path.name, "", f"not valid JSON ({error})", "export it again")]
        ) from error
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames:
        raise SceneError(
            [
                Problem(
                    path.name,
                    "frames",
                    "no list of frames",
                    "write a list of {file_path, transform_matrix}",
                )
            ]
        )
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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
    """Read all frames of a transforms file in its order; raises a SceneError that lists every problem.

    Args:
      data: what is in the file.
      root: the scene folder.
      file: the file's name.
      max_missing: the fraction of the listed images that may be missing; they are left out with a note.
      more: lists of frames besides `frames`, by their key.

    Returns:
      The frames, without those that the file marks as bad, and notes.
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
        raise SceneError(
            [
                Problem(
                    file,
                    "is_bad",
                    "every frame is marked as bad",
                    "unmark those that are to be used",
                )
            ]
        )
    return frames, [*notes, *_unread_keys(data, lists, file)]


def _unread_keys(
    data: Mapping[str, Any], lists: Mapping[str, Sequence[Any]], file: str
) -> list[str]:
    """Return a note for each key that is not read, and that may mean something."""
    unread = dict.fromkeys(key for key in data if key not in READ["file"] | HARMLESS)
    for entry in (
        entry for entries in lists.values() for entry in entries if isinstance(entry, dict)
    ):
        unread |= dict.fromkeys(key for key in entry if key not in READ["frame"] | HARMLESS)
    lines = []
    for key in (key for key in unread if key not in OTHER_LENSES):
        effect = f": {EFFECTS[key]}" if key in EFFECTS else ""
        lines.append(f"{file}: key {one_line(repr(key))} is not read{effect}")
    if len(lines) > MAX_KEY_NOTES + 1:
        lines[MAX_KEY_NOTES:] = [f"{file}: {len(lines) - MAX_KEY_NOTES} more keys are not read"]
    return lines


class _Entry:
    """One frame of a transforms file; what is wrong with it is added to `found`."""

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
        self.data, self.finder, self.tally = data, finder, finder.tally
        self.file, self.key, self.found = file, key, found

    def report(self, where: str, reason: str, fix: str) -> None:
        """Note a problem under the key of the frame, or of the file where the frame has none of its own."""
        own = where in (self.own or {}) or where in ("file_path", "transform_matrix")
        self.found.append(Problem(self.file, f"{self.key}.{where}" if own else where, reason, fix))

    def says(self, key: str) -> Any:
        """Return what the frame says, or what its file does."""
        own = self.own or {}
        return own.get(key, self.data.get(key))

    def frame(self) -> Frame | None:
        """Return the frame if it is complete and not marked as bad."""
        if self.own is None:
            self.found.append(
                Problem(self.file, self.key, "not an object", "write {file_path, transform_matrix}")
            )
            return None
        if flag(self.own.get("is_bad")):
            self.tally.add("is_bad, left out", str(self.own.get("file_path")))
            return None
        before = len(self.found)
        c2w = self._pose()
        listed = self.own.get("file_path")
        name, path = self.finder.locate(listed, self.report, kind=IMAGE)
        if path is None:
            return None
        size, transparent, wrong = check_image(path, name)
        if wrong:
            self.found.append(wrong)
            return None
        lens = read_lens(self.own, self.data, size, self.report, self.tally)
        if lens is not None:
            model, K, distortion, declared = lens
            check_camera(K, size, declared, distortion.tolist(), self.report, path, model)
        mask, moving, (depth, unit) = self._mask(size), self._moving(path, size), self._depth()
        if len(self.found) > before or c2w is None or lens is None:
            return None
        return Frame(
            name,
            path,
            size,
            c2w,
            K,
            distortion,
            transparent,
            model,
            mask,
            depth,
            unit,
            listed=str(listed),
            orientation=orientation(path),
            moving=moving,
        )

    def _pose(self) -> np.ndarray | None:
        matrix = _matrix(self.own.get("transform_matrix") if self.own else None)
        if matrix is None:
            fix = "write it by rows: camera-to-world, OpenGL axes, the last row 0 0 0 1"
            self.report("transform_matrix", "not a 4x4 (or 3x4) rigid matrix of numbers", fix)
            return None
        c2w, problems = nearest_pose(matrix, self.file, f"{self.key}.transform_matrix", self.tally)
        self.found.extend(problems)
        return c2w

    def _file(self, keys: Sequence[str], kind: Kind) -> tuple[str, str, Path | None]:
        """Return the key, the name and the path of a file of the frame besides its image, if it names one."""
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
        if not flag(self.data.get("has_mask", True)):
            return None
        key, name, path = self._file(MASKS, MASK)
        if path is None:
            return None
        self._check_mask(path, name, size, lambda reason, fix: self.report(key, reason, fix))
        return path

    def _check_mask(
        self, path: Path, name: str, size: tuple[int, int], report: Callable[[str, str], None]
    ) -> None:
        """Report a mask that cannot be read, or that does not fit an image of this size."""
        own, _, wrong = check_image(path, name)
        if wrong:
            self.found.append(wrong)
        else:
            check_mask(own, size, report)

    def _moving(self, image: Path, size: tuple[int, int]) -> Path | None:
        """Return instant-ngp's mask of what moves in an image, which lies beside it under a name of its own."""
        path = image.with_name(f"{MOVING_PREFIX}{image.stem}.png")
        if not path.is_file():
            return None
        name, found = self.finder.locate(
            path.relative_to(self.finder.root).as_posix(), self.report, "file_path", MASK
        )
        if found is None:
            return None
        self._check_mask(
            found, name, size, lambda reason, fix: self.found.append(Problem(name, "", reason, fix))
        )
        self.tally.add(
            f"{MOVING_PREFIX}* files are read: nothing is learned or scored where they are not black",
            name,
        )
        return found

    def _depth(self) -> tuple[Path | None, float]:
        """Return the file of depth, and the units of the poses in one of its numbers."""
        unit = self._unit("depth_unit_scale_factor", MILLIMETRE)
        key, name, path = self._file(DEPTHS, DEPTH)
        if key == DEPTHS[1]:
            if self.says("integer_depth_scale") is not None:
                unit = self._unit("integer_depth_scale", MILLIMETRE)
            elif self.says("depth_unit_scale_factor") is None:
                self.tally.add(
                    f"{key} without integer_depth_scale, which says how long one of its units is: left out"
                )
                return None, unit
        if path is not None:
            _, wrong = check_numbers(path, name)
            self.found.extend([wrong] if wrong else [])
        return path, unit

    def _unit(self, key: str, default: float) -> float:
        value = self.says(key)
        unit = default if value is None and key not in self.data else number(value)
        if unit is None or not unit > 1e-12:
            fix = "write how many units of the poses one unit of the depth is, as 0.001"
            self.report(key, f"{value!r} is not a positive number", fix)
            return default
        return unit


def _matrix(value: Any) -> np.ndarray | None:
    """Read the upper 3x4 part of a matrix in JSON; None for anything else or a last row that is not 0 0 0 1."""
    if not isinstance(value, list) or len(value) not in (3, 4):
        return None
    if not all(isinstance(row, list) and len(row) == 4 for row in value):
        return None
    numbers = [[_entry(x) for x in row] for row in value]
    if any(x is None for row in numbers for x in row):
        return None
    matrix = np.array(numbers, np.float64)
    rigid = np.allclose(matrix[3:], [0.0, 0.0, 0.0, 1.0], atol=1e-3, equal_nan=True)
    return matrix[:3] if rigid else None


def _entry(value: Any) -> float | None:
    """Return a number of a matrix; NaN is one here, which is named as such later."""
    return value if isinstance(value, float) and value != value else number(value)
