"""Judge checks from confidence intervals, with the statistics of nerf compare.

A check holds if the whole interval of its number is on the right side of the margin, and does not
hold if the whole interval is on the wrong side. Otherwise it is undecided, and also if longer
training could change the verdict. The first seeds of each arm are therefore trained for half of the
steps too, with its whole schedule. A check is settled if a further doubling that changes its number
as much as the last one would leave it on its side of the margin, and if either the last doubling
changed its PSNR by less than FLAT, or `HORIZON` such doublings would leave it there. It is not
settled if an arm lost more than FLAT by the doubling, since its learning rate may be too large for
all of the steps, unless the rate was chosen among runs of all of them: then smaller ones are worse,
and the arm overfits. (Within one training, the last quarter says little: with a cosine schedule
most of it is the gain, or the standstill, of a small learning rate.) Times are always settled.

A row is judged with three seeds, and once more with five if an interval includes a margin. Two
looks would err more often than one: each interval covers 97.5 %, so that both together err at most
five times in a hundred.

PSNR of several views is compared as in a study (`nerf.comparing.statistics`): with the error of the
seeds and of the views. Other numbers, and PSNR of a single picture, have the error of the seeds:
Welch's interval, or that of the differences seed by seed where both arms draw the same numbers for
a seed (`Check.paired`); ratios are judged on logarithms.

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
LOOKS = 2
ALPHA = 0.05 / LOOKS
# dB by which doubling the steps may change a converged number. Where PSNR grows with the logarithm
# of the steps, this is 0.2 dB for the last quarter of them: 0.5 log2(4/3).
FLAT = 0.5
HORIZON = 3  # further doublings: eight times the steps
TIMES = ("ms_per_step", "lattice_64_ms", "lattice_128_ms")
Arms = Mapping[str, Mapping[str, Any]]


def doubling(arm: Mapping[str, Any]) -> float:
    """Return the change of PSNR on "val" from half of the steps to all of them, in dB.

    It is the mean over the seeds that were trained for half of the steps, and not a number if there
    are none or if one of them diverged.
    """
    halves = _halves(arm)
    if halves is None:
        return float("nan")
    before, now = (np.mean([after for _, after in one["val"]]) for one in (halves, _same(arm)))
    return float(now - before)


def doubts_rate(arm: Mapping[str, Any]) -> bool:
    """Report whether an arm lost by the doubling, and whether a smaller rate would is not known."""
    whole = any(one["part"] == 1.0 for one in arm.get("tried_on_val", ()))
    return doubling(arm) < -FLAT and not whole


def judge(check: Check, arms: Arms) -> dict[str, Any]:
    """Return a check's number, its interval and the verdict.

    Args:
      check: the check.
      arms: measurements by name: "psnr" (seeds, views), "numbers" by metric (seeds), "diverged",
        the number of seeds without measurements, and "half", those of the first seeds with half of
        the steps.

    Returns: the fields of the check, "mean", "low" and "high", "half" (the number with half of the
    steps), all None if unknown; "included" (whether the interval includes the margin), "settled"
    and "verdict".
    """
    sides = {name: arms[name] for name in (check.first, check.second) if name}
    lost = any(arm.get("diverged") for arm in sides.values())
    known = all(arm["psnr"] for arm in sides.values())
    mean, low, high = interval(check, arms) if known else (np.nan, -np.inf, np.inf)
    before, later, last = _trend(check, sides, mean)
    if check.at_least is not None:
        right, wrong = low >= check.at_least, high < check.at_least
        stays = [(end >= check.at_least) == (mean >= check.at_least) for end in (later, last)]
    else:
        assert check.at_most is not None
        right, wrong = high <= check.at_most, low > check.at_most
        stays = [(end <= check.at_most) == (mean <= check.at_most) for end in (later, last)]
    flat = check.metric == "psnr" and not check.ratio and abs(later - mean) < FLAT
    trend = np.isfinite(later) and stays[0] and (flat or stays[1])
    worse = any(doubts_rate(arm) for arm in sides.values())
    settled = not lost and (check.metric in TIMES or (trend and not worse))
    # Numbers that are not finite are on neither side, and not settled.
    verdict = UNDECIDED if not settled else HOLDS if right else FAILS if wrong else UNDECIDED
    numbers = {"mean": mean, "low": low, "high": high, "half": before}
    return {
        **dataclasses.asdict(check),
        **{name: float(value) if np.isfinite(value) else None for name, value in numbers.items()},
        "included": bool(not right and not wrong),
        "settled": bool(settled),
        "verdict": verdict,
    }


def _trend(check: Check, sides: Arms, mean: float) -> tuple[float, float, float]:
    """Return a check's number with half of the steps, with twice, and with 2**HORIZON times.

    The latter two continue the last change of the number, or of the logarithm of a ratio.

    Args:
      check: the check.
      sides: its arms by name.
      mean: its number.
    """
    halves = {name: _halves(arm) for name, arm in sides.items()}
    if None in halves.values() or not np.isfinite(mean):
        return np.nan, np.nan, np.nan
    seeds = {name: _same(arm) for name, arm in sides.items()}
    before, now = interval(check, halves)[0], interval(check, seeds)[0]
    if check.ratio:
        return before, mean * (now / before), mean * (now / before) ** HORIZON
    return before, mean + (now - before), mean + HORIZON * (now - before)


def _halves(arm: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return an arm's measurements with half of the steps; None without, or if a seed diverged."""
    half = arm.get("half")
    if not half or not half["psnr"] or half.get("diverged") or arm.get("diverged"):
        return None
    return half if len(half["psnr"]) <= len(arm["psnr"]) else None


def _same(arm: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measurements, with all steps, of the seeds that were trained for half too."""
    count = len(arm["half"]["psnr"])
    numbers = {name: values[:count] for name, values in arm["numbers"].items()}
    return {"psnr": arm["psnr"][:count], "val": arm["val"][:count], "numbers": numbers}


def interval(check: Check, arms: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the number of a check and its confidence interval.

    With one seed the interval is infinite.
    """
    first, second = arms[check.first], arms.get(check.second or "")
    if check.metric == "psnr" and second is not None and not check.ratio:
        scores = {"second": np.array(second["psnr"]), "first": np.array(first["psnr"])}
        assert not check.paired or scores["first"].shape[1] == 1, "views have no pairs of seeds"
        if min(len(score) for score in scores.values()) > 1 and scores["first"].shape[1] > 1:
            found = compare(scores, ALPHA)[0]
            return found.mean, found.low, found.high
    a = _by_seed(first, check.metric)
    b = None if second is None else _by_seed(second, check.metric)
    if check.ratio:
        assert b is not None
        a, b = np.log(a), np.log(b)
    # The seeds that diverged are not among the numbers, so that pairs would be of different seeds.
    lost = first.get("diverged") or (second or {}).get("diverged")
    if check.paired and b is not None and not lost:
        a, b = a - b, None
    mean, low, high = np.exp(_welch(a, b)) if check.ratio else _welch(a, b)
    return float(mean), float(low), float(high)


def _by_seed(arm: Mapping[str, Any], metric: str) -> np.ndarray:
    """Return the number of each seed."""
    return np.mean(arm["psnr"], 1) if metric == "psnr" else np.array(arm["numbers"][metric])


def _welch(a: np.ndarray, b: np.ndarray | None) -> tuple[float, float, float]:
    """Return the mean of `a`, minus that of `b` if it is given, and its interval."""
    sides: Sequence[np.ndarray] = [a] if b is None else [a, b]
    mean = float(a.mean()) - (0.0 if b is None else float(b.mean()))
    if min(len(side) for side in sides) < 2 or not np.isfinite(mean):
        return mean, -np.inf, np.inf
    if b is None:
        error, freedom = float(a.std(ddof=1)) / np.sqrt(len(a)), len(a) - 1.0
    else:
        error, freedom = seed_error((a.var(ddof=1), b.var(ddof=1)), (len(a), len(b)))
    half = float(stats.t.ppf(1.0 - ALPHA / 2.0, freedom)) * error
    return mean, mean - half, mean + half
