"""Claims of a difference, on simulated studies whose truth is known: wrong in at most 1 of 20, and not too timid."""

import numpy as np
import pytest

from nerf.statistics import best, compare, seed_error

# Of 95 % intervals 5 % may miss. 1,000 studies tell that to 0.7 %: the bar is two of these higher.
BAR = 0.05 + 2 * 0.007


def study(rng, effect, seeds, views=20, configs=2, seed_spread=0.1, interaction=0.3, noise=0.15, unequal=1.0):
    """Scores of a study; the sizes of its noises are about those of small scenes trained for a minute."""
    view = rng.normal(0, 3, views)
    scores = {}
    for c in range(configs):
        n = seeds[c] if isinstance(seeds, tuple) else seeds
        spread = seed_spread * (unequal if c else 1.0)
        by_seed = rng.normal(0, spread, (n, 1)) + rng.normal(0, noise, (n, views))
        scores[f"c{c}"] = 30 + view + effect * c + rng.normal(0, interaction / 2**0.5, views) + by_seed
    return scores


def claims(effect, studies=1000, **how):
    """Share of studies that claim any difference, and of those whose first interval holds the truth."""
    rng = np.random.default_rng(0)
    claimed = held = 0
    for i in range(studies):
        differences = compare(study(rng, effect, **how), seed=i, draws=1000)
        claimed += any(d.real for d in differences)
        held += differences[0].low <= effect <= differences[0].high
    return claimed / studies, held / studies


@pytest.mark.parametrize(
    "how",
    [
        {"seeds": 2},
        {"seeds": 3},
        {"seeds": 5},
        {"seeds": (1, 3)},
        {"seeds": 3, "unequal": 4.0},
        {"seeds": 3, "views": 7},
        {"seeds": 3, "seed_spread": 0.0, "interaction": 0.0},
        {"seeds": 3, "seed_spread": 0.02, "interaction": 1.0},
    ],
    ids=str,
)
def test_without_a_difference_one_is_claimed_in_at_most_a_twentieth_of_studies(how):
    wrong, held = claims(0.0, **how)
    assert wrong <= BAR and held >= 1 - BAR


def test_four_configs_without_a_difference_are_together_wrong_no_more_often():
    wrong, _ = claims(0.0, studies=300, seeds=3, configs=4, seed_spread=0.05)
    assert wrong <= 0.05 + 2 * 0.0126


def test_a_difference_that_is_there_is_found_and_its_interval_holds_it():
    power, held = claims(0.3, seeds=5)
    assert power > 0.7 and held >= 1 - BAR
    power, held = claims(1.0, studies=300, seeds=3)
    assert power > 0.95


def test_a_plain_bootstrap_of_three_seeds_would_not_keep_the_bar():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        a, b = study(rng, 0.0, seeds=3, seed_spread=0.3).values()
        rows = rng.integers(0, 3, (2, 1000, 3))
        drawn = b.mean(1)[rows[1]].mean(1) - a.mean(1)[rows[0]].mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        wrong += low > 0 or high < 0
    assert wrong / 300 > 0.1


def test_one_seed_each_claims_nothing_however_far_apart():
    (d,) = compare(study(np.random.default_rng(0), 20.0, seeds=1))
    assert not d.real and d.p == 1.0 and len(d.draws) == 0
    assert d.low < d.mean < d.high, "the interval is of these two runs alone"


def test_one_view_stands_for_no_other_but_a_fact_of_runs_needs_none():
    scores = {"a": np.array([[20.0], [20.1], [19.9]]), "b": np.array([[30.0], [30.1], [29.9]])}
    assert not compare(scores)[0].real
    assert compare(scores, fixed_views=True)[0].real


def test_equal_scores_are_not_distinguishable_and_equal_differences_are_certain():
    scores = np.random.default_rng(0).normal(30, 1, (3, 20))
    scores -= scores.mean(1, keepdims=True)
    (d,) = compare({"a": scores, "b": scores})
    assert not d.real and d.mean == 0.0
    flat = np.full((3, 4), 2.0)
    (d,) = compare({"a": flat, "b": flat + 1.0})
    assert d.real and (d.low, d.mean, d.high) == (1.0, 1.0, 1.0)


def test_changing_sides_changes_the_sign_and_nothing_else():
    scores = study(np.random.default_rng(3), 0.5, seeds=3)
    (d,), (e,) = compare(scores), compare(dict(reversed(scores.items())))
    assert d.mean == -e.mean and d.real == e.real
    np.testing.assert_allclose([d.low, d.high], [-e.high, -e.low], atol=0.03)


def test_the_interval_holds_0_exactly_where_nothing_is_claimed():
    rng = np.random.default_rng(0)
    for i in range(100):
        for d in compare(study(rng, 0.15, seeds=3, configs=3), seed=i, draws=2000):
            assert d.real == (d.low > 0 or d.high < 0)
            assert 0.95 <= d.level <= 1 - 0.05 / 3 + 1e-9


def test_the_seeds_error_is_welchs():
    a, b = np.array([[1.0], [2.0], [3.0]]), np.array([[5.0], [9.0]])
    error, freedom = seed_error([a, b])
    va, vb = 1.0 / 3, 8.0 / 2
    assert np.isclose(error, np.sqrt(va + vb))
    assert np.isclose(freedom, (va + vb) ** 2 / (va**2 / 2 + vb**2 / 1))
    assert seed_error([a[:1], b[:1]]) == (0.0, 0.0)
    assert np.isclose(seed_error([a[:1], b])[0], np.sqrt(8.0 * (1 + 1 / 2)))


def test_best_is_who_is_really_better_than_every_other():
    rng = np.random.default_rng(0)
    scores = study(rng, 2.0, seeds=3, configs=3)
    assert best(scores, compare(scores), True) == "c2"
    assert best(scores, compare(scores), False) == "c0"
    scores["c3"] = scores["c2"] + rng.normal(0, 0.1, scores["c2"].shape)
    assert best(scores, compare(scores), True) is None
