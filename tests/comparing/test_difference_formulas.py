"""Differences and their errors.

They are tested against formulas written apart from the code, and against scipy's tests.
"""

import numpy as np
import pytest
from scipy import stats

from benchmarks.verdicts import along_path, study, table_of
from nerf.comparing.standard_errors import (
    MAX_VIEWS,
    Error,
    noise_variance,
    seed_error,
    together,
    view_error,
)
from nerf.comparing.statistics import best, compare, compare_columns, compare_over_scenes


def mixture(*parts) -> Error:
    """Return an error of parts (weight, scale, freedom)."""
    return Error(*(np.array(column, float) for column in zip(*parts, strict=True)))


def seeds_alone(means, views: int = 6) -> np.ndarray:
    """Return scores of seeds with these means, which differ by nothing else."""
    return np.array(means)[:, None] + np.linspace(20.0, 30.0, views)


@pytest.mark.parametrize("distance", [0.0, 0.4, -0.4, 3.0])
def test_a_mixture_of_t_distributions_has_their_tails(distance):
    parts = [(0.25, 0.5, 3.0), (0.75, 2.0, 11.0)]
    wanted = sum(
        weight * 2 * stats.t.sf(abs(distance) / scale, freedom) for weight, scale, freedom in parts
    )
    assert np.isclose(mixture(*parts).two_sided(distance), wanted, rtol=1e-9)


def test_the_half_width_is_the_inverse_of_the_tails():
    assert np.isclose(
        mixture((1.0, 0.1, 7.0)).half_width(0.05), 0.1 * stats.t.ppf(0.975, 7), rtol=1e-6
    )
    wide = mixture((0.25, 0.05, 1.0), (0.75, 2.0, 11.0))
    for alpha in (0.9, 0.05, 1e-4):
        assert np.isclose(wide.two_sided(wide.half_width(alpha)), alpha, rtol=1e-5)


def test_a_part_without_an_error_is_certain():
    sure, half = mixture((1.0, 0.0, 5.0)), mixture((0.5, 0.0, 5.0), (0.5, 1.0, 5.0))
    assert [sure.two_sided(d) for d in (-1.0, 0.0, 1.0)] == [0.0, 1.0, 0.0] and sure.half_width(
        0.05
    ) == 0.0
    assert (
        np.isclose(half.two_sided(0.3), 0.5 * mixture((1.0, 1.0, 5.0)).two_sided(0.3))
        and half.two_sided(0.0) == 1.0
    )


@pytest.mark.parametrize("views", [2, 5, 20])
@pytest.mark.parametrize("noise", [0.0, 0.3, 99.0])
def test_the_views_error_is_the_posterior_of_its_equations(views, noise):
    """For each correlation rho, invert its covariance: no eigenvectors, no closed-form sums."""
    x = along_path(np.random.default_rng(views), views, 0.5) + 0.7
    rhos = [0.0, *((np.arange(24) + 0.5) / 24 * 0.95)]
    one, share = np.ones(views), min(noise / x.var(ddof=1), 0.9)
    logs, scales = [], []
    for rho in rhos:
        R = np.array([[rho ** abs(i - j) for j in range(views)] for i in range(views)])
        inverse = np.linalg.inv((1 - share) * R + share * np.eye(views))
        information = one @ inverse @ one
        rest = x - (one @ inverse @ x) / information
        residual = rest @ inverse @ rest
        prior = 1 / 3 if rho == 0 else (2 / 3) / 24
        determinant = 1 / np.linalg.det(inverse)
        logs.append(
            np.log(prior / np.sqrt(determinant * information)) - (views - 1) / 2 * np.log(residual)
        )
        scales.append(np.sqrt(residual / (views - 1) * (1 - share) * R.sum() / views**2))
    weight = np.exp(np.array(logs) - max(logs))
    error = view_error(x, noise)
    np.testing.assert_allclose(error.weight, weight / weight.sum(), rtol=1e-6)
    np.testing.assert_allclose(error.scale, scales, rtol=1e-6)
    np.testing.assert_array_equal(error.freedom, np.full(25, views - 1.0))


@pytest.mark.long
def test_few_views_make_a_wide_interval():
    """Four views with differences known to be independent allow 3.18 standard errors, not 1.96."""
    rng = np.random.default_rng(0)
    how = {"seeds": 4, "views": 4, "seed_spread": 0.0, "interaction": 1.0, "noise": 0.01}
    assert np.mean([compare(study(rng, 0.0, **how))[0].real for _ in range(300)]) <= 0.05
    error = view_error(np.array([0.1, -0.3, 0.2, 0.4]))
    wanted = stats.t.ppf(0.975, 3) * error.scale[0]
    assert error.freedom[0] == 3.0 and error.half_width(0.05) > 0.95 * wanted


@pytest.mark.parametrize(
    ("x", "freedom"), [([], 1.0), ([3.0], 1.0), ([2.0, 2.0], 1.0), ([3e5, 3e5 + 6e-11], 1.0)]
)
def test_views_that_say_nothing_have_no_error(x, freedom):
    error = view_error(np.array(x))
    assert [part.tolist() for part in (error.weight, error.scale, error.freedom)] == [
        [1.0],
        [0.0],
        [freedom],
    ]


def test_differences_of_scores_however_small_have_an_error():
    x = np.array([1.0, 2.0, 4.0, 3.0])
    for unit in (1e-7, 1e5):
        np.testing.assert_allclose(
            view_error(unit * x).scale, unit * view_error(x).scale, rtol=1e-6
        )


def test_up_to_a_hundred_views_are_taken_one_by_one_and_more_in_groups():
    x = along_path(np.random.default_rng(0), 4 * MAX_VIEWS, 0.3)
    assert view_error(x[:MAX_VIEWS]).freedom[0] == MAX_VIEWS - 1 == view_error(x).freedom[0]
    groups = x.reshape(MAX_VIEWS, 4).mean(1)
    np.testing.assert_allclose(view_error(x, 0.4).scale, view_error(groups, 0.1).scale)


@pytest.mark.parametrize(("seeds", "views"), [(2, 2), (3, 5)])
def test_the_noise_of_single_runs_is_what_neither_seed_nor_view_explains(seeds, views):
    x = np.random.default_rng(0).normal(size=(seeds, views))
    squares = 0.0
    for s in range(seeds):
        for v in range(views):
            squares += (x[s, v] - x[s].mean() - x[:, v].mean() + x.mean()) ** 2
    wanted = squares / (seeds - 1) / (views - 1) / seeds
    assert wanted > 0 and np.isclose(noise_variance(x), wanted)
    assert np.isclose(
        noise_variance(x + 7.0 * np.arange(seeds)[:, None] - 3.0 * np.arange(views)), wanted
    )
    assert noise_variance(x[:1]) == noise_variance(x[:, :1]) == 0.0


def test_errors_of_seeds_and_views_add_up_in_squares_with_the_freedom_of_satterthwaite():
    views = mixture((0.4, 0.3, 9.0), (0.6, 1.2, 9.0))
    seeds, freedom = seed_error((0.5, 2.0), (3, 4))
    both = together((0.5, 2.0), (3, 4), views)
    np.testing.assert_array_equal(both.weight, views.weight)
    for scale, joint, own in zip(both.scale, both.freedom, views.scale, strict=True):
        assert np.isclose(scale**2, seeds**2 + own**2)
        assert np.isclose(joint, scale**4 / (seeds**4 / freedom + own**4 / 9.0))
    alone = together((0.5, 2.0), (3, 4), mixture((1.0, 0.0, 9.0)))
    assert np.isclose(alone.scale[0], seeds) and np.isclose(alone.freedom[0], freedom)
    assert seed_error((0.0, 0.0), (3, 2)) == (0.0, 1.0)
    nothing = together((0.0, 0.0), (3, 2), mixture((1.0, 0.0, 9.0)))
    assert nothing.scale[0] == 0.0 and nothing.freedom[0] == 1.0


def test_where_views_add_nothing_a_comparison_is_welchs_test():
    a, b = [0.1, -0.3, 0.2], [0.9, 0.5]
    (d,) = compare({"a": seeds_alone(a), "b": seeds_alone(b)})
    wanted = stats.ttest_ind(b, a, equal_var=False)
    assert np.isclose(d.p, wanted.pvalue) and np.isclose(d.mean, 0.7)
    np.testing.assert_allclose([d.low, d.high], wanted.confidence_interval(0.95), rtol=1e-6)
    assert (d.first, d.second, d.seeds, d.views, d.scenes, d.level) == (
        "a",
        "b",
        (3, 2),
        6,
        1,
        0.95,
    )


def test_two_seeds_and_two_views_are_enough_for_a_claim_and_fewer_of_either_are_not():
    a, b = np.array([[20.0, 25.0], [20.001, 25.002]]), np.array([[30.0, 35.001], [30.002, 35.0]])
    (d,) = compare({"a": a, "b": b})
    assert d.claimable and d.real
    assert (
        not compare({"a": a, "b": b[:1]})[0].claimable
        and not compare({"a": a[:, :1], "b": b[:, :1]})[0].claimable
    )


def test_the_interval_of_single_runs_is_of_their_views_alone():
    scores = study(np.random.default_rng(1), 0.5, seeds=1)
    (d,) = compare(scores)
    x = scores["c1"][0] - scores["c0"][0]
    half = view_error(x).half_width(0.05)
    np.testing.assert_allclose([d.low, d.high], [x.mean() - half, x.mean() + half])
    assert d.level == 0.95


def holm(ps, weights, alpha=0.05):
    """Return Holm's rejections by their definition.

    In the order of p / weight, each is tested against what is left of alpha.
    """
    rejected, left = set(), sum(weights)
    for i in sorted(range(len(ps)), key=lambda i: ps[i] / weights[i]):
        if ps[i] > alpha * weights[i] / left:
            break
        rejected.add(i)
        left -= weights[i]
    return [i in rejected for i in range(len(ps))]


def test_the_metric_asked_about_has_nine_tenths_of_the_claims_error_and_the_others_share_the_rest():
    table = table_of(np.random.default_rng(0), 0.0, 3, 0.0)
    columns = {name: table[name] for name in ("ssim", "psnr", "lpips", "flip")}
    found = compare_columns(columns, "psnr")
    assert not any(d.real for column in found.values() for d in column), (
        "the levels are those of the first step"
    )
    other = 0.1 / 3 * 0.05 / 3
    wanted = {"ssim": other, "psnr": 0.9 * 0.05 / 3, "lpips": other, "flip": other}
    for name, column in found.items():
        np.testing.assert_allclose([1.0 - d.level for d in column], [wanted[name]] * 3)
    one = compare(columns["psnr"])
    np.testing.assert_allclose([1.0 - d.level for d in one], [0.05 / 3] * 3)


def test_claims_are_those_of_holms_procedure():
    rng, some = np.random.default_rng(0), 0
    for effect in (0.1, 0.2, 0.3, 0.4, 0.5):
        table = table_of(rng, effect, 3, 0.0)
        # A column with one seed takes no share, as it can claim nothing.
        columns = {name: table[name] for name in ("ssim", "psnr", "lpips")}
        columns["flip"] = {name: scores[:1] for name, scores in table["flip"].items()}
        found = compare_columns(columns, "psnr")
        flat = [(name, d) for name in ("ssim", "psnr", "lpips") for d in found[name]]
        weights = [0.9 / 3 if name == "psnr" else 0.05 / 3 for name, _ in flat]
        assert [d.real for _, d in flat] == holm([d.p for _, d in flat], weights)
        assert not any(d.real or d.claimable or d.p < 1 for d in found["flip"])
        some += 0 < sum(d.real for _, d in flat) < len(flat)
    assert some >= 2


def spread_seeds(n: int, effect: float) -> np.ndarray:
    means = np.linspace(-1.0, 1.0, n)
    return seeds_alone(0.3 * means / means.std(ddof=1) + effect)


def test_up_to_fifty_seeds_are_proposed():
    """Fifty of each, spread by 0.3, tell a difference of t(0.975, 98) 0.3 sqrt(2 / 50)."""
    least = stats.t.ppf(0.975, 98) * 0.3 * np.sqrt(2 / 50)
    for effect, needed in ((1.0001 * least, 50), (0.9999 * least, None)):
        (d,) = compare({"a": spread_seeds(3, 0.0), "b": spread_seeds(4, effect)})
        assert not d.real and d.needed == needed
    (d,) = compare({"a": spread_seeds(3, 0.0), "b": spread_seeds(4, 5.0)})
    assert d.real and d.needed is None


def test_over_scenes_a_comparison_is_a_t_test_of_their_means_where_seeds_agree():
    rng = np.random.default_rng(0)
    scenes = {f"s{i}": study(rng, 0.4 + 0.1 * i, seeds=(2 + i, 4), views=9 - i) for i in range(3)}
    for scores in scenes.values():
        for name, score in scores.items():
            scores[name] = score - score.mean(1, keepdims=True) + score.mean()
    (d,) = compare_over_scenes(scenes)
    means = [one["c1"].mean() - one["c0"].mean() for one in scenes.values()]
    wanted = stats.ttest_1samp(means, 0.0)
    assert np.isclose(d.p, wanted.pvalue) and np.isclose(d.mean, np.mean(means))
    np.testing.assert_allclose([d.low, d.high], wanted.confidence_interval(0.95), rtol=1e-6)
    assert (d.seeds, d.views, d.scenes, d.claimable, d.needed) == ((2, 4), 7, 3, True, None)
    two = {name: scenes[name] for name in ("s0", "s1")}
    assert np.isclose(compare_over_scenes(two)[0].p, stats.ttest_1samp(means[:2], 0.0).pvalue)


def test_over_scenes_the_seeds_that_all_scenes_share_add_their_error():
    """Variances add.

    Those of scenes' means over their number, and those of each config's seeds, averaged over
    scenes, over theirs.

    The degrees of freedom are never more than what the scenes alone would give.
    """
    rng = np.random.default_rng(0)
    scenes = {f"s{i}": study(rng, 0.4 + 0.1 * i, seeds=(2 + i, 4), views=9 - i) for i in range(3)}
    (d,) = compare_over_scenes(scenes)
    means = [one["c1"].mean() - one["c0"].mean() for one in scenes.values()]
    first = np.mean([one["c0"][:2].mean(1) for one in scenes.values()], 0)
    second = np.mean([one["c1"][:4].mean(1) for one in scenes.values()], 0)
    scale = np.sqrt(np.var(means, ddof=1) / 3 + first.var(ddof=1) / 2 + second.var(ddof=1) / 4)
    assert np.isclose(d.p, 2 * stats.t.sf(abs(np.mean(means)) / scale, 2))
    np.testing.assert_allclose(
        [d.low, d.high], stats.t.interval(0.95, 2, np.mean(means), scale), rtol=1e-6
    )


def test_over_scenes_pairs_share_the_error_of_their_claims():
    rng = np.random.default_rng(1)
    scenes = {f"s{i}": study(rng, 0.0, seeds=2, configs=3) for i in range(3)}
    found = compare_over_scenes(scenes)
    assert [(d.first, d.second) for d in found] == [("c0", "c1"), ("c0", "c2"), ("c1", "c2")]
    np.testing.assert_allclose([d.level for d in found], [1 - 0.05 / 3] * 3)
    one_seed = {**scenes, "s3": study(rng, 9.0, seeds=1, configs=3)}
    assert not any(d.claimable or d.real or d.p < 1 for d in compare_over_scenes(one_seed))


def test_a_scene_alone_has_no_spread_over_scenes_and_claims_nothing():
    (d,) = compare_over_scenes({"s": study(np.random.default_rng(0), 9.0, seeds=3)})
    assert not d.claimable and not d.real and d.p == 1.0 and d.low == d.mean == d.high


def test_metrics_of_one_seed_each_claim_nothing():
    rng = np.random.default_rng(0)
    found = compare_columns({name: study(rng, 9.0, seeds=1) for name in ("psnr", "ssim")}, "psnr")
    assert not any(d.claimable or d.real for pairs in found.values() for d in pairs)


def test_pairs_of_a_metric_share_its_weight_however_many_they_are():
    """Nothing differs, so every pair stays at the level of Holm's first step."""
    rng = np.random.default_rng(3)
    three = study(rng, 0.0, seeds=3, configs=3)
    two = {name: study(rng, 0.0, seeds=3, configs=3)[name] for name in ("c0", "c1")}
    found = compare_columns({"psnr": three, "ssim": two}, "psnr")
    assert not any(d.real for pairs in found.values() for d in pairs)
    np.testing.assert_allclose([d.level for d in found["psnr"]], [1 - 0.05 * 0.9 / 3] * 3)
    np.testing.assert_allclose([d.level for d in found["ssim"]], [1 - 0.05 * 0.1])


def test_a_config_alone_is_not_the_best():
    scores = {"a": seeds_alone([1.0, 2.0])}
    assert compare(scores) == [] and best(scores, [], True) is None


def test_the_best_is_best_by_its_mean_also_where_scores_are_below_one():
    scores = {"a": seeds_alone([0.20, 0.21]) / 100, "b": seeds_alone([-3.0, -3.01]) / 100}
    differences = compare(scores)
    assert differences[0].real
    assert best(scores, differences, True) == "a" and best(scores, differences, False) == "b"
