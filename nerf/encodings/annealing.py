"""Values that follow the progress of training: a state that the training loop sets and a checkpoint holds."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Progress(nnx.Variable):
    """The part of training that is done, in [0, 1]. Whatever in a model depends on it owns one, made by `begin`.

    It is state and not an argument, so that a model that is rendered later is the one that was trained last.
    """


def begin() -> Progress:
    """No part of training is done."""
    return Progress(jnp.zeros(()))


def set_progress(model: nnx.Module, progress: Float[Array, ""]) -> None:
    """Tell every part of a model that asks how far training has come."""
    for _, value in nnx.iter_graph(model):
        if isinstance(value, Progress):
            value[...] = progress
