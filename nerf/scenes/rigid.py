"""Correct camera-to-world matrices that are nearly rigid: rounded, or with a scale."""

import numpy as np
from jaxtyping import Float

from nerf.scenes.base import Problem, find_not_rigid
from nerf.scenes.tally import Tally

MAX_ROUNDING = 1e-2  # maximum difference of an entry from the nearest rotation, which replaces it


def nearest_pose(
    matrix: Float[np.ndarray, "3 4"], file: str, key: str, tally: Tally
) -> tuple[Float[np.ndarray, "3 4"], list[Problem]]:
    """Return the nearest rigid camera-to-world matrix.

    The given matrix may be rounded, or scaled because the camera's parent object has a scale. The
    nearest rotation in the least-squares sense is U V^T, with the singular value decomposition
    U S V^T.

    Args:
      matrix: (3, 4) upper rows of the camera-to-world matrix.
      file: the file that contains it, for error messages.
      key: its key in the file.
      tally: counts the corrections.

    Returns:
      The rigid matrix, with the position of the given one, and a list that contains the problem if
      the matrix cannot be corrected.
    """
    problem = find_not_rigid(matrix, file, key)
    if problem is None or not np.isfinite(matrix).all() or not np.abs(matrix[:, :3]).max() < 1e9:
        return matrix, [problem] if problem else []
    # The singular values of a scaled rotation all equal the scale.
    left, stretch, right = np.linalg.svd(matrix[:, :3])
    rotation, scale = left @ right, float(stretch.mean())
    if not scale > 1e-9 or np.abs(matrix[:, :3] / scale - rotation).max() > MAX_ROUNDING:
        return matrix, [problem]
    # A mirrored matrix is an error: report that instead of the rounding.
    if np.linalg.det(rotation) < 0:
        mirrored = np.concatenate([rotation, matrix[:, 3:]], -1)
        return matrix, [find_not_rigid(mirrored, file, key) or problem]
    if abs(scale - 1.0) > MAX_ROUNDING:
        tally.add(
            f"pose has a scale of {scale:.4g}: the scale is removed, the position is kept", key
        )
    else:
        tally.add("rotation is rounded to few digits: the nearest rotation is used", key)
    return np.concatenate([rotation, matrix[:, 3:]], -1), []
