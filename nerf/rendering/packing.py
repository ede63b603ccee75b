"""Pack the occupied intervals of many rays into one buffer of fixed size.

The mask of the occupied intervals is packed into words of 32 bits. A slot of the buffer finds its
ray from cumulative counts, and its interval as the k-th set bit of the ray's words. So the large
mask is read once, and any part of every ray's intervals is packed without reading it again.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt

from nerf.foundation.pytrees import pytree


@pytree
class OccupiedIntervals:
    """Mask of the occupied intervals of r rays, as words of 32 bits.

    Attributes:
      words: bit b of word w is set if interval 32 w + b of the ray is occupied, (r, w).
      running: number of occupied intervals of the ray in words 0 to w, (r, w).
    """

    words: UInt[Array, "r w"]
    running: Int[Array, "r w"]

    @property
    def counts(self) -> Int[Array, " r"]:
        """Return the number of occupied intervals of each ray."""
        return self.running[:, -1]


@pytree
class PackedSamples:
    """Intervals of a batch of rays, packed into a buffer of fixed size.

    Attributes:
      ray: index of the ray of each slot of the buffer, ascending, (m,).
      step: index of the interval on that ray, (m,).
      used: whether the slot contains an interval, (m,).
      ends: slot after the last one of each ray, (r,).
      complete: whether all intervals of each ray that were to be packed are in the buffer, (r,).
    """

    ray: Int[Array, " m"]
    step: Int[Array, " m"]
    used: Bool[Array, " m"]
    ends: Int[Array, " r"]
    complete: Bool[Array, " r"]


def list_occupied(mask: Bool[Array, "r s"]) -> OccupiedIntervals:
    """Return the occupied intervals of a mask, for r rays of s intervals."""
    rays, steps = mask.shape
    padded = jnp.pad(mask, ((0, 0), (0, -steps % 32))).reshape(rays, -1, 32)
    bits = padded.astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32)[None, None]
    words = bits.sum(-1, dtype=jnp.uint32)
    running = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32), -1)
    return OccupiedIntervals(words, running)


def pack_samples(
    occupied: OccupiedIntervals,
    capacity: int,
    done: Int[Array, " r"] | None = None,
    count: Int[Array, " r"] | None = None,
) -> PackedSamples:
    """Pack occupied intervals, by ray and then front to back, as many as the buffer holds.

    Args:
      occupied: the occupied intervals of each ray.
      capacity: number of slots of the buffer, m.
      done: number of each ray's first occupied intervals to skip; None skips none.
      count: number of each ray's next occupied intervals to pack; None packs all that are left.

    Returns:
      The packed intervals. Unused slots are at the end.
    """
    rays, num_words = occupied.words.shape
    done = jnp.zeros(rays, jnp.int32) if done is None else done
    count = occupied.counts - done if count is None else count
    # The slot after the last one of each ray.
    ends = jnp.cumsum(count)
    # The ray of a slot is the number of rays that end at or before it.
    place = jnp.arange(capacity)
    finished = jnp.zeros(capacity + 1, jnp.int32).at[jnp.minimum(ends, capacity)].add(1)
    ray = jnp.minimum(jnp.cumsum(finished)[:capacity], rays - 1)
    # The slot takes the ray's rank-th occupied interval (from 0): find its word, then its bit.
    rank = place - (ends - count - done)[ray]
    word = jnp.minimum((rank[:, None] >= occupied.running[ray]).sum(-1), num_words - 1)
    before = jnp.where(word > 0, occupied.running[ray, jnp.maximum(word - 1, 0)], 0)
    used = place < ends[-1]
    bit = _nth_set_bit(occupied.words[ray, word], rank - before)
    step = jnp.where(used, word * 32 + bit, 0)
    return PackedSamples(ray, step, used, jnp.minimum(ends, capacity), ends <= capacity)


def _nth_set_bit(word: UInt[Array, " m"], n: Int[Array, " m"]) -> Int[Array, " m"]:
    """Return the position of the n-th (from 0) set bit of each word, by binary search."""
    position = jnp.zeros_like(n)
    for half in (16, 8, 4, 2, 1):
        # Count the set bits in the lower half. If the n-th is not among them, take the upper half.
        below = jax.lax.population_count(word & jnp.uint32((1 << half) - 1)).astype(jnp.int32)
        upper = n >= below
        n = jnp.where(upper, n - below, n)
        position = jnp.where(upper, position + half, position)
        word = jnp.where(upper, word >> half, word)
    return position
