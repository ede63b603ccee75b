"""Decide whether one config is better than another from paired differences of held-out views.

The error of a difference comes from `standard_errors`. With one seed on either side nothing is
known about other seeds, and nothing is claimed.

All claims of a study together are wrong in at most 5 % of the studies in which nothing differs.
This is Holm's procedure (1979) with weights; the main metric of the study has nine tenths of the
weight. The tests simulate it on studies whose truth is known.

Reference: Holm, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal of
Statistics 1979).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

from nerf.comparing.standard_errors import Error, noise_variance, together, view_error

ALPHA = 0.05
MAIN_WEIGHT = 0.9  # weight of the study's main metric; the other metrics share the rest
MAX_SEEDS = 50  # largest number of seeds that is suggested

Scores = Mapping[str, Float[np.ndarray, "_ v"]]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Scores of `second` minus scores of `first`.

    Attributes:
      first, second: labels of the configs.
      mean: difference of the means, in the units of the scores.
      low, high: confidence interval of `mean`. If `claimable` is false, it covers only the choice
        of views, for exactly these runs.
      level: confidence level of the interval: 0.95, or higher after the correction.
      p: two-sided p-value of a zero difference, not corrected; 1 if `claimable` is false.
      real: whether a difference is claimed.
      views: number of views.
      seeds: number of seeds of the first and of the second config.
      claimable: whether there are enough seeds and views to claim anything.
      needed: number of seeds per config that would be enough to claim this difference if its size
        and spread stayed the same; None if it is already claimed or if 50 seeds are not enough.
      scenes: number of scenes that the difference is averaged over.
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
    """The difference of two configs before any correction.

    Attributes:
      first, second: labels of the configs.
      mean: mean score of the second minus mean score of the first.
      counts: number of seeds of each.
      variances: variance of the seeds' means of each; unused if `claimable` is false.
      views: the error due to the choice of views.
      error: the error used for the test: seeds and views together, or views alone if `claimable` is
        false.
      claimable: whether there are enough seeds and views to claim anything.
      view_count: number of views.
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
        """Return the error for another number of seeds per config with the same spread."""
        return together(self.variances, (seeds, seeds), self.views)


def _seed_variance(score: Float[np.ndarray, "n v"]) -> float:
    """Return the variance of the seeds' means; 0 for a single seed."""
    return float(score.mean(1).var(ddof=1)) if len(score) > 1 else 0.0


def _pair(scores: Scores, first: str, second: str) -> _Pair:
    """Return the difference of two configs and its error."""
    a, b = scores[first], scores[second]
    # Pair the configs by view, so that the effect of a view that both share cancels.
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
    """Apply Holm's weighted procedure.

    Args:
      ps: p-value of each hypothesis.
      weights: weight of each hypothesis; hypotheses with weight 0 are never rejected.
      alpha: familywise error rate.

    Returns: for each hypothesis the significance level at which it was tested last, and whether it
    is rejected.
    """
    share, rejected = [alpha] * len(ps), [False] * len(ps)
    open_ = [i for i in range(len(ps)) if weights[i] > 0.0]
    while open_:
        # The remaining hypotheses share alpha in proportion to their weights.
        total = sum(weights[i] for i in open_)
        for i in open_:
            share[i] = alpha * weights[i] / total
        # Test the most significant one; if it is not rejected, none of the others is either.
        least = min(open_, key=lambda i: ps[i] / weights[i])
        if ps[least] > share[least]:
            break
        rejected[least] = True
        open_.remove(least)
    return share, rejected


def compare_columns(
    columns: Mapping[str, Scores], main: str, alpha: float = ALPHA
) -> dict[str, list[Difference]]:
    """Compare every pair of configs in every metric, with one correction for all claims.

    Args:
      columns: for each metric the scores of each config, (seeds, views), with the same views in the
        order of the path.
      main: the main metric of the study; its pairs share nine tenths of `alpha`.
      alpha: probability of any wrong claim if nothing differs.

    Returns: for each metric every pair, in the given order. The interval of a pair has the level at
    which its claim was tested last, so it contains 0 exactly if nothing is claimed.
    """
    pairs = [
        (name, _pair(scores, first, second))
        for name, scores in columns.items()
        for first, second in combinations(scores, 2)
    ]
    tested = {
        name: sum(pair.claimable for column, pair in pairs if column == name) for name in columns
    }
    others = sum(1 for name, count in tested.items() if count and name != main)
    shares = {
        name: MAIN_WEIGHT if name == main else (1.0 - MAIN_WEIGHT) / max(others, 1)
        for name in columns
    }
    weights = [shares[column] / tested[column] if pair.claimable else 0.0 for column, pair in pairs]
    ps = [pair.error.two_sided(pair.mean) if pair.claimable else 1.0 for _, pair in pairs]
    levels, rejected = _levels(ps, weights, alpha)
    out: dict[str, list[Difference]] = {name: [] for name in columns}
    for (column, pair), p, share, real in zip(pairs, ps, levels, rejected, strict=True):
        out[column].append(_difference(pair, p, share, real))
    return out


def _difference(pair: _Pair, p: float, share: float, real: bool) -> Difference:
    """Return a pair with its corrected interval."""
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
    """Return the smallest number of seeds per config that supports a claim.

    Returns: None if `MAX_SEEDS` seeds are not enough.
    """
    low = max(pair.counts)
    high = MAX_SEEDS
    if pair.with_seeds(high).two_sided(pair.mean) > share:
        return None
    # Bisect: `low` seeds are not enough, `high` seeds are.
    while high - low > 1:
        middle = (low + high) // 2
        if pair.with_seeds(middle).two_sided(pair.mean) <= share:
            high = middle
        else:
            low = middle
    return high


def compare(scores: Scores, alpha: float = ALPHA) -> list[Difference]:
    """Compare every pair of configs in one metric; see `compare_columns`."""
    return compare_columns({"": scores}, "", alpha)[""]


def compare_over_scenes(scenes: Mapping[str, Scores], alpha: float = ALPHA) -> list[Difference]:
    """Compare every pair of configs over scenes, as on new scenes of this kind.

    The mean difference of each scene is one observation; the effects of seeds and views are part
    of the spread over scenes. All scenes are trained with the same seeds, however, and a seed may
    be lucky on every scene, so the error of the seeds' means over scenes is added. At least two
    scenes are needed, and two seeds of each config on each scene.

    Args:
      scenes: for each scene the scores of each config, (seeds, views), with the same configs and
        seeds.
      alpha: probability of any wrong claim if nothing differs.

    Returns: every pair, in the order of the first scene's configs. `views` and `seeds` of a pair
    are the minimum over the scenes.
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
    # The spread between scenes as a t distribution.
    between = Error(
        np.ones(1), np.full(1, spread / np.sqrt(count)), np.full(1, max(count - 1.0, 1.0))
    )
    counts, variances = [], []
    for name in (first, second):
        # Average each seed over the scenes: this part of its effect does not cancel over scenes.
        fewest = min(len(scores[name]) for scores in scenes.values())
        by_seed = np.stack([scores[name][:fewest].mean(1) for scores in scenes.values()], 1)
        counts.append(fewest)
        variances.append(_seed_variance(by_seed))
    claimable = count > 1 and min(counts) > 1
    seeds = (counts[0], counts[1])
    spreads = (variances[0], variances[1])
    error = between
    if claimable:
        # With few scenes, Satterthwaite's estimate of the degrees of freedom is itself uncertain,
        # so use at most those of the scenes.
        error = together(spreads, seeds, between)
        error = Error(error.weight, error.scale, np.minimum(error.freedom, between.freedom))
    views = min(scores[first].shape[1] for scores in scenes.values())
    return _Pair(
        first, second, float(means.mean()), seeds, spreads, between, error, claimable, views
    )


def best(scores: Scores, differences: Sequence[Difference], higher_is_better: bool) -> str | None:
    """Return the config that is significantly better than every other one.

    Args:
      scores: (seeds, views) of each config.
      differences: the pairs of these configs after the correction.
      higher_is_better: the direction of the metric.

    Returns: its label; None if there is no such config.
    """
    sign = 1.0 if higher_is_better else -1.0
    leader = max(scores, key=lambda name: sign * scores[name].mean())
    mine = [d for d in differences if leader in (d.first, d.second)]
    return leader if mine and all(d.real for d in mine) else None
