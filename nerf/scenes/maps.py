"""The per-pixel maps of a scene besides its images: masks, depth, normals and labels.

`MAPS` lists every kind of map with its type and the files that it is read from. A new kind is an
entry there, the attribute of a `Frame` that names its file, and the function that reads this file.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from nerf.cameras.cameras import Cameras, axis_cosines, seen_pixels, sees_whole_picture
from nerf.cameras.lenses import FISHEYE, PERSPECTIVE
from nerf.scenes.decode import decode_numbers, decode_stored
from nerf.scenes.frames import Frame, ReducedFrame, stored_pixels
from nerf.scenes.labels import read_instances, read_labels

MAX_LENSES = 8  # lenses whose cosines are kept; most scenes have one lens for all views
# Threads that read frames side by side wait for one of them to compute the cosines of their lens.
_one_at_a_time = Lock()


class Map(NamedTuple):
    """A kind of per-pixel map.

    Attributes:
      kind: type of its arrays.
      default: value of pixels of which no file says anything.
      files: the attributes of a `Frame` that name its files, each with the function that reads the
        file at the size of a reduced frame. A file determines only pixels that the files before it
        have left at the default.
      channels: shape of the value of a pixel.
    """

    kind: type[np.generic]
    default: float
    files: dict[str, Callable[[Path, ReducedFrame], np.ndarray]]
    channels: tuple[int, ...] = ()


def read_mask(path: Path, reduced: ReducedFrame) -> Bool[np.ndarray, "h w"]:
    """Read a mask of the pixels that count.

    A pixel of a mask file counts if it is brighter than half of the file's brightest pixel. Since
    images are reduced, and mask files may be larger or smaller than their images, a pixel of an
    image counts if all pixels of the mask file that it overlaps do.
    """
    grey = decode_stored(path)[..., :3].max(-1)
    return _untouched(2.0 * grey <= grey.max(), reduced)


def read_still(path: Path, reduced: ReducedFrame) -> Bool[np.ndarray, "h w"]:
    """Read a mask that is bright at moving objects: only pixels that are black in it count."""
    return _untouched(decode_stored(path)[..., :3].max(-1) > 0, reduced)


def _untouched(dark: Bool[np.ndarray, "_ _"], reduced: ReducedFrame) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a reduced image that overlap no pixel of `dark`, of any size."""
    w, h = np.asarray(reduced.camera.size).tolist()
    wide, high = reduced.frame.size
    # A summed-area table: the number of dark pixels in a rectangle is the sum of four entries.
    counts = np.pad(dark.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    top, bottom = _spans(h, reduced.factor * dark.shape[0] / high, dark.shape[0])
    left, right = _spans(w, reduced.factor * dark.shape[1] / wide, dark.shape[1])
    rows = counts[bottom] - counts[top]
    return rows[:, right] <= rows[:, left]


def _spans(count: int, step: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of pixels that each of a row of intervals overlaps.

    Args:
      count: number of intervals, side by side from 0.
      step: length of an interval in pixels.
      limit: number of pixels.

    Returns:
      The first pixel of each interval, and the one after its last.
    """
    edges = np.arange(count + 1) * step
    first = np.floor(edges[:-1] + 1e-6).astype(int)
    end = np.ceil(edges[1:] - 1e-6).astype(int)
    return np.clip(first, 0, limit - 1), np.clip(np.maximum(end, first + 1), 1, limit)


def read_depth(path: Path, reduced: ReducedFrame) -> Float[np.ndarray, "h w"]:
    """Read depth as distances along the rays, in units of the normalised world; 0 if unknown.

    Depth of perspective cameras is stored along their optical axis, and converted; that of other
    cameras is stored along the ray. A depth map may be smaller or larger than its image. The
    nearest stored number is used, since a mean across an edge would be a depth without a surface.
    """
    stored = decode_numbers(path)
    x, in_x = _depth_pixels(reduced, 0, stored.shape[1])
    y, in_y = _depth_pixels(reduced, 1, stored.shape[0])
    unit = np.float32(reduced.frame.depth_unit * reduced.scale)
    found = stored[y[:, None], x[None, :]] * unit
    known = np.isfinite(found) & (found > 0) & in_y[:, None] & in_x[None, :]
    found = np.where(known, found, np.float32(0.0))
    # Depth along the axis is the distance along the ray times the cosine between them.
    if reduced.frame.model == PERSPECTIVE:
        with _one_at_a_time:
            cosines = _cosines(_Lens.of(reduced.camera))
        found = found / cosines
    return found


def read_distance(path: Path, reduced: ReducedFrame) -> Float[np.ndarray, "h w"]:
    """Read the array "depth" of an .npz file: true distances along the rays, 0 if unknown.

    The nearest stored number is used, as for `read_depth`. The result is in units of the normalised
    world.
    """
    return _read_truth(path, "depth", reduced, ()) * np.float32(reduced.scale)


def read_normals(path: Path, reduced: ReducedFrame) -> Float[np.ndarray, "h w 3"]:
    """Read the array "normals" of an .npz file: true unit normals, 0 if unknown.

    The nearest stored normal is used. The file has them in the axes of its world, and the result is
    in those of the normalised world.
    """
    turn = reduced.camera.c2w[:, :3] @ reduced.frame.c2w[:, :3].T
    return (_read_truth(path, "normals", reduced, (3,)) @ turn.T).astype(np.float32)


def _read_truth(
    path: Path, name: str, reduced: ReducedFrame, channels: tuple[int, ...]
) -> Float[np.ndarray, "h w ..."]:
    """Read an array of an .npz file at the pixels of the reduced image."""
    with np.load(path, allow_pickle=False) as arrays:
        stored = arrays[name].astype(np.float32)
    if stored.shape[2:] != channels or not np.isfinite(stored).all():
        raise ValueError(f"{name}: shape {stored.shape}, or numbers that are not finite")
    x, _ = _depth_pixels(reduced, 0, stored.shape[1])
    y, _ = _depth_pixels(reduced, 1, stored.shape[0])
    return stored[y[:, None], x[None, :]]


class _Lens(NamedTuple):
    """A camera without its pose, in numbers: equal for the cameras of one lens."""

    K: tuple[float, ...]
    distortion: tuple[float, ...]
    size: tuple[int, ...]
    model: int

    @classmethod
    def of(cls, camera: Cameras) -> "_Lens":
        """Return the lens of one camera."""
        values = (camera.K, camera.distortion, camera.size, camera.model)
        K, distortion, size, model = (np.asarray(value).ravel().tolist() for value in values)
        return cls(tuple(K), tuple(distortion), tuple(size), model[0])

    def camera(self) -> Cameras:
        """Return a camera with this lens at the origin."""
        return Cameras(
            np.eye(3, 4, dtype=np.float32),
            np.reshape(self.K, (3, 3)).astype(np.float32),
            np.array(self.distortion, np.float32),
            np.array(self.size, np.int32),
            np.array(self.model, np.int32),
        )


@lru_cache(MAX_LENSES)
def _cosines(lens: _Lens) -> Float[np.ndarray, "h w"]:
    """Return `axis_cosines` of a lens; the result must not be changed."""
    return axis_cosines(lens.camera())


def _depth_pixels(
    reduced: ReducedFrame, axis: int, count: int
) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """Return the pixel of a depth file at each column or row, see `stored_pixels`."""
    frame = reduced.frame
    if frame.depth_K is None:
        return stored_pixels(reduced, axis, count)
    # The pixel coordinate x of the image is zoom x + shift of the camera that measured depth.
    zoom = frame.depth_K[axis, axis] / frame.K[axis, axis]
    shift = frame.depth_K[axis, 2] - zoom * frame.K[axis, 2]
    return stored_pixels(reduced, axis, count, zoom, shift)


MAPS = {
    "mask": Map(np.bool_, True, {"mask": read_mask, "moving": read_still}),
    "depth": Map(np.float32, 0.0, {"depth": read_depth, "distance": read_distance}),
    "normals": Map(np.float32, 0.0, {"normals": read_normals}, (3,)),
    "labels": Map(np.uint16, 0, {"labels": read_labels}),
    "instances": Map(np.uint16, 0, {"instances": read_instances}),
}


def map_files(frames: Sequence[Frame]) -> set[Path | None]:
    """Return the files of all maps of all frames, and None for missing ones."""
    attributes = [name for kind in MAPS.values() for name in kind.files]
    return {getattr(frame, name) for frame in frames for name in attributes}


def mask_unseen(
    maps: dict[str, list[np.ndarray]], cameras: Cameras
) -> tuple[dict[str, list[np.ndarray]], list[str]]:
    """Remove pixels that no direction is projected to from the masks, which change in place.

    See `nerf.cameras.cameras.seen_pixels`.

    Args:
      maps: arrays of each camera by name; without "mask" all pixels count.
      cameras: the cameras of the images.

    Returns:
      The maps, and a list of at most one note on the number of removed pixels.
    """
    # Only distorted lenses can have such pixels.
    bent = np.isin(cameras.model, (PERSPECTIVE, FISHEYE)) & np.asarray(cameras.distortion).any(-1)
    bent |= np.asarray(cameras.model) == FISHEYE
    views = np.flatnonzero(bent)
    if len(views):
        views = views[~sees_whole_picture(cameras[views])]
    if not len(views):
        return maps, []
    masks = maps.get("mask") or [
        np.ones((h, w), bool) for w, h in np.asarray(cameras.size).tolist()
    ]
    # Compute the pixels once per lens, however many lenses alternate.
    seen: dict[_Lens, np.ndarray] = {}
    for i in views.tolist():
        lens = _Lens.of(cameras[i])
        if lens not in seen:
            seen[lens] = seen_pixels(cameras[i])
        masks[i] &= seen[lens]
    most = max(1.0 - float(pixels.mean()) for pixels in seen.values())
    if not most > 0.0:
        return maps, []
    shown = f"up to {100.0 * most:.2g} % of the pixels of {len(views)} of {len(cameras)} views"
    return {**maps, "mask": masks}, [
        f"lens: {shown} have no direction under the distortion: they are masked"
    ]
