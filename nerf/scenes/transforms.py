"""What Blender's and nerfstudio's `transforms*.json` share: frames with a pose, an image and intrinsics."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras import Cameras, intrinsics
from nerf.lenses import COEFFICIENTS, EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, SceneError, check_poses
from nerf.scenes.decode import check_numbers
from nerf.scenes.frames import Frame, check_camera, locate, settle
from nerf.scenes.images import check_image

MAX_JSON_BYTES = 200_000_000
MILLIMETRE = 1e-3  # nerfstudio's unit of depth where a file names none
SIZES = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x")
# nerfstudio's and COLMAP's names of lenses. "ORTHOGRAPHIC" is ours: fl_x and fl_y in pixels per unit of the file.
LENSES = {
    **dict.fromkeys(
        ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "PERSPECTIVE"), PERSPECTIVE
    ),
    **dict.fromkeys(
        ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "FISHEYE"), FISHEYE
    ),
    "EQUIRECTANGULAR": EQUIRECTANGULAR,
    "ORTHOGRAPHIC": ORTHOGRAPHIC,
}
WRITTEN = {
    PERSPECTIVE: "OPENCV",
    FISHEYE: "OPENCV_FISHEYE",
    EQUIRECTANGULAR: "EQUIRECTANGULAR",
    ORTHOGRAPHIC: "ORTHOGRAPHIC",
}
# Which keys the distortion of a lens is made of, in its order.
DISTORTION = {
    PERSPECTIVE: ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    FISHEYE: ("k1", "k2", "k3", "k4", "p1", "p2", "sx1", "sy1"),
}


def read_transforms(path: Path) -> dict[str, Any]:
    """The JSON object in a transforms file, with its `frames`. Raises SceneError for anything else."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise SceneError([Problem(path.name, "", "implausibly large", "is this the right file?")])
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_no_duplicates)
    except OSError as error:
        raise SceneError([Problem(path.name, "", error.strerror or str(error), "check the scene folder")]) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError([Problem(path.name, "", f"not valid JSON ({error})", "export it again")]) from error
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames:
        raise SceneError([Problem(path.name, "frames", "no list of frames", "each frame: file_path, transform_matrix")])
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"duplicate key {key!r}")
    return data


def check_frames(
    data: Mapping[str, Any], root: Path, file: str, max_missing: float = 0.0, suffixes: Sequence[str] = ("",)
) -> tuple[list[Frame], list[str]]:
    """All frames of a transforms file in its order, and notes; raises a SceneError that lists every problem.

    Listed images that do not exist are left out with a note if they are at most the fraction `max_missing`.
    """
    found: list[Problem] = []
    frames: list[Frame] = []
    for i, entry in enumerate(data["frames"]):
        frame = _Entry(entry, data, root, file, f"frames[{i}]", found).frame(suffixes)
        frames.extend([frame] if frame else [])
    return settle(frames, found, len(data["frames"]), root, file, max_missing)


class _Entry:
    """One frame of a transforms file; what is wrong with it is added to `found`."""

    def __init__(self, entry: Any, data: Mapping[str, Any], root: Path, file: str, key: str, found: list[Problem]):
        self.own = entry if isinstance(entry, dict) else None
        self.keys = {**data, **(self.own or {})}  # what a frame does not say itself holds for all
        self.root, self.file, self.key, self.found = root, file, key, found

    def report(self, where: str, reason: str, mend: str) -> None:
        """Note a problem under the key of the frame, or of the file where the frame has none of its own."""
        own = where in (self.own or {}) or where in ("file_path", "transform_matrix")
        self.found.append(Problem(self.file, f"{self.key}.{where}" if own else where, reason, mend))

    def frame(self, suffixes: Sequence[str]) -> Frame | None:
        """The frame if it is whole."""
        if self.own is None:
            self.found.append(Problem(self.file, self.key, "not an object", "each frame: file_path, transform_matrix"))
            return None
        before = len(self.found)
        c2w = self._pose()
        name, path = locate(self.own.get("file_path"), self.root, suffixes, self.report)
        if path is None:
            return None
        size, transparent, wrong = check_image(path, name)
        if wrong:
            self.found.append(wrong)
            return None
        model, K, distortion = self._lens(size)
        mask, depth, unit = self._mask(size), self._depth(), self._depth_unit()
        if len(self.found) > before or c2w is None:
            return None
        return Frame(name, path, size, c2w, K, distortion, transparent, model, mask, depth, unit)

    def _pose(self) -> np.ndarray | None:
        matrix = _matrix(self.keys.get("transform_matrix"))
        if matrix is None:
            mend = "camera-to-world, OpenGL axes"
            self.report("transform_matrix", "not a 4x4 (or 3x4) rigid matrix of numbers", mend)
        else:
            self.found.extend(check_poses(matrix[None], self.file, [f"{self.key}.transform_matrix"]))
        return matrix

    def _file(self, key: str) -> tuple[str, Path | None]:
        """A file of the frame besides its image, if it names one."""
        if self.own is None or self.own.get(key) is None:
            return "", None
        name, path = locate(self.own[key], self.root, ("",), self.report, key)
        if path is not None and not path.is_file():
            self.report(key, f"{name}: no such file", "add it or remove its entry")
            return name, None
        return name, path

    def _mask(self, size: tuple[int, int]) -> Path | None:
        name, path = self._file("mask_path")
        if path is None:
            return None
        own, _, wrong = check_image(path, name)
        if wrong:
            self.found.append(wrong)
        elif own != size:
            self.report("mask_path", f"{own[0]}x{own[1]}, the image is {size[0]}x{size[1]}", "make them equal")
        return path

    def _depth(self) -> Path | None:
        name, path = self._file("depth_file_path")
        if path is None:
            return None
        _, wrong = check_numbers(path, name)
        self.found.extend([wrong] if wrong else [])
        return path

    def _depth_unit(self) -> float:
        unit = _number(self.keys.get("depth_unit_scale_factor", MILLIMETRE))
        if unit is None or not unit > 1e-12:
            self.report("depth_unit_scale_factor", "not a positive number", "units of the poses to one of the depth")
            return MILLIMETRE
        return unit

    def _lens(self, size: tuple[int, int]) -> tuple[int, np.ndarray, np.ndarray]:
        """The lens, K in pixels of the image as stored (the file may speak of another size), and distortion."""
        model, (wide, high) = self._model(), size
        distortion = self._distortion(model)
        given = self._sizes(() if model == EQUIRECTANGULAR else SIZES)
        if given is None or distortion is None:
            return model, np.eye(3), np.zeros(COEFFICIENTS)
        w, h = given.get("w", float(wide)), given.get("h", float(high))
        fx, fy = (w / (2 * math.pi), h / math.pi) if model == EQUIRECTANGULAR else _focal(given, w)
        K = intrinsics(fx, fy, given.get("cx", w / 2), given.get("cy", h / 2))
        K = np.diag([wide / w, high / h, 1.0]) @ K
        if not fx:
            self.report("fl_x", "no focal length", "give fl_x in pixels or camera_angle_x in radians")
        elif model == EQUIRECTANGULAR and wide != 2 * high:
            self.report("camera_model", f"a panorama of {wide}x{high}", "write the whole sphere, twice as wide as high")
        else:
            check_camera(K, size, (w, h), distortion.tolist(), self.report, model)
        return model, K, distortion

    def _model(self) -> int:
        name = self.keys.get("camera_model") or "OPENCV"
        model = LENSES.get(name.upper() if isinstance(name, str) else "")
        if model is None:
            self.report("camera_model", f"{name!r} is not supported", "undistort the images to OPENCV or PINHOLE")
            return PERSPECTIVE
        return FISHEYE if model == PERSPECTIVE and self.keys.get("is_fisheye") else model

    def _distortion(self, model: int) -> np.ndarray | None:
        names = DISTORTION.get(model, ())
        numbers = [_number(self.keys.get(name) or 0.0) for name in names]
        for name, number in zip(names, numbers, strict=True):
            if number is None or not abs(number) < 1e6:
                self.report(name, "distortion is not a number", f"write {', '.join(names)} of the lens")
                return None
        return np.array([*numbers, *[0.0] * (COEFFICIENTS - len(names))], np.float64)

    def _sizes(self, names: Sequence[str]) -> dict[str, float] | None:
        """Those of the numbers that are there; None where one is wrong."""
        given = {}
        for key in (key for key in names if key in self.keys):
            value = _number(self.keys[key])
            if value is None or (value < 1e-6 and key not in ("cx", "cy")):
                reason = f"{self.keys[key]!r} is not a positive number"
                self.report(key, reason, "pixels, or radians for camera_angle_x")
                return None
            given[key] = value
        return given


def cameras_to_frames(cameras: Cameras, names: Sequence[str]) -> list[dict[str, Any]]:
    """The frames of a transforms file, each with its own lens, of cameras in the file's world.

    Reading them gives the cameras back: as float32 gives their numbers, and rotations as `check_frames` wants them.
    """
    frames = []
    for i, name in enumerate(names):
        lens = int(cameras.model[i])
        (fx, _, cx), (_, fy, cy), _ = np.asarray(cameras.K[i], np.float64).tolist()
        distortion = np.asarray(cameras.distortion[i], np.float64).tolist()
        sizes = dict(zip(("w", "h"), np.asarray(cameras.size[i]).tolist(), strict=True))
        focal = {} if lens == EQUIRECTANGULAR else {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
        bent = {key: value for key, value in zip(DISTORTION.get(lens, ()), distortion, strict=False) if value}
        matrix = [*np.asarray(cameras.c2w[i], np.float64).tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append(
            {"file_path": name, "camera_model": WRITTEN[lens], **sizes, **focal, **bent, "transform_matrix": matrix}
        )
    return frames


def _number(value: Any) -> float | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if ok else None


def _matrix(value: Any) -> np.ndarray | None:
    """The upper 3x4 part of a matrix in JSON; None for anything else or a last row that is not 0 0 0 1."""
    if not isinstance(value, list) or len(value) not in (3, 4):
        return None
    if not all(isinstance(row, list) and len(row) == 4 for row in value):
        return None
    if any(not isinstance(x, int | float) or isinstance(x, bool) or abs(x) > 1e12 for row in value for x in row):
        return None
    matrix = np.array(value, np.float64)
    rigid = np.allclose(matrix[3:], [0.0, 0.0, 0.0, 1.0], atol=1e-3, equal_nan=True)
    return matrix[:3] if rigid else None


def _focal(given: Mapping[str, float], w: float) -> tuple[float, float]:
    """fx and fy in pixels of an image `w` wide; zeros where the file has no focal length."""
    if "fl_x" in given or "fl_y" in given:
        fx = given.get("fl_x", given.get("fl_y", 0.0))
        return fx, given.get("fl_y", fx)
    angle = given.get("camera_angle_x", math.pi)
    focal = 0.5 * w / math.tan(0.5 * angle) if angle < math.pi else 0.0
    return focal, focal
