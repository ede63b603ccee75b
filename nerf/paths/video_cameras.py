"""Poses of a camera path -> cameras: the size of the pictures and the lens they are seen through."""

import numpy as np
from jaxtyping import Float, Int

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, EQUIRECTANGULAR, PERSPECTIVE
from nerf.paths.keyframe_reader import path_error
from nerf.paths.motion import Number, Poses, quarter_turns

MAX_DEFAULT_SIDE = 640  # pixels of a film whose size nobody chose: a first film should not take hours on a processor
MAX_SIDE = 16_384  # the largest that H.264 has


def film_size(
    train: Cameras, width: int | None = None, height: int | None = None, aspect: float | None = None
) -> tuple[int, int]:
    """Choose the size of a film's pictures.

    Without any wish it is the first training view's, upright where most views are stored sideways, and reduced so
    that no side exceeds `MAX_DEFAULT_SIDE`.

    Args:
      train: the training cameras.
      width, height: pixels; one of them alone keeps the aspect.
      aspect: width / height; default: the first training view's, upright.

    Returns: width and height in pixels.
    """
    wide, high = (float(side) for side in train.size[0])
    if _stored_sideways(train):
        wide, high = high, wide
    if aspect is not None:
        longer = max(wide, high)
        wide, high = (longer, longer / aspect) if aspect > 1 else (longer * aspect, longer)
    if width is not None and height is not None:
        size = width, height
    elif width is not None:
        size = width, max(round(width * high / wide), 1)
    elif height is not None:
        size = max(round(height * wide / high), 1), height
    else:
        shrink = min(1.0, MAX_DEFAULT_SIDE / max(wide, high))
        size = max(round(wide * shrink), 1), max(round(high * shrink), 1)
    if not 1 <= min(size) <= max(size) <= MAX_SIDE:
        reason = f"pictures of {size[0]}x{size[1]}"
        raise path_error("camera path", "", reason, f"choose sides from 1 to {MAX_SIDE} with --width and --height")
    return size


def _stored_sideways(train: Cameras) -> bool:
    """Check whether most training views need a quarter turn to be upright."""
    return bool((quarter_turns(np.asarray(train.c2w, np.float64)) % 2 == 1).mean() > 0.5)


def to_cameras(
    c2w: Poses,
    train: Cameras,
    size: tuple[int, int],
    focal: Number | None = None,
    fov: Float[np.ndarray, " f"] | Number | None = None,
    lens: int = PERSPECTIVE,
) -> Cameras:
    """Make cameras at the poses of a path: square pixels, central principal point, no distortion, float32.

    Args:
      c2w: the poses.
      train: the training cameras.
      size: width and height in pixels.
      focal: pixels, or of a fisheye pixels per radian.
      fov: vertical field of view in degrees, of all or of each; default where neither is given: the median training
        view's, of the shorter side of the picture; where none has a perspective lens, 90 degrees of the longer side.
      lens: PERSPECTIVE, FISHEYE or EQUIRECTANGULAR; the last shows all around and has no focal length to choose.
    """
    width, height = size
    if focal is not None and not (focal > 0 and np.isfinite(focal)):
        raise path_error("camera path", "focal", f"{focal} is not above zero", "give pixels")
    if fov is not None and not ((np.asarray(fov) > 0) & (np.asarray(fov) < 180)).all():
        raise path_error("camera path", "fov", f"{fov} is not between 0 and 180", "give degrees")
    if focal is not None and fov is not None:
        raise path_error("camera path", "", "both a focal length and a field of view", "give one of them")
    if lens == EQUIRECTANGULAR and (focal is not None or fov is not None):
        raise path_error(
            "camera path", "fov", "an equirectangular picture shows all around", "give no focal and no fov"
        )
    focals = np.full(len(c2w), _usual_focal(train, np.array(size)) if focal is None else float(focal))
    if fov is not None:
        focals = np.broadcast_to(0.5 * height / np.tan(np.radians(fov) / 2), len(c2w))
    fx, fy = focals, focals
    if lens == EQUIRECTANGULAR:
        fx, fy = (np.full(len(c2w), pixels) for pixels in (width / (2 * np.pi), height / np.pi))
    return Cameras(
        c2w=c2w.astype(np.float32),
        K=intrinsics(fx, fy, width / 2, height / 2).astype(np.float32),
        distortion=np.zeros((len(c2w), COEFFICIENTS), np.float32),
        size=np.tile(np.array([width, height], np.int32), (len(c2w), 1)),
        model=np.full(len(c2w), lens, np.int32),
    )


def _usual_focal(train: Cameras, size: Int[np.ndarray, "2"]) -> float:
    """Return the focal length at which the shorter side sees what that of the median training view sees.

    A subject that fits into the photos fits into the film then, whatever its aspect.
    """
    flat = np.asarray(train.model) == PERSPECTIVE
    if not flat.any():
        return float(size.max()) / 2
    K = np.asarray(train.K, np.float64)[flat]
    ratio = size.min() / np.asarray(train.size, np.float64)[flat].min(-1)
    return float(np.median(ratio * (K[:, 0, 0] + K[:, 1, 1]) / 2))
