"""Decide whether one config is better than another: paired differences of held-out views, over seeds and scenes.

The error of a difference comes from `standard_errors`. With one seed on either side nothing is known about other
seeds, and nothing is claimed.

All claims of a study together are wrong in at most 5 % of the studies in which nothing differs: Holm's procedure (1979)
with weights, of which the metric that the study is about has nine tenths. The tests simulate this with studies whose
truth is known.

Reference: Holm, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal of Statistics 1979).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

from nerf.comparing.standard_errors import Error, noise_variance, together, view_error

ALPHA = 0.05
MAIN_WEIGHT = 0.9  # of the metric that a study is about; the other columns share the rest
MAX_SEEDS = 50  # more are not proposed

Scores = Mapping[str, Float[np.ndarray, "_ v"]]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Scores of `second` minus scores of `first`.

    Attributes:
      mean: the difference of the means.
      low, high: its interval; where `claimable` is false, over the views alone, for these very runs.
      level: of that interval: 0.95, or what the correction for several claims asks.
      p: probability of a difference this far from 0 by chance, two-sided, not corrected; 1 where nothing is known.
      real: whether a difference is claimed.
      views: how many it rests on.
      seeds: how many of the first and of the second.
      claimable: whether enough seeds and views are there to claim anything.
      needed: seeds of each config with which this difference could be claimed, if it stayed as it is; None where it is
        claimed already, or where no number of seeds up to 50 is enough.
      scenes: how many scenes it is the mean of.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    level: float
    p: float
    real: bool
    views: int
    seeds: tuple[int, int]
    claimable: bool
    needed: int | None = None
    scenes: int = 1


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Two configs before any correction.

    Attributes:
      mean: of second minus first.
      variances: of the seeds' means, of the first and of the second; not used where `claimable` is false.
      views: the error that the choice of views gives.
      error: what decides: seeds and views together, or views alone where `claimable` is false.
    """

    first: str
    second: str
    mean: float
    counts: tuple[int, int]
    variances: tuple[float, float]
    views: Error
    error: Error
    claimable: bool
    view_count: int

    def with_seeds(self, seeds: int) -> Error:
        """Return the error with another number of seeds of each, where they spread as these do."""
        return together(self.variances, (seeds, seeds), self.views)


def _seed_variance(score: Float[np.ndarray, "n v"]) -> float:
    """Return the variance of the seeds' means; 0 for a single seed."""
    return float(score.mean(1).var(ddof=1)) if len(score) > 1 else 0.0


def _pair(scores: Scores, first: str, second: str) -> _Pair:
    """Return the difference of two configs and its error."""
    a, b = scores[first], scores[second]
    difference = b.mean(0) - a.mean(0)
    counts = (len(a), len(b))
    claimable = min(counts) > 1 and len(difference) > 1
    variances = _seed_variance(a), _seed_variance(b)
    views = view_error(difference, noise_variance(a) + noise_variance(b) if claimable else 0.0)
    error = together(variances, counts, views) if claimable else views
    mean = float(difference.mean())
    return _Pair(first, second, mean, counts, variances, views, error, claimable, len(difference))


def _levels(
    ps: Sequence[float], weights: Sequence[float], alpha: float
) -> tuple[list[float], list[bool]]:
    """Return by Holm's weighted procedure the share of `alpha` of each hypothesis, and whether it is rejected."""
    share, rejected = [alpha] * len(ps), [False] * len(ps)
    open_ = [i for i in range(len(ps)) if weights[i] > 0.0]
    while open_:
        total = sum(weights[i] for i in open_)
        for i in open_:
            share[i] = alpha * weights[i] / total
        least = min(open_, key=lambda i: ps[i] / weights[i])
        if ps[least] > share[least]:
            break
        rejected[least] = True
        open_.remove(least)
    return share, rejected


def compare_columns(
    columns: Mapping[str, Scores], main: str, alpha: float = ALPHA
) -> dict[str, list[Difference]]:
    """Compare every pair of configs in every column, with one correction for all claims.

    Args:
      columns: for each metric the scores (seeds, views) of each config, with views alike and in the order of the path.
      main: the column that the study is about: its pairs share nine tenths of `alpha`.
      alpha: probability of any wrong claim where nothing differs.

    Returns: for each column every pair, in the order given. The interval of a pair has the level at which its claim
    stood or fell, so it contains 0 exactly where nothing is claimed.
    """
    pairs = [
        (name, _pair(scores, first, second))
        for name, scores in columns.items()
        for first, second in combinations(scores, 2)
    ]
    asked = {
        name: sum(pair.claimable for column, pair in pairs if column == name) for name in columns
    }
    others = sum(1 for name, count in asked.items() if count and name != main)
    shares = {
        name: MAIN_WEIGHT if name == main else (1.0 - MAIN_WEIGHT) / max(others, 1)
        for name in columns
    }
    weights = [shares[column] / asked[column] if pair.claimable else 0.0 for column, pair in pairs]
    ps = [pair.error.two_sided(pair.mean) if pair.claimable else 1.0 for _, pair in pairs]
    levels, rejected = _levels(ps, weights, alpha)
    out: dict[str, list[Difference]] = {name: [] for name in columns}
    for (column, pair), p, share, real in zip(pairs, ps, levels, rejected, strict=True):
        out[column].append(_difference(pair, p, share, real))
    return out


def _difference(pair: _Pair, p: float, share: float, real: bool) -> Difference:
    """Return a pair with its interval, after the correction."""
    half = pair.error.half_width(share)
    needed = None if real or not pair.claimable else _seeds_needed(pair, share)
    return Difference(
        first=pair.first,
        second=pair.second,
        mean=pair.mean,
        low=pair.mean - half,
        high=pair.mean + half,
        level=1.0 - share,
        p=p,
        real=real,
        views=pair.view_count,
        seeds=pair.counts,
        claimable=pair.claimable,
        needed=needed,
    )


def _seeds_needed(pair: _Pair, share: float) -> int | None:
    """Return the smallest number of seeds of each that would claim this difference; None up to `MAX_SEEDS`."""
    low, high = max(pair.counts), MAX_SEEDS
    if pair.with_seeds(high).two_sided(pair.mean) > share:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if pair.with_seeds(middle).two_sided(pair.mean) <= share
            else (middle, high)
        )
    return high


def compare(scores: Scores, alpha: float = ALPHA) -> list[Difference]:
    """Compare every pair of configs in one column of scores (seeds, views); see `compare_columns`."""
    return compare_columns({"": scores}, "", alpha)[""]


def compare_over_scenes(scenes: Mapping[str, Scores], alpha: float = ALPHA) -> list[Difference]:
    """Compare every pair of configs over scenes, which are the outermost level: is it better on scenes of this kind?

    The mean difference of each scene is one observation: what seeds and views add is part of how much the scenes
    differ. A seed may be lucky on every scene, however, and all scenes are trained with the same ones, so the error of
    the seeds' means over scenes is added. Two scenes at least are needed, and two seeds of each config in each.

    Args:
      scenes: for each scene the scores (seeds, views) of each config, with the same configs and seeds in each.
      alpha: probability of any wrong claim where nothing differs.

    Returns: every pair, in the order of the first scene's configs; views and seeds are the smallest of any scene.
    """
    pairs = [
        _pair_over_scenes(scenes, *both) for both in combinations(next(iter(scenes.values())), 2)
    ]
    ps = [pair.error.two_sided(pair.mean) if pair.claimable else 1.0 for pair in pairs]
    shares, rejected = _levels(ps, [float(pair.claimable) for pair in pairs], alpha)
    judged = [_difference(*one) for one in zip(pairs, ps, shares, rejected, strict=True)]
    return [dataclasses.replace(d, needed=None, scenes=len(scenes)) for d in judged]


def _pair_over_scenes(scenes: Mapping[str, Scores], first: str, second: str) -> _Pair:
    """Return the difference of two configs over scenes and its error."""
    means = np.array([scores[second].mean() - scores[first].mean() for scores in scenes.values()])
    count = len(means)
    spread = float(means.std(ddof=1)) if count > 1 else 0.0
    between = Error(
        np.ones(1), np.full(1, spread / np.sqrt(count)), np.full(1, max(count - 1.0, 1.0))
    )
    counts, variances = [], []
    for name in (first, second):
        fewest = min(len(scores[name]) for scores in scenes.values())
        by_seed = np.stack([scores[name][:fewest].mean(1) for scores in scenes.values()], 1)
        counts.append(fewest)
        variances.append(_seed_variance(by_seed))
    claimable = count > 1 and min(counts) > 1
    seeds, spreads = (counts[0], counts[1]), (variances[0], variances[1])
    error = between
    if claimable:  # few scenes: the fewest degrees of freedom are taken, since an estimate of them is itself unsure
        error = together(spreads, seeds, between)
        error = Error(error.weight, error.scale, np.minimum(error.freedom, between.freedom))
    views = min(scores[first].shape[1] for scores in scenes.values())
    return _Pair(
        first, second, float(means.mean()), seeds, spreads, between, error, claimable, views
    )


def best(scores: Scores, differences: Sequence[Difference], higher_is_better: bool) -> str | None:
    """Return the config that is better than every other one by a real difference; None where there is none."""
    sign = 1.0 if higher_is_better else -1.0
    leader = max(scores, key=lambda name: sign * scores[name].mean())
    mine = [d for d in differences if leader in (d.first, d.second)]
    return leader if mine and all(d.real for d in mine) else None
