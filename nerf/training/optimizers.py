"""Optimizers, as optax transformations, and schedules, which the step applies so that they may follow the clock."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def adam(
    learning_rate: float = 5e-4,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    groups: Mapping[str, Mapping[str, float]] | None = None,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba, 1412.6980). Updates are scaled by the schedule's factor in the training step.

    Args:
      learning_rate, b1, b2, eps: as in the paper.
      groups: other values of these for parameters whose path has the group's name in it, as in
        {"table": {"learning_rate": 1e-2}}.
    """
    defaults = {"learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps}
    groups = {} if groups is None else groups
    transforms = {name: optax.adam(**{**defaults, **options}) for name, options in groups.items()}

    def label(path, _) -> str:
        keys = {str(getattr(entry, "key", getattr(entry, "idx", entry))) for entry in path}
        return next((name for name in groups if name in keys), "rest")

    def labels(params):
        return jax.tree_util.tree_map_with_path(label, params)

    return optax.partition({"rest": optax.adam(**defaults), **transforms}, labels)


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Learning-rate factor at `progress` in [0, 1] of training: linear warm-up, half a cosine from 1 to `final`."""

    final: float = 0.05
    warmup: float = 0.0

    def __call__(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        rising = jnp.minimum(1.0, (progress + 1e-3) / self.warmup) if self.warmup else 1.0
        falling = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))
        return rising * (self.final + (1.0 - self.final) * falling)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """Learning-rate factor that falls by the same ratio in equal times, from 1 to `final` (NeRF's schedule: 0.1)."""

    final: float = 0.1

    def __call__(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.asarray(self.final) ** jnp.clip(progress, 0.0, 1.0)
