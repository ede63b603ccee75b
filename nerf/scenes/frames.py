"""Posed images of whatever format, checked one by one, and the scene they make.

Matrices are camera-to-world with OpenGL axes, as everywhere in this package.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.cameras import Cameras, seen_pixels
from nerf.lenses import FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, Scene, SceneError, Similarity, focus_point, rotation_to_z
from nerf.scenes.images import has_transparent_pixel, read_depths, read_images, read_masks


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
      listed: the image's name as its file has it, before it was looked for; empty where that is `name`.
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
    listed: str = ""


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


def _with_circles(masks: list[np.ndarray] | None, cameras: Cameras) -> list[np.ndarray] | None:
    """The masks without what no direction leads to, beyond the circle in which a fisheye lens sees."""
    circles = {i: seen_pixels(cameras[i]) for i in np.flatnonzero(cameras.model == FISHEYE).tolist()}
    if masks is None and all(circle.all() for circle in circles.values()):
        return None
    masks = masks or [np.ones((h, w), bool) for w, h in np.asarray(cameras.size).tolist()]
    return [mask & circles[i] if i in circles else mask for i, mask in enumerate(masks)]


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
    names, sizes = [frame.name for frame in frames], [frame.size for frame in frames]
    if unbounded:
        images = [image[..., :3] for image in images]  # whatever alpha there is, it is opaque
    else:
        _refuse_empty(names, [image[..., 3] for image in images], "wholly transparent")
    cameras = _cameras(frames, transform, factors)
    masks = _with_circles(read_masks([frame.mask for frame in frames], root, factors, sizes), cameras)
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
