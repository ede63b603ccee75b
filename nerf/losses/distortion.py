"""Distortion loss, which concentrates a ray's weights (mip-NeRF 360, 2111.12077, equation 15)."""

import dataclasses

from jaxtyping import Array, Float

from nerf.losses import Context


@dataclasses.dataclass(frozen=True)
class Distortion:
    """Distortion loss of the last stage (mip-NeRF 360, 2111.12077, equation 15).

    Equation:
      L = lambda (sum_(i,j) w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 l_i)
      sum_(i,j) w_i w_j |m_i - m_j| = 2 sum_i w_i (m_i W_i - S_i)   since intervals are sorted

    w are the weights of the intervals, m their midpoints and l their lengths; W_i and S_i are the
    cumulative sums of w and of w m up to i. Distances are measured as x = t / (1 + t), so that
    distant intervals count little.

    Attributes:
      weight: lambda, factor on the loss.
    """

    weight: float = 1.0

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: the intervals of its last rendering are used.

        Returns:
          The weighted loss, (*b).
        """
        intervals = context.renderings[-1].intervals
        assert intervals is not None
        w, layout = intervals.weights, intervals.layout
        # Map both ends to x = t / (1 + t) in [0, 1).
        start, end = (t / (1.0 + t) for t in (intervals.t_start, intervals.t_end))
        middle = 0.5 * (start + end)
        # m_i W_i - S_i = sum_{j<=i} w_j (m_i - m_j): the double sum in linear time.
        apart = middle * layout.cumsum(w) - layout.cumsum(w * middle)
        # Equation 15.
        return self.weight * layout.sum(2.0 * w * apart + w**2 * (end - start) / 3.0)
