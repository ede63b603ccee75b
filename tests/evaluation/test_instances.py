"""Matching of objects, and Matrix NMS against the formula written out."""

import dataclasses
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerf.evaluation.instances import count_pixels, matched, mean_iou, summary
from nerf.evaluation.matrix_nms import matrix_nms, overlaps
from nerf.scenes import synthetic


def formula(masks, scores, sigma):
    """Return the lowered scores, pair by pair (2003.10152, section 3.3)."""

    def iou(i, j):
        either = (masks[i] | masks[j]).sum()
        return (masks[i] & masks[j]).sum() / either if either else 0.0

    def better(i, j):
        return (scores[i], -i) > (scores[j], -j)

    def f(value):
        return np.exp(-(value**2) / sigma)

    lowered = []
    for j in range(len(masks)):
        decay = 1.0
        for i in range(len(masks)):
            if better(i, j):
                own = [f(iou(k, i)) for k in range(len(masks)) if better(k, i)]
                decay = min(decay, f(iou(i, j)) / min(own, default=1.0))
        lowered.append(scores[j] * decay)
    return np.array(lowered)


@pytest.mark.parametrize("seed", range(20))
def test_matrix_nms_is_its_formula(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((7, 30)) < rng.random((7, 1))
    scores = rng.integers(1, 5, 7) / 4.0  # with equal ones
    sigma = rng.uniform(0.2, 2.0)
    np.testing.assert_allclose(matrix_nms(masks, scores, sigma), formula(masks, scores, sigma))


def test_a_repeated_mask_is_suppressed_and_others_keep_their_scores():
    one, other = np.arange(20) < 8, np.arange(20) >= 8
    masks = np.stack([one, other, one])
    np.testing.assert_allclose(
        matrix_nms(masks, np.array([0.9, 0.8, 0.7])), [0.9, 0.8, 0.7 * np.exp(-2)]
    )
    np.testing.assert_array_equal(overlaps(masks), [[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def test_empty_masks_suppress_nothing():
    masks = np.zeros((2, 5), bool)
    np.testing.assert_array_equal(matrix_nms(masks, np.array([0.9, 0.8])), [0.9, 0.8])
    assert matrix_nms(np.zeros((0, 5), bool), np.zeros(0)).shape == (0,)


def counts_of(table):
    """Return counts from a table whose rows are true numbers and whose columns are shown ones."""
    return {(i, j): int(n) for i, row in enumerate(table) for j, n in enumerate(row) if n}


@given(st.integers(0, 2**31))
def test_the_matching_has_the_largest_sum(seed):
    table = np.random.default_rng(seed).integers(0, 30, (4, 5))
    table[1:, 1:] += 1
    found = matched(counts_of(table))
    ious = table[1:, 1:] / (table[1:].sum(1)[:, None] + table[:, 1:].sum(0) - table[1:, 1:])
    best = max(ious[range(3), list(columns)].sum() for columns in permutations(range(4), 3))
    assert sorted(found) == [1, 2, 3]
    assert sum(found.values()) == pytest.approx(best)


def test_numbers_do_not_matter_and_objects_without_a_match_count_as_missed():
    assert matched({(0, 0): 9, (7, 3): 4, (2, 9): 5}) == {7: 1.0, 2: 1.0}
    missed = {(0, 0): 9, (1, 4): 6, (2, 0): 5, (2, 4): 2}
    assert matched(missed) == {1: 6 / 8, 2: 0.0}
    assert mean_iou(missed) == pytest.approx(3 / 8)
    assert mean_iou({(0, 4): 9}) is None


def test_pixels_of_unknown_object_do_not_count():
    scene = synthetic.load(None, "test", size=4, views=1)
    true = np.array([[0, 1, 1, 3], [0, 3, 3, 3], [1, 1, 1, 1], [8, 8, 0, 0]], np.uint16)
    shown = np.array([[5, 1, 5, 5], [5, 5, 5, 5], [1, 1, 1, 1], [2, 2, 2, 2]], np.uint16)
    known = dataclasses.replace(scene, maps={"instances": [true]})
    counts = count_pixels(shown, known, 0)
    assert counts == {(0, 0): 5, (0, 4): 1, (2, 4): 4, (7, 1): 2}
    assert count_pixels(shown, scene, 0) is None
    masked = dataclasses.replace(known, maps={**known.maps, "mask": [true > 3]})
    assert count_pixels(shown, masked, 0) == {(7, 1): 2}


def test_one_matching_is_for_all_views():
    # The numbers that are shown are swapped from one view to the other.
    views = [{(1, 1): 5, (2, 2): 5}, {(1, 2): 5, (2, 1): 5}]
    assert [mean_iou(view) for view in views] == [1.0, 1.0]
    found = summary(views, {2: 0.97123})
    assert found == {"iou": pytest.approx(1 / 3), "true": 2, "objects": {"2": 0.971}}
