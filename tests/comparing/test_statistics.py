"""Claims of a difference, on simulated studies whose truth is known.

They are wrong in at most 1 of 20, and not too timid.
"""

import numpy as np
import pytest
from scipy import stats

from benchmarks.verdicts import along_path, study, table_of
from nerf.comparing import standard_errors
from nerf.comparing.standard_errors import MAX_VIEWS, seed_error, view_error
from nerf.comparing.statistics import best, compare, compare_columns, compare_over_scenes
from tests.support.unchecked import unchecked

STUDIES = 400
CHANCE = 2 * np.sqrt(0.05 * 0.95 / STUDIES)  # what chance may add to 5 % in so many studies


@unchecked()
def claims(effect, studies=STUDIES, **how):
    """Return two fractions of the studies.

    Those that claim any difference, and those whose first interval holds the truth.
    """
    rng = np.random.default_rng(0)
    claimed = held = 0
    for _ in range(studies):
        differences = compare(study(rng, effect, **how))
        claimed += any(d.real for d in differences)
        held += differences[0].low <= effect <= differences[0].high
    return claimed / studies, held / studies


@pytest.mark.long
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(
    ("seeds", "configs", "studies"),
    [(3, 2, STUDIES), (5, 2, STUDIES), (3, 6, 100)],
    ids=["3", "5", "6 configs"],
)
def test_without_a_difference_one_is_claimed_in_at_most_a_twentieth_of_studies(
    seeds, configs, studies, rho
):
    wrong, held = claims(0.0, studies, seeds=seeds, configs=configs, correlation=rho)
    assert wrong <= 0.05 and held >= 0.95


@pytest.mark.long
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(
    "how",
    [
        {"seeds": 2},
        {"seeds": 3, "unequal": 4.0},
        {"seeds": 3, "views": 60},
        {"seeds": 3, "seed_spread": 0.02, "interaction": 1.0},
        {"seeds": 3, "seed_spread": 0.0, "interaction": 0.0},
    ],
    ids=str,
)
def test_claims_stay_rare_where_noises_have_other_sizes(how, rho):
    wrong, held = claims(0.0, **how, correlation=rho)
    assert wrong <= 0.05 + CHANCE and held >= 0.95 - CHANCE


@pytest.mark.long
@pytest.mark.parametrize("unequal", [1.0, 4.0])
def test_one_seed_on_either_side_claims_nothing(unequal):
    assert claims(0.0, seeds=(1, 3), unequal=unequal)[0] == 0
    assert claims(20.0, studies=20, seeds=(3, 1), unequal=unequal)[0] == 0


@pytest.mark.long
@pytest.mark.parametrize(("configs", "studies"), [(2, STUDIES), (6, 40)])
@unchecked()
def test_all_columns_together_are_wrong_in_at_most_a_twentieth_of_studies(configs, studies):
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(studies):
        found = compare_columns(table_of(rng, 0.0, configs, 0.6), "psnr")
        wrong += any(d.real for differences in found.values() for d in differences)
    assert wrong <= 0.05 * studies


@pytest.mark.long
def test_a_difference_that_is_there_is_found_and_its_interval_holds_it():
    power, held = claims(0.5, seeds=3)
    assert power >= 0.75 and held >= 0.95
    power, held = claims(0.5, seeds=3, correlation=0.6)
    assert power >= 0.4 and held >= 0.95
    assert claims(1.0, seeds=3)[0] > 0.95


@pytest.mark.long
@unchecked()
def test_the_metric_asked_about_keeps_its_power_beside_other_columns():
    rng = np.random.default_rng(1)
    found = [compare_columns(table_of(rng, 0.5, 2, 0.0), "psnr") for _ in range(STUDIES)]
    assert np.mean([one["psnr"][0].real for one in found]) >= 0.75
    assert np.mean([one["ssim"][0].real for one in found]) > 0.3, (
        "its claim hands its share to the other columns"
    )


@pytest.mark.long
@unchecked()
def test_correlated_views_count_less_and_independent_ones_fully():
    rng = np.random.default_rng(0)
    ratio = {}
    for rho in (0.0, 0.6):
        widths = [view_error(along_path(rng, 100, rho)).half_width(0.05) for _ in range(200)]
        ratio[rho] = np.median(widths) / (
            1.96 / 10
        )  # 100 independent views with a standard deviation of 1
    assert 1.0 <= ratio[0.0] < 1.15
    assert (
        abs(ratio[0.6] - np.sqrt(1.6 / 0.4)) < 0.5
    )  # the variance of a mean grows by (1 + rho) / (1 - rho)


def test_the_views_error_is_students_where_views_are_known_to_be_independent(monkeypatch):
    monkeypatch.setattr(standard_errors, "INDEPENDENT_PRIOR", 1.0 - 1e-12)
    monkeypatch.setattr(standard_errors, "_correlations", standard_errors._correlations.__wrapped__)
    x = np.random.default_rng(0).normal(size=12)
    wanted = stats.t.ppf(0.975, 11) * x.std(ddof=1) / np.sqrt(12)
    assert np.isclose(view_error(x).half_width(0.05), wanted, rtol=1e-6)


def test_many_views_are_grouped_without_changing_what_they_say():
    noise = along_path(np.random.default_rng(0), 4 * MAX_VIEWS, 0.6)
    expected = 1.96 * np.sqrt(1.6 / 0.4 / len(noise))
    assert 0.85 < view_error(noise).half_width(0.05) / expected < 1.25


@unchecked()
def test_noise_of_single_runs_is_not_counted_twice():
    rng = np.random.default_rng(0)
    noises = [rng.normal(size=100) for _ in range(50)]
    ratio = [
        view_error(x, noise=0.5).half_width(0.05) / view_error(x).half_width(0.05) for x in noises
    ]
    assert np.isclose(np.median(ratio), np.sqrt(0.5), atol=0.1)


@unchecked()
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
    assert not d.real and d.p == 1.0 and not d.claimable and d.needed is None
    assert d.low < d.mean < d.high, "the interval is of these two runs alone"


def test_one_view_stands_for_no_other():
    scores = {"a": np.array([[20.0], [20.1], [19.9]]), "b": np.array([[30.0], [30.1], [29.9]])}
    assert not compare(scores)[0].real


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
    np.testing.assert_allclose([d.low, d.high], [-e.high, -e.low], atol=1e-6)


@pytest.mark.long
@unchecked()
def test_the_interval_holds_0_exactly_where_nothing_is_claimed():
    rng = np.random.default_rng(0)
    for _ in range(60):
        for column in compare_columns(table_of(rng, 0.3, 3, 0.0), "psnr").values():
            for d in column:
                assert d.real == (d.low > 0 or d.high < 0)
                assert 0.95 - 1e-9 <= d.level < 1


def test_the_seeds_error_is_welchs():
    va, vb = 1.0, 8.0
    error, freedom = seed_error((va, vb), (3, 2))
    assert np.isclose(error, np.sqrt(va / 3 + vb / 2))
    assert np.isclose(freedom, (va / 3 + vb / 2) ** 2 / ((va / 3) ** 2 / 2 + (vb / 2) ** 2 / 1))


def test_the_seeds_that_are_said_to_be_needed_are_enough_and_one_less_is_not():
    rng = np.random.default_rng(4)
    flat = np.zeros(50)
    base = rng.normal(0, 1, (3, 1))
    base = 0.3 * (base - base.mean()) / base.std(ddof=1)
    (d,) = compare({"a": base + flat, "b": base[::-1] + flat + 0.35})
    assert not d.real and 3 < d.needed < 50
    for n, claimed in ((d.needed, True), (d.needed - 1, False)):
        rows = np.linspace(-1, 1, n)[:, None]
        rows = 0.3 * rows / rows.std(ddof=1)
        assert compare({"a": rows + flat, "b": rows + flat + 0.35})[0].real == claimed


def test_where_the_views_are_what_is_unsure_no_number_of_seeds_is_proposed():
    rng = np.random.default_rng(5)
    (d,) = compare(study(rng, 0.1, seeds=3, interaction=2.0))
    assert not d.real and d.claimable and d.needed is None


@pytest.mark.long
@unchecked()
def test_over_scenes_a_difference_counts_by_how_it_repeats_in_other_scenes():
    rng, wrong, found = np.random.default_rng(6), 0, 0
    for effect in (0.0, 1.0):
        for _ in range(STUDIES):
            scenes = {f"s{i}": study(rng, effect + rng.normal(0, 0.5), seeds=3) for i in range(5)}
            (d,) = compare_over_scenes(scenes)
            assert d.scenes == 5 and d.real == (d.low > 0 or d.high < 0)
            wrong += d.real and effect == 0.0
            found += d.real and effect == 1.0
    assert wrong <= (0.05 + CHANCE) * STUDIES and found > 0.6 * STUDIES
    one = compare_over_scenes({"s": study(rng, 5.0, seeds=3)})[0]
    assert not one.real and one.p == 1.0, "one scene does not stand for others"


@pytest.mark.long
@unchecked()
def test_over_scenes_a_seed_that_is_lucky_everywhere_is_no_evidence():
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(200):
        lucky = {name: rng.normal(0, 0.5, (3, 1)) for name in "ab"}
        scenes = {
            f"s{i}": {name: 20 + i + lucky[name] + rng.normal(0, 0.1, (3, 20)) for name in "ab"}
            for i in range(5)
        }
        wrong += compare_over_scenes(scenes)[0].real
    assert wrong <= 0.05 * 200


def test_best_is_who_is_really_better_than_every_other():
    rng = np.random.default_rng(0)
    scores = study(rng, 2.0, seeds=3, configs=3)
    assert best(scores, compare(scores), True) == "c2"
    assert best(scores, compare(scores), False) == "c0"
    scores["c3"] = scores["c2"] + rng.normal(0, 0.1, scores["c2"].shape)
    assert best(scores, compare(scores), True) is None
