"""The budget of a run: a number of steps or of seconds of training, which the learning rate follows."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from nerf.foundation.instantiate import ConfigError


@dataclasses.dataclass(frozen=True)
class Budget:
    """Bound a run by steps or by seconds; where seconds are given, they alone count.

    Attributes:
      steps: of the optimizer.
      max_seconds: of training, without compiling, scoring and saving; None: the steps count.
    """

    steps: int
    max_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.max_seconds is None else f"{self.max_seconds:g} s"

    def fraction(self, step: int, seconds: float) -> float:
        """Return how much of the budget is used, from 0 to 1."""
        used = step / self.steps if self.max_seconds is None else seconds / self.max_seconds
        return min(1.0, used)

    def fractions(self, step: int, seconds: float, count: int) -> Float32[np.ndarray, " k"]:
        """Return the fraction of training done at each of the `count` steps that begin at `step`."""
        # How long a step will take is not known: with a clock all steps of a call have the fraction of the first.
        later = (
            np.arange(count, dtype=np.float32)
            if self.max_seconds is None
            else np.zeros(count, np.float32)
        )
        return np.float32(self.fraction(step, seconds)) + later / np.float32(self.steps)

    def same_as(self, other: "Budget") -> bool:
        """Report whether both bound a run at the same place."""
        if self.max_seconds is None and other.max_seconds is None:
            return self.steps == other.steps
        return self.max_seconds == other.max_seconds


def change_budget(folder: Path, facts: Mapping[str, Any], budget: Budget) -> list[dict[str, Any]]:
    """Return the changes of budget that a run has seen when it resumes, the one to `budget` included.

    What was trained counts towards the new budget, whichever clock it has.

    Args:
      folder: the run folder, for the message.
      facts: what the checkpoint says: step, seconds, steps, max_seconds and the changes so far under "extended".
      budget: what is asked for now.

    Returns:
      One entry {"from", "to", "step", "seconds"} for each change; empty for a run with one budget.

    Raises:
      ConfigError: where the run has trained for as long as the other budget or longer.
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
            f"{folder}: has trained for {trained} of its {before}, and {budget} is no more than that: give a larger"
            f" {flag} to continue it, the old budget to score it again, or a new --workdir"
        )
    return [
        *changes,
        {"from": str(before), "to": str(budget), "step": step, "seconds": round(seconds, 3)},
    ]


def describe_change(folder: Path, change: Mapping[str, Any], budget: Budget) -> str:
    """Return one line on what a new budget does to a run."""
    done = budget.fraction(change["step"], change["seconds"])
    return (
        f"{folder}: budget changed from {change['from']} to {change['to']}: training continues at step"
        f" {change['step']}, {100 * done:.0f}% of the new budget, with the learning rate that the new schedule has"
        " there; results.json will record the change"
    )
