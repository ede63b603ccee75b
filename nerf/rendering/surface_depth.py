"""Depth of the surface that a ray meets first, for fields without a surface."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.cameras.cameras import Rays
from nerf.rendering.compositing import Intervals, Rendering
from nerf.rendering.model import Model, last_field, sum_visible

MIN_OPACITY = 0.5  # of a ray that meets a surface
# Light blocked at the surface. Half of it would be blocked behind the middle of soft thin matter,
# such as stems and bars, so that views from two sides would each see the surface beyond the other.
BLOCKED = 0.35


def surface_depth(model: Model, rays: Rays) -> Float[Array, " r"]:
    """Return the distance at which each ray meets a surface, 0 if it meets none.

    Equation:
      T(t) = exp(-int_0^t sigma) = 1 - BLOCKED   with T linear inside each interval
      1 - T(end) >= MIN_OPACITY   for a ray that meets a surface

    Unlike the expected depth, it lies on a surface for rays that graze an edge.

    Args:
      model: the trained model.
      rays: (r) rays in the normalised world.
    """
    if model.occupancy is None:
        rendering = model(rays, jnp.zeros((*rays.origins.shape[:-1], 3)))[-1]
        assert rendering.intervals is not None
        return jnp.where(rendering.opacity >= MIN_OPACITY, _crossing(rendering.intervals), 0.0)
    rays = model.as_taken(rays)
    t_near, t_far = model.space.interval(rays)
    s = model.stages[-1].sampler(None, t_near.shape[:-1], None)
    t = model.space.distance(s, t_near, t_far)

    def read(part: Rendering, transmittance: Float[Array, " r"]) -> Float[Array, " r"]:
        assert part.intervals is not None
        return _crossing(part.intervals, transmittance)

    stop = 1.0 - MIN_OPACITY
    depth, left = sum_visible(model, last_field(model), rays, t, read, stop)
    return jnp.where(left <= stop, depth, 0.0)


def _crossing(
    intervals: Intervals, transmittance: Float[Array, "*b"] | None = None
) -> Float[Array, "*b"]:
    """Return where the sum of the weights reaches BLOCKED, 0 on rays on which it does not.

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
    there = (before < BLOCKED) & (after >= BLOCKED)
    share = (BLOCKED - before) / jnp.maximum(weights, 1e-12)
    t = intervals.t_start + share * (intervals.t_end - intervals.t_start)
    # At most one interval of each part is the crossing.
    return layout.sum(jnp.where(there, t, 0.0))
