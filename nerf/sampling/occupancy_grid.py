"""Which intervals are worth evaluating, and evaluating only those.

An occupancy grid holds, for each cell of the box [-1, 1]^3, a running maximum of the density seen there (instant-ngp,
2201.05989, section C). Intervals whose midpoint lies in an empty cell have density zero and are never sent to the
network: the live ones of a whole batch of rays are compacted into one fixed buffer and evaluated there.

The grid also holds the largest weight (`nerf.rendering.compositing`) with which recent rays saw each cell, twice.
Training skips cells that no ray saw for some steps, as inside of things or behind them, except for a few that it looks
into now and then: that saves time and is repaired later. Rendering skips a cell only on the word of rays that passed it
and did not see it: in a capture of many or large photos rays see a cell rarely, and time alone must make no hole there.
Cells that rays saw clearly are kept, though the random points at which the density is looked at may all miss the sliver
of matter in them. Cells that no ray has passed yet are trained and not rendered.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt

from nerf.foundation.instantiate import ConfigError
from nerf.foundation.pytrees import pytree

MIN_PASSES = 64  # rays that must have passed a cell before rendering takes it for hidden
EXPLORED_FRACTION = 1 / 32  # part of the unseen cells that training looks into all the same, others after every refresh


class GridState(nnx.Variable):
    """State of an occupancy grid: trained along, but not by gradients."""


class OccupancyGrid(nnx.Module):
    """Cells of [-1, 1]^3 that may hold matter.

    Args:
      resolution: cells along each axis.
      threshold: density, per unit of length in the box, below which a cell is empty.
      decay: what a refresh multiplies the running maximum of the density by before it is compared with a new one, and
        what training remembers of weights.
      update_every: a refresh visits every `update_every`-th cell, so that `update_every` refreshes visit all.
      min_weight: the weight below which what rays saw of a cell is nothing; 0 leaves no cell out for that.
      keep_weight: the weight above which what rays saw of a cell keeps it, whatever its density; 1 keeps none for that.
      forget: what each ray that passes a cell multiplies by what rendering remembers of weights.
    """

    def __init__(
        self,
        resolution: int = 64,
        threshold: float = 2.0,
        decay: float = 0.9,
        update_every: int = 4,
        min_weight: float = 0.0,
        keep_weight: float = 1.0,
        forget: float = 0.95,
    ):
        if resolution**3 % update_every:
            fit = max(n for n in range(1, max(update_every, 1) + 1) if resolution**3 % n == 0)
            raise ConfigError(
                f"OccupancyGrid: update_every={update_every} does not divide {resolution}^3 cells: choose {fit}"
            )
        self.resolution, self.threshold, self.decay, self.update_every = resolution, threshold, decay, update_every
        self.min_weight, self.keep_weight, self.forget = min_weight, keep_weight, forget
        cells = resolution**3
        self.density = GridState(jnp.full((cells,), 1.0))
        self.possible = GridState(jnp.ones((cells,), bool))
        # `seen` is forgotten by time and `weight` by rays that pass; at first everything is fog.
        self.seen = GridState(jnp.full((cells,), min_weight / decay**32))
        self.weight = GridState(jnp.zeros((cells,)))
        self.recent = GridState(jnp.zeros((cells,)))  # the largest weight since the last refresh
        self.passes = GridState(jnp.zeros((cells,), jnp.int32))  # rays since the last refresh
        self.age = GridState(jnp.zeros((cells,), jnp.int32))  # rays ever, at most MIN_PASSES
        self.occupied = GridState(jnp.ones((cells,), bool))
        self.train_occupied = GridState(jnp.ones((cells,), bool))  # the live ones, and those that training looks into

    def index(self, points: Float[Array, "*b 3"]) -> Int[Array, "*b"]:
        """Number of the cell each point lies in; points outside count to the nearest cell."""
        n = self.resolution
        cell = jnp.clip(((points + 1.0) * (0.5 * n)).astype(jnp.int32), 0, n - 1)
        return (cell[..., 0] * n + cell[..., 1]) * n + cell[..., 2]

    def centres(self, index: Int[Array, "*b"]) -> Float[Array, "*b 3"]:
        """Centres of cells."""
        n = self.resolution
        cell = jnp.stack([index // (n * n), index // n % n, index % n], -1)
        return (cell + 0.5) * (2.0 / n) - 1.0

    def is_occupied(self, points: Float[Array, "*b 3"], training: bool = False) -> Bool[Array, "*b"]:
        return (self.train_occupied if training else self.occupied)[...][self.index(points)]

    def restrict(self, possible: Bool[Array | np.ndarray, "n n n"]) -> None:
        """Declare every other cell empty for ever, for what is known before training: silhouettes."""
        self.possible[...] = jnp.asarray(possible).reshape(-1)
        for cells in (self.occupied, self.train_occupied):
            cells[...] = cells[...] & self.possible[...]

    def note(self, cells: Int[Array, " m"], weights: Float[Array, " m"]) -> None:
        """Record that training rays passed these cells and saw them with these weights.

        A cell may be listed many times; numbers of cells that do not exist are skipped.
        """
        self.recent[...] = self.recent[...].at[cells].max(weights, mode="drop")
        self.passes[...] = self.passes[...].at[cells].add(1, mode="drop")

    def refresh(
        self, density: Callable, part: Int[Array, ""], key: PRNGKeyArray, on_lattice: Callable | None = None
    ) -> None:
        """Visit the `part`-th (modulo `update_every`) of the cells at one random point each.

        With `on_lattice`, which gives the densities (x y z) of all points with coordinates from three lists, the points
        of a refresh are such a lattice: cells with the same coordinate share their random offset along that axis.
        """
        n, first = self.resolution, part % self.update_every
        key, chance = jax.random.split(key)
        index = jnp.arange(n**3 // self.update_every) * self.update_every + first
        if on_lattice is None or n % self.update_every:
            jitter = jax.random.uniform(key, (*index.shape, 3), minval=-1.0, maxval=1.0) / n
            seen = density(self.centres(index) + jitter)
        else:  # every so many cells are all cells of every so many layers along z
            layers = [jnp.arange(n), jnp.arange(n), jnp.arange(n // self.update_every) * self.update_every + first]
            keys = jax.random.split(key, 3)
            axes = [(x + jax.random.uniform(k, x.shape)) * (2.0 / n) - 1.0 for x, k in zip(layers, keys, strict=True)]
            seen = on_lattice(axes).reshape(-1)
        values = self.density[...].at[index].set(jnp.maximum(self.density[...][index] * self.decay, seen))
        # Early on every density is small and nearly the same: a threshold clearly under the mean keeps all of it alive.
        mean = jnp.where(self.possible[...], values, 0.0).sum() / jnp.maximum(self.possible[...].sum(), 1)
        threshold = jnp.minimum(self.threshold, 0.9 * mean)
        self.density[...] = values
        self._settle_sightings()
        seen = self.seen[...] >= self.min_weight
        dense = (values > threshold) & self.possible[...]
        clear_by_time, clear = (x[...] > self.keep_weight for x in (self.seen, self.weight))
        chosen = seen | (jax.random.uniform(chance, values.shape) < EXPLORED_FRACTION)
        self.train_occupied[...] = (dense | (clear_by_time & self.possible[...])) & chosen
        hidden = (self.weight[...] < self.min_weight) & ((self.age[...] >= MIN_PASSES) | (self.age[...] == 0))
        self.occupied[...] = (dense | (clear & self.possible[...])) & ~hidden

    def _settle_sightings(self) -> None:
        """Take over what rays saw since the last refresh, and forget by time and by the rays that passed."""
        passes, recent = self.passes[...], self.recent[...]
        self.seen[...] = jnp.maximum(self.seen[...] * self.decay, recent)
        self.weight[...] = jnp.maximum(self.weight[...] * self.forget**passes, recent)
        self.age[...] = jnp.minimum(self.age[...] + passes, MIN_PASSES)
        self.recent[...], self.passes[...] = jnp.zeros_like(recent), jnp.zeros_like(passes)


@pytree
class PackedSamples:
    """Occupied intervals of a batch of rays, packed into a buffer of fixed size.

    Attributes:
      ray, step: which interval of which ray each place of the buffer holds.
      used: whether the place holds one at all.
      complete: rays of which every live interval is in the buffer.
    """

    ray: Int[Array, " m"]
    step: Int[Array, " m"]
    used: Bool[Array, " m"]
    complete: Bool[Array, " r"]


def pack_samples(live: Bool[Array, "r s"], capacity: int, first: Int[Array, ""] | int = 0) -> PackedSamples:
    """The first `capacity` live intervals from ray `first` on, by ray and then front to back.

    The mask is packed into words of 32 bits; a place of the buffer finds its ray from the running counts and its
    interval by looking for the k-th set bit. That touches the big mask once, and is many times faster than `nonzero`.
    """
    rays, steps = live.shape
    padded = jnp.pad(live, ((0, 0), (0, -steps % 32))).reshape(rays, -1, 32)
    words = (padded.astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32)[None, None]).sum(-1, dtype=jnp.uint32)
    words = jnp.where(jnp.arange(rays)[:, None] >= first, words, 0)
    running = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32), -1)
    ends = jnp.cumsum(running[:, -1])
    place = jnp.arange(capacity)
    finished = jnp.zeros(capacity + 1, jnp.int32).at[jnp.minimum(ends, capacity)].add(1)
    ray = jnp.minimum(jnp.cumsum(finished)[:capacity], rays - 1)
    rank = place - (ends - running[:, -1])[ray]  # this place holds the ray's rank-th live interval
    word = jnp.minimum((rank[:, None] >= running[ray]).sum(-1), words.shape[1] - 1)
    before = jnp.where(word > 0, running[ray, jnp.maximum(word - 1, 0)], 0)
    step = word * 32 + _nth_set_bit(words[ray, word], rank - before)
    complete = (ends <= capacity) & (jnp.arange(rays) >= first)
    return PackedSamples(ray, jnp.minimum(step, steps - 1), place < ends[-1], complete)


def _nth_set_bit(word: UInt[Array, " m"], n: Int[Array, " m"]) -> Int[Array, " m"]:
    """Position of the n-th (from 0) set bit, by halving: does the lower half hold it?"""
    position = jnp.zeros_like(n)
    for half in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(word & jnp.uint32((1 << half) - 1)).astype(jnp.int32)
        upper = n >= below
        n = jnp.where(upper, n - below, n)
        position = jnp.where(upper, position + half, position)
        word = jnp.where(upper, word >> half, word)
    return position
