"""Load LLFF scenes: `poses_bounds.npy` beside `images`, `images_4`, `images_8`, ... (1905.00889).

A row of the file contains a 3x5 matrix, and the nearest and farthest depth of the view. The columns
of the matrix are the camera's axes down, right and back, its position, and the height, width and
focal length of the full image in pixels. Rows are in the order of the image names.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import intrinsics
from nerf.scenes.base import Problem, Scene, SceneError
from nerf.scenes.formats.arrays import read_npy
from nerf.scenes.formats.folders import (
    View,
    check_views,
    choose,
    image_folder,
    photos,
    with_masks,
)
from nerf.scenes.frames import Frame, is_bounded
from nerf.scenes.normalise import normalise
from nerf.scenes.reading import to_scene

FILE = "poses_bounds.npy"


def detect(root: Path) -> bool:
    """Return whether the folder contains a `poses_bounds.npy`."""
    return (root / FILE).is_file()


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """Load one split of an LLFF scene.

    Pixels outside the masks in a folder `masks` (or `masks_8`, ...) are unknown: they are neither
    trained on nor scored.

    A scene is bounded if an image has a transparent pixel, or if the masks leave only an object.
    The latter is assumed if there are masks and the depth range of a typical view fits into the
    ball that all cameras see. Space outside the masks is unknown rather than empty, but as nothing
    is learned from it, the object needs no space around it.
    """
    rows = _rows(root)
    folder = image_folder(root, max_side, lambda folder: next(iter(photos(folder)), None))
    images = photos(folder)
    if len(images) != len(rows):
        reason = f"{len(rows)} poses, and {len(images)} images in {folder.name}"
        raise SceneError([Problem(FILE, "", reason, "keep one image for each pose")])
    views = [
        View(f"row {i}", f"{folder.name}/{image.name}", *_camera(row))
        for i, (image, row) in enumerate(zip(images, rows, strict=True))
    ]
    frames, notes = check_views(views, root, FILE)
    frames, more = with_masks(frames, root, folder.name)
    bounds = rows[:, 15:]
    bounded = is_bounded(frames) or (frames[0].mask is not None and _fits_ball(frames, bounds))
    transform = normalise(frames, bounded, level=True, distances=bounds.reshape(-1))
    chosen = choose(frames, split, validation, every, FILE)
    return to_scene(chosen, transform, root, max_side, not bounded, [*notes, *more])


def _rows(root: Path) -> Float[np.ndarray, "n 17"]:
    """Read the rows of the file, checked."""
    rows = read_npy(root / FILE)
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        reason = f"an array of {rows.shape}, not of (n, 17)"
        raise SceneError([Problem(FILE, "", reason, "export it again")])
    if not (np.abs(rows) < 1e12).all():
        raise SceneError([Problem(FILE, "", "numbers that are not finite", "export it again")])
    near, far = rows[:, 15], rows[:, 16]
    wrong = np.flatnonzero(~((near > 0) & (far >= near)))
    if len(wrong):
        fix = "write the nearest and the farthest depth"
        raise SceneError(
            [Problem(FILE, f"row {i}", f"bounds {near[i]:g}, {far[i]:g}", fix) for i in wrong]
        )
    return rows


def _camera(row: Float[np.ndarray, "17"]) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Return camera-to-world (3, 4) with OpenGL axes, K, and the size of the full image."""
    down, right, back, position, (h, w, f) = row[:15].reshape(3, 5).T
    c2w = np.stack([right, -down, back, position], -1)
    return c2w, intrinsics(f, f, w / 2, h / 2), (float(w), float(h))


def _fits_ball(frames: list[Frame], bounds: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether the median depth range fits into the ball that its camera sees.

    The ball lies in the middle of the depth range. Its diameter is 2 depth tangent, with the
    tangent of half the wider angle of view.
    """
    tangent = np.array(
        [max(frame.size[0] / frame.K[0, 0], frame.size[1] / frame.K[1, 1]) / 2 for frame in frames]
    )
    depth_range = bounds[:, 1] - bounds[:, 0]
    return bool(np.median(depth_range / bounds.mean(1) / tangent) <= 2.0)
