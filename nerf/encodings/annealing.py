"""Training progress as model state: the training loop sets it and checkpoints store it."""

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError


class TrainingProgress(nnx.Variable):
    """Fraction of training that is done, a scalar in [0, 1].

    Every module that depends on training progress owns one, created by `no_progress`. It is state
    and not an argument, so that a model that is rendered later has the value it was trained with.
    """


def no_progress() -> TrainingProgress:
    """Return the progress at the start of training, 0."""
    return TrainingProgress(jnp.zeros(()))


def set_progress(model: nnx.Module, progress: Float[Array, ""]) -> None:
    """Set every `TrainingProgress` inside `model` to `progress`, in [0, 1]."""
    for _, value in nnx.iter_graph(model):
        if isinstance(value, TrainingProgress):
            value[...] = progress


class Shrinking(nnx.Module):
    """A length that shrinks with training progress (Neuralangelo, 2306.03092, section 3.2).

    Equation:
      h = h_0 (h_1 / h_0)^p
      p = clip((progress - start) / (end - start), 0, 1)

    Differences of a field at the distance h are smooth over h, so that they reach the grid levels
    whose cells are at most that large. With a resolution that grows with the level as h shrinks,
    levels and differences become fine together.

    Args:
      first: h_0, the length until training progress `start`.
      last: h_1, the length from `end` on.
      start: training progress in [0, 1] at which the fraction p is 0.
      end: training progress in [0, 1] at which the fraction p is 1.

    Raises:
      ConfigError: the length does not shrink, or does so in no time.
    """

    def __init__(self, first: float, last: float, start: float = 0.0, end: float = 0.5):
        if not first > last > 0.0:
            raise ConfigError(f"Shrinking: first={first}, last={last}: give first > last > 0")
        if not 0.0 <= start < end <= 1.0:
            raise ConfigError(f"Shrinking: start={start}, end={end}: give 0 <= start < end <= 1")
        self.ratio = math.log(last / first)
        self.first, self.start, self.end = first, start, end
        self.progress = no_progress()

    def __call__(self) -> Float[Array, ""]:
        """Return the present length h."""
        done = (self.progress[...] - self.start) / (self.end - self.start)
        return self.first * jnp.exp(self.ratio * jnp.clip(done, 0.0, 1.0))
