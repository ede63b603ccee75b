"""Where a picture was really taken: the pose that fits points whose places are known (perspective-n-point)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

START_TOLERANCE = 0.12  # radians by which a start may miss a point that counts for it
REFINED_STARTS = 3  # starts that are refined
ROLLS = Rotation.from_rotvec(np.array([[0.0, 0.0, i * np.pi / 2] for i in range(4)])).as_matrix()


def misses(
    c2w: Float[np.ndarray, "*k 3 4"],
    points: Float[np.ndarray, "m 3"],
    rays: Float[np.ndarray, "m 3"],
) -> Float[np.ndarray, "*k m"]:
    """Angles between rays, unit vectors in a camera's axes, and the directions to the points they should meet."""
    local = (points - c2w[..., None, :, 3]) @ c2w[..., :3]
    across = np.linalg.norm(np.cross(local, rays), axis=-1)
    return np.arctan2(across, (local * rays).sum(-1))


def fit_pose(
    points: Float[np.ndarray, "m 3"],
    rays: Float[np.ndarray, "m 3"],
    starts: Float[np.ndarray, "k 3 4"],
    tolerance: float,
) -> tuple[Float[np.ndarray, "3 4"], float]:
    """The pose that brings most rays within `tolerance` radians of their points, and that part of them.

    Of all starts, each also rolled by quarter turns, those that come nearest are refined with a loss that forgives
    outliers (Cauchy). The search is local: a pose far from all starts is not found.
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
    parts = [float((misses(pose, points, rays) < tolerance).mean()) for pose in found]
    best = int(np.argmax(parts))
    return found[best], parts[best]


def _refine(
    start: np.ndarray, points: np.ndarray, rays: np.ndarray, tolerance: float
) -> np.ndarray:
    size = float(np.median(np.linalg.norm(points - start[:, 3], axis=-1)))

    def pose(step: np.ndarray) -> np.ndarray:
        turned = start[:, :3] @ Rotation.from_rotvec(step[:3]).as_matrix()
        return np.concatenate([turned, (start[:, 3] + size * step[3:])[:, None]], -1)

    def residuals(step: np.ndarray) -> np.ndarray:
        found = pose(step)
        local = (points - found[:, 3]) @ found[:, :3]
        return (
            local / np.maximum(np.linalg.norm(local, axis=-1, keepdims=True), 1e-12) - rays
        ).ravel()

    step = np.zeros(6)
    for scale in (16.0, 4.0, 1.0):  # from far away, outliers look like everything else
        step = least_squares(
            residuals, step, loss="cauchy", f_scale=scale * tolerance, max_nfev=30
        ).x
    return pose(step)


def apart(a: Float[np.ndarray, "3 4"], b: Sequence | np.ndarray) -> tuple[float, float]:
    """Distance and angle (degrees) between two poses."""
    b = np.asarray(b)
    turn = Rotation.from_matrix(a[:, :3].T @ b[:, :3]).magnitude()
    return float(np.linalg.norm(a[:, 3] - b[:, 3])), float(np.degrees(turn))
