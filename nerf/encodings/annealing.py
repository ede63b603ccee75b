"""Training progress as model state: the training loop sets it and checkpoints store it."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


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
