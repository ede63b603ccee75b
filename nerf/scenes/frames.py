"""Posed images of whatever format, checked one by one, and the scene they make.

Matrices are camera-to-world with OpenGL axes, as everywhere in this package.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras import Cameras, seen_pixels, sees_whole_picture
from nerf.lenses import FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, Scene, SceneError, Similarity
from nerf.scenes.images import has_transparent_pixel, orientation, read_depths, read_images, read_masks


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
      mask: file of the size of the image, dark where nothing may be learned or scored; see `read_masks`.
      depth: file of depth, see `read_depths`, and how many units of the file's world one in it is.
      depth_K: of the camera that measured it, from the same place, as `K`; None: the image's own.
    """

    name: str
    path: Path
    size: tuple[int, int]
    c2w: np.ndarray
    K: np.ndarray
    distortion: np.ndarray
    transparent: bool = False
    model: int = PERSPECTIVE
    mask: Path | None = None
    depth: Path | None = None
    depth_unit: float = 1.0
    depth_K: np.ndarray | None = None


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


def locate(name: Any, root: Path, suffixes: Sequence[str], report, key: str = "file_path") -> tuple[str, Path | None]:
    """A file's name, relative to the scene folder, and the file; None for one that may not be opened.

    `report` is told what is wrong with the entry `key` of a frame.
    """
    if not isinstance(name, str) or not name:
        report(key, "missing", "give its path, relative to the scene folder")
        return "", None
    try:
        relative = Path(os.path.relpath(root / name, root))
        files = [root / f"{relative}{suffix}" for suffix in suffixes]
        path = next((file for file in files if file.is_file()), files[0])
        inside = ".." not in relative.parts and path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a lone surrogate, a loop of links
        report(key, f"{name!r} cannot be a file ({error})", "correct the path")
        return name, None
    if not inside:
        report(key, f"{name!r} lies outside the scene folder", "move the file into the folder")
        return name, None
    return relative.as_posix(), path


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


def _one_to_one(K: np.ndarray, size: tuple[int, int], distortion: Sequence[float], model: int) -> bool:
    """Whether every pixel comes from one direction: the distorted radius grows up to the corners'.

    Of a fisheye lens, whose picture may be a circle, only up to the nearest side.
    """
    if model not in (PERSPECTIVE, FISHEYE):
        return True
    corners = np.array([[x, y] for x in (0, size[0]) for y in (0, size[1])])
    farthest = np.linalg.norm((corners - K[:2, 2]) / np.diag(K)[:2], axis=-1).max()
    if model == FISHEYE:
        farthest = (np.array(size) / np.diag(K)[:2]).min() / 2
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


def _with_seen_pixels(masks: list[np.ndarray] | None, cameras: Cameras) -> list[np.ndarray] | None:
    """Return the masks without the pixels that no direction leads to; see `nerf.cameras.seen_pixels`."""
    bent = np.isin(cameras.model, (PERSPECTIVE, FISHEYE)) & np.asarray(cameras.distortion).any(-1)
    bent |= np.asarray(cameras.model) == FISHEYE
    views = np.flatnonzero(bent)
    if not len(views):
        return masks
    views = views[~sees_whole_picture(cameras[views])]
    if not len(views):
        return masks
    masks = masks or [np.ones((h, w), bool) for w, h in np.asarray(cameras.size).tolist()]
    seen: dict[bytes, np.ndarray] = {}  # views mostly share one lens
    for i in views.tolist():
        camera = cameras[i]
        lens = b"".join(np.asarray(x).tobytes() for x in (camera.K, camera.distortion, camera.size, camera.model))
        if lens not in seen:
            seen[lens] = seen_pixels(camera)
        masks[i] = masks[i] & seen[lens]
    return masks


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
    if turned := sum(orientation(frame.path) > 2 for frame in frames):
        notes = [
            *notes,
            f"{turned} of {len(frames)} photos are stored turned (EXIF orientation): up is as they are to be seen,"
            " pixels and poses stay as stored",
        ]
    images = read_images([frame.path for frame in frames], root, factors, alpha=not unbounded)
    names, sizes = [frame.name for frame in frames], [frame.size for frame in frames]
    if unbounded:
        images = [image[..., :3] for image in images]  # whatever alpha there is, it is opaque
    else:
        _refuse_empty(names, [image[..., 3] for image in images], "wholly transparent")
    cameras = _cameras(frames, transform, factors)
    masks = _with_seen_pixels(read_masks([frame.mask for frame in frames], root, factors, sizes), cameras)
    _refuse_empty(names, masks or (), "masked all over")
    units = [frame.depth_unit * transform.scale for frame in frames]
    lenses = [_to_depth(frame) for frame in frames]
    depths = read_depths([frame.depth for frame in frames], root, factors, sizes, cameras, units, lenses)
    return Scene(images, cameras, names, transform, unbounded, notes, masks, depths)


def _to_depth(frame: Frame) -> np.ndarray:
    """For x and for y the numbers (a, b) with which a x + b leads from a place of the image to that of its depth."""
    if frame.depth_K is None:
        return np.array([[1.0, 0.0], [1.0, 0.0]])
    zoom = np.diag(frame.depth_K)[:2] / np.diag(frame.K)[:2]
    return np.stack([zoom, frame.depth_K[:2, 2] - zoom * frame.K[:2, 2]], -1)


def _refuse_empty(names: Sequence[str], parts: Sequence[np.ndarray], reason: str) -> None:
    """Raise a SceneError that lists the views of which nothing is left."""
    if empty := [name for name, part in zip(names, parts, strict=False) if not part.any()]:
        raise SceneError([Problem(name, "", reason, "remove it or its mask") for name in empty])


def _cameras(frames: Sequence[Frame], transform: Similarity, factors: Sequence[int]) -> Cameras:
    """Of the reduced images, in the normalised world."""
    K = np.stack([frame.K for frame in frames])
    K[:, :2] /= np.array(factors)[:, None, None]
    model = np.array([frame.model for frame in frames], np.int32)
    K[model == ORTHOGRAPHIC, :2, :2] /= transform.scale  # pixels per unit
    return Cameras(
        c2w=transform.poses(np.stack([frame.c2w for frame in frames])).astype(np.float32),
        K=K.astype(np.float32),
        distortion=np.stack([frame.distortion for frame in frames]).astype(np.float32),
        size=np.array([[side // n for side in frame.size] for frame, n in zip(frames, factors, strict=True)], np.int32),
        model=model,
    )
