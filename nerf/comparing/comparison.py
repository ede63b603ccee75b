"""What a study says: the same question asked at equal time and at equal steps, from scores that runs kept on the way.

Where every run had the same budget of seconds, their ends answer "at equal time"; where every run took the same number
of steps, they answer "at equal steps". The other question is answered at the place that the shortest run reached, by
each run's scores just before and after it. There a longer run stands in the middle of its plan: its learning rate has
not fallen yet, and a run planned to end there would do better. So the answer carries how far each config was.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from nerf.comparing.statistics import Difference, compare_columns
from nerf.runs.results import Result

FULL_PROGRESS = 0.98  # of a plan: from here on the learning rate has fallen as good as all the way

END = "at the end"  # name of the scores of finished runs

Groups = Mapping[str, Sequence[Result]]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Who is better at an equal amount of `axis`, "seconds" or "step".

    Attributes:
      at: how much of it each had; None where the runs do not tell.
      ends: whether that is the end of every run, so that nothing was interpolated.
      progress: the part of its plan that each config had done there.
      scores: PSNR of each, (seeds, views).
      differences: of every pair; empty where the runs do not tell.
      missing: why they do not tell.
    """

    axis: str
    at: float | None
    ends: bool
    progress: dict[str, float]
    scores: dict[str, Float[np.ndarray, "_ v"]]
    differences: list[Difference]
    missing: str = ""


def scores_of(groups: Groups, metric: str) -> dict[str, Float[np.ndarray, "_ v"]] | None:
    """(seeds, views) of each config; None where any run was not scored so."""
    out = {}
    for label, results in groups.items():
        rows = [result.scores(metric) for result in results]
        if any(row is None for row in rows):
            return None
        out[label] = np.stack([row for row in rows if row is not None])
    return out


@dataclasses.dataclass(frozen=True)
class Judgement:
    """All that a study claims, corrected together.

    Attributes:
      groups: what was judged.
      answers: at equal time and at equal steps, the one that was planned for first.
      columns: for each metric of the finished runs every pair; empty where some run has no such scores.
    """

    groups: Groups
    answers: list[Comparison]
    columns: dict[str, list[Difference]]


def judge(groups: Groups, metrics: Sequence[str]) -> Judgement:
    """Return both answers and what each metric says, with one correction for all claims.

    Args:
      groups: finished runs of each config.
      metrics: names of numbers that every view has.
    """
    if not groups:
        return Judgement(groups, [], {})
    asked = asked_axis(groups)
    answers = [
        _unjudged(groups, axis) for axis in (asked, "step" if asked == "seconds" else "seconds")
    ]
    columns = {_name(answer): answer.scores for answer in answers if answer.at is not None}
    at_end = END if END in columns else "psnr"
    for metric in metrics:
        scores = scores_of(groups, metric)
        if scores is not None and (metric != "psnr" or at_end == "psnr"):
            columns[metric] = scores
    found = compare_columns(columns, next(iter(columns))) if columns else {}
    judged = [
        dataclasses.replace(answer, differences=found.get(_name(answer), [])) for answer in answers
    ]
    return Judgement(
        groups, judged, {m: found.get(at_end if m == "psnr" else m, []) for m in metrics}
    )


def _name(answer: Comparison) -> str:
    """Return the name of the scores that an answer rests on."""
    return END if answer.ends else f"at equal {answer.axis}"


def _unjudged(groups: Groups, axis: str) -> Comparison:
    """Return the scores of each config at equal "seconds" or equal "step", without differences."""
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
        missing = "the runs were not scored that early on the way: compare.py --eval_times=16 scores more often"
        return Comparison(axis, None, ends, {}, {}, [], missing)
    return Comparison(axis, at, ends, progress, scores, [])


def _scores_at(groups: Groups, axis: str, at: float) -> dict[str, Float[np.ndarray, "_ v"]] | None:
    out = {}
    for label, results in groups.items():
        rows = [result.at(axis, at) for result in results]
        if any(row is None for row in rows):
            return None
        out[label] = np.stack([row for row in rows if row is not None])
    # Slow configs are scored on fewer views on the way: the answer rests on those that every run has.
    shared = np.isfinite(np.concatenate(list(out.values()))).all(0)
    return {label: scores[:, shared] for label, scores in out.items()} if shared.any() else None


def _progress(groups: Groups, axis: str, at: float) -> dict[str, float]:
    key = "train_seconds" if axis == "seconds" else "steps"
    return {
        label: float(np.mean([min(1.0, at / result.results[key]) for result in results]))
        for label, results in groups.items()
    }


def asked_axis(groups: Groups) -> str:
    """What the study held equal by its plan: seconds if all runs had one budget of them, else steps."""
    budgets = {result.results.get("max_seconds") for group in groups.values() for result in group}
    return "seconds" if len(budgets) == 1 and None not in budgets else "step"
