"""Occupancy grid: skip empty and hidden intervals.

The grid stores, for each cell of the box [-1, 1]^3, a running maximum of the density at random
points in it (instant-ngp, 2201.05989, section C). Intervals whose midpoint lies in an empty cell
get density zero and never reach the network; see `nerf.rendering.packing`.

The grid also stores the largest rendering weight (`nerf.rendering.compositing`) with which recent
rays saw each cell. It keeps two such records, because training and rendering must forget
differently:

- Training skips cells that no ray saw for some steps, such as the inside of objects or the space
  behind them. A small random fraction of these cells is explored all the same. This saves time, and
  a wrong decision is repaired later.
- Rendering skips a cell only if enough rays passed it and did not see it. In a capture of many or
  large photos, rays see each cell rarely, so time alone must not cut holes.

Cells with a large weight are kept whatever their density, because the random points may all miss a
thin piece of matter in the cell. Cells that no ray has passed yet are trained and not rendered.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from nerf.foundation.instantiate import ConfigError

# Number of rays that must have passed a cell before rendering may skip it as hidden.
MIN_PASSES = 64

# Fraction of the unseen cells that training evaluates all the same, drawn again at every refresh.
EXPLORED_FRACTION = 1 / 32


class GridState(nnx.Variable):
    """State of an occupancy grid; training changes it without gradients."""


class OccupancyGrid(nnx.Module):
    """Grid over the box [-1, 1]^3 of cells that may contain matter.

    Equation:
      sigma_c <- max(decay sigma_c, sigma(x_c))   refresh of cell c at a random point x_c in it
      w_c <- max(forget^n w_c, max_i w_i)   the weights w_i with which n rays passed it
      sigma_c > min(threshold, 0.9 mean(sigma)) or w_c > keep_weight   matter may be in it

    A cell that holds matter is skipped all the same if no ray sees it: w_c < `min_weight`.

    All arrays are flat, one value per cell, in the order of `index`.

    Args:
      resolution: number of cells along each axis, n.
      threshold: cells with a density below this are empty; per unit of length in the box.
      decay: factor per refresh on the running maximum of the density and on training's record of
        the weights, `seen`.
      update_every: a refresh visits every `update_every`-th cell, so `update_every` refreshes visit
        all cells. It must divide n^3.
      min_weight: skip cells whose largest recent rendering weight is below this; 0 disables the
        test.
      keep_weight: keep cells whose largest recent rendering weight is above this, whatever their
        density; 1 disables the test.
      forget: factor per ray that passes a cell on rendering's record of the weights, `weight`.
      refresh_every: number of training steps from one refresh to the next; fast if it and the
        config's `steps_per_call` have a large common divisor.

    Attributes:
      density: running maximum of the density in each cell.
      possible: cells that `restrict` has not excluded.
      seen: largest recent rendering weight; decays with every refresh, used for training.
      weight: largest recent rendering weight; decays with every ray that passes, used for
        rendering.
      recent: largest rendering weight since the last refresh.
      passes: number of rays that passed each cell since the last refresh.
      age: number of rays that ever passed each cell, at most MIN_PASSES.
      occupied: cells that rendering evaluates.
      train_occupied: cells that training evaluates.

    Raises:
      ConfigError: if `update_every` does not divide the number of cells, or `refresh_every` is not
        positive.
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
        refresh_every: int = 10,
    ):
        if resolution**3 % update_every:
            fit = max(n for n in range(1, max(update_every, 1) + 1) if resolution**3 % n == 0)
            raise ConfigError(
                f"OccupancyGrid: update_every={update_every} does not divide {resolution}^3 cells: "
                f"choose {fit}"
            )
        if refresh_every < 1:
            raise ConfigError(f"OccupancyGrid: refresh_every={refresh_every}: give at least 1 step")
        self.resolution, self.update_every = resolution, update_every
        self.refresh_every = refresh_every
        self.threshold, self.decay = threshold, decay
        self.min_weight, self.keep_weight, self.forget = min_weight, keep_weight, forget
        cells = resolution**3
        self.density = GridState(jnp.ones((cells,)))
        self.possible = GridState(jnp.ones((cells,), bool))
        # At first everything is fog: `seen` takes 32 refreshes without a ray to fall to min_weight.
        self.seen = GridState(jnp.full((cells,), min_weight / decay**32, jnp.float32))
        self.weight = GridState(jnp.zeros((cells,)))
        self.recent = GridState(jnp.zeros((cells,)))
        self.passes = GridState(jnp.zeros((cells,), jnp.int32))
        self.age = GridState(jnp.zeros((cells,), jnp.int32))
        self.occupied = GridState(jnp.ones((cells,), bool))
        self.train_occupied = GridState(jnp.ones((cells,), bool))

    def index(self, points: Float[Array, "*b 3"]) -> Int[Array, "*b"]:
        """Return the flat index of each point's cell; points outside get the nearest cell."""
        n = self.resolution
        cell = jnp.clip(((points + 1.0) * (0.5 * n)).astype(jnp.int32), 0, n - 1)
        return (cell[..., 0] * n + cell[..., 1]) * n + cell[..., 2]

    def centres(self, index: Int[Array, "*b"]) -> Float[Array, "*b 3"]:
        """Return the centres of cells, given their flat indices."""
        n = self.resolution
        cell = jnp.stack([index // (n * n), index // n % n, index % n], -1)
        return (cell + 0.5) * (2.0 / n) - 1.0

    def is_occupied(
        self, points: Float[Array, "*b 3"], training: bool = False
    ) -> Bool[Array, "*b"]:
        """Return whether each point lies in a cell to evaluate, in training or for images."""
        cells = self.train_occupied if training else self.occupied
        return cells[...][self.index(points)]

    def restrict(self, possible: Bool[Array | np.ndarray, "n n n"]) -> None:
        """Exclude every other cell for good, from knowledge before training such as silhouettes."""
        self.possible[...] = jnp.asarray(possible).reshape(-1)
        for cells in (self.occupied, self.train_occupied):
            cells[...] = cells[...] & self.possible[...]

    def note(self, cells: Int[Array, " m"], weights: Float[Array, " m"]) -> None:
        """Record the rendering weights with which training rays passed cells.

        A cell may be listed many times. Indices of cells that do not exist are skipped.
        """
        self.recent[...] = self.recent[...].at[cells].max(weights, mode="drop")
        self.passes[...] = self.passes[...].at[cells].add(1, mode="drop")

    def refresh(
        self,
        density: Callable,
        part: Int[Array, ""],
        key: PRNGKeyArray,
        on_lattice: Callable | None = None,
    ) -> None:
        """Update the density of every `update_every`-th cell, then decide which cells to evaluate.

        Args:
          density: points (m, 3) in the box -> densities (m,).
          part: which cells to visit: those whose index equals `part` modulo `update_every`.
          key: random key, for one random point in each visited cell and for exploring.
          on_lattice: optional fast evaluation on a lattice: three lists of coordinates -> densities
            (x y z) of all their combinations. Then the points of a refresh form such a lattice, in
            which cells with the same coordinate share their random offset along that axis.
        """
        n, first = self.resolution, part % self.update_every
        key, chance = jax.random.split(key)
        # Evaluate the density at one random point in each visited cell.
        index = jnp.arange(n**3 // self.update_every) * self.update_every + first
        if on_lattice is None or n % self.update_every:
            jitter = jax.random.uniform(key, (*index.shape, 3), minval=-1.0, maxval=1.0) / n
            sampled = density(self.centres(index) + jitter)
        else:
            sampled = on_lattice(self._lattice(first, key)).reshape(-1)
        # Running maximum with decay: sigma <- max(decay * sigma, sigma at the random point).
        updated = jnp.maximum(self.density[...][index] * self.decay, sampled)
        values = self.density[...].at[index].set(updated)
        # Early in training all densities are small and nearly equal. A threshold clearly below the
        # mean keeps all of these cells occupied.
        total = jnp.where(self.possible[...], values, 0.0).sum()
        mean = total / jnp.maximum(self.possible[...].sum(), 1)
        threshold = jnp.minimum(self.threshold, 0.9 * mean)
        self.density[...] = values
        self._settle_sightings()
        # A cell is a candidate if it is dense, or if rays saw it clearly.
        seen = self.seen[...] >= self.min_weight
        dense = (values > threshold) & self.possible[...]
        clear_by_time, clear = (x[...] > self.keep_weight for x in (self.seen, self.weight))
        # Training evaluates the candidates that rays saw recently, and a random few of the others.
        chosen = seen | (jax.random.uniform(chance, values.shape) < EXPLORED_FRACTION)
        self.train_occupied[...] = (dense | (clear_by_time & self.possible[...])) & chosen
        # Rendering skips candidates that many rays passed without seeing, or that none passed yet.
        unseen = self.weight[...] < self.min_weight
        hidden = unseen & ((self.age[...] >= MIN_PASSES) | (self.age[...] == 0))
        self.occupied[...] = (dense | (clear & self.possible[...])) & ~hidden

    def _lattice(self, first: Int[Array, ""], key: PRNGKeyArray) -> list[Float[Array, " _"]]:
        """Return random coordinates, along each axis, of every `update_every`-th cell.

        z varies fastest in the flat index, so every k-th cell is every k-th layer along z, from the
        layer `first` on.
        """
        n = self.resolution
        layers = [
            jnp.arange(n),
            jnp.arange(n),
            jnp.arange(n // self.update_every) * self.update_every + first,
        ]
        keys = jax.random.split(key, 3)
        return [
            (x + jax.random.uniform(k, x.shape)) * (2.0 / n) - 1.0
            for x, k in zip(layers, keys, strict=True)
        ]

    def _settle_sightings(self) -> None:
        """Merge the weights since the last refresh into both records, after their decay."""
        passes, recent = self.passes[...], self.recent[...]
        self.seen[...] = jnp.maximum(self.seen[...] * self.decay, recent)
        self.weight[...] = jnp.maximum(self.weight[...] * self.forget**passes, recent)
        self.age[...] = jnp.minimum(self.age[...] + passes, MIN_PASSES)
        self.recent[...], self.passes[...] = jnp.zeros_like(recent), jnp.zeros_like(passes)
