"""Turn the poses of a camera path into cameras: choose image size, focal length and lens."""

import numpy as np
from jaxtyping import Float, Int

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, EQUIRECTANGULAR, PERSPECTIVE
from nerf.paths.keyframe_reader import path_error
from nerf.paths.motion import Number, Poses, level, quarter_turns

# A first video should not take hours on a CPU.
MAX_DEFAULT_SIDE = 640  # pixels of a video whose size the user did not choose
MAX_SIDE = 16_384  # the largest side that H.264 allows


def film_size(
    train: Cameras, width: int | None = None, height: int | None = None, aspect: float | None = None
) -> tuple[int, int]:
    """Choose the image size of a video.

    By default it is the size of the first training view, turned upright if most views are stored
    sideways, and reduced so that no side exceeds `MAX_DEFAULT_SIDE`.

    Args:
      train: the training cameras.
      width: in pixels. If only width or only height is given, the aspect ratio is kept.
      height: in pixels.
      aspect: width / height; default: that of the first training view, upright.

    Returns:
      Width and height in pixels.

    Raises:
      PathError: a side is below 1 or above `MAX_SIDE`.
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
        fix = f"choose sides from 1 to {MAX_SIDE} with --width and --height"
        raise path_error("camera path", "", reason, fix)
    return size


def _stored_sideways(train: Cameras) -> bool:
    """Return whether most training views need a quarter turn to be upright."""
    return bool((quarter_turns(np.asarray(train.c2w, np.float64)) % 2 == 1).mean() > 0.5)


def to_cameras(
    c2w: Poses,
    train: Cameras,
    size: tuple[int, int],
    focal: Number | None = None,
    fov: Float[np.ndarray, " f"] | Number | None = None,
    lens: int = PERSPECTIVE,
) -> Cameras:
    """Make cameras at the poses of a path.

    They have square pixels (except equirectangular ones), a central principal point, no distortion
    and float32 arrays.

    Args:
      c2w: the poses.
      train: the training cameras.
      size: width and height in pixels.
      focal: focal length in pixels; for a fisheye in pixels per radian.
      fov: vertical field of view in degrees, one for all poses or one for each. If neither focal
        nor fov is given, the shorter side sees the same angle as the shorter side of the median
        training view, or the longer side sees 90 degrees if no view has a perspective lens.
      lens: PERSPECTIVE, FISHEYE or EQUIRECTANGULAR. The last shows all directions, so it takes
        neither focal nor fov.

    Raises:
      PathError: focal or fov is out of range, or does not go with the other arguments.
    """
    width, height = size
    _check_angle(focal, fov, lens)
    if focal is None:
        focal = _usual_focal(train, np.array(size))
    focals = np.full(len(c2w), float(focal))
    if fov is not None:
        focals = np.broadcast_to(0.5 * height / np.tan(np.radians(fov) / 2), len(c2w))
    fx, fy = focals, focals
    if lens == EQUIRECTANGULAR:
        # Pixels per radian: the width spans 360 degrees of longitude, the height 180 of latitude.
        fx, fy = (np.full(len(c2w), pixels) for pixels in (width / (2 * np.pi), height / np.pi))
    return Cameras(
        c2w=c2w.astype(np.float32),
        K=intrinsics(fx, fy, width / 2, height / 2).astype(np.float32),
        distortion=np.zeros((len(c2w), COEFFICIENTS), np.float32),
        size=np.tile(np.array([width, height], np.int32), (len(c2w), 1)),
        model=np.full(len(c2w), lens, np.int32),
    )


def all_around(
    c2w: Poses, train: Cameras, width: int | None = None, height: int | None = None
) -> Cameras:
    """Make equirectangular cameras at the positions of a path: each picture shows all directions.

    They are level, with +z up, so that a viewer who looks around stands upright. In the middle of a
    picture is the direction of the compass in which the path looks.

    Args:
      c2w: the poses.
      train: the training cameras.
      width: in pixels; default: see `film_size`.
      height: in pixels; a picture is twice as wide as high unless both are given.
    """
    return to_cameras(level(c2w), train, film_size(train, width, height, 2.0), lens=EQUIRECTANGULAR)


def _check_angle(
    focal: Number | None, fov: Float[np.ndarray, " f"] | Number | None, lens: int
) -> None:
    """Raise PathError for a wrong focal length or field of view; see `to_cameras`."""
    if focal is not None and not (focal > 0 and np.isfinite(focal)):
        raise path_error("camera path", "focal", f"{focal} is not above zero", "give pixels")
    if fov is not None and not ((np.asarray(fov) > 0) & (np.asarray(fov) < 180)).all():
        raise path_error("camera path", "fov", f"{fov} is not between 0 and 180", "give degrees")
    if focal is not None and fov is not None:
        raise path_error(
            "camera path", "", "both a focal length and a field of view", "give one of them"
        )
    if lens == EQUIRECTANGULAR and (focal is not None or fov is not None):
        reason = "an equirectangular picture shows all around"
        raise path_error("camera path", "fov", reason, "give no focal and no fov")


def _usual_focal(train: Cameras, size: Int[np.ndarray, "2"]) -> float:
    """Return a focal length in pixels with which the video sees as much as the photos.

    The shorter side of the video sees the same angle as the shorter side of the median training
    view. A subject that fits into the photos then fits into the video, whatever its aspect ratio.

    Args:
      train: the training cameras.
      size: width and height of the video in pixels.

    Returns:
      The focal length. If no training view has a perspective lens, the longer side sees 90
      degrees.
    """
    flat = np.asarray(train.model) == PERSPECTIVE
    if not flat.any():
        return float(size.max()) / 2
    K = np.asarray(train.K, np.float64)[flat]
    ratio = size.min() / np.asarray(train.size, np.float64)[flat].min(-1)
    return float(np.median(ratio * (K[:, 0, 0] + K[:, 1, 1]) / 2))
