"""Losses, one number a ray; training reduces them over the rays that were rendered whole.

A loss is a callable `loss(renderings, target) -> (*b)`: `renderings` one a stage, `target` what they should be.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.pytrees import pytree
from nerf.rendering.compositing import Rendering


@pytree
class Target:
    """What is known of each ray.

    Attributes:
      rgb: true sRGB, over the background.
      depth: distance along the ray in world units, 0 where it is not known; None where it is known of no ray.
    """

    rgb: Float[Array, "*b 3"]
    depth: Float[Array, "*b"] | None = None


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """Mean squared difference of colour, summed over the stages (NeRF, 2003.08934, eq. 6)."""

    weight: float = 1.0

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        return self.weight * jnp.stack([jnp.square(r.rgb - target.rgb).mean(-1) for r in renderings]).sum(0)


@dataclasses.dataclass(frozen=True)
class Charbonnier:
    """sqrt(|difference|^2 + eps^2), which forgives outliers, summed over the stages (2111.12077, equation 14)."""

    weight: float = 1.0
    eps: float = 0.001

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        squares = jnp.stack([jnp.square(r.rgb - target.rgb).sum(-1) for r in renderings])
        return self.weight * jnp.sqrt(squares + self.eps**2).sum(0)


@dataclasses.dataclass(frozen=True)
class DepthError:
    """Pseudo-Huber error of depth, summed over the stages, of rays whose depth is known; zero of all others.

    sqrt((difference / robust)^2 + 1) - 1 (1701.03077, equation 1 with alpha = 1): a parabola up to differences of
    `robust` world units, which forgives a sensor's outliers beyond.
    """

    weight: float = 1.0
    robust: float = 0.1

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        if target.depth is None:
            return jnp.zeros(target.rgb.shape[:-1])
        errors = jnp.stack([(r.depth - target.depth) / self.robust for r in renderings])
        return jnp.where(target.depth > 0, self.weight * (jnp.sqrt(errors**2 + 1.0) - 1.0).sum(0), 0.0)


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
        apart = middle * layout.running(w) - layout.running(w * middle)
        return self.weight * layout.total(2.0 * w * apart + w**2 * (end - start) / 3.0)
