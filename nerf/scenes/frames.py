"""What Blender's and nerfstudio's `transforms*.json` share: frames with a pose, an image and intrinsics.

Matrices are camera-to-world with OpenGL axes, as everywhere in this package.
"""

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras import Cameras, intrinsics
from nerf.lenses import COEFFICIENTS, FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, Scene, SceneError, Similarity, check_poses, focus_point, rotation_to_z
from nerf.scenes.images import check_image, has_transparent_pixel, read_images

MAX_JSON_BYTES = 200_000_000
INTRINSICS = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x")
FLAT = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")  # all are cases of the first


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One image of a scene, checked.

    Attributes:
      name, path: of the image.
      size: width and height of the image as it is stored.
      c2w: in the file's world.
      K: in pixels of that size; of an orthographic lens, its focal lengths are in pixels per unit of the file's world.
      distortion: eight numbers, see `nerf.lenses`.
      transparent: whether the image has an alpha channel.
      model: a lens of `nerf.lenses`.
    """

    name: str
    path: Path
    size: tuple[int, int]
    c2w: np.ndarray
    K: np.ndarray
    distortion: np.ndarray
    transparent: bool = False
    model: int = PERSPECTIVE


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
    total = len(data["frames"])
    found: list[Problem] = []
    frames: list[Frame] = []
    for i, entry in enumerate(data["frames"]):
        frame, problems = _check_frame(entry, data, root, file, f"frames[{i}]", suffixes)
        found.extend(problems)
        frames.extend([frame] if frame else [])
    return settle(frames, found, total, root, file, max_missing)


def settle(
    frames: list[Frame], found: Sequence[Problem], total: int, root: Path, file: str, max_missing: float
) -> tuple[list[Frame], list[str]]:
    """The whole frames among `total`, and notes on missing images; raises a SceneError for anything else `found`."""
    problems = list(dict.fromkeys(found))  # what is wrong for all frames is said once
    missing = [problem for problem in problems if problem.reason == "no such image"]
    uses = Counter(frame.path for frame in frames)
    for name in dict.fromkeys(frame.name for frame in frames if uses[frame.path] > 1):
        problems.append(Problem(file, name, "the same image is listed more than once", "keep one pose for it"))
    notes = []
    if missing and frames and len(missing) <= max_missing * total:
        problems = [problem for problem in problems if problem not in missing]
        shown = ", ".join(problem.file for problem in missing[:5]) + (", ..." if len(missing) > 5 else "")
        notes.append(f"{file}: {len(missing)} of {total} listed images do not exist, left out: {shown}")
    if problems:
        raise SceneError([*problems, *_undecodable(frames, root)])
    return frames, notes


def _undecodable(frames: Sequence[Frame], root: Path) -> list[Problem]:
    """Images that pass for whole until they are decoded: looked for where something else is wrong already."""
    try:
        read_images([frame.path for frame in frames], root)
    except SceneError as error:
        return error.problems
    return []


def _check_frame(
    entry: Any, data: Mapping[str, Any], root: Path, file: str, key: str, suffixes: Sequence[str]
) -> tuple[Frame | None, list[Problem]]:
    """One entry as a Frame, or everything that is wrong with it."""
    if not isinstance(entry, dict):
        return None, [Problem(file, key, "not an object", "each frame: file_path, transform_matrix")]
    problems: list[Problem] = []

    def report(where: str, reason: str, mend: str):
        own = where in entry or where in ("file_path", "transform_matrix")
        problems.append(Problem(file, f"{key}.{where}" if own else where, reason, mend))

    matrix = _matrix(entry.get("transform_matrix"))
    if matrix is None:
        report("transform_matrix", "not a 4x4 (or 3x4) rigid matrix of numbers", "camera-to-world, OpenGL axes")
    else:
        problems.extend(check_poses(matrix[None], file, [f"{key}.transform_matrix"]))
    name, path = locate(entry.get("file_path"), root, suffixes, report)
    size, transparent, wrong = check_image(path, name) if path else ((0, 0), False, None)
    problems.extend([wrong] if wrong else [])
    if path is None or wrong:
        return None, problems
    K, distortion = _intrinsics({**data, **entry}, size, report)
    if problems or matrix is None:
        return None, problems
    return Frame(name, path, size, matrix, K, distortion, transparent), problems


def locate(name: Any, root: Path, suffixes: Sequence[str], report) -> tuple[str, Path | None]:
    """An image's name, relative to the scene folder, and its file; None for one that may not be opened."""
    if not isinstance(name, str) or not name:
        report("file_path", "missing", "give the path of the image, relative to the scene folder")
        return "", None
    try:
        relative = Path(os.path.relpath(root / name, root))
        files = [root / f"{relative}{suffix}" for suffix in suffixes]
        path = next((file for file in files if file.is_file()), files[0])
        inside = ".." not in relative.parts and path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a lone surrogate, a loop of links
        report("file_path", f"{name!r} cannot be a file ({error})", "correct the path")
        return name, None
    if not inside:
        report("file_path", f"{name!r} lies outside the scene folder", "move the image into the folder")
        return name, None
    return relative.as_posix(), path


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


def _intrinsics(keys: Mapping[str, Any], size: tuple[int, int], report) -> tuple[np.ndarray, np.ndarray]:
    """K in pixels of the image as stored, and OpenCV distortion; scaled if the file speaks of another size.

    What is wrong goes to `report`; then the result means nothing.
    """
    wide, high = size
    given: dict[str, float] = {}
    for key in (key for key in INTRINSICS if key in keys):
        value = _number(keys[key])
        if value is None or (value < 1e-6 and key not in ("cx", "cy")):
            report(key, f"{keys[key]!r} is not a positive number", "pixels, or radians for camera_angle_x")
            return np.eye(3), np.zeros(COEFFICIENTS)
        given[key] = value
    w, h = given.get("w", float(wide)), given.get("h", float(high))
    fx, fy = _focal(given, w)
    K = np.diag(np.array([wide / w, high / h, 1.0])) @ intrinsics(
        fx, fy, given.get("cx", w / 2), given.get("cy", h / 2)
    )
    distortion = [_number(keys.get(key, 0.0)) for key in ("k1", "k2", "p1", "p2")]
    coefficients = [value or 0.0 for value in distortion]
    model = keys.get("camera_model", "OPENCV")
    if not fx:
        report("fl_x", "no focal length", "give fl_x in pixels or camera_angle_x in radians")
    elif model not in FLAT:
        report("camera_model", f"{model!r} is not supported", "undistort the images to OPENCV or PINHOLE")
    elif keys.get("is_fisheye"):
        report("is_fisheye", "fisheye lenses are not supported", "undistort the images to OPENCV or PINHOLE")
    elif None in distortion:
        report("k1", "distortion is not a number", "write k1, k2, p1, p2 of OpenCV's model")
    elif any(keys.get(key) for key in ("k3", "k4")):
        report("k3", "only k1, k2, p1, p2 are supported", "undistort the images")
    else:
        check_camera(K, size, (w, h), [*coefficients, 0.0, 0.0, 0.0, 0.0], report)
    return K, np.array([*coefficients, 0.0, 0.0, 0.0, 0.0])


def check_camera(
    K: np.ndarray,
    size: tuple[int, int],
    declared: tuple[float, float],
    distortion: Sequence[float],
    report,
    model: int = PERSPECTIVE,
) -> None:
    """Tell `report` what, if anything, is wrong with K for an image of `size`, which the file says is `declared`."""
    wide, high = size
    w, h = declared
    if not min(w, h) > 0 or abs(w / h * high / wide - 1) > 0.02:
        report("w", f"file says {w:g}x{h:g}, the image is {wide}x{high}", "correct w and h, or crop the image")
    elif model != ORTHOGRAPHIC and not np.all((np.diag(K)[:2] > 1e-3 * wide) & (np.diag(K)[:2] < 1e4 * wide)):
        focal = f"{K[0, 0]:g}, {K[1, 1]:g}"
        report("fl_x", f"implausible focal length {focal} for width {wide}", "write it in pixels")
    elif not np.all(np.abs(K[:2, 2] / size - 0.5) < 5):
        report("cx", "implausible principal point", "write it in pixels from the top left corner")
    elif not _one_to_one(K, size, distortion, model):
        report("k1", "distortion folds the picture over itself", "correct k1, k2, p1, p2 or undistort the images")


def _focal(given: Mapping[str, float], w: float) -> tuple[float, float]:
    """fx and fy in pixels of an image `w` wide; zeros where the file has no focal length."""
    if "fl_x" in given or "fl_y" in given:
        fx = given.get("fl_x", given.get("fl_y", 0.0))
        return fx, given.get("fl_y", fx)
    angle = given.get("camera_angle_x", math.pi)
    focal = 0.5 * w / math.tan(0.5 * angle) if angle < math.pi else 0.0
    return focal, focal


def _one_to_one(K: np.ndarray, size: tuple[int, int], distortion: Sequence[float], model: int) -> bool:
    """Whether every pixel comes from one direction: the distorted radius grows up to the corners'."""
    if model not in (PERSPECTIVE, FISHEYE):
        return True
    corners = np.array([[x, y] for x in (0, size[0]) for y in (0, size[1])])
    farthest = np.linalg.norm((corners - K[:2, 2]) / np.diag(K)[:2], axis=-1).max()
    r = np.linspace(0.0, 3.0 * farthest if model == PERSPECTIVE else np.pi, 512)
    if model == PERSPECTIVE:
        k1, k2, p1, p2, k3, *below = distortion
        bent = r * np.polyval([k3, k2, k1, 1.0], r**2) / np.maximum(np.polyval([*below[::-1], 1.0], r**2), 1e-9)
        sideways = abs(p1) + abs(p2)
    else:
        bent = r * np.polyval([*distortion[3::-1], 1.0], r**2)
        sideways = np.abs(distortion[4:]).sum()
    growing = np.cumprod(np.diff(bent) > 0).astype(bool)
    return bool(bent[1:][growing].max(initial=0.0) > farthest and sideways * farthest < 0.1)


def is_bounded(frames: Sequence[Frame]) -> bool:
    """Whether a transparent pixel in any image says that what lies beyond is not part of the scene."""
    try:
        return any(has_transparent_pixel(frame.path) for frame in frames if frame.transparent)
    except Exception:  # damaged pixels: reading the images names every such file
        return any(frame.transparent for frame in frames)


def normalise(frames: Sequence[Frame], bounded: bool, level: bool, distances: np.ndarray | None = None) -> Similarity:
    """The similarity that puts what the cameras look at around the origin.

    Bounded scenes: the ball that every camera sees whole gets radius 1 / 1.05, so that an object that fits
    into the pictures fits into the box [-1, 1]^3. Unbounded scenes: the farthest camera gets distance 1, unless
    `distances` (n,) from cameras to matter that they see, in the file's units, say that this is out of proportion, as
    for a panorama: half of them stay within 4 and all but the nearest in a hundred beyond 0.2.
    `level` turns the mean of the cameras' up axes to +z.
    """
    c2w = np.stack([frame.c2w for frame in frames])
    focus = focus_point(c2w)
    distance = np.linalg.norm(c2w[:, :, 3] - focus, axis=-1)
    if bounded:
        radius = 1.05 * float(np.median([_reach(f, d) for f, d in zip(frames, distance, strict=True)]))
    else:
        radius = float(distance.max())
        if distances is not None and len(distances):
            radius = min(max(radius, float(np.median(distances)) / 4.0), float(np.quantile(distances, 0.01)) / 0.2)
    scale = 1.0 / radius if radius > 1e-9 else 1.0
    up = c2w[:, :, 1].mean(0)
    rotation = rotation_to_z(up) if level and np.linalg.norm(up) > 1e-3 else np.eye(3)
    return Similarity(scale, rotation, -scale * rotation @ focus)


def _reach(frame: Frame, distance: float) -> float:
    """Radius of what a camera sees at a distance across the longer side of its picture; at most the distance itself.

    A fisheye lens or a panorama sees more than that, which says nothing of how large the scene is.
    """
    half = max(frame.size[0] / frame.K[0, 0], frame.size[1] / frame.K[1, 1]) / 2
    if frame.model == ORTHOGRAPHIC:
        return half
    return distance * (half if frame.model == PERSPECTIVE else math.tan(min(half, math.pi / 4)))


def reduction(frames: Sequence[Frame], max_side: int) -> list[int]:
    """The integer factor of each frame that brings the largest under `max_side`; at least one pixel is left."""
    factor = -(-max(max(frame.size) for frame in frames) // max_side)
    return [min(factor, *frame.size) for frame in frames]


def to_scene(
    frames: Sequence[Frame],
    transform: Similarity,
    root: Path,
    max_side: int,
    unbounded: bool,
    notes: Sequence[str],
) -> Scene:
    """Read the images of `frames`, reduced by the smallest integer factor that brings them under `max_side`.

    Images have an alpha channel if the scene is bounded.
    """
    factors = reduction(frames, max_side)
    if (factor := max(factors)) > 1:
        notes = [
            *notes,
            f"images reduced by {factor} so that no side exceeds {max_side} (--config.scene.max_side)",
        ]
    images = read_images([frame.path for frame in frames], root, factors, alpha=not unbounded)
    if unbounded:
        images = [image[..., :3] for image in images]  # whatever alpha there is, it is opaque
    elif empty := [frame.name for frame, image in zip(frames, images, strict=True) if not image[..., 3].any()]:
        raise SceneError([Problem(name, "", "wholly transparent", "remove it or its mask") for name in empty])
    K = np.stack([frame.K for frame in frames])
    K[:, :2] /= np.array(factors)[:, None, None]
    for frame, k in zip(frames, K, strict=True):
        k[:2, :2] /= transform.scale if frame.model == ORTHOGRAPHIC else 1.0
    cameras = Cameras(
        c2w=transform.poses(np.stack([frame.c2w for frame in frames])).astype(np.float32),
        K=K.astype(np.float32),
        distortion=np.stack([frame.distortion for frame in frames]).astype(np.float32),
        size=np.array([image.shape[1::-1] for image in images], np.int32),
        model=np.array([frame.model for frame in frames], np.int32),
    )
    return Scene(images, cameras, [frame.name for frame in frames], transform, unbounded, notes)
