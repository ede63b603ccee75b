"""Read camera-to-world matrices that are nearly rigid: rounded to few digits, or with a camera's scale."""

import numpy as np
from jaxtyping import Float

from nerf.scenes.base import Problem, find_not_rigid
from nerf.scenes.tally import Tally

MAX_ROUNDING = 1e-2  # of an entry from that of the nearest rotation, which replaces it


def nearest_pose(
    matrix: Float[np.ndarray, "3 4"], file: str, key: str, tally: Tally
) -> tuple[Float[np.ndarray, "3 4"], list[Problem]]:
    """Read a camera-to-world matrix that may be rounded, or scaled like a camera whose parent has a scale.

    The nearest rotation in the least-squares sense is U V^T of the singular value decomposition U S V^T.

    Args:
      matrix: the upper three rows.
      file: the file that it comes from, for a problem.
      key: where in the file it is.
      tally: told what had to be changed.

    Returns:
      The rigid matrix, with the position of the given one, and what is wrong with it, if anything is.
    """
    problem = find_not_rigid(matrix, file, key)
    if problem is None or not np.isfinite(matrix).all() or not np.abs(matrix[:, :3]).max() < 1e9:
        return matrix, [problem] if problem else []
    left, stretch, right = np.linalg.svd(matrix[:, :3])
    rotation, scale = left @ right, float(stretch.mean())
    if not scale > 1e-9 or np.abs(matrix[:, :3] / scale - rotation).max() > MAX_ROUNDING:
        return matrix, [problem]
    if np.linalg.det(rotation) < 0:
        return matrix, [
            find_not_rigid(np.concatenate([rotation, matrix[:, 3:]], -1), file, key) or problem
        ]
    if abs(scale - 1.0) > MAX_ROUNDING:
        tally.add(f"pose has a scale of {scale:.4g}, which is left out; its position is kept", key)
    else:
        tally.add("rotation is rounded to few digits: the nearest rotation is used", key)
    return np.concatenate([rotation, matrix[:, 3:]], -1), []
