"""The checked frames of a scene: what a format says about each photo.

Matrices are camera-to-world with OpenGL axes, as everywhere in this package.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import PERSPECTIVE
from nerf.scenes.decode import Header
from nerf.scenes.images import has_transparent_pixel
from nerf.scenes.palette import Palette

MAX_ASPECT_ERROR = 0.02  # of width / height, between what a file says and the image


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One checked photo of a scene, with its camera and the files that belong to it.

    Attributes:
      name: name of the image in reports.
      path: the image file.
      header: header of the image file.
      c2w: camera-to-world matrix in the file's world.
      K: intrinsics in pixels of `size`; the focal lengths of an orthographic lens are in pixels per
        unit of the file's world.
      distortion: eight coefficients, see `nerf.cameras.lenses`.
      model: a lens model of `nerf.cameras.lenses`.
      orientation: EXIF orientation of the image, see `nerf.scenes.images.orientation`.
      listed: the image's name in the scene's file, if it differs from `name`; otherwise empty.
      mask: mask file, dark at pixels that are neither trained on nor scored.
      moving: mask file, bright at moving objects, which are neither trained on nor scored.
      depth: file of depth along the optical axis; along the ray for lenses without perspective.
      depth_unit: units of the file's world per unit of the depth file.
      depth_K: intrinsics of the camera that measured depth, at the same pose and for pixels of
        `size`; None if they are `K`.
      distance: file of the true distance along each pixel's ray, in units of the file's world.
      normals: file of the true unit normals in the axes of the file's world.
      labels: file of the class of each pixel, see `nerf.scenes.labels`.
      instances: file of the number of each pixel's single object.
      palette: the classes of the scene's label files.
    """

    name: str
    path: Path
    header: Header
    c2w: np.ndarray
    K: np.ndarray
    distortion: np.ndarray
    model: int = PERSPECTIVE
    orientation: int = 1
    listed: str = ""
    mask: Path | None = None
    moving: Path | None = None
    depth: Path | None = None
    depth_unit: float = 1.0
    depth_K: np.ndarray | None = None
    distance: Path | None = None
    normals: Path | None = None
    labels: Path | None = None
    instances: Path | None = None
    palette: Palette | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the stored image."""
        return self.header.size


class ReducedFrame(NamedTuple):
    """A frame at the size at which its files are read.

    Attributes:
      frame: the frame.
      factor: integer by which its image is reduced.
      camera: camera of the reduced image, in the normalised world.
      scale: units of the normalised world per unit of the file's world.
    """

    frame: Frame
    factor: int
    camera: Cameras
    scale: float


def is_bounded(frames: Sequence[Frame]) -> bool:
    """Return whether any image has a transparent pixel: the scene has no background."""
    with_alpha = [frame.path for frame in frames if frame.header.transparent]
    try:
        return any(map(has_transparent_pixel, with_alpha))
    except Exception:  # Pixels are damaged: reading the images later reports every such file.
        return bool(with_alpha)


def reduction(frames: Sequence[Frame], max_side: int) -> list[int]:
    """Return the integer reduction factor of each frame.

    It is the smallest factor that brings the longest side of all frames to at most `max_side`. A
    frame with a shorter side than this factor is reduced to a side of one pixel.
    """
    factor = -(-max(max(frame.size) for frame in frames) // max_side)
    return [min(factor, *frame.size) for frame in frames]


def frames_of(splits: Mapping[str, list[Frame]], split: str, validation: bool) -> list[Frame]:
    """Return the frames of a split.

    Args:
      splits: the frames of all three splits.
      split: "train", "val" or "test".
      validation: exclude the "val" frames from "train".

    Returns:
      The frames of the split.
    """
    if split != "train" or not validation:
        return splits[split]
    return [frame for frame in splits["train"] if frame not in splits["val"]]


def stored_pixels(
    reduced: ReducedFrame, axis: int, count: int, zoom: float = 1.0, shift: float = 0.0
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the pixel of a file of any size at each column or row of the reduced image.

    Args:
      reduced: the frame.
      axis: 0 for columns, 1 for rows.
      count: number of columns or rows of the file.
      zoom: with `shift`, takes the coordinate x of a pixel of the image to zoom x + shift, that of
        another lens in pixels of the image's size.
      shift: see `zoom`.

    Returns:
      The index of the nearest pixel, and whether the file's picture contains the position.
    """
    side = reduced.frame.size[axis]
    centres = zoom * (np.arange(side // reduced.factor) + 0.5) * reduced.factor + shift
    pixel = np.floor(centres / side * count).astype(int)
    return np.clip(pixel, 0, count - 1), (pixel >= 0) & (pixel < count)
