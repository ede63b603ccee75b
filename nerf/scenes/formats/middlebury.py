"""Load Middlebury's multi-view stereo format: `*_par.txt` beside its images.

The data are those of Seitz et al., CVPR 2006. The first line of the file is the number of images.
Every other line is a name, K (9 numbers), R (9) and t (3) with the projection K [R t]:
world-to-camera, OpenCV axes, and the centre of the first pixel at (0, 0); half a pixel is added
here.

The objects stand in front of black, and are small compared with their distance. The black
background is empty space, which alpha represents here. Therefore a scene is bounded, and images
without a transparent pixel get the silhouettes that the README of the data describes.
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Real
from scipy import ndimage

from nerf.scenes.base import Problem, Scene, SceneError, read_bytes, to_unit
from nerf.scenes.formats.folders import (
    View,
    check_views,
    choose,
    from_opencv,
    note_unposed,
    photos,
    pinhole,
)
from nerf.scenes.frames import is_bounded, reduction
from nerf.scenes.images import opaque
from nerf.scenes.normalise import normalise
from nerf.scenes.reading import to_scene

MAX_BYTES = 10_000_000
# Silhouettes: the largest channel of a background pixel, in [0, 1], and the closing in pixels of
# the full image. The dilation exceeds the erosion because the README asks to be conservative.
MAX_BACKGROUND = 0.19
DILATION = 10
EROSION = 7


def detect(root: Path) -> bool:
    """Return whether the folder contains a `*_par.txt`."""
    return any(root.glob("*_par.txt"))


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """Load one split of a bounded scene, with alpha."""
    path = min(root.glob("*_par.txt"))
    frames, notes = check_views(_views(path), root, path.name)
    transform = normalise(frames, bounded=True, level=True)
    chosen = choose(frames, split, validation, every, path.name)
    notes += note_unposed(frames, photos(root), "the folder", path.name)
    scene = to_scene(chosen, transform, root, max_side, unbounded=False, notes=notes)
    if is_bounded(frames):
        return scene
    # No image has a transparent pixel: the silhouettes become alpha.
    for frame, image, factor in zip(chosen, scene.images, reduction(chosen, max_side), strict=True):
        image[..., 3] = np.where(silhouette(image[..., :3], factor), opaque(image.dtype), 0)
        if not image[..., 3].any():
            raise SceneError([Problem(frame.name, "", "black all over", "remove it")])
    where = f"images are black (at most {MAX_BACKGROUND} of 1) and far from brighter pixels"
    note = f"{path.name}: alpha is 0 where {where}"
    return dataclasses.replace(scene, notes=[*scene.notes, note])


def silhouette(image: Real[np.ndarray, "h w 3"], factor: int) -> Bool[np.ndarray, "h w"]:
    """Return the silhouette of an object in front of black, closed and widened.

    Args:
      image: the image, already reduced.
      factor: the factor by which it was reduced.

    Returns:
      True inside the silhouette.
    """
    square = np.ones((3, 3), bool)
    bright = to_unit(image).max(-1) > MAX_BACKGROUND
    # Distances are in pixels of the full image: -(-a // b) rounds a / b up.
    wide = ndimage.binary_dilation(bright, square, -(-DILATION // factor))
    return ndimage.binary_erosion(wide, square, -(-EROSION // factor), border_value=1)


def _views(path: Path) -> list[View]:
    """Return one view per line, or raise a SceneError that lists every malformed line."""
    views: list[View] = []
    problems = []
    lines = read_bytes(path, MAX_BYTES).decode("utf-8-sig", "surrogateescape").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if number == 1 or not words:
            continue
        key = f"line {number}"
        try:
            numbers = np.array([float(word) for word in words[1:]])
            K, R, t = np.split(numbers, [9, 18])
            views.append(_view(key, words[0], K.reshape(3, 3), R.reshape(3, 3), t.reshape(3)))
        except ValueError:
            reason = "not a name and 21 numbers"
            problems.append(Problem(path.name, key, reason, "write name, K, R and t"))
    if problems or not views:
        empty = Problem(path.name, "", "no image in it", "write name, K, R and t")
        raise SceneError(problems or [empty])
    return views


def _view(key: str, name: str, K: np.ndarray, R: np.ndarray, t: np.ndarray) -> View:
    """Return the view of one line, or raise a ValueError."""
    if not (np.abs(R) < 2.0).all() or not (np.abs(t) < 1e12).all():
        raise ValueError("R and t are not finite")
    K = pinhole(K)
    K[:2, 2] += 0.5  # the centre of the first pixel moves from 0 to 0.5
    return View(key, name, from_opencv(R, t), K)
