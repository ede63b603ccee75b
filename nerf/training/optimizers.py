"""Optimizers, as optax transformations, and learning-rate schedules.

The training step applies the schedule, so that it can follow the clock instead of the step number.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import KeyPath
from jaxtyping import Array, Float, PyTree

# The learning rate is a number of the state, and no constant of the compiled step: runs that differ
# in it share one program.
_ADAM = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))


def adam(
    learning_rate: float = 5e-4,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    groups: Mapping[str, Mapping[str, float]] | None = None,
) -> optax.GradientTransformation:
    """Build Adam (Kingma & Ba, 1412.6980) with parameter groups.

    The training step multiplies the updates by the schedule's factor.

    Args:
      learning_rate: step size alpha.
      b1: decay rate of the first moment.
      b2: decay rate of the second moment.
      eps: added to the square root of the second moment.
      groups: other values of these four for parameters with the group's name in their path, such as
        {"table": {"learning_rate": 1e-2}}.

    Returns:
      The optax transformation.
    """
    defaults = {"learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps}
    groups = {} if groups is None else groups
    transforms = {name: _ADAM(**{**defaults, **options}) for name, options in groups.items()}

    def label(path: KeyPath, _: object) -> str:
        """Return the first group whose name is a key of the parameter's path."""
        keys = {str(getattr(entry, "key", getattr(entry, "idx", entry))) for entry in path}
        return next((name for name in groups if name in keys), "rest")

    def labels(params: PyTree) -> PyTree:
        return jax.tree_util.tree_map_with_path(label, params)

    return optax.partition({"rest": _ADAM(**defaults), **transforms}, labels)


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Cosine schedule with a linear warm-up.

    With p the fraction of training done, the factor is

      min(1, (p + 0.001) / warmup) * (final + (1 - final) (1 + cos(pi p)) / 2)

    Attributes:
      final: factor at the end of training.
      warmup: fraction of training over which the factor rises from near 0; 0 for no warm-up.
    """

    final: float = 0.05
    warmup: float = 0.0

    def __call__(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        """Return the learning-rate factor at `progress`, the fraction of training done."""
        # The offset makes the first step's factor positive.
        rising = jnp.minimum(1.0, (progress + 1e-3) / self.warmup) if self.warmup else 1.0
        falling = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))
        return rising * (self.final + (1.0 - self.final) * falling)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """Exponential decay of the learning-rate factor from 1 to `final`: final^progress.

    Attributes:
      final: factor at the end of training; NeRF uses 0.1.
    """

    final: float = 0.1

    def __call__(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        """Return the learning-rate factor at `progress`, the fraction of training done."""
        return jnp.asarray(self.final) ** jnp.clip(progress, 0.0, 1.0)
