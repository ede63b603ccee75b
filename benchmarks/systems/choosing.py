"""Choose a learning rate, and a bandwidth where there is one, by successive halving.

All candidates are trained for an eighth of the steps; the best two of them for half of the steps;
the better one is chosen. If the best learning rate of a round is the smallest or the largest that
was tried, the next one beyond it is tried too, so that the chosen rate is not an end of the range.

Reference: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization" (AISTATS 2016).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

FACTOR = 3.0  # between neighbouring learning rates
MAX_EXTENSIONS = 4  # rates beyond the first range, in each round
FINALISTS = 2


class Candidate(NamedTuple):
    """A candidate: a set of changes and a learning rate.

    Attributes:
      trial: index of the arm's further changes.
      rate: factor of the learning rate.
    """

    trial: int
    rate: float


class Chosen(NamedTuple):
    """The chosen candidate and the scores that decided.

    Attributes:
      candidate: the best one.
      interior: whether a smaller and a larger rate were tried and found worse.
      scores: score of each candidate in each round, (fraction of the steps, candidate, score).
    """

    candidate: Candidate
    interior: bool
    scores: list[tuple[float, Candidate, float]]


def choose(
    trials: int, rates: Sequence[float], score: Callable[[Candidate, float], float]
) -> Chosen:
    """Return the best candidate.

    Args:
      trials: number of sets of further changes.
      rates: first factors of the learning rate.
      score: trains a candidate for a fraction of the steps and returns its score; higher is better.
    """
    first = [Candidate(trial, rate) for trial in range(trials) for rate in sorted(rates)]
    if len(first) == 1:
        return Chosen(first[0], False, [])
    tried: list[tuple[float, Candidate, float]] = []
    entrants = first
    best = first[0]
    for fraction in (1 / 8, 1 / 2):
        found = {one: score(one, fraction) for one in entrants}
        best = max(found, key=lambda one: found[one])
        everywhere = [*first, *(one for _, one, _ in tried), *found]
        for _ in range(MAX_EXTENSIONS):
            beyond = _beyond(best, everywhere)
            if beyond is None:
                break
            found[beyond] = score(beyond, fraction)
            everywhere.append(beyond)
            best = max(found, key=lambda one: found[one])
        tried += [(fraction, one, value) for one, value in found.items()]
        entrants = sorted(found, key=lambda one: found[one], reverse=True)[:FINALISTS]
    known = [one for _, one, _ in tried]
    return Chosen(best, _beyond(best, known) is None, tried)


def _beyond(best: Candidate, tried: Sequence[Candidate]) -> Candidate | None:
    """Return the next rate outside of the tried range if the best one is its end."""
    rates = [one.rate for one in tried if one.trial == best.trial]
    if best.rate >= max(rates):
        return Candidate(best.trial, best.rate * FACTOR)
    if best.rate <= min(rates):
        return Candidate(best.trial, best.rate / FACTOR)
    return None
