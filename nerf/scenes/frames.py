"""Checked posed images of any format, and the scene made from them.

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
    """One checked image of a scene, with its camera.

    Attributes:
      name: name of the image in reports.
      path: the image file.
      size: width and height of the stored image.
      c2w: camera-to-world matrix in the file's world.
      K: intrinsics in pixels of `size`; the focal lengths of an orthographic lens are in pixels per
        unit of the file's world.
      distortion: eight coefficients, see `nerf.cameras.lenses`.
      transparent: whether the image has an alpha channel.
      model: a lens model of `nerf.cameras.lenses`.
      mask: mask file, dark at pixels that are neither trained on nor scored; see `read_masks`.
      depth: depth file, see `read_depths`.
      depth_unit: units of the file's world per unit of the depth file.
      depth_K: intrinsics of the camera that measured depth, at the same pose and for pixels of
        `size`; None if they are `K`.
      listed: the image's name in the scene's file, if it differs from `name`; otherwise empty.
      orientation: EXIF orientation of the image, see `nerf.scenes.images.orientation`.
      moving: mask file, bright at moving objects, which are neither trained on nor scored.
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
    """Return whether any image has a transparent pixel: the scene has no background."""
    try:
        return any(has_transparent_pixel(frame.path) for frame in frames if frame.transparent)
    except Exception:  # Pixels are damaged: reading the images later reports every such file.
        return any(frame.transparent for frame in frames)


def _both(
    masks: list[np.ndarray] | None, others: list[np.ndarray] | None
) -> list[np.ndarray] | None:
    """Return the intersection of both masks of each view.

    None stands for masks that are True everywhere.
    """
    if masks is None:
        return others
    if others is None:
        return masks
    return [mask & other for mask, other in zip(masks, others, strict=True)]


def _with_seen_pixels(
    masks: list[np.ndarray] | None, cameras: Cameras
) -> tuple[list[np.ndarray] | None, list[str]]:
    """Remove pixels that no direction is projected to from the masks.

    See `nerf.cameras.cameras.seen_pixels`.

    Returns:
      The masks, and a list of at most one note on the number of removed pixels.
    """
    # Only distorted lenses can have such pixels.
    bent = np.isin(cameras.model, (PERSPECTIVE, FISHEYE)) & np.asarray(cameras.distortion).any(-1)
    bent |= np.asarray(cameras.model) == FISHEYE
    views = np.flatnonzero(bent)
    if not len(views):
        return masks, []
    views = views[~sees_whole_picture(cameras[views])]
    if not len(views):
        return masks, []
    masks = masks or [np.ones((h, w), bool) for w, h in np.asarray(cameras.size).tolist()]
    # Compute the pixels once per lens, since most scenes have one lens for all views.
    seen: dict[bytes, np.ndarray] = {}
    for i in views.tolist():
        camera = cameras[i]
        parts = (camera.K, camera.distortion, camera.size, camera.model)
        lens = b"".join(np.asarray(part).tobytes() for part in parts)
        if lens not in seen:
            seen[lens] = seen_pixels(camera)
        masks[i] = masks[i] & seen[lens]
    most = max(1.0 - float(pixels.mean()) for pixels in seen.values())
    if not most > 0.0:
        return masks, []
    shown = f"up to {100.0 * most:.2g} % of the pixels of {len(views)} of {len(cameras)} views"
    return masks, [f"lens: {shown} have no direction under the distortion: they are masked"]


def reduction(frames: Sequence[Frame], max_side: int) -> list[int]:
    """Return the integer reduction factor of each frame.

    It is the smallest factor that brings the longest side of all frames to at most `max_side`. A
    frame with a shorter side than this factor is reduced to a side of one pixel.
    """
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
    """Read the images of `frames`, with alpha if bounded, and build a scene.

    Args:
      frames: the checked images.
      transform: from the file's world to the normalised one.
      root: the scene folder.
      max_side: longest side in pixels; larger images are reduced by an integer factor.
      unbounded: whether the scene may extend beyond the normalised box [-1, 1]^3.
      notes: notes of the loader, to which further notes are appended.

    Raises:
      SceneError: images cannot be decoded, or have no pixel to train on.
    """
    factors = reduction(frames, max_side)
    if (factor := max(factors)) > 1:
        limit = f"no side exceeds {max_side} (--config.scene.max_side)"
        notes = [*notes, f"images reduced by {factor} so that {limit}"]
    if turned := sum(frame.orientation > 2 for frame in frames):
        up = "up is that of the upright photos, pixels and poses stay as stored"
        shown = f"{turned} of {len(frames)} photos are stored rotated (EXIF orientation)"
        notes = [*notes, f"{shown}: {up}"]
    images = read_images([frame.path for frame in frames], root, factors, alpha=not unbounded)
    names = [frame.name for frame in frames]
    sizes = [frame.size for frame in frames]
    if unbounded:
        images = [image[..., :3] for image in images]  # any alpha channel is opaque
    else:
        _refuse_empty(names, [image[..., 3] for image in images], "fully transparent", "remove it")
    cameras = _cameras(frames, transform, factors)
    # Pixels count if the mask, the mask of moving objects and the lens all allow them.
    masks = read_masks([frame.mask for frame in frames], root, factors, sizes)
    still = read_masks([frame.moving for frame in frames], root, factors, sizes, hides=True)
    masks, more = _with_seen_pixels(_both(masks, still), cameras)
    fix = "remove it, or correct its mask (white pixels count)"
    _refuse_empty(names, masks or (), "fully masked", fix)
    # Depth is stored in units of its file, and may come from another camera at the same pose.
    units = [frame.depth_unit * transform.scale for frame in frames]
    lenses = [_to_depth(frame) for frame in frames]
    depths = read_depths(
        [frame.depth for frame in frames], root, factors, sizes, cameras, units, lenses
    )
    return Scene(images, cameras, names, transform, unbounded, [*notes, *more], masks, depths)


def _to_depth(frame: Frame) -> np.ndarray:
    """Return the map from image pixels to depth camera pixels.

    Returns:
      Rows (a, b) for x and for y: the pixel coordinate x of the image is a x + b of the camera that
      measured depth.
    """
    if frame.depth_K is None:
        return np.array([[1.0, 0.0], [1.0, 0.0]])
    zoom = np.diag(frame.depth_K)[:2] / np.diag(frame.K)[:2]
    return np.stack([zoom, frame.depth_K[:2, 2] - zoom * frame.K[:2, 2]], -1)


def _refuse_empty(names: Sequence[str], parts: Sequence[np.ndarray], reason: str, fix: str) -> None:
    """Raise a SceneError that lists the views whose array has no nonzero value."""
    if empty := [name for name, part in zip(names, parts, strict=False) if not part.any()]:
        raise SceneError([Problem(name, "", reason, fix) for name in empty])


def _cameras(frames: Sequence[Frame], transform: Similarity, factors: Sequence[int]) -> Cameras:
    """Return the cameras of the reduced images in the normalised world."""
    K = np.stack([frame.K for frame in frames])
    K[:, :2] /= np.array(factors)[:, None, None]
    model = np.array([frame.model for frame in frames], np.int32)
    K[model == ORTHOGRAPHIC, :2, :2] /= transform.scale  # pixels per unit of the normalised world
    return Cameras(
        c2w=transform.poses(np.stack([frame.c2w for frame in frames])).astype(np.float32),
        K=K.astype(np.float32),
        distortion=np.stack([frame.distortion for frame in frames]).astype(np.float32),
        size=np.array(
            [[side // n for side in frame.size] for frame, n in zip(frames, factors, strict=True)],
            np.int32,
        ),
        model=model,
    )
