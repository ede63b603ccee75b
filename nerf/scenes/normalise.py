"""The similarity from a file's world to the normalised one: where the middle is, how large, which way is up."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import (
    MIN_COMMON_VIEW,
    Problem,
    SceneError,
    Similarity,
    axes_meet,
    focus_point,
    rotation_to_z,
)
from nerf.scenes.decode import decode_numbers
from nerf.scenes.frames import Frame

MAX_DEPTH_IMAGES = 16  # that are looked at for how near and far matter is
MAX_POINTS = 2000  # for the same
MIN_COMMON_UP = 0.5  # length of the mean up axis of cameras that agree on what is up
MAX_NADIR_DEGREES = 30.0  # between the mean view and straight down, for cameras that look down
# By EXIF's orientation: where up is, in (x, y) of the stored picture's camera, for a person who
# looks at the photo (Exif 2.32, tag 0x0112: 6 has the top of the scene at the left of the file).
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
    """Return the similarity that puts what the cameras look at around the origin.

    Bounded scenes: the ball that every camera sees whole gets radius 1 / 1.05, so that an object
    that fits into the pictures fits into the box [-1, 1]^3. Unbounded scenes: the farthest camera
    gets distance 1, unless `distances` say that this is out of proportion, as for a panorama: half
    of them stay within 4 and all but the nearest in a hundred beyond 0.2.

    Args:
      frames: of all splits, so that every split gets the same similarity.
      bounded: whether nothing lies beyond the object that the cameras look at.
      level: turn `up_direction` to +z; otherwise the file's axes are kept.
      distances: (n,) from cameras to matter that they see, in the file's units, where known.
    """
    c2w = np.stack([frame.c2w for frame in frames])
    if distances is not None and not len(distances):
        distances = None
    focus = focus_point(c2w, None if distances is None else float(np.median(distances)))
    distance = np.linalg.norm(c2w[:, :, 3] - focus, axis=-1)
    if bounded:
        radius = 1.05 * float(
            np.median([_reach(f, d) for f, d in zip(frames, distance, strict=True)])
        )
        if not axes_meet(c2w):
            radius = max(radius, float(distance.max()))
    else:
        radius = float(distance.max())
        if distances is not None:
            nearest, middle = np.quantile(distances, [0.01, 0.5])
            radius = min(max(radius, float(middle) / 4.0), float(nearest) / 0.2)
    # Coordinates of maps are large: what is left of a distance of zero are their last digits.
    scale = 1.0 / radius if radius > 1e-9 + 1e-12 * np.abs(c2w[:, :, 3]).max() else 1.0
    rotation = (
        rotation_to_z(up_direction(c2w, [frame.orientation for frame in frames]))
        if level
        else np.eye(3)
    )
    return Similarity(scale, rotation, -scale * rotation @ focus)


def measured_distances(frames: Sequence[Frame], root: Path) -> Float[np.ndarray, " k"] | None:
    """Return how far matter is from the cameras by their depth images, in the file's units.

    Args:
      frames: of which some are looked at; those without depth are skipped.
      root: the scene folder.

    Returns: the known depths of every eighth row and column; None where no frame has depth.

    Raises: SceneError, with every depth image that cannot be decoded.
    """
    with_depth = [frame for frame in frames if frame.depth is not None]
    problems: list[Problem] = []
    found = []
    for frame in with_depth[:: max(1, -(-len(with_depth) // MAX_DEPTH_IMAGES))]:
        assert frame.depth is not None
        try:
            depth = decode_numbers(frame.depth)[::8, ::8].astype(np.float64) * frame.depth_unit
            found.append(depth[np.isfinite(depth) & (depth > 0)])
        except Exception as error:  # decoders raise anything on damaged data
            name = frame.depth.relative_to(root).as_posix()
            problems.append(Problem(name, "", f"cannot be decoded ({error})", "export it again"))
    if problems:
        raise SceneError(problems)
    return np.concatenate(found) if found else None


def distances_to_points(
    frames: Sequence[Frame], points: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, " k"]:
    """Return the distances from cameras to some of the points that lie in their field of view; see `distances_in_view`.

    At most MAX_POINTS of the points, which are of the file's world, are used.
    """
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
    """Return the distance of each pair of a camera and a point that it has in view.

    Args:
      c2w: camera-to-world, OpenGL axes.
      reach: half of each camera's angle of view along its picture's diagonal, in radians.
      points: of the same world.
    """
    away = points - c2w[:, None, :, 3]
    distance = np.linalg.norm(away, axis=-1)
    ahead = -(away @ c2w[:, :, 2:])[..., 0]
    return distance[ahead > distance * np.cos(reach)[:, None]]


def up_direction(c2w: np.ndarray, orientations: Sequence[int]) -> np.ndarray:
    """Return the unit vector that points up in the file's world, as far as the cameras tell.

    It is the mean of the directions that are up in the photos as they are to be looked at, which
    is not as they are stored where their EXIF orientation says that the camera was held sideways.
    Cameras that look straight down have no such direction: where the ups of photos that face one
    way cancel out, up is against the view, and so it is above ground level for cameras that look
    along -z of the file, as in maps.

    Args:
      c2w: (n, 3, 4) camera-to-world, OpenGL axes, in the file's world.
      orientations: of the photos, EXIF's numbers 1 to 8.
    """
    seen_up = np.array([SEEN_UP.get(number, SEEN_UP[1]) for number in orientations])
    up = np.einsum("nij,nj->ni", c2w[:, :, :2], seen_up).mean(0)
    stored_up = c2w[:, :, 1].mean(0)
    # A tag that makes the cameras disagree was left behind by a program that turned the pixels.
    if np.linalg.norm(up) < 0.5 * np.linalg.norm(stored_up):
        up = stored_up
    view, position = -c2w[:, :, 2].mean(0), c2w[:, :, 3]
    up = up_or_against_view(up, view)
    if np.linalg.norm(view) > MIN_COMMON_VIEW:
        extent = np.linalg.norm(position - position.mean(0), axis=-1).max()
        looks_down = -view[2] / np.linalg.norm(view) > np.cos(np.radians(MAX_NADIR_DEGREES))
        if looks_down and position[:, 2].mean() > 0.5 * extent > 0.0:
            up = np.array([0.0, 0.0, 1.0])
    length = np.linalg.norm(up)
    return up / length if length > 1e-3 else np.array([0.0, 0.0, 1.0])


def up_or_against_view(up: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Return the mean up axis, or the direction against the mean view where cameras face one way and agree on no up.

    Args:
      up: (3,) mean of the unit vectors that are up in the cameras' pictures.
      view: (3,) mean of the unit vectors along which the cameras look.
    """
    agree = np.linalg.norm(up) >= MIN_COMMON_UP or np.linalg.norm(view) <= MIN_COMMON_VIEW
    return up if agree else -view


def _reach(frame: Frame, distance: float) -> float:
    """Radius of what a camera sees at a distance across the longer side of its picture; at most the distance itself.

    A fisheye lens or a panorama sees more than that, which says nothing of how large the scene is.
    """
    half = max(frame.size[0] / frame.K[0, 0], frame.size[1] / frame.K[1, 1]) / 2
    if frame.model == ORTHOGRAPHIC:
        return half
    return distance * (half if frame.model == PERSPECTIVE else math.tan(min(half, math.pi / 4)))
