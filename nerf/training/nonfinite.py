"""Detection of non-finite numbers: checked in every step, reported by name, never saved."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PyTree

from nerf.foundation.errors import UserError
from nerf.runs.checkpoints import flatten

AFTER_BAD_STEP = (
    "use a new --workdir with a lower --config.optimizer.learning_rate, "
    "or skip such steps with --config.max_skipped"
)
BAD_BATCH = "a ray or a colour of the batch"


class TrainingError(UserError, RuntimeError):
    """Training cannot continue; the message is one line."""


def all_finite(tree: PyTree) -> jax.Array:
    """Return whether every number in a tree of arrays is finite, as one boolean on the device."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def check_finite(state: PyTree, step: int) -> None:
    """Check that a state may be saved: every array is finite.

    This is needed in addition to the check in each step, which covers losses and gradients only.

    Raises:
      TrainingError: naming the first array that is not finite.
    """
    if bad := _first_nonfinite_array(state):
        raise TrainingError(
            f"step {step}: {bad} is not finite, so it is not saved: {AFTER_BAD_STEP}"
        )


def _first_nonfinite_array(tree: PyTree) -> str | None:
    """Return the name of the first array with a non-finite number, or None."""
    for name, leaf in flatten(tree).items():
        if not np.isfinite(np.asarray(leaf)).all():
            return name
    return None


def suggest_fix(bad: str) -> str:
    """Return the fix for a problem that `describe_nonfinite` found."""
    if BAD_BATCH in bad:
        return (
            "check the scene with capture.py --check=SCENE, "
            "or skip such steps with --config.max_skipped"
        )
    return AFTER_BAD_STEP


def bad_steps(metrics: Mapping[str, Any]) -> Bool[np.ndarray, " k"]:
    """Return which steps of a call had a loss or a gradient that is not finite.

    Args:
      metrics: metrics of the call; see `make_train_step`.
    """
    gradients, losses = np.isfinite(metrics["grad_norms"]), np.isfinite(metrics["loss"])
    return ~(gradients.all(-1) & losses)


def describe_nonfinite(
    metrics: Mapping[str, Any], step: int, state: Any, names: Sequence[str]
) -> str:
    """Describe the first non-finite number of a call in which there is one, with its step.

    Args:
      metrics: metrics of the call; see `make_train_step`.
      step: the number of steps before the call.
      state: the training state after it.
      names: names of the parameters, in the order of `metrics["grad_norms"]`.

    Returns:
      "step N: NAME is not finite". NAME is the earliest cause: the batch, then an array of the
      state, then a gradient, then the loss.
    """
    first = int(bad_steps(metrics).argmax())
    bad = ~np.isfinite(metrics["grad_norms"][first])
    if not metrics["batch_finite"][first]:
        name = BAD_BATCH
    elif array := _first_nonfinite_array(state):
        name = array
    elif bad.any():
        name = f"the gradient of {names[int(bad.argmax())]}"
    else:
        name = "the loss"
    return f"step {step + first}: {name} is not finite"
