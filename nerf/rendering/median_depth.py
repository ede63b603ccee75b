"""Median depth: the distance at which half of the light along a ray is blocked."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.cameras.cameras import Rays
from nerf.rendering.compositing import Intervals, Rendering
from nerf.rendering.model import Model, last_field, sum_visible


def median_depth(model: Model, rays: Rays) -> Float[Array, " r"]:
    """Return the distance at which the transmittance of each ray falls to 1/2, 0 if it never does.

    Equation:
      T(t) = exp(-int_0^t sigma) = 1/2   with T linear inside each interval

    Unlike the expected depth, it lies on a surface for rays that graze an edge.

    Args:
      model: the trained model.
      rays: (r) rays in the normalised world.
    """
    if model.occupancy is None:
        intervals = model(rays, jnp.zeros((*rays.origins.shape[:-1], 3)))[-1].intervals
        assert intervals is not None
        return _crossing(intervals)
    rays = model.as_taken(rays)
    t_near, t_far = model.space.interval(rays)
    s = model.stages[-1].sampler(None, t_near.shape[:-1], None)
    t = model.space.distance(s, t_near, t_far)

    def read(part: Rendering, transmittance: Float[Array, " r"]) -> Float[Array, " r"]:
        assert part.intervals is not None
        return _crossing(part.intervals, transmittance)

    return sum_visible(model, last_field(model), rays, t, read, stop=0.5)[0]


def _crossing(
    intervals: Intervals, transmittance: Float[Array, "*b"] | None = None
) -> Float[Array, "*b"]:
    """Return where the sum of the weights reaches 1/2, 0 on rays on which it does not.

    Args:
      intervals: of a part of each ray.
      transmittance: transmittance up to that part; None means 1.
    """
    layout, weights, before = intervals.layout, intervals.weights, jnp.zeros(())
    if transmittance is not None:
        through = layout.broadcast_to_samples(transmittance[..., None])[..., 0]
        weights, before = through * weights, 1.0 - through
    after = before + layout.cumsum(weights)
    before = after - weights
    there = (before < 0.5) & (after >= 0.5)
    share = (0.5 - before) / jnp.maximum(weights, 1e-12)
    t = intervals.t_start + share * (intervals.t_end - intervals.t_start)
    # At most one interval of each part is the crossing.
    return layout.sum(jnp.where(there, t, 0.0))
