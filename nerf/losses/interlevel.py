"""Interlevel loss, which trains proposals to bound the final weights (2111.12077, equation 13)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context
from nerf.rendering.compositing import Dense

# Edges (*b, n + 1) in world units and weights (*b, n); each stage has its own number n.
Histogram = tuple[Float[Array, "*b _"], Float[Array, "*b _"]]
EPSILON = 1e-7  # added to the final weights that divide


@dataclasses.dataclass(frozen=True)
class Interlevel:
    """Final weights above the bound of each proposal (mip-NeRF 360, 2111.12077, equation 13).

    Equation:
      L = lambda sum_p sum_i 1/w_i max(0, w_i - bound_(p,i))^2
      bound_(p,i) = sum_j hat(w)_(p,j)   over the intervals j of stage p that overlap interval i

    w_i are the weights of the last stage and hat(w)_(p,j) those of the proposal p, which is any
    stage before the last (the bound is equation 12). A proposal may exceed the final weights, and
    not fall below them. No gradient flows into the last stage. The edges are world distances: which
    intervals overlap is the same for normalised ones and for any other increasing function.

    Attributes:
      weight: lambda, factor on the loss.
    """

    weight: float = 1.0

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its last rendering trains the ones before.

        Returns:
          The weighted loss, (*b).
        """
        proposals, (edges, weights) = histograms(context)
        total = jnp.zeros(weights.shape[:-1])
        for proposal in proposals:
            excess = jnp.maximum(weights - outer_bound(edges, proposal), 0.0)
            # Equation 13. No excess is larger than its weight, so the gradient is at most 2 lambda.
            total = total + (jnp.square(excess) / (weights + EPSILON)).sum(-1)
        return self.weight * total


def histograms(context: Context) -> tuple[list[Histogram], Histogram]:
    """Return the histograms of the proposals and that of the last stage, which gets no gradient.

    Raises:
      ConfigError: there is only one stage, or a stage skips intervals by an occupancy grid.
    """
    found = []
    for rendering in context.renderings:
        intervals = rendering.intervals
        assert intervals is not None
        if not isinstance(intervals.layout, Dense):
            reason = "an occupancy grid skips intervals, so that their edges have gaps"
            fix = "switch the grid off with --config.model.occupancy=None"
            raise ConfigError(f"losses: {reason}: {fix}")
        edges = jnp.concatenate([intervals.t_start, intervals.t_end[..., -1:]], -1)
        found.append((jax.lax.stop_gradient(edges), intervals.weights))
    if len(found) < 2:
        reason = "an interlevel loss trains the stages before the last, and there is one stage"
        raise ConfigError(f"losses: {reason}: add a proposal stage to model.stages")
    return found[:-1], jax.lax.stop_gradient(found[-1])


def outer_bound(edges: Float[Array, "*b e"], proposal: Histogram) -> Float[Array, "*b n"]:
    """Return the proposal's weight in all intervals that overlap each given one: equation 12."""
    other, weights = proposal
    # Intervals that only touch do not overlap. Each pair is compared: sums of non-negative weights
    # are exact to rounding, where differences of cumulative sums would lose small weights.
    before = other[..., None, :-1] < edges[..., 1:, None]
    behind = other[..., None, 1:] > edges[..., :-1, None]
    return jnp.where(before & behind, weights[..., None, :], 0.0).sum(-1)
