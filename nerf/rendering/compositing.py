"""The differentiable volume renderer: optical depth of intervals -> weights -> composited quantities.

For a ray cut into intervals of length delta_i, with what a field predicts in each (NeRF, 2003.08934, eq. 3; Max 1995):

  1.  alpha_i = 1 - exp(-tau_i), tau_i = density_i delta_i    how much interval i absorbs
  2.  T_i     = exp(-sum_{j<i} tau_j)                         how much light reaches it: transmittance
  3.  w_i     = T_i alpha_i                                   its weight; sum_i w_i + T_n = 1
  4.  C       = sum_i w_i c_i + T_n background

The intervals of a batch are stored in one of two layouts, which know how to sum along rays and nothing else: `Dense`,
an axis of s intervals for every ray, and `Packed`, one list of the intervals that matter with the ray of each.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from nerf.foundation.pytrees import pytree


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Dense:
    """Values (*b, s): every ray has s intervals, front to back along the last axis."""

    def cumsum(self, x: Float[Array, "*b s"]) -> Float[Array, "*b s"]:
        """Sum over the interval and those before it on its ray."""
        return jnp.cumsum(x, -1)

    def sum(self, x: Float[Array, "*b s"]) -> Float[Array, "*b"]:
        """Sum over all intervals of each ray."""
        return x.sum(-1)

    def broadcast_to_samples(self, x: Float[Array, "*b c"]) -> Float[Array, "*b 1 c"]:
        """What belongs to a ray, for each of its intervals."""
        return x[..., None, :]


@pytree
class Packed:
    """Values (m,): intervals of `rays` rays in one list, sorted by ray and then front to back.

    Attributes:
      ray: of each interval.
      rays: how many rays there are.
    """

    ray: Int[Array, " m"]
    rays: int = dataclasses.field(metadata={"static": True})

    def cumsum(self, x: Float[Array, " m"]) -> Float[Array, " m"]:
        """A segmented sum: exact, where a difference of running sums over all rays would lose its digits."""
        return _running_sum(x, self.ray)

    def sum(self, x: Float[Array, " m"]) -> Float[Array, " r"]:
        return jax.ops.segment_sum(x, self.ray, self.rays, indices_are_sorted=True)

    def broadcast_to_samples(self, x: Float[Array, "r c"]) -> Float[Array, "m c"]:
        return x[self.ray]


@jax.custom_vjp
def _running_sum(x: Float[Array, " m"], ray: Int[Array, " m"]) -> Float[Array, " m"]:
    """Sum over each element and those before it with the same `ray`; equal rays are neighbours.

    Hillis & Steele (1986): after k rounds each element holds the sum of up to 2^k. A loop with a gradient of its own,
    since compiling the unrolled rounds of `jax.lax.associative_scan` and their transposes takes a quarter of a step's.
    """
    size = x.shape[0]

    def earlier(x, padding, shift):
        padded = jnp.concatenate([jnp.full(size, padding, x.dtype), x])
        return jax.lax.dynamic_slice(padded, (jnp.maximum(size - shift, 0),), (size,))

    def same(shift):
        return earlier(ray, -1, shift) == ray

    def add(carry):
        shift, mask, x = carry
        return 2 * shift, same(2 * shift), x + jnp.where(mask, earlier(x, 0.0, shift), 0.0)

    return jax.lax.while_loop(
        lambda carry: carry[1].any(), add, (jnp.int32(1), same(jnp.int32(1)), x)
    )[2]


def _running_sum_forward(x, ray):
    return _running_sum(x, ray), ray


def _running_sum_backward(ray, g):
    return _running_sum(g[::-1], ray[::-1])[::-1], None


_running_sum.defvjp(_running_sum_forward, _running_sum_backward)


@pytree
class Intervals:
    """What a stage knows of its intervals, in the layout: weights, and where they begin and end in world units."""

    weights: Float[Array, "..."]
    t_start: Float[Array, "..."]
    t_end: Float[Array, "..."]
    layout: Dense | Packed


@pytree
class Rendering:
    """What a stage of the renderer gives for each ray.

    Attributes:
      rgb: composited sRGB over the background.
      opacity: sum of the weights.
      depth: mean distance along the ray of what was hit, in world units; 0 where nothing was.
      extras: every other quantity the field predicts, composited without a background.
      complete: whether every interval that matters was evaluated; only training may leave some out.
      intervals: for losses and for the next stage; None where a picture was rendered piece by piece.
    """

    rgb: Float[Array, "*b 3"]
    opacity: Float[Array, "*b"]
    depth: Float[Array, "*b"]
    extras: dict[str, Float[Array, "..."]]
    complete: Bool[Array, "*b"]
    intervals: Intervals | None


def weights_from_tau(
    tau: Float[Array, "..."], layout: Dense | Packed = Dense()
) -> Float[Array, "..."]:
    """Weights of intervals of optical depth `tau` >= 0; finite with finite gradients for any tau."""
    transmittance = jnp.exp(-(layout.cumsum(tau) - tau))  # Equation 2.
    return transmittance * -jnp.expm1(-tau)  # Equations 1 and 3.


def composite(
    quantities: Mapping[str, Float[Array, "..."]],
    tau: Float[Array, "..."],
    t_start: Float[Array, "..."],
    t_end: Float[Array, "..."],
    background: Float[Array, "*#b 3"],
    layout: Dense | Packed = Dense(),
    complete: Bool[Array, "*b"] | None = None,
) -> Rendering:
    """Composite every quantity, with or without a channel axis, by its name; `rgb` goes over `background`."""
    weights = weights_from_tau(tau, layout)

    def integrate(value: Float[Array, "..."]) -> Float[Array, "..."]:
        if value.ndim == weights.ndim:
            return layout.sum(weights * value)
        return jnp.stack(
            [layout.sum(weights * channel) for channel in jnp.moveaxis(value, -1, 0)], -1
        )

    summed = {name: integrate(value) for name, value in quantities.items() if name != "density"}
    opacity = layout.sum(weights)
    depth = layout.sum(weights * 0.5 * (t_start + t_end)) / jnp.maximum(opacity, 1e-8)
    # exp(-sum tau), not 1 - opacity, which loses its digits (and may turn negative) where a ray is opaque.
    rgb = summed.pop("rgb") + jnp.exp(-layout.sum(tau))[..., None] * background  # Equation 4.
    complete = jnp.ones(opacity.shape, bool) if complete is None else complete
    return Rendering(
        rgb, opacity, depth, summed, complete, Intervals(weights, t_start, t_end, layout)
    )
