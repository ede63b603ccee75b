"""Estimate the pose of a picture from points at known positions (perspective-n-point)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

START_TOLERANCE = 0.12  # radians; points within it count when starts are ranked
REFINED_STARTS = 3  # number of starts that are refined
# Rotations about the optical axis by quarter turns.
ROLLS = Rotation.from_rotvec(np.array([[0.0, 0.0, i * np.pi / 2] for i in range(4)])).as_matrix()


def misses(
    c2w: Float[np.ndarray, "*k 3 4"],
    points: Float[np.ndarray, "m 3"],
    rays: Float[np.ndarray, "m 3"],
) -> Float[np.ndarray, "*k m"]:
    """Return the angles between rays and the directions to their points.

    Args:
      c2w: camera-to-world poses.
      points: points in the world.
      rays: unit vectors in the cameras' axes.

    Returns: angles in radians.
    """
    # The arctangent of sine and cosine is accurate for small angles too.
    local = (points - c2w[..., None, :, 3]) @ c2w[..., :3]
    across = np.linalg.norm(np.cross(local, rays), axis=-1)
    return np.arctan2(across, (local * rays).sum(-1))


def fit_pose(
    points: Float[np.ndarray, "m 3"],
    rays: Float[np.ndarray, "m 3"],
    starts: Float[np.ndarray, "k 3 4"],
    tolerance: float,
) -> tuple[Float[np.ndarray, "3 4"], float]:
    """Find the pose that fits most rays to their points.

    Each start is also rolled by quarter turns. The starts with the most points nearby are refined
    with a loss that is robust to outliers (Cauchy). The search is local: a pose that is far from
    all starts is not found.

    Args:
      points: points in the world.
      rays: unit vectors to them in the camera's axes.
      starts: camera-to-world poses to start from.
      tolerance: angle in radians up to which a ray fits its point.

    Returns: the pose, and the fraction of the rays that fit.
    """
    rolled = np.concatenate(
        [starts[:, None, :, :3] @ ROLLS, np.repeat(starts[:, None, :, 3:], 4, 1)], -1
    )
    rolled = rolled.reshape(-1, 3, 4)
    near = (misses(rolled, points, rays) < START_TOLERANCE).mean(-1)
    found = [
        _refine(rolled[i], points, rays, tolerance)
        for i in np.argsort(-near, kind="stable")[:REFINED_STARTS]
    ]
    fractions = [float((misses(pose, points, rays) < tolerance).mean()) for pose in found]
    best = int(np.argmax(fractions))
    return found[best], fractions[best]


def _refine(
    start: np.ndarray, points: np.ndarray, rays: np.ndarray, tolerance: float
) -> np.ndarray:
    """Refine a pose by least squares over rotation and position."""
    # Steps of the position are relative to the distance of the points.
    size = float(np.median(np.linalg.norm(points - start[:, 3], axis=-1)))

    def pose(step: np.ndarray) -> np.ndarray:
        turned = start[:, :3] @ Rotation.from_rotvec(step[:3]).as_matrix()
        return np.concatenate([turned, (start[:, 3] + size * step[3:])[:, None]], -1)

    def residuals(step: np.ndarray) -> np.ndarray:
        found = pose(step)
        local = (points - found[:, 3]) @ found[:, :3]
        distance = np.linalg.norm(local, axis=-1, keepdims=True)
        return (local / np.maximum(distance, 1e-12) - rays).ravel()

    step = np.zeros(6)
    # Begin with a wide loss: far from the solution, inliers have errors as large as outliers.
    for scale in (16.0, 4.0, 1.0):
        step = least_squares(
            residuals, step, loss="cauchy", f_scale=scale * tolerance, max_nfev=30
        ).x
    return pose(step)


def apart(a: Float[np.ndarray, "3 4"], b: Sequence | np.ndarray) -> tuple[float, float]:
    """Return distance and angle in degrees between two poses."""
    b = np.asarray(b)
    turn = Rotation.from_matrix(a[:, :3].T @ b[:, :3]).magnitude()
    return float(np.linalg.norm(a[:, 3] - b[:, 3])), float(np.degrees(turn))
