"""Sum over the occupied intervals of many rays front to back, in a buffer of fixed size.

Each wave takes the next few intervals of every ray that still lets light through, as many rays as
fit the buffer. So memory is bounded, the buffer is full but for the last waves, and what lies
behind an opaque surface is not evaluated.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from nerf.rendering.compositing import Rendering
from nerf.rendering.packing import OccupiedIntervals, PackedSamples, pack_samples

# A buffer has a slot for each ray, but at least this many: a small one leaves a processor waiting.
MIN_SLOTS = 2**8
# A ray takes at least this many intervals of a wave, and more where few rays are left.
MIN_PER_RAY = 4

Evaluate = Callable[[PackedSamples], Rendering]
Read = Callable[[Rendering, Float[Array, " r"]], PyTree]


def sum_in_waves(
    occupied: OccupiedIntervals, evaluate: Evaluate, read: Read, stop: float, wave: int
) -> tuple[PyTree, Float[Array, " r"]]:
    """Sum over the intervals of each ray until it is opaque.

    Args:
      occupied: the intervals of r rays.
      evaluate: renders the intervals in a buffer, as if there were no others.
      read: what to sum, from the rendering of a part of each ray and the transmittance up to that
        part, (r,); arrays with the leading axis r.
      stop: transmittance below which a ray stops, which bounds the error of its colour.
      wave: the largest number of slots of the buffer, if it is above MIN_SLOTS.

    Returns:
      The sums, as returned by `read`, and the transmittance past the last interval, (r,).
    """
    rays = occupied.words.shape[0]
    slots = max(min(rays, wave), MIN_SLOTS)

    def left(done: Int[Array, " r"], transmittance: Float[Array, " r"]) -> Bool[Array, " r"]:
        return (done < occupied.counts) & (transmittance > stop)

    def add_wave(
        carry: tuple[Int[Array, " r"], Float[Array, " r"], PyTree],
    ) -> tuple[Int[Array, " r"], Float[Array, " r"], PyTree]:
        done, transmittance, sums = carry
        going = left(done, transmittance)
        share = jnp.maximum(slots // jnp.maximum(going.sum(), 1), MIN_PER_RAY)
        count = jnp.where(going, jnp.minimum(share, occupied.counts - done), 0)
        packed = pack_samples(occupied, slots, done, count)
        part = evaluate(packed)
        # Only rays whose part fits the buffer count; the first of those that are left always fits.
        fits = packed.complete

        def add(total: Float[Array, "r ..."], new: Float[Array, "r ..."]) -> Float[Array, "r ..."]:
            return total + jnp.where(fits.reshape(-1, *[1] * (new.ndim - 1)), new, 0.0)

        sums = jax.tree.map(add, sums, read(part, transmittance))
        done = jnp.where(fits, done + count, done)
        return done, jnp.where(fits, transmittance * (1.0 - part.opacity), transmittance), sums

    done, clear = jnp.zeros(rays, jnp.int32), jnp.ones(rays)
    # The field's quantities are known only by evaluating it, so shapes come from an abstract run.
    shapes = jax.eval_shape(lambda: read(evaluate(pack_samples(occupied, slots)), clear))
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    _, transmittance, sums = jax.lax.while_loop(
        lambda carry: left(carry[0], carry[1]).any(), add_wave, (done, clear, empty)
    )
    return sums, transmittance
