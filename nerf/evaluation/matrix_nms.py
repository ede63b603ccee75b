"""Matrix non-maximum suppression: lower the scores of masks that repeat better ones (SOLOv2)."""

import numpy as np
from jaxtyping import Bool, Float


def overlaps(masks: Bool[np.ndarray, "k n"]) -> Float[np.ndarray, "k k"]:
    """Return the intersection over union of each pair of masks, 0 of two empty ones."""
    counted = masks.astype(np.float64)
    both = counted @ counted.T
    sizes = counted.sum(1)
    either = sizes[:, None] + sizes[None, :] - both
    return both / np.maximum(either, 1.0)


def matrix_nms(
    masks: Bool[np.ndarray, "k n"], scores: Float[np.ndarray, " k"], sigma: float = 0.5
) -> Float[np.ndarray, " k"]:
    """Return the score of each mask after all better ones have lowered it.

    Equation:
      s_j <- s_j min_i f(iou_ij) / f(iou_i)       over all i with s_i > s_j
      f(iou_i) = min_k f(iou_ki)                  over all k with s_k > s_i; 1 without one
      f(iou) = exp(-iou^2 / sigma)                2003.10152, section 3.3

    A mask lowers others the less, the more likely it is to be suppressed itself.

    Args:
      masks: which of n pixels each mask shows.
      scores: of each mask; of equal scores the first is the better one.
      sigma: width of the Gaussian.
    """
    order = np.argsort(-scores, kind="stable")
    # Entry i j, of a better mask i, is above the diagonal.
    better = np.triu(overlaps(masks[order]), 1)
    most = better.max(0, initial=0.0)
    decay = np.exp((most[:, None] ** 2 - better**2) / sigma)
    above = np.triu(np.ones_like(decay, bool), 1)
    lowered = np.empty_like(scores)
    lowered[order] = scores[order] * np.where(above, decay, 1.0).min(0, initial=1.0)
    return lowered
