"""Convert between cameras and a browser's camera: a quaternion, a position and a field of view.

The browser's axes are OpenCV's (+x right, +y down, +z ahead); its quaternions are (w, x, y, z).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS
from nerf.paths.keyframe_reader import PathError
from nerf.paths.paths import make_path, subject, usual_path
from nerf.paths.video_cameras import to_cameras
from nerf.scenes.base import Similarity

FOV_LIMITS = (5.0, 120.0)  # degrees from top to bottom
TO_OPENCV = np.diag([1.0, -1.0, -1.0])  # negates the second and the third axis of a camera


class Start(NamedTuple):
    """The camera that a browser begins with, in the normalised world."""

    position: Float[np.ndarray, "3"]
    look_at: Float[np.ndarray, "3"]


def to_browser(c2w: Float[np.ndarray, "3 4"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the quaternion (w, x, y, z) and the position of a camera-to-world matrix."""
    x, y, z, w = Rotation.from_matrix(c2w[:, :3] @ TO_OPENCV).as_quat()
    return np.array([w, x, y, z]), np.asarray(c2w[:, 3])


def from_browser(
    wxyz: Float[np.ndarray, "4"], position: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 4"]:
    """Return the camera-to-world matrix of a browser's quaternion and position."""
    w, x, y, z = wxyz
    rotation = Rotation.from_quat([x, y, z, w]).as_matrix() @ TO_OPENCV
    return np.concatenate([rotation, np.asarray(position, np.float64)[:, None]], -1)


def pinhole(
    c2w: Float[np.ndarray, "3 4"], fov: float | np.floating, size: tuple[int, int]
) -> Cameras:
    """Make a camera without distortion, whose principal point is the middle of the picture.

    Args:
      c2w: its pose, in the normalised world.
      fov: vertical field of view in radians.
      size: width and height in pixels.
    """
    width, height = size
    focal = 0.5 * height / np.tan(0.5 * fov)
    return Cameras(
        c2w=np.asarray(c2w, np.float32),
        K=intrinsics(focal, focal, width / 2, height / 2).astype(np.float32),
        distortion=np.zeros(COEFFICIENTS, np.float32),
        size=np.array([width, height], np.int32),
    )


def usual_fov(train: Cameras, size: tuple[int, int]) -> float:
    """Return a vertical field of view, in radians, that shows as much as the photos do.

    Args:
      train: the training cameras.
      size: width and height of the picture.
    """
    camera = to_cameras(np.eye(3, 4)[None], train, size)
    return float(2.0 * np.arctan(0.5 * size[1] / camera.K[0, 1, 1]))


def fitting_fov(camera: Cameras, aspect: float) -> float:
    """Return a vertical field of view, in radians, in which a whole photo is in sight.

    Args:
      camera: of the photo.
      aspect: width / height of the screen.
    """
    width, height = (float(side) for side in camera.size)
    slope = 0.5 * max(height, width / aspect) / float(camera.K[1, 1])
    return float(np.clip(2.0 * np.arctan(slope), *np.radians(FOV_LIMITS)))


def start_of(train: Cameras, transform: Similarity, unbounded: bool) -> Start:
    """Choose the camera that a browser begins with.

    It is the first of an orbit where the default film would be one, otherwise the first photo's.

    Args:
      train: the training cameras.
      transform: from the file's world to the normalised one.
      unbounded: whether the scene is.
    """
    c2w = np.asarray(train.c2w, np.float64)
    centre = subject(c2w)
    first = c2w[0]
    if usual_path(train, unbounded) == "orbit":
        try:
            first = np.asarray(make_path("orbit", train, transform, frames=1).c2w[0], np.float64)
        except PathError:
            first = c2w[0]
    # The point to turn around lies on the optical axis, as far away as the subject.
    ahead = -first[:, 2]
    distance = float((centre - first[:, 3]) @ ahead)
    if distance <= 0.0:
        distance = 1.0
    return Start(first[:, 3], first[:, 3] + distance * ahead)
