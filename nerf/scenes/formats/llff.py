"""LLFF: `poses_bounds.npy` beside `images`, `images_4`, `images_8`, ... (Mildenhall et al. 2019, 1905.00889).

A row is a 3x5 matrix and the nearest and farthest depth of the view. The matrix' columns are the camera's axes down,
right and back, its position, and height, width and focal length of the full image; images are in the order of names.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import intrinsics
from nerf.scenes.base import Problem, Scene, SceneError
from nerf.scenes.formats.arrays import read_npy
from nerf.scenes.formats.folders import View, check_views, choose, image_folder, photos, with_masks
from nerf.scenes.frames import Frame, is_bounded, to_scene
from nerf.scenes.normalise import normalise

FILE = "poses_bounds.npy"


def detect(root: Path) -> bool:
    """Whether a folder is of this format."""
    return (root / FILE).is_file()


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """One split: of the images' names sorted, every 8th is "test". A folder `masks` (or `masks_8`) says what is known.

    A scene is bounded where an image has a transparent pixel, or where masks leave only an object: where there are
    masks and what lies between a view's bounds fits into the ball that all cameras see. Outside of masks nothing is
    known (it is not empty), but nothing is learned from it either, and an object alone needs no space around it.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor; of `images`, `images_2`, ... that is read
        which needs it least.
      validation: leave the views of "val" out of "train".
      every: which views are held out.
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
    bounded = is_bounded(frames) or (frames[0].mask is not None and _fits(frames, rows[:, 15:]))
    transform = normalise(frames, bounded, level=True, distances=rows[:, 15:].reshape(-1))
    chosen = choose(frames, split, validation, every, FILE)
    return to_scene(chosen, transform, root, max_side, not bounded, [*notes, *more])


def _rows(root: Path) -> Float[np.ndarray, "n 17"]:
    rows = read_npy(root / FILE)
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise SceneError(
            [Problem(FILE, "", f"an array of {rows.shape}, not of (n, 17)", "export it again")]
        )
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
    """Camera-to-world with OpenGL axes (right, up, back), K and the full image's size."""
    down, right, back, position, (h, w, f) = row[:15].reshape(3, 5).T
    return (
        np.stack([right, -down, back, position], -1),
        intrinsics(f, f, w / 2, h / 2),
        (float(w), float(h)),
    )


def _fits(frames: list[Frame], bounds: Float[np.ndarray, "n 2"]) -> bool:
    """Whether the depth between a view's bounds is at most the diameter of the ball that it sees at their middle."""
    tangent = np.array(
        [max(frame.size[0] / frame.K[0, 0], frame.size[1] / frame.K[1, 1]) / 2 for frame in frames]
    )
    return bool(np.median((bounds[:, 1] - bounds[:, 0]) / bounds.mean(1) / tangent) <= 2.0)
