"""Compute the similarity from a file's world to the normalised world: centre, scale and up."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, SceneError, Similarity, rotation_to_z
from nerf.scenes.decode import decode_numbers
from nerf.scenes.focus import MIN_COMMON_VIEW, axes_meet, focus_point
from nerf.scenes.frames import Frame
from nerf.scenes.images import reported

MAX_DEPTH_IMAGES = 16  # depth images from which the range of depths is measured
MAX_POINTS = 2000  # points from which the range of depths is measured
MIN_COMMON_UP = 0.5  # minimum length of the mean up axis of cameras that share an up direction
MAX_NADIR_DEGREES = 30.0  # maximum angle of the mean view from straight down, for aerial photos
# Up in the viewed photo, as (x, y) in the camera axes of the stored image, for each EXIF
# orientation (Exif 2.32, tag 0x0112; with 6 the top of the scene is at the left of the file).
SEEN_UP = {
    1: (0, 1),
    2: (0, 1),
    3: (0, -1),
    4: (0, -1),
    5: (-1, 0),
    6: (-1, 0),
    7: (1, 0),
    8: (1, 0),
}


def normalise(
    frames: Sequence[Frame], bounded: bool, level: bool, distances: np.ndarray | None = None
) -> Similarity:
    """Return the similarity that centres and scales the scene.

    The point that the cameras look at becomes the origin. In a bounded scene, the ball that a
    typical (median) camera sees completely gets radius 1 / 1.05, so that an object that fits into
    the images fits into the box [-1, 1]^3. In an unbounded scene, the farthest camera gets distance
    1. If `distances` show that this scale is out of proportion, as for a panorama, it is limited:
    the 1 % quantile of the distances is at least 0.2, and unless this contradicts it, their median
    is at most 4.

    Args:
      frames: frames of all splits, so that every split gets the same similarity.
      bounded: whether nothing lies beyond the object that the cameras look at.
      level: rotate `up_direction` to +z; otherwise keep the file's axes.
      distances: (n,) known distances from cameras to surfaces that they see, in the file's units.

    Returns:
      The similarity from the file's world to the normalised world.
    """
    c2w = np.stack([frame.c2w for frame in frames])
    # An empty array is the same as unknown distances.
    if distances is not None and not len(distances):
        distances = None
    focus = focus_point(c2w, None if distances is None else float(np.median(distances)))
    distance = np.linalg.norm(c2w[:, :, 3] - focus, axis=-1)
    if bounded:
        reach = [_reach(f, d) for f, d in zip(frames, distance, strict=True)]
        radius = 1.05 * float(np.median(reach))
        # If the axes are nearly parallel, the focus is uncertain: the ball must also contain all
        # cameras.
        if not axes_meet(c2w):
            radius = max(radius, float(distance.max()))
    else:
        radius = float(distance.max())
        if distances is not None:
            nearest, middle = np.quantile(distances, [0.01, 0.5])
            # Median at most 4, then 1 % quantile at least 0.2, in the normalised world.
            radius = min(max(radius, float(middle) / 4.0), float(nearest) / 0.2)
    # Map coordinates are large: a radius of zero may appear as rounding noise in their last digits.
    scale = 1.0 / radius if radius > 1e-9 + 1e-12 * np.abs(c2w[:, :, 3]).max() else 1.0
    rotation = np.eye(3)
    if level:
        rotation = rotation_to_z(up_direction(c2w, [frame.orientation for frame in frames]))
    return Similarity(scale, rotation, -scale * rotation @ focus)


def measured_distances(frames: Sequence[Frame], root: Path) -> Float[np.ndarray, " k"] | None:
    """Return the depths of a sample of the frames' depth images, in the file's units.

    Args:
      frames: the frames; at most MAX_DEPTH_IMAGES of those with depth are read.
      root: the scene folder.

    Returns:
      (k,) the known depths in every eighth row and column; None if no frame has depth.

    Raises:
      SceneError: depth images cannot be decoded; it lists all of them.
    """
    files = [(frame.depth, frame.depth_unit) for frame in frames if frame.depth is not None]
    problems: list[Problem] = []
    found = []
    for path, unit in files[:: max(1, -(-len(files) // MAX_DEPTH_IMAGES))]:
        with reported(path, root, problems):
            depth = decode_numbers(path)[::8, ::8].astype(np.float64) * unit
            found.append(depth[np.isfinite(depth) & (depth > 0)])
    if problems:
        raise SceneError(problems)
    return np.concatenate(found) if found else None


def distances_to_points(
    frames: Sequence[Frame], points: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, " k"]:
    """Return the distances from cameras to points in their field of view.

    At most MAX_POINTS of the points, in the file's world, are used; see `distances_in_view`.
    """
    # The tangent of half the diagonal angle of view.
    half = [
        np.hypot(frame.size[0] / frame.K[0, 0], frame.size[1] / frame.K[1, 1]) / 2
        for frame in frames
    ]
    some = points[:: max(1, -(-len(points) // MAX_POINTS))]
    return distances_in_view(np.stack([frame.c2w for frame in frames]), np.arctan(half), some)


def distances_in_view(
    c2w: Float[np.ndarray, "n 3 4"],
    reach: Float[np.ndarray, " n"],
    points: Float[np.ndarray, "m 3"],
) -> Float[np.ndarray, " k"]:
    """Return the distance of every camera to every point in its field of view.

    Args:
      c2w: (n, 3, 4) camera-to-world, OpenGL axes.
      reach: (n,) half of each camera's angle of view along the image diagonal, in radians.
      points: (m, 3) points in the same world.

    Returns:
      (k,) distances, one for each of the k pairs of a camera and a point that it sees.
    """
    away = points - c2w[:, None, :, 3]  # (n, m, 3)
    distance = np.linalg.norm(away, axis=-1)
    # Cameras look along -z. A point is in view if its angle from the axis is less than `reach`.
    ahead = -(away @ c2w[:, :, 2:])[..., 0]
    return distance[ahead > distance * np.cos(reach)[:, None]]


def up_direction(c2w: np.ndarray, orientations: Sequence[int]) -> np.ndarray:
    """Estimate the up direction of the file's world from the cameras.

    It is the mean up direction of the photos as a viewer shows them, turned by their EXIF
    orientation. Cameras that look straight down have no such direction. If the photos face one way
    and their up directions cancel out, the result is the direction opposite to the mean view. If
    the cameras are above ground level and look along -z of the file, as in maps, it is +z.

    Args:
      c2w: (n, 3, 4) camera-to-world, OpenGL axes, in the file's world.
      orientations: EXIF orientation of each photo, 1 to 8.

    Returns:
      A unit vector (3,); +z if the cameras do not determine one.
    """
    seen_up = np.array([SEEN_UP.get(number, SEEN_UP[1]) for number in orientations])
    up = np.einsum("nij,nj->ni", c2w[:, :, :2], seen_up).mean(0)
    stored_up = c2w[:, :, 1].mean(0)
    # If the orientations make the cameras disagree, a program has rotated the pixels but kept the
    # tags: ignore them.
    if np.linalg.norm(up) < 0.5 * np.linalg.norm(stored_up):
        up = stored_up
    view, position = -c2w[:, :, 2].mean(0), c2w[:, :, 3]
    up = up_or_against_view(up, view)
    if np.linalg.norm(view) > MIN_COMMON_VIEW:
        # Maps have z = 0 at ground level: the cameras are clearly above it and look down.
        extent = np.linalg.norm(position - position.mean(0), axis=-1).max()
        looks_down = -view[2] / np.linalg.norm(view) > np.cos(np.radians(MAX_NADIR_DEGREES))
        if looks_down and position[:, 2].mean() > 0.5 * extent > 0.0:
            up = np.array([0.0, 0.0, 1.0])
    length = np.linalg.norm(up)
    return up / length if length > 1e-3 else np.array([0.0, 0.0, 1.0])


def up_or_against_view(up: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Return the mean up axis, or the direction opposite to the mean view.

    The latter is the case for cameras that face one way but do not agree on an up direction.
    Neither vector is normalised.

    Args:
      up: (3,) mean of the cameras' unit up vectors.
      view: (3,) mean of the cameras' unit view directions.
    """
    agree = np.linalg.norm(up) >= MIN_COMMON_UP or np.linalg.norm(view) <= MIN_COMMON_VIEW
    return up if agree else -view


def _reach(frame: Frame, distance: float) -> float:
    """Return the radius that a camera sees at a distance, along the longer side of its image.

    For fisheye lenses and panoramas it is at most the distance: their wider view does not mean that
    the scene is larger. For an orthographic camera it does not depend on the distance.
    """
    half = max(frame.size[0] / frame.K[0, 0], frame.size[1] / frame.K[1, 1]) / 2
    if frame.model == ORTHOGRAPHIC:
        return half
    return distance * (half if frame.model == PERSPECTIVE else math.tan(min(half, math.pi / 4)))
