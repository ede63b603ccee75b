"""Compare the configs of a study at equal training time and at equal steps.

If every run had the same budget of seconds, the final scores compare the configs at equal time; if
every run took the same number of steps, they compare the configs at equal steps. The other
comparison is made at the point that the shortest run reached, with the scores that each run
recorded just before and after it. There a longer run is in the middle of its schedule: its
learning rate has not decayed yet, and a run scheduled to end there would do better. A `Comparison`
therefore records the progress of each config.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from nerf.comparing.statistics import Difference, compare_columns
from nerf.runs.results import Result

# Fraction of a schedule after which the learning rate has practically reached its final value.
FULL_PROGRESS = 0.98

END = "at the end"  # the name of the scores of finished runs

Groups = Mapping[str, Sequence[Result]]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The configs at an equal amount of training time or steps.

    Attributes:
      axis: "seconds" or "step".
      at: the equal amount, in seconds of training or in steps; None if it cannot be determined.
      ends: whether this is the end of every run, so that nothing was interpolated.
      progress: for each config the fraction of its schedule that it had completed there.
      scores: for each config the PSNR in dB, (seeds, views).
      differences: of every pair of configs; empty if `at` is None.
      missing: why there is no comparison; "" if there is one.
    """

    axis: str
    at: float | None
    ends: bool
    progress: dict[str, float]
    scores: dict[str, Float[np.ndarray, "_ v"]]
    differences: list[Difference]
    missing: str = ""


def scores_of(groups: Groups, metric: str) -> dict[str, Float[np.ndarray, "_ v"]] | None:
    """Return a metric of each config, (seeds, views).

    Returns: None if a run lacks the metric.
    """
    out = {}
    for label, results in groups.items():
        rows = [result.scores(metric) for result in results]
        if any(row is None for row in rows):
            return None
        out[label] = np.stack([row for row in rows if row is not None])
    return out


@dataclasses.dataclass(frozen=True)
class Judgement:
    """All claims of a study, with one correction for multiple testing.

    Attributes:
      groups: finished runs of each config.
      comparisons: at equal time and at equal steps, the one that the study was planned for first.
      columns: for each metric of the finished runs, every pair; empty if a run lacks the metric.
    """

    groups: Groups
    comparisons: list[Comparison]
    columns: dict[str, list[Difference]]


def judge(groups: Groups, metrics: Sequence[str]) -> Judgement:
    """Compare the configs at equal time and equal steps, and in every metric.

    All claims together have one correction for multiple testing.

    Args:
      groups: finished runs of each config.
      metrics: metrics that are recorded for every view.
    """
    if not groups:
        return Judgement(groups, [], {})
    planned = asked_axis(groups)
    axes = (planned, "step" if planned == "seconds" else "seconds")
    unjudged = [_unjudged(groups, axis) for axis in axes]
    columns = {_name(one): one.scores for one in unjudged if one.at is not None}
    # PSNR at the end of all runs is one claim, even if it is also a column of the table.
    at_end = END if END in columns else "psnr"
    for metric in metrics:
        scores = scores_of(groups, metric)
        if scores is not None and (metric != "psnr" or at_end == "psnr"):
            columns[metric] = scores
    found = compare_columns(columns, next(iter(columns))) if columns else {}
    judged = [dataclasses.replace(one, differences=found.get(_name(one), [])) for one in unjudged]
    by_metric = {m: found.get(at_end if m == "psnr" else m, []) for m in metrics}
    return Judgement(groups, judged, by_metric)


def _name(comparison: Comparison) -> str:
    """Return the name of the scores that a comparison is based on."""
    return END if comparison.ends else f"at equal {comparison.axis}"


def _unjudged(groups: Groups, axis: str) -> Comparison:
    """Return the scores at equal "seconds" or equal "step", without differences."""
    results = [result for group in groups.values() for result in group]
    if axis == "seconds":
        budgets = {float(result.results.get("max_seconds") or math.inf) for result in results}
        least = min(float(result.results["train_seconds"]) for result in results)
        ends = len(budgets) == 1 and least >= max(budgets)
        at = max(budgets) if ends else least
    else:
        counts = {result.results["steps"] for result in results}
        ends, at = len(counts) == 1, float(min(counts))
    if ends:
        scores, progress = scores_of(groups, "psnr"), dict.fromkeys(groups, 1.0)
    else:
        scores, progress = _scores_at(groups, axis, at), _progress(groups, axis, at)
    if scores is None:
        missing = (
            "the runs were not scored early enough in training: "
            "nerf compare --eval_times=16 scores them more often"
        )
        return Comparison(axis, None, ends, {}, {}, [], missing)
    return Comparison(axis, at, ends, progress, scores, [])


def _scores_at(groups: Groups, axis: str, at: float) -> dict[str, Float[np.ndarray, "_ v"]] | None:
    """Return the interpolated scores at a point of the axis.

    Returns: None if a run has no scores around that point.
    """
    out = {}
    for label, results in groups.items():
        rows = [result.at(axis, at) for result in results]
        if any(row is None for row in rows):
            return None
        out[label] = np.stack([row for row in rows if row is not None])
    # Slow configs are scored on fewer views while they train. Compare only the views that all have.
    shared = np.isfinite(np.concatenate(list(out.values()))).all(0)
    return {label: scores[:, shared] for label, scores in out.items()} if shared.any() else None


def _progress(groups: Groups, axis: str, at: float) -> dict[str, float]:
    """Return the mean fraction of its schedule that each config had completed."""
    key = "train_seconds" if axis == "seconds" else "steps"
    return {
        label: float(np.mean([min(1.0, at / result.results[key]) for result in results]))
        for label, results in groups.items()
    }


def asked_axis(groups: Groups) -> str:
    """Return the axis that the study held equal by its plan.

    Returns: "seconds" if all runs had the same budget of seconds, otherwise "step".
    """
    budgets = {result.results.get("max_seconds") for group in groups.values() for result in group}
    return "seconds" if len(budgets) == 1 and None not in budgets else "step"
