"""The budget of a run, in training steps or seconds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from nerf.foundation.instantiate import ConfigError


@dataclasses.dataclass(frozen=True)
class Budget:
    """The bound of a run; if seconds are given, only they count.

    Attributes:
      steps: number of optimizer steps.
      max_seconds: seconds of training, without compiling, scoring and saving; None: steps count.
    """

    steps: int
    max_seconds: float | None = None

    def __str__(self) -> str:
        """Return the budget in words."""
        return f"{self.steps} steps" if self.max_seconds is None else f"{self.max_seconds:g} s"

    def fraction(self, step: int, seconds: float) -> float:
        """Return the used fraction of the budget, from 0 to 1."""
        used = step / self.steps if self.max_seconds is None else seconds / self.max_seconds
        return min(1.0, used)

    def fractions(self, step: int, seconds: float, count: int) -> Float32[np.ndarray, " k"]:
        """Return the fraction of training done at the next `count` steps.

        Args:
          step: number of the first of these steps.
          seconds: seconds of training before it.
          count: number of steps.
        """
        # The duration of a step is not known in advance, so with a clock all steps of a call have
        # the fraction of the first.
        later = np.zeros(count, np.float32)
        if self.max_seconds is None:
            later = np.arange(count, dtype=np.float32)
        return np.float32(self.fraction(step, seconds)) + later / np.float32(self.steps)

    def same_as(self, other: "Budget") -> bool:
        """Report whether two budgets bound a run at the same point."""
        if self.max_seconds is None and other.max_seconds is None:
            return self.steps == other.steps
        return self.max_seconds == other.max_seconds


def change_budget(folder: Path, facts: Mapping[str, Any], budget: Budget) -> list[dict[str, Any]]:
    """Return the budget changes of a resuming run, up to `budget`.

    The training that is done counts towards the new budget, in steps or seconds alike.

    Args:
      folder: the run folder, for the message.
      facts: the checkpoint's step, seconds, steps and max_seconds, and the earlier changes under
        "extended".
      budget: the budget that is requested now.

    Returns:
      One entry {"from", "to", "step", "seconds"} for each change; empty for a run with one budget.

    Raises:
      ConfigError: if the run has already used the new budget.
    """
    before = Budget(facts["steps"], facts["max_seconds"])
    changes = list(facts["extended"])
    if before.same_as(budget):
        return changes
    step, seconds = facts["step"], facts["seconds"]
    if budget.fraction(step, seconds) >= 1.0:
        flag = "--config.steps" if budget.max_seconds is None else "--max_seconds"
        trained = f"{step} steps" if budget.max_seconds is None else f"{seconds:.1f} s"
        raise ConfigError(
            f"{folder}: has trained for {trained} of its {before}, and {budget} is no more than"
            f" that: give a larger {flag} to continue it, the old budget to score it again, or a"
            " new --workdir"
        )
    return [
        *changes,
        {"from": str(before), "to": str(budget), "step": step, "seconds": round(seconds, 3)},
    ]


def describe_change(folder: Path, change: Mapping[str, Any], budget: Budget) -> str:
    """Return one line on the effect of a new budget.

    Args:
      folder: the run folder.
      change: an entry of `change_budget`.
      budget: the new budget.
    """
    done = budget.fraction(change["step"], change["seconds"])
    return (
        f"{folder}: budget changed from {change['from']} to {change['to']}: training continues at"
        f" step {change['step']}, {100 * done:.0f}% of the new budget, with the learning rate that"
        " the new schedule has there; results.json will record the change"
    )
