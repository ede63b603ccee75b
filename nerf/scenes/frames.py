"""Posed images of whatever format, checked one by one, and the scene they make.

Matrices are camera-to-world with OpenGL axes, as everywhere in this package.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.cameras.cameras import Cameras, seen_pixels, sees_whole_picture
from nerf.cameras.lenses import FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, Scene, SceneError, Similarity
from nerf.scenes.images import has_transparent_pixel, read_depths, read_images, read_masks


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One image of a scene, checked.

    Attributes:
      name, path: of the image.
      size: width and height of the image as it is stored.
      c2w: in the file's world.
      K: in pixels of that size; of an orthographic lens, its focal lengths are in pixels per unit of the file's world.
      distortion: eight numbers, see `nerf.cameras.lenses`.
      transparent: whether the image has an alpha channel.
      model: a lens of `nerf.cameras.lenses`.
      mask: file of the size of the image, dark where nothing may be learned or scored; see `read_masks`.
      depth: file of depth, see `read_depths`, and how many units of the file's world one in it is.
      depth_K: of the camera that measured it, from the same place, as `K`; None: the image's own.
      listed: the image's name as its file has it, before it was looked for; empty where that is `name`.
      orientation: how the image is to be turned to be seen, see `nerf.scenes.images.orientation`.
      moving: file that is bright where something moves, which may neither be learned nor scored.
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
    orientation: int = 1
    moving: Path | None = None


def is_bounded(frames: Sequence[Frame]) -> bool:
    """Whether a transparent pixel in any image says that what lies beyond is not part of the scene."""
    try:
        return any(has_transparent_pixel(frame.path) for frame in frames if frame.transparent)
    except Exception:  # damaged pixels: reading the images names every such file
        return any(frame.transparent for frame in frames)


def _both(masks: list[np.ndarray] | None, others: list[np.ndarray] | None) -> list[np.ndarray] | None:
    """Return where both masks of each view are True; None stands for masks that are True everywhere."""
    if masks is None or others is None:
        return others if masks is None else masks
    return [mask & other for mask, other in zip(masks, others, strict=True)]


def _with_seen_pixels(masks: list[np.ndarray] | None, cameras: Cameras) -> tuple[list[np.ndarray] | None, list[str]]:
    """Return the masks without the pixels that no direction leads to, and a note if there are any.

    See `nerf.cameras.cameras.seen_pixels`.
    """
    bent = np.isin(cameras.model, (PERSPECTIVE, FISHEYE)) & np.asarray(cameras.distortion).any(-1)
    bent |= np.asarray(cameras.model) == FISHEYE
    views = np.flatnonzero(bent)
    if not len(views):
        return masks, []
    views = views[~sees_whole_picture(cameras[views])]
    if not len(views):
        return masks, []
    masks = masks or [np.ones((h, w), bool) for w, h in np.asarray(cameras.size).tolist()]
    seen: dict[bytes, np.ndarray] = {}  # views mostly share one lens
    for i in views.tolist():
        camera = cameras[i]
        lens = b"".join(np.asarray(x).tobytes() for x in (camera.K, camera.distortion, camera.size, camera.model))
        if lens not in seen:
            seen[lens] = seen_pixels(camera)
        masks[i] = masks[i] & seen[lens]
    most = max(1.0 - float(pixels.mean()) for pixels in seen.values())
    if not most > 0.0:
        return masks, []
    where = f"up to {100.0 * most:.2g} % of the pixels of {len(views)} of {len(cameras)} views"
    return masks, [f"lens: {where} lie where the distortion reaches no direction: they are masked"]


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
    if turned := sum(frame.orientation > 2 for frame in frames):
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
        _refuse_empty(names, [image[..., 3] for image in images], "wholly transparent", "remove it")
    cameras = _cameras(frames, transform, factors)
    masks = read_masks([frame.mask for frame in frames], root, factors, sizes)
    still = read_masks([frame.moving for frame in frames], root, factors, sizes, hides=True)
    masks, more = _with_seen_pixels(_both(masks, still), cameras)
    _refuse_empty(names, masks or (), "masked all over", "remove it, or correct its mask (white is what counts)")
    units = [frame.depth_unit * transform.scale for frame in frames]
    lenses = [_to_depth(frame) for frame in frames]
    depths = read_depths([frame.depth for frame in frames], root, factors, sizes, cameras, units, lenses)
    return Scene(images, cameras, names, transform, unbounded, [*notes, *more], masks, depths)


def _to_depth(frame: Frame) -> np.ndarray:
    """For x and for y the numbers (a, b) with which a x + b leads from a place of the image to that of its depth."""
    if frame.depth_K is None:
        return np.array([[1.0, 0.0], [1.0, 0.0]])
    zoom = np.diag(frame.depth_K)[:2] / np.diag(frame.K)[:2]
    return np.stack([zoom, frame.depth_K[:2, 2] - zoom * frame.K[:2, 2]], -1)


def _refuse_empty(names: Sequence[str], parts: Sequence[np.ndarray], reason: str, fix: str) -> None:
    """Raise a SceneError that lists the views of which nothing is left."""
    if empty := [name for name, part in zip(names, parts, strict=False) if not part.any()]:
        raise SceneError([Problem(name, "", reason, fix) for name in empty])


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
