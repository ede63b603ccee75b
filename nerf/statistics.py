"""Is one config better than another? Paired differences of held-out views, with seeds as the outer level.

The model. A score of config c, seed s, view v is  mean_c + view_v + seed_cs + interaction_cv + noise_csv.  What the
view adds to every config cancels in the difference of two configs; the three other terms do not, and each is a reason
why the same study done again, with other seeds and other views, would give another number.

The interval of a difference comes from a hierarchical bootstrap: of the outer level, the seeds, and inside it of the
views, which stay paired. A plain bootstrap draws from what was seen, and three seeds seen are too few to draw from: its
"95 %" intervals miss the truth in a quarter of all studies. So the outer draw is of Student's t with the seeds' own
degrees of freedom (Welch 1947), and the inner one, views with replacement, is widened as t is against the normal. What
a view's noise adds to a seed's mean is counted at the outer level and taken out of the inner one.

Consequences, which the tests simulate: without a true difference one is claimed in at most 5 % of studies with 2 or
more seeds; with one seed each nothing is known about the outer level, and nothing is claimed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

ALPHA = 0.05
DRAWS = 20_000
MANY_VIEWS = 5  # from which on noise is told from what differs between views


@dataclasses.dataclass(frozen=True)
class Difference:
    """Scores of `second` minus scores of `first`.

    Attributes:
      mean: the difference of the means.
      draws: its bootstrap distribution; empty where the seeds allow none (one seed each).
      low, high: interval; over the views alone, for these very runs, where there are no draws.
      level: of that interval, 0.95 or, with more than two configs, what Holm's correction asks.
      p: probability of a difference this far from 0 by chance, two-sided, not corrected; 1 where nothing is known.
      real: whether a difference is claimed.
      views, seeds: what it rests on; seeds of the first and of the second.
    """

    first: str
    second: str
    mean: float
    draws: Float[np.ndarray, " k"]
    low: float
    high: float
    level: float
    p: float
    real: bool
    views: int
    seeds: tuple[int, int]


def seed_error(scores: Sequence[Float[np.ndarray, "_ v"]]) -> tuple[float, float]:
    """Standard error that seeds give to a difference of two configs, and its degrees of freedom (0: not known).

    Where one of them has a single seed, its seeds are taken to spread as the other's.
    """
    means = [score.mean(1) for score in scores]
    spread = [(mean.var(ddof=1), len(mean) - 1) for mean in means if len(mean) > 1]
    if not spread:
        return 0.0, 0.0
    if len(spread) == 1:
        (variance, freedom), counts = spread[0], [len(mean) for mean in means]
        return float(np.sqrt(variance * sum(1.0 / n for n in counts))), float(freedom)
    parts = [variance / (freedom + 1) for variance, freedom in spread]
    total = sum(parts)
    if total == 0.0:
        return 0.0, float(min(freedom for _, freedom in spread))
    weight = sum(part**2 / freedom for part, (_, freedom) in zip(parts, spread, strict=True))
    return float(np.sqrt(total)), float(total**2 / weight)


def _noise_share(score: Float[np.ndarray, "n v"]) -> float:
    """Variance that seed-by-view noise gives to the mean over seeds of one view; 0 where one seed hides it."""
    n, views = score.shape
    if n < 2 or views < 2:
        return 0.0
    rest = score - score.mean(1, keepdims=True) - score.mean(0, keepdims=True) + score.mean()
    return float(np.square(rest).sum() / ((n - 1) * (views - 1)) / n)


def draw_difference(
    first: Float[np.ndarray, "a v"],
    second: Float[np.ndarray, "b v"],
    rng: np.random.Generator,
    draws: int = DRAWS,
    outer: bool = True,
) -> Float[np.ndarray, " k"]:
    """The bootstrap distribution of mean(second) - mean(first); rows are seeds, columns the same views.

    `outer` False leaves the seeds out: what is said then is of these runs alone. Empty where seeds are asked for and
    both configs have one.
    """
    difference = second.mean(0) - first.mean(0)
    views = len(difference)
    error, freedom = seed_error([first, second]) if outer else (0.0, 0.0)
    if outer and freedom == 0:
        return np.empty(0)
    drawn = np.full(draws, difference.mean())
    if outer:
        drawn += error * rng.standard_t(freedom, draws)
    if views < 2:
        return drawn
    deviation = difference - difference.mean()
    variance = deviation.var(ddof=1)
    if variance > 0.0:
        noise = _noise_share(first) + _noise_share(second) if outer and views >= MANY_VIEWS else 0.0
        deviation = deviation * np.sqrt(max(0.0, 1.0 - noise / variance) * views / (views - 1))
        widen = np.sqrt((views - 1) / rng.chisquare(views - 1, draws))
        drawn += widen * (rng.multinomial(views, np.full(views, 1.0 / views), draws) @ deviation) / views
    return drawn


def _two_sided(draws: Float[np.ndarray, " k"]) -> float:
    """p of a difference of 0, from its bootstrap distribution; 1 where there is none."""
    if len(draws) == 0:
        return 1.0
    side = min((draws <= 0.0).sum(), (draws >= 0.0).sum())
    return float(min(1.0, 2.0 * (side + 1) / (len(draws) + 1)))


def compare(
    scores: Mapping[str, Float[np.ndarray, "_ v"]],
    alpha: float = ALPHA,
    seed: int = 0,
    draws: int = DRAWS,
    fixed_views: bool = False,
) -> list[Difference]:
    """Every pair of configs, in the order given; `scores` has (seeds, views) for each, views alike.

    One view says nothing about others, so nothing is claimed of a single one, unless it is all there is to ask about
    (`fixed_views`: seconds, bytes).

    All claims together are wrong with probability `alpha` at most where there is no difference (Holm 1979): the
    smallest p is held against alpha / m, the next against alpha / (m - 1), until one fails. A pair's interval has the
    level of the step at which it stood or fell, so it contains 0 exactly where nothing is claimed.
    """
    rng = np.random.default_rng(seed)
    pairs = list(combinations(scores, 2))
    drawn = [draw_difference(scores[a], scores[b], rng, draws) for a, b in pairs]
    shown = [
        draw if len(draw) else draw_difference(scores[a], scores[b], rng, draws, outer=False)
        for (a, b), draw in zip(pairs, drawn, strict=True)
    ]
    may_claim = [len(draw) > 0 and (fixed_views or scores[pairs[0][0]].shape[1] > 1) for draw in drawn]
    ps = [_two_sided(draw) for draw in drawn]
    out: dict[int, Difference] = {}
    still, share = True, alpha
    for rank, i in enumerate(sorted(range(len(pairs)), key=lambda i: ps[i])):
        if still:
            share = alpha / (len(pairs) - rank)
        low, high = (float(x) for x in np.quantile(shown[i], [share / 2, 1 - share / 2]))
        still = still and may_claim[i] and (low > 0.0 or high < 0.0)
        a, b = pairs[i]
        mean, seeds = float(scores[b].mean() - scores[a].mean()), (len(scores[a]), len(scores[b]))
        out[i] = Difference(a, b, mean, drawn[i], low, high, 1 - share, ps[i], still, scores[a].shape[1], seeds)
    return [out[i] for i in range(len(pairs))]


def best(
    scores: Mapping[str, Float[np.ndarray, "_ v"]], differences: Sequence[Difference], higher_is_better: bool
) -> str | None:
    """The config that is better than every other one by a real difference; None where there is none."""
    sign = 1.0 if higher_is_better else -1.0
    leader = max(scores, key=lambda name: sign * scores[name].mean())
    mine = [d for d in differences if leader in (d.first, d.second)]
    return leader if mine and all(d.real for d in mine) else None
