"""Judge checks from confidence intervals, with the statistics of nerf compare.

A check holds if the whole 95 % interval of its number is on the right side of the margin, and does
not hold if the whole interval is on the wrong side and both arms have converged. Otherwise it is
undecided.

PSNR of several views is compared as in a study (`nerf.comparing.statistics`): with the error of the
seeds and of the views. Other numbers, and PSNR of a single picture, have the error of the seeds:
Welch's interval; ratios are judged on logarithms.

Reference: Welch, "The generalization of 'Student's' problem when several different population
variances are involved" (Biometrika 1947).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.systems.claims import Check
from nerf.comparing.standard_errors import seed_error
from nerf.comparing.statistics import compare

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
ALPHA = 0.05
FLAT = 0.2  # dB that the last quarter of the training of a converged run may change


def has_converged(arm: Mapping[str, Any]) -> bool:
    """Report whether the last quarter of training changes the mean of "val" by less than FLAT."""
    return abs(last_quarter(arm)) < FLAT


def last_quarter(arm: Mapping[str, Any]) -> float:
    """Return the change of PSNR on "val" in the last quarter of training, the mean over seeds.

    It is not a number if it was not measured.
    """
    return float(np.mean([after - before for before, after in arm["val"]] or [np.nan]))


def judge(check: Check, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a check's number, its interval and the verdict.

    Args:
      check: the check.
      arms: measurements by name: "psnr" (seeds, views), "numbers" by metric (seeds), "val".

    Returns: the fields of the check, "mean", "low" and "high" (None with one seed), "converged" and
    "verdict".
    """
    mean, low, high = interval(check, arms)
    converged = all(has_converged(arms[name]) for name in (check.first, check.second) if name)
    if check.at_least is not None:
        right, wrong = low >= check.at_least, high < check.at_least
    else:
        assert check.at_most is not None
        right, wrong = high <= check.at_most, low > check.at_most
    # Numbers that are not finite are on neither side.
    verdict = HOLDS if right else FAILS if wrong and converged else UNDECIDED
    return {
        **dataclasses.asdict(check),
        "mean": mean,
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
        "converged": converged,
        "verdict": verdict,
    }


def interval(check: Check, arms: Mapping[str, Mapping[str, Any]]) -> tuple[float, float, float]:
    """Return the number of a check and its 95 % confidence interval.

    With one seed the interval is infinite.
    """
    first, second = arms[check.first], arms.get(check.second or "")
    if check.metric == "psnr" and second is not None and not check.ratio:
        scores = {"second": np.array(second["psnr"]), "first": np.array(first["psnr"])}
        if min(len(score) for score in scores.values()) > 1 and scores["first"].shape[1] > 1:
            found = compare(scores, ALPHA)[0]
            return found.mean, found.low, found.high
    a = _by_seed(first, check.metric)
    b = None if second is None else _by_seed(second, check.metric)
    if check.ratio:
        assert b is not None
        mean, low, high = np.exp(_welch(np.log(a), np.log(b)))
        return float(mean), float(low), float(high)
    return _welch(a, b)


def _by_seed(arm: Mapping[str, Any], metric: str) -> np.ndarray:
    """Return the number of each seed."""
    return np.mean(arm["psnr"], 1) if metric == "psnr" else np.array(arm["numbers"][metric])


def _welch(a: np.ndarray, b: np.ndarray | None) -> tuple[float, float, float]:
    """Return the mean of `a`, minus that of `b` if it is given, and its interval."""
    sides: Sequence[np.ndarray] = [a] if b is None else [a, b]
    mean = float(a.mean()) - (0.0 if b is None else float(b.mean()))
    if min(len(side) for side in sides) < 2:
        return mean, -np.inf, np.inf
    if b is None:
        error, freedom = float(a.std(ddof=1)) / np.sqrt(len(a)), len(a) - 1.0
    else:
        error, freedom = seed_error((a.var(ddof=1), b.var(ddof=1)), (len(a), len(b)))
    half = float(stats.t.ppf(1.0 - ALPHA / 2.0, freedom)) * error
    return mean, mean - half, mean + half
