"""Match the features of pairs of pictures, without any knowledge of poses."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from nerf.check.features import Features

MAX_RATIO = 0.8  # of the nearest to the second nearest distance; Lowe 2004, section 7.1
MIN_MATCHES_OF_PAIR = 12  # a pair of views with fewer matches is dropped


@dataclasses.dataclass(frozen=True)
class Matches:
    """The matches of all pairs of views.

    Attributes:
      views: the two views of each match.
      features: the feature's number in each of the two views.
    """

    views: Int[np.ndarray, "m 2"]
    features: Int[np.ndarray, "m 2"]


def pairs_of(
    count: int, all_up_to: int = 120, near: int = 6, anchors: int = 40
) -> list[tuple[int, int]]:
    """Return the pairs of views to compare.

    Args:
      count: number of views.
      all_up_to: with at most this many views, all pairs are compared.
      near: with more views, each is compared with this many views that follow it ...
      anchors: ... and with this many views that are spread evenly.
    """
    if count <= all_up_to:
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    chosen = set(np.linspace(0, count - 1, anchors).astype(int).tolist())
    return [
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if j - i <= near or i in chosen or j in chosen
    ]


def match(features: Sequence[Features], pairs: Sequence[tuple[int, int]]) -> Matches:
    """Match mutually nearest descriptors that pass the ratio test.

    Pairs with fewer than MIN_MATCHES_OF_PAIR matches are dropped.
    """
    views, numbers = [], []
    for i, j in pairs:
        found = _match_two(features[i], features[j])
        if len(found) >= MIN_MATCHES_OF_PAIR:
            views.append(np.tile([[i, j]], (len(found), 1)))
            numbers.append(found)
    none = np.zeros((0, 2), int)
    return Matches(np.concatenate([none, *views]), np.concatenate([none, *numbers]))


def _match_two(a: Features, b: Features) -> Int[np.ndarray, "m 2"]:
    """Return the matches of two pictures as pairs of feature numbers."""
    if min(len(a.points), len(b.points)) < MIN_MATCHES_OF_PAIR:
        return np.zeros((0, 2), int)
    # Descriptors are unit vectors, so that their products order them by distance.
    alike = a.descriptors @ b.descriptors.T
    best, back = alike.argmax(1), alike.argmax(0)
    rows = np.arange(len(best))
    first = alike[rows, best]
    alike[rows, best] = -1.0
    second = alike.max(1)
    # The ratio test on squared distances of unit vectors, which are 2 - 2 a.b.
    clear = 1.0 - first < MAX_RATIO**2 * (1.0 - second)
    good = clear & (back[best] == rows)
    found = np.stack([rows[good], best[good]], -1)
    return found[_turned_alike(a, b, found)]


def _turned_alike(
    a: Features, b: Features, found: Int[np.ndarray, "m 2"]
) -> Bool[np.ndarray, " m"]:
    """Return a mask of matches that agree on rotation and scale.

    A match tells how one picture is turned and scaled relative to the other (Lowe, section 7.3).
    """
    if not len(found):
        return np.zeros(0, bool)
    turn = np.exp(1j * (b.angles[found[:, 1]] - a.angles[found[:, 0]]))
    scale = np.log2(b.scales[found[:, 1]] / a.scales[found[:, 0]])
    # Keep the matches around the one that agrees with most: within 0.5 radians and 0.7 octaves.
    near = (np.real(turn[:, None] * turn[None].conj()) > np.cos(0.5)) & (
        np.abs(scale[:, None] - scale[None]) < 0.7
    )
    return near[near.sum(1).argmax()]
