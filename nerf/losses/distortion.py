"""Distortion loss, which gathers the weights of a ray in one place (mip-NeRF 360, 2111.12077, equation 15)."""

import dataclasses
from collections.abc import Sequence

from jaxtyping import Array, Float

from nerf.losses import Target
from nerf.rendering.compositing import Rendering


@dataclasses.dataclass(frozen=True)
class Distortion:
    """How far apart along a ray what is seen lies, of the last stage (mip-NeRF 360, 2111.12077, equation 15).

    sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 l_i, with weights w and the middles m and lengths l of the intervals,
    which are measured in x = t / (1 + t), so that far away counts little. With intervals in order of distance the
    double sum is 2 sum_i w_i (m_i W_i - S_i), where W and S are the sums of w and w m up to i.
    """

    weight: float = 1.0

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        intervals = renderings[-1].intervals
        assert intervals is not None
        w, layout = intervals.weights, intervals.layout
        start, end = (t / (1.0 + t) for t in (intervals.t_start, intervals.t_end))
        middle = 0.5 * (start + end)
        apart = middle * layout.cumsum(w) - layout.cumsum(w * middle)
        return self.weight * layout.sum(2.0 * w * apart + w**2 * (end - start) / 3.0)
