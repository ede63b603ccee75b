"""Choose a learning rate, and a bandwidth where there is one, by successive halving.

All candidates are trained for an eighth of the steps. The best one of each set of changes is then
trained for a larger part of the steps, but at most `FINALISTS` of them. In both rounds the next
rates on both sides of a best one are trained too, so that a chosen rate is not an end of what was
tried.

Reference: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization" (AISTATS 2016).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

FACTOR = 3.0  # between neighbouring learning rates
MAX_EXTENSIONS = 4  # further rates on each side, in each round
FINALISTS = 2
EARLY = 1 / 8  # part of the steps of the first round


class Candidate(NamedTuple):
    """A candidate: a set of changes and a learning rate.

    Attributes:
      trial: index of the arm's further changes.
      rate: factor of the learning rate.
    """

    trial: int
    rate: float


Score = Callable[[Candidate, float], float]


class Chosen(NamedTuple):
    """The chosen candidate and the scores that decided.

    Attributes:
      candidate: the best one.
      interior: whether a smaller and a larger rate were worse after as many steps.
      scores: score of each candidate in each round, (part of the steps, candidate, score).
    """

    candidate: Candidate
    interior: bool
    scores: list[tuple[float, Candidate, float]]


def choose(trials: int, rates: Sequence[float], score: Score, late: float) -> Chosen:
    """Return the best candidate.

    Args:
      trials: number of sets of further changes.
      rates: first factors of the learning rate; a single one is kept.
      score: trains a candidate for a part of the steps and returns its score; higher is better.
      late: part of the steps of the second round.
    """
    first = [Candidate(trial, rate) for trial in range(trials) for rate in rates]
    if len(first) == 1:
        return Chosen(first[0], False, [])
    early: dict[Candidate, float] = {}
    leaders = []
    for trial in range(trials):
        found = {one: score(one, EARLY) for one in first if one.trial == trial}
        leaders.append(_extend(found, lambda one: score(one, EARLY), len(rates) > 1))
        early |= found
    leaders.sort(key=lambda one: early[one], reverse=True)
    return _last_round(early, leaders[:FINALISTS], score, late, len(rates) > 1)


def choose_near(before: Chosen, score: Score, late: float) -> Chosen:
    """Return the best candidate for more steps than those for which one was chosen.

    Args:
      before: the choice for fewer steps; its neighbours are tried.
      score: see `choose`.
      late: see `choose`.
    """
    if not before.scores:
        return before
    rates = {one.rate for _, one, _ in before.scores}
    return _last_round({}, [before.candidate], score, late, len(rates) > 1)


def _extend(
    found: dict[Candidate, float], score: Callable[[Candidate], float], rates: bool
) -> Candidate:
    """Add neighbours of the best candidate until both of its sides are known; return the best.

    Args:
      found: scores by candidate; neighbours are added.
      score: trains and scores a candidate.
      rates: whether there is a choice of rates.
    """
    best = max(found, key=lambda one: found[one])
    for _ in range(2 * MAX_EXTENSIONS if rates else 0):
        missing = _missing_side(best, found)
        if missing is None:
            break
        found[missing] = score(missing)
        best = max(found, key=lambda one: found[one])
    return best


def _missing_side(best: Candidate, known: Mapping[Candidate, float]) -> Candidate | None:
    """Return the next rate beyond the best one on a side where none is known, or None."""
    rates = [one.rate for one in known if one.trial == best.trial]
    if best.rate >= max(rates):
        return Candidate(best.trial, best.rate * FACTOR)
    if best.rate <= min(rates):
        return Candidate(best.trial, best.rate / FACTOR)
    return None


def _last_round(
    early: Mapping[Candidate, float],
    leaders: Sequence[Candidate],
    score: Score,
    late: float,
    rates: bool,
) -> Chosen:
    """Train the leaders and neighbours of the best one for longer, and return the best.

    Args:
      early: scores of the first round.
      leaders: the candidates of this round.
      score: see `choose`.
      late: see `choose`.
      rates: whether there is a choice of rates.
    """
    last = {one: score(one, late) for one in leaders}
    best = _extend(last, lambda one: score(one, late), rates)
    rounds = ((EARLY, early), (late, last))
    scores = [(part, one, value) for part, found in rounds for one, value in found.items()]
    return Chosen(best, _missing_side(best, last) is None, scores)
