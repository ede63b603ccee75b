"""Which points of two pictures are the same: found from the pictures alone, which know nothing of the poses."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from nerf.check.features import Features

MAX_RATIO = 0.8  # of the distances to the nearest and the second nearest; Lowe 2004, section 7.1
MIN_MATCHES_OF_PAIR = 12  # matches of a pair that counts


@dataclasses.dataclass(frozen=True)
class Matches:
    """Matches of all pairs, flat: which two views, and which feature in each."""

    views: Int[np.ndarray, "m 2"]
    features: Int[np.ndarray, "m 2"]


def pairs_of(
    count: int, all_up_to: int = 120, near: int = 6, anchors: int = 40
) -> list[tuple[int, int]]:
    """Which pairs of views to compare: all, or of many views those in sequence and each with some anchors."""
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
    """Mutually nearest descriptors that are clearly nearer than the second nearest, in pairs that have enough."""
    views, numbers = [], []
    for i, j in pairs:
        found = _match_two(features[i], features[j])
        if len(found) >= MIN_MATCHES_OF_PAIR:
            views.append(np.tile([[i, j]], (len(found), 1)))
            numbers.append(found)
    none = np.zeros((0, 2), int)
    return Matches(np.concatenate([none, *views]), np.concatenate([none, *numbers]))


def _match_two(a: Features, b: Features) -> Int[np.ndarray, "m 2"]:
    if min(len(a.points), len(b.points)) < MIN_MATCHES_OF_PAIR:
        return np.zeros((0, 2), int)
    alike = a.descriptors @ b.descriptors.T
    best, back = alike.argmax(1), alike.argmax(0)
    rows = np.arange(len(best))
    first = alike[rows, best]
    alike[rows, best] = -1.0
    second = alike.max(1)
    clear = 1.0 - first < MAX_RATIO**2 * (
        1.0 - second
    )  # squared distances of unit vectors: 2 - 2 a.b
    good = clear & (back[best] == rows)
    found = np.stack([rows[good], best[good]], -1)
    return found[_turned_alike(a, b, found)]


def _turned_alike(
    a: Features, b: Features, found: Int[np.ndarray, "m 2"]
) -> Bool[np.ndarray, " m"]:
    """Which matches agree with most on how much one picture is turned and scaled against the other (section 7.3)."""
    if not len(found):
        return np.zeros(0, bool)
    turn = np.exp(1j * (b.angles[found[:, 1]] - a.angles[found[:, 0]]))
    scale = np.log2(b.scales[found[:, 1]] / a.scales[found[:, 0]])
    near = (np.real(turn[:, None] * turn[None].conj()) > np.cos(0.5)) & (
        np.abs(scale[:, None] - scale[None]) < 0.7
    )
    return near[near.sum(1).argmax()]
