"""Numbers that are not finite: found in every step, told by name, never saved."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from nerf.foundation.errors import UserError
from nerf.runs.checkpoints import flatten

AFTER_BAD_STEP = (
    "use a new --workdir with a lower --config.optimizer.learning_rate, or skip such steps with --config.max_skipped"
)
BAD_BATCH = "a ray or a colour of the batch"


class TrainingError(UserError, RuntimeError):
    """Training cannot go on; the message is one line."""


def all_finite(tree: PyTree) -> jax.Array:
    """Whether every number in a tree of arrays is finite, as one boolean on the device."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def check_finite(state: PyTree, step: int) -> None:
    """Raise TrainingError, naming the first array, where a state must not be saved: steps check gradients alone."""
    if bad := _first_nonfinite_array(state):
        raise TrainingError(f"step {step}: {bad} is not finite, so it is not saved: {AFTER_BAD_STEP}")


def _first_nonfinite_array(tree: PyTree) -> str | None:
    for name, leaf in flatten(tree).items():
        if not np.isfinite(np.asarray(leaf)).all():
            return name
    return None


def suggest_fix(bad: str) -> str:
    """Return what to do about what `describe_nonfinite` found."""
    if BAD_BATCH in bad:
        return "capture.py --check=SCENE may say what is wrong, or skip such steps with --config.max_skipped"
    return AFTER_BAD_STEP


def describe_nonfinite(metrics: Mapping[str, Any], before: Any, names: Sequence[str]) -> str | None:
    """The first step of a call with a number that is not finite, and what that number is, in words; None if all are.

    Args:
      metrics: of the call; see `make_train_step`.
      before: the state that the call began with, which it has left as it was.
      names: of the parameters, in the order of `metrics["grad_norms"]`.
    """
    gradients, losses = ~np.isfinite(metrics["grad_norms"]), ~np.isfinite(metrics["loss"])
    steps = np.flatnonzero(gradients.any(-1) | losses)
    if not len(steps):
        return None
    first = int(steps[0])
    if not (name := _first_nonfinite_array(before)):
        if not metrics["batch_finite"][first]:
            name = BAD_BATCH
        else:
            name = f"the gradient of {names[int(gradients[first].argmax())]}" if gradients[first].any() else "the loss"
    return f"step {int(before.step) + first}: {name} is not finite"
