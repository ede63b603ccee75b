"""Middlebury's multi-view stereo format: `*_par.txt` beside the images that it names (Seitz et al., CVPR 2006).

The first line is the number of images; each other is a name, K (9 numbers), R (9) and t (3) with the projection
K [R t]: world-to-camera, OpenCV axes, the centre of the first pixel at (0, 0), so half a pixel is added here.

The objects stand before black, and are small beside their distance. What is black around them says that nothing is
there, which alpha says better: a scene is bounded, and images without a transparent pixel get the silhouettes that the
data's README describes.
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
from nerf.scenes.frames import is_bounded, reduction, to_scene
from nerf.scenes.images import opaque
from nerf.scenes.normalise import normalise

MAX_BYTES = 10_000_000
BRIGHT, DILATED, ERODED = 0.19, 10, 7  # of 1, and pixels of the whole image: "be conservative"


def detect(root: Path) -> bool:
    """Whether a folder is of this format."""
    return any(root.glob("*_par.txt"))


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """One split, bounded: of the images' names sorted, every 8th is "test".

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" out of "train".
      every: which views are held out.
    """
    path = min(root.glob("*_par.txt"))
    frames, notes = check_views(_views(path), root, path.name)
    transform = normalise(frames, bounded=True, level=True)
    chosen = choose(frames, split, validation, every, path.name)
    notes += note_unposed(frames, photos(root), "the folder", path.name)
    scene = to_scene(chosen, transform, root, max_side, unbounded=False, notes=notes)
    if is_bounded(frames):
        return scene
    for frame, image, factor in zip(chosen, scene.images, reduction(chosen, max_side), strict=True):
        image[..., 3] = np.where(silhouette(image[..., :3], factor), opaque(image.dtype), 0)
        if not image[..., 3].any():
            raise SceneError([Problem(frame.name, "", "black all over", "remove it")])
    note = f"{path.name}: alpha is 0 where pictures are black (below {BRIGHT} of 1) and far from what is not"
    return dataclasses.replace(scene, notes=[*scene.notes, note])


def silhouette(image: Real[np.ndarray, "h w 3"], factor: int) -> Bool[np.ndarray, "h w"]:
    """Where an image, already reduced by a factor, is not black, closed and widened as the data's README says."""
    square = np.ones((3, 3), bool)
    wide = ndimage.binary_dilation(to_unit(image).max(-1) > BRIGHT, square, -(-DILATED // factor))
    return ndimage.binary_erosion(wide, square, -(-ERODED // factor), border_value=1)


def _views(path: Path) -> list[View]:
    """One view a line; raises a SceneError that lists every line that is none."""
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
            problems.append(
                Problem(path.name, key, "not a name and 21 numbers", "write name, K, R and t")
            )
    if problems or not views:
        raise SceneError(
            problems or [Problem(path.name, "", "no image in it", "write name, K, R and t")]
        )
    return views


def _view(key: str, name: str, K: np.ndarray, R: np.ndarray, t: np.ndarray) -> View:
    if not (np.abs(R) < 2.0).all() or not (np.abs(t) < 1e12).all():
        raise ValueError("R and t are not finite")
    K = pinhole(K)
    K[:2, 2] += 0.5
    return View(key, name, from_opencv(R, t), K)
