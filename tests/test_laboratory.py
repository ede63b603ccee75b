"""The laboratory of docs/systems.md: how it chooses, keeps runs and judges."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from benchmarks.systems import __main__ as command
from benchmarks.systems import laboratory as laboratory_module
from benchmarks.systems import store as store_module
from benchmarks.systems import training as training_module
from benchmarks.systems.choosing import FACTOR, MAX_EXTENSIONS, Candidate, choose, choose_near
from benchmarks.systems.claims import Check, Row
from benchmarks.systems.judging import ALPHA, FAILS, HOLDS, UNDECIDED, doubling, interval, judge
from benchmarks.systems.laboratory import Laboratory
from benchmarks.systems.rows.common import ON_PICTURES
from benchmarks.systems.rows.pictures import RELU_RAW, SIREN
from benchmarks.systems.store import Store, digest_code, digest_scenes, imports_of, modules_of
from benchmarks.systems.training import DIVERGED, Trainer, rounded
from nerf.comparing.statistics import compare
from nerf.evaluation import metrics
from nerf.scenes import picture, toybox

TINY = {**ON_PICTURES, "steps": 40, "steps_per_call": 10, "log_every": 40, "batch_size": 64}
DRAWING = {
    "name": "nerf.scenes.picture:load",
    "source": {"name": "nerf.scenes.drawings:cppn", "size": 16},
}


def arm_of(psnr, gain=0.0, diverged=0, **numbers) -> dict[str, Any]:
    """Return measurements with these scores (seeds, views), of which the last doubling is `gain`.

    Numbers have not changed by it.
    """
    before = {name: values[:1] for name, values in numbers.items()}
    return {
        "psnr": psnr,
        "val": [[20.0, 20.0]] * len(psnr),
        "numbers": numbers,
        "diverged": diverged,
        "half": {
            "psnr": (np.array(psnr[:1]) - gain).tolist(),
            "val": [[20.0, 20.0 - gain]],
            "numbers": before,
        },
    }


RATES = (1 / 3, 1.0, 3.0)
HALF = 1 / 2


def peak(best, seen=None):
    """Return a score with its maximum at a rate, and record what is asked for."""

    def score(one, fraction):
        if seen is not None:
            seen.append((one, fraction))
        return -abs(np.log(one.rate / best)) - 9.0 * one.trial

    return score


# Choosing.


@pytest.mark.parametrize("best", [0.02, 0.3, 1.0, 4.0, 20.0])
def test_the_chosen_rate_is_the_best_and_not_an_end_of_the_range(best):
    seen: list[Any] = []
    chosen = choose(2, (1 / 3, 1.0, 3.0), peak(best, seen), HALF)
    assert chosen.candidate.trial == 0 and chosen.interior
    assert abs(np.log(chosen.candidate.rate / best)) <= np.log(FACTOR) / 2 + 1e-6
    rates = [one.rate for one, _ in seen if one.trial == 0]
    assert min(rates) < chosen.candidate.rate < max(rates)


def test_few_candidates_are_trained_for_long():
    seen: list[Any] = []
    choose(3, RATES, peak(1.0, seen), HALF)
    early = [one for one, part in seen if part == 1 / 8]
    late = [one for one, part in seen if part == 1 / 2]
    assert sorted(early) == [Candidate(trial, rate) for trial in range(3) for rate in RATES]
    # The best rates of the best two tries, and both neighbours of the best of all.
    assert sorted(late) == sorted([Candidate(1, 1.0), *(Candidate(0, rate) for rate in RATES)])


def test_a_range_without_an_end_is_said_to_have_none():
    chosen = choose(1, (1.0, 3.0), lambda one, fraction: one.rate, HALF)
    assert not chosen.interior and len(chosen.scores) <= 4 + 4 * MAX_EXTENSIONS


def test_both_sides_of_the_chosen_rate_were_worse_after_as_many_steps():
    """Scores of different rounds are not compared."""
    chosen = choose(1, RATES, lambda one, part: peak(1.0)(one, part) + 10.0 * part, HALF)
    late = {one.rate: score for part, one, score in chosen.scores if part == 1 / 2}
    assert chosen.interior and set(late) == set(RATES) and max(late, key=late.get) == 1.0


def test_each_try_finds_a_rate_of_its_own():
    """A try whose best rate is far away is not judged at the first rates."""

    def score(one, part):
        best = 20.0 if one.trial else 1.0
        return 3.0 * one.trial - abs(np.log(one.rate / best))

    assert choose(2, RATES, score, HALF).candidate == Candidate(1, 27.0)


def test_more_steps_are_chosen_for_near_the_choice_for_fewer():
    seen: list[Any] = []
    before = choose(2, RATES, peak(1.0), HALF)
    after = choose_near(before, peak(0.3, seen), HALF)
    assert after.candidate == Candidate(0, 1 / 3) and after.interior
    assert {part for _, part in seen} == {1 / 2} and len(seen) == 4
    alone = choose(1, (1.0,), peak(1.0), HALF)
    assert choose_near(alone, lambda one, part: pytest.fail("trained"), HALF) == alone


def test_the_last_round_decides():
    """A rate that is ahead early and behind later is not chosen."""

    def score(one, fraction):
        return -abs(np.log(one.rate / (3.0 if fraction == 1 / 8 else 1.0)))

    assert choose(1, (1 / 3, 1.0, 3.0), score, HALF).candidate == Candidate(0, 1.0)


def test_a_rate_that_is_too_large_for_all_steps_shows_when_the_last_round_has_them_all():
    """The larger rate is ahead for half of the steps."""

    def score(one, part):
        return -abs(np.log(one.rate / (1.0 if part == 1.0 else 3.0)))

    assert choose(1, RATES, score, HALF).candidate == Candidate(0, 3.0)
    assert choose(1, RATES, score, 1.0).candidate == Candidate(0, 1.0)
    before = choose(1, RATES, score, HALF)
    assert choose_near(before, score, 1.0).candidate == Candidate(0, 1.0)


def test_a_single_candidate_is_not_trained():
    chosen = choose(1, (1.0,), lambda one, fraction: pytest.fail("trained"), HALF)
    assert chosen.candidate == Candidate(0, 1.0) and chosen.scores == []


# Judging.


@pytest.mark.parametrize(
    ("margin", "gain", "verdict"),
    [
        ({"at_least": 1.0}, 0.0, HOLDS),
        ({"at_least": 2.0}, 0.0, UNDECIDED),
        ({"at_least": 3.0}, 0.0, FAILS),
        ({"at_most": 3.0}, 0.0, HOLDS),
        ({"at_most": 2.0}, 0.0, UNDECIDED),
        ({"at_most": 1.0}, 0.0, FAILS),
        # The difference of 2 dB grows by 0.6 dB with each doubling of the steps, or falls.
        ({"at_least": 1.0}, 0.6, HOLDS),
        ({"at_least": 1.0}, -0.6, UNDECIDED),
        ({"at_least": 0.1}, -0.6, HOLDS),
        ({"at_least": 3.0}, 0.6, UNDECIDED),
        ({"at_least": 4.0}, 0.6, FAILS),
        ({"at_least": 3.0}, -0.6, FAILS),
        ({"at_most": 3.0}, 0.6, UNDECIDED),
        ({"at_most": 1.0}, -0.6, UNDECIDED),
        # Less than half a dB is as good as none, unless it reaches the margin.
        ({"at_least": 3.0}, 0.49, FAILS),
        ({"at_least": 2.4}, 0.3, FAILS),
        ({"at_least": 2.4}, 0.45, UNDECIDED),
        ({"at_least": 1.6}, -0.45, UNDECIDED),
    ],
)
def test_a_margin_is_decided_outside_of_the_interval_if_longer_training_would_not_change_it(
    margin, gain, verdict
):
    arms = {
        "a": arm_of([[22.1], [21.9], [22.0]], max(gain, 0.0)),
        "b": arm_of([[20.1], [19.9], [20.0]], max(-gain, 0.0)),
    }
    found = judge(Check("a", "b", **margin), arms)
    assert found["verdict"] == verdict and found["half"] == pytest.approx(2.0 - gain)


def test_both_arms_may_improve_if_their_difference_does_not():
    arms = {"a": arm_of([[22.1], [21.9]], 2.0), "b": arm_of([[20.1], [19.9]], 1.9)}
    assert judge(Check("a", "b", at_least=1.0), arms)["verdict"] == HOLDS
    assert doubling(arms["a"]) == pytest.approx(2.0)


def test_an_arm_that_longer_training_made_worse_settles_nothing():
    arms = {"a": arm_of([[30.1], [29.9], [30.0]]), "b": arm_of([[20.1], [19.9], [20.0]], -0.4)}
    check = Check("a", "b", at_least=1.0)
    assert judge(check, arms)["verdict"] == HOLDS
    arms["b"] = arm_of([[20.1], [19.9], [20.0]], -0.6)
    for parts in ([], [1 / 8, 1 / 2]):
        arms["b"]["tried_on_val"] = [{"part": part} for part in parts]
        assert judge(check, arms)["verdict"] == UNDECIDED and not judge(check, arms)["settled"]


def test_an_arm_that_is_worse_at_the_best_rate_for_all_steps_is_settled():
    """No smaller rate helps there: it overfits."""
    arms = {"a": arm_of([[30.1], [29.9], [30.0]]), "b": arm_of([[20.1], [19.9], [20.0]], -0.6)}
    arms["b"]["tried_on_val"] = [{"part": 1 / 8}, {"part": 1.0}]
    assert judge(Check("a", "b", at_least=1.0), arms)["verdict"] == HOLDS


def test_a_number_other_than_psnr_is_settled_if_its_trend_stays_on_its_side():
    arms = {"a": arm_of([[20.0]] * 3, iou=[0.83, 0.82, 0.83])}
    check = Check("a", None, "iou", at_least=0.85)
    assert judge(check, arms)["verdict"] == FAILS
    arms["a"]["half"]["numbers"]["iou"] = [0.81]
    assert judge(check, arms)["verdict"] == UNDECIDED
    ratio = Check("a", "b", "iou", at_most=0.5, ratio=True)
    arms["b"] = arm_of([[20.0]] * 3, iou=[2.1, 2.0, 2.1])
    assert judge(ratio, arms)["verdict"] == HOLDS  # 0.4 and falling from 0.81 / 2.1
    arms["b"]["half"]["numbers"]["iou"] = [2.5]
    assert judge(ratio, arms)["verdict"] == UNDECIDED
    # The ratio falls from 0.81 / 1.3 = 0.62 to 0.4: by a third each time, never below zero.
    arms["b"]["half"]["numbers"]["iou"] = [1.3]
    assert judge(Check("a", "b", "iou", at_least=0.05, ratio=True), arms)["verdict"] == HOLDS


def test_nothing_is_decided_without_half_of_the_steps_but_times_are():
    arms = {name: arm_of([[20.0]] * 3, ms_per_step=[3.0, 3.1, 3.0]) for name in ("a", "b")}
    for arm in arms.values():
        del arm["half"]
    assert judge(Check("a", "b", at_least=-1.0), arms)["verdict"] == UNDECIDED
    timed = Check("a", "b", "ms_per_step", at_most=1.5, ratio=True)
    assert judge(timed, arms)["verdict"] == HOLDS


@pytest.mark.parametrize("scores", [[[25.0], [25.1]], []])
def test_a_seed_that_diverges_leaves_its_checks_undecided(scores):
    arms = {"a": arm_of(scores, diverged=1), "b": arm_of([[20.0], [20.1]])}
    judged = judge(Check("a", "b", at_least=1.0), arms)
    assert judged["verdict"] == UNDECIDED and (judged["mean"] is None) == (not scores)


def test_two_looks_together_err_at_most_one_time_in_twenty():
    """With the true difference at the margin, three seeds or five hold by chance 1 time in 40."""
    rng = np.random.default_rng(0)
    check, wrong, studies = Check("a", "b", at_least=0.0), 0, 1000
    for _ in range(studies):
        scores = {name: rng.normal(20.0, 0.3, (5, 1)) for name in ("a", "b")}
        for seeds in (3, 5):
            arms = {name: arm_of(all_of[:seeds].tolist()) for name, all_of in scores.items()}
            low, high = interval(check, arms)[1:]
            if low >= 0.0 or high < 0.0:
                wrong += 1
                break
    assert 0.01 < wrong / studies < 0.065  # 0.05, and three deviations of 0.007


def test_one_seed_decides_nothing_but_shows_whether_a_check_is_settled():
    arms = {"a": arm_of([[30.0, 31.0]], 2.0), "b": arm_of([[20.0, 20.0]])}
    judged = judge(Check("a", "b", at_least=1.0), arms)
    assert judged["verdict"] == UNDECIDED and judged["low"] is None and judged["mean"] == 10.5
    assert judged["settled"]
    assert not judge(Check("a", "b", at_most=12.0), arms)["settled"]


def test_views_count_as_in_a_study_and_numbers_by_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(22.0, 1.0, (3, 6)), rng.normal(20.0, 1.0, (4, 6))
    ratio_a, ratio_b = [4.0, 5.0, 6.0], [2.0, 2.2, 2.1, 1.9]
    arms = {"a": arm_of(a.tolist(), ms=ratio_a), "b": arm_of(b.tolist(), ms=ratio_b)}
    found = compare({"b": b, "a": a}, ALPHA)[0]
    assert interval(Check("a", "b", at_least=0.0), arms) == (found.mean, found.low, found.high)
    welch = stats.ttest_ind(np.log(ratio_a), np.log(ratio_b), equal_var=False)
    low, high = np.exp(welch.confidence_interval(1.0 - ALPHA))
    wanted = np.exp(np.mean(np.log(ratio_a)) - np.mean(np.log(ratio_b))), low, high
    np.testing.assert_allclose(interval(Check("a", "b", "ms", 1.0, ratio=True), arms), wanted)
    alone = stats.t.interval(1.0 - ALPHA, 2, np.mean(ratio_a), stats.sem(ratio_a))
    np.testing.assert_allclose(interval(Check("a", None, "ms", 1.0), arms)[1:], alone)


def test_arms_that_draw_the_same_numbers_are_compared_seed_by_seed():
    a, b = np.array([31.9, 31.7, 34.1]), np.array([31.3, 31.3, 33.8])
    arms = {"a": arm_of(a[:, None].tolist(), ms=a), "b": arm_of(b[:, None].tolist(), ms=b)}
    found = judge(Check("a", "b", at_least=-0.5, paired=True), arms)
    wanted = stats.t.interval(1.0 - ALPHA, 2, np.mean(a - b), stats.sem(a - b))
    np.testing.assert_allclose((found["low"], found["high"]), wanted)
    assert found["verdict"] == HOLDS
    assert judge(Check("a", "b", at_least=-0.5), arms)["verdict"] == UNDECIDED
    ratio = interval(Check("a", "b", "ms", 1.0, ratio=True, paired=True), arms)
    logs = np.log(a / b)
    np.testing.assert_allclose(
        np.log(ratio[1:]), stats.t.interval(1.0 - ALPHA, 2, logs.mean(), stats.sem(logs))
    )
    # A seed of each was lost, and not the same: no pairs.
    arms["a"] = arm_of(a[1:, None].tolist(), diverged=1)
    arms["b"] = arm_of(b[:2, None].tolist(), diverged=1)
    assert interval(Check("a", "b", at_least=-0.5, paired=True), arms) == interval(
        Check("a", "b", at_least=-0.5), arms
    )


# Keeping.


def test_a_kept_run_is_not_done_again_and_a_failed_one_is(tmp_path):
    store = Store(tmp_path / "runs")
    with pytest.raises(ZeroDivisionError):
        store.get({"seed": 0}, lambda: {"psnr": 1 / 0})
    assert store.get({"seed": 0}, lambda: {"psnr": 1.5}) == {"psnr": 1.5}
    assert store.get({"seed": 0}, lambda: pytest.fail("done again")) == {"psnr": 1.5}
    assert store.get({"seed": 1}, lambda: {"psnr": 2.5}) == {"psnr": 2.5}


def test_the_code_of_a_run_is_that_of_its_modules_and_of_what_they_import():
    sines, rays = SIREN.resolve(), {"name": "nerf.scenes.toybox:load"}
    modules = modules_of(sines)
    assert {"nerf.networks.siren", "nerf.scenes.picture", "nerf.rendering.model"} < set(modules)
    assert digest_code(modules) != digest_code(modules_of({**sines, "scene": rays}))
    measured = modules_of(sines, ["benchmarks.systems.measures"])
    assert "benchmarks.systems.measures" in measured and "nerf.scenes.toybox" in measured
    imported = imports_of("nerf.scenes.toybox")
    assert "nerf.scenes.solids" in imported and "numpy" not in imported
    assert "nerf.training.session" in imports_of("benchmarks.systems.training")


def test_only_code_that_computes_counts(tmp_path, monkeypatch):
    def digest_of(text):
        (tmp_path / "nerf" / "a.py").write_text(text)
        for function in (store_module._path, store_module._parsed, store_module._tree, imports_of):
            function.cache_clear()
        return digest_code(modules_of({"name": "nerf.a:A"}))

    (tmp_path / "nerf").mkdir()
    monkeypatch.setattr(store_module, "ROOT", tmp_path)
    monkeypatch.setattr(store_module, "ALWAYS", ())
    first = digest_of('"""Old."""\n\ndef A():\n    """Old."""\n    return 1\n')
    assert digest_of('"""New."""\n\n# why\ndef A():\n    """New."""\n    return 1\n') == first
    assert digest_of('"""Old."""\n\ndef A():\n    """Old."""\n    return 2\n') != first
    imports_of.cache_clear()


def test_the_scene_of_a_run_is_its_pixels_and_poses():
    scenes = {"test": toybox.load(None, "test", sizes=(8,), held_out=2)}
    moved = dataclasses.replace(
        scenes["test"], images=[image ^ 1 for image in scenes["test"].images]
    )
    assert digest_scenes(scenes) == digest_scenes(dict(scenes))
    assert digest_scenes(scenes) != digest_scenes({"test": moved})
    masked = picture.load(None, "train", source=np.zeros((4, 4, 3), np.uint8))
    assert digest_scenes({"train": masked}) != digest_scenes(
        {"train": dataclasses.replace(masked, maps={"mask": [~masked.maps["mask"][0]]})}
    )


# The whole laboratory on pictures of 16x16.


def tiny_row(**more) -> Row:
    """Return a row that trains in seconds."""
    arms = [
        dataclasses.replace(
            arm, changes={**arm.changes, **TINY}, scene=DRAWING, rates=(1.0, 3.0), tries=[{}]
        )
        for arm in (SIREN, RELU_RAW)
    ]
    return Row("T", "S", "C", arms, [Check("SIREN", "ReLU, raw", at_least=1.0)], **more)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(folder of the runs, lines of progress, result) of a measured row."""
    folder, lines = tmp_path_factory.mktemp("runs"), []
    result = Laboratory(Store(folder), lines.append).measure(tiny_row(), seeds=2, steps=40)
    return folder, lines, result


@pytest.mark.whole
def test_a_row_is_chosen_trained_and_judged(measured):
    _, lines, result = measured
    sines = result["arms"]["SIREN"]
    assert np.shape(sines["psnr"]) == (2, 1) and np.shape(sines["val"]) == (2, 2)
    assert sines["steps"] == 40 and len(sines["curve"]) == 24 and sines["diverged"] == 0
    assert np.shape(sines["half"]["psnr"]) == (2, 1)
    assert any(line.startswith("SIREN: seed 1, 20 steps: ") for line in lines)
    tried = {(one["rate"], one["part"]) for one in sines["tried_on_val"]}
    assert {(1.0, 1 / 8), (3.0, 1 / 8)} < tried and any(part == 1 / 2 for _, part in tried)
    assert result["checks"][0]["verdict"] in (HOLDS, FAILS, UNDECIDED)
    assert any(line.startswith("SIREN: seed 1, 40 steps: ") for line in lines)
    assert sines["numbers"]["ms_per_step"][0] > 0


@pytest.mark.whole
def test_a_row_that_was_measured_is_read_from_its_runs(measured, monkeypatch):
    folder, _, result = measured
    monkeypatch.setattr(laboratory_module, "Trainer", lambda *_: pytest.fail("trained again"))
    again = Laboratory(Store(folder)).measure(tiny_row(), seeds=2, steps=40)
    assert again["arms"] == result["arms"] and again["checks"] == result["checks"]


@pytest.mark.whole
def test_other_steps_are_other_runs(measured, monkeypatch):
    def refuse(*_):
        raise RuntimeError("trained")

    monkeypatch.setattr(laboratory_module, "Trainer", refuse)
    with pytest.raises(RuntimeError, match="trained"):
        Laboratory(Store(measured[0])).measure(tiny_row(), seeds=2, steps=80)


def test_a_row_is_trained_longer_until_it_is_flat_and_with_more_seeds_if_it_is_close(monkeypatch):
    asked = []

    def arms(self, row, chosen, seeds, steps):
        assert chosen["SIREN"] == (steps, None if steps == 40 else (steps // 2, ANY))
        asked.append((seeds, steps))
        scores = [[20.0 + i] for i in range(seeds)]
        return {"a": arm_of(scores, 0.6 if steps < 160 else 0.1), "b": arm_of(scores)}

    monkeypatch.setattr(Laboratory, "_arms", arms)
    monkeypatch.setattr(
        Laboratory, "_choose", lambda self, row, arm, steps, before=None: (steps, before)
    )
    row = dataclasses.replace(tiny_row(doublings=3), checks=[Check("a", "b", at_least=1.0)])
    result = Laboratory(Store("unused")).measure(row)
    assert asked == [(1, 40), (1, 80), (1, 160), (3, 160), (3, 160), (5, 160)]
    assert result["checks"][0]["verdict"] == UNDECIDED
    asked.clear()
    Laboratory(Store("unused")).measure(dataclasses.replace(row, doublings=1), seeds=2)
    assert asked == [(1, 40), (1, 80), (2, 80), (2, 80)]


def test_a_rate_at_which_one_of_the_choosing_seeds_fails_is_not_chosen(tmp_path, monkeypatch):
    """At the larger rate one seed is the best of all, and the next is lost."""
    scores = {1.0: 30.0, 3.0: 31.0}

    def choose(seed, rate, steps):
        lost = rate == 3.0 and seed == laboratory_module.CHOOSING_SEED + 1
        return 5.0 if lost else scores.get(rate, 20.0)

    trainer = SimpleNamespace(choose=choose)
    monkeypatch.setattr(Laboratory, "_trainer", lambda *_: trainer)
    for seeds, rate in ((1, 3.0), (2, 1.0)):
        row = tiny_row(choosing_seeds=seeds)
        laboratory = Laboratory(Store(tmp_path))
        laboratory._read_code(row)
        chosen = laboratory._choose(row, row.arms[0], 40)
        assert chosen.candidate.rate == rate


def test_the_rate_of_an_arm_that_all_steps_make_worse_is_chosen_among_runs_of_all_of_them(
    monkeypatch,
):
    chosen_for = []

    def choose(self, row, arm, steps, before=None, late=0.5):
        chosen_for.append((arm.name, steps, late))
        return late

    def arms(self, row, chosen, seeds, steps):
        scores = [[20.0], [20.1], [19.9]][:seeds]
        whole = chosen["ReLU, raw"] == 1.0
        b = arm_of(scores, 0.1 if whole else -0.6)
        return {"SIREN": arm_of([[score + 2.0] for [score] in scores]), "ReLU, raw": b}

    monkeypatch.setattr(Laboratory, "_arms", arms)
    monkeypatch.setattr(Laboratory, "_choose", choose)
    result = Laboratory(Store("unused")).measure(tiny_row(doublings=1))
    assert chosen_for == [("SIREN", 40, 0.5), ("ReLU, raw", 40, 0.5), ("ReLU, raw", 40, 1.0)]
    assert result["checks"][0]["verdict"] == HOLDS
    # Without doublings too, and if only the mean of three seeds shows it.
    assert Laboratory(Store("unused")).measure(tiny_row(doublings=0))["checks"][0]["settled"]
    chosen_for.clear()

    def later(self, row, chosen, seeds, steps):
        found = arms(self, row, chosen, seeds, steps)
        if seeds == 1:  # not settled for another reason
            found["ReLU, raw"] = arm_of([[20.0]], 2.0)
        return found

    monkeypatch.setattr(Laboratory, "_arms", later)
    assert Laboratory(Store("unused")).measure(tiny_row(doublings=0))["checks"][0]["settled"]
    assert ("ReLU, raw", 40, 1.0) in chosen_for


def test_a_row_that_is_settled_with_the_first_seed_alone_is_trained_longer(monkeypatch):
    """The other seeds show that the difference of 2 dB falls by 0.8 dB with each doubling."""
    asked = []

    def arms(self, row, chosen, seeds, steps):
        asked.append((seeds, steps))
        second = arm_of([[20.0], [20.1], [19.9]][:seeds], 0.0 if seeds == 1 else 0.8)
        return {"a": arm_of([[22.0], [21.9], [22.1]][:seeds]), "b": second}

    monkeypatch.setattr(Laboratory, "_arms", arms)
    monkeypatch.setattr(Laboratory, "_choose", lambda *_: None)
    row = dataclasses.replace(tiny_row(doublings=1), checks=[Check("a", "b", at_least=1.0)])
    result = Laboratory(Store("unused")).measure(row)
    assert (
        asked == [(1, 40), (3, 40), (1, 80), (3, 80), (3, 80)]
        and result["checks"][0]["verdict"] == UNDECIDED
    )


def test_a_row_in_which_a_seed_diverges_is_not_trained_longer(monkeypatch):
    asked = []

    def arms(self, row, chosen, seeds, steps):
        asked.append((seeds, steps))
        return {"a": arm_of([], diverged=seeds), "b": arm_of([[20.0]] * seeds)}

    monkeypatch.setattr(Laboratory, "_arms", arms)
    monkeypatch.setattr(Laboratory, "_choose", lambda *_: None)
    row = dataclasses.replace(tiny_row(doublings=1), checks=[Check("a", "b", at_least=1.0)])
    Laboratory(Store("unused")).measure(row)
    assert set(asked) == {(1, 40), (3, 40)}


@pytest.mark.whole
def test_a_run_is_trained_for_the_steps_asked_for_and_a_diverged_one_is_said_to_be(monkeypatch):
    trainer = Trainer(tiny_row().arms[0].resolve(), tiny_row().arms[0].scenes())
    assert rounded(trainer.config, 44) == 40 and rounded(trainer.config, 1) == 10
    trained = trainer.train(0, 1.0, 41)
    assert np.isfinite(trained.before) and trainer.session.step == 40
    assert trained.after == trainer.score(trained.model, "val")
    assert trainer.choose(0, np.inf, 40) == DIVERGED
    assert trainer.measure(0, np.inf, 40, ()) == {"diverged": True, "steps": 40}
    monkeypatch.setattr(Trainer, "scores", lambda *_: [np.nan])
    assert trainer.choose(0, 1.0, 40) == DIVERGED
    assert trainer.measure(0, 1.0, 40, ()) == {"diverged": True, "steps": 40}


def test_views_of_one_pose_are_one_score(monkeypatch):
    scene = toybox.load(None, "test", sizes=(8, 16), held_out=2)
    arm = dataclasses.replace(tiny_row().arms[0], image=False)
    trainer = object.__new__(Trainer)
    trainer.scenes, trainer.config = {"test": scene}, {"background": [1.0] * 3, "chunk": 64}
    trainer.shifted = False
    sizes = zip(scene.names, [len(image) for image in scene.images], strict=True)
    psnr = {name: {"psnr": 10.0 * size} for name, size in sizes}
    monkeypatch.setattr(training_module, "evaluate", lambda *_, **__: {"per_image": psnr})
    assert len(scene) == 4 and trainer.scores(arm, "test") == [120.0, 120.0]


def test_a_shifted_picture_is_scored_with_the_mean_colour_of_the_truth(monkeypatch):
    truth = np.random.default_rng(0).integers(60, 180, (8, 8, 3), np.uint8)
    scene = picture.load(None, "train", source=truth)
    trainer = object.__new__(Trainer)
    trainer.scenes, trainer.config = {"train": scene}, {"background": [1.0] * 3, "chunk": 64}
    noise = np.random.default_rng(1).normal(0.0, 0.01, truth.shape)
    noise -= noise.mean((0, 1))
    drawn = {"rgb": truth / 255.0 + noise + np.array([0.1, -0.1, 0.05])}
    monkeypatch.setattr(training_module, "make_render_image", lambda *_: lambda camera: drawn)
    trainer.shifted = True
    expected = metrics.psnr(truth / 255.0 + noise, truth / 255.0)
    np.testing.assert_allclose(trainer.scores(None, "train"), [expected], rtol=1e-6)
    trainer.shifted = False
    np.testing.assert_array_equal(trainer.render(None, "train", 0), drawn["rgb"])


@pytest.mark.whole
def test_the_command_measures_some_rows_and_keeps_the_others(tmp_path, monkeypatch, capsys):
    out = tmp_path / "systems.json"
    out.write_text(json.dumps({"other": {"checks": []}}))
    monkeypatch.setattr(command, "ROWS", [tiny_row(), dataclasses.replace(tiny_row(), name="U")])
    flags = [f"--out={out}", f"--runs={tmp_path}", "--seeds=1", "--steps=40"]
    assert command.main(["t", *flags]) == 0
    assert set(json.loads(out.read_text())) == {"other", "T"}
    assert "T: SIREN: seed 0, 40 steps:" in capsys.readouterr().out
    assert Image.open(tmp_path / "systems" / "T.webp").width > 400
    assert command.main(["V", *flags]) == 1
    assert "V: no such row" in capsys.readouterr().err


def test_a_quick_test_does_not_replace_the_numbers_of_the_document(capsys):
    with pytest.raises(SystemExit):
        command.main(["R3", "--steps=40"])
    assert "--steps is for tests" in capsys.readouterr().err
    for wrong, said in (("--seeds=1", "add --out=FILE"), ("--seeds=0", "add --out=FILE")):
        with pytest.raises(SystemExit):
            command.main(["R3", wrong])
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["R3", "--seeds=0", "--out=a.json"])
    assert "at least 1" in capsys.readouterr().err


def test_several_rows_are_measured_in_processes_with_the_same_flags(tmp_path, monkeypatch):
    commands = []

    class Child:
        pid = 0

        def __init__(self, line, cwd):
            commands.append(line[3:])

        def wait(self):
            return len(commands) % 2

    monkeypatch.setattr(command.subprocess, "Popen", Child)
    rows = [tiny_row(), dataclasses.replace(tiny_row(), name="U")]
    monkeypatch.setattr(command, "ROWS", rows)
    monkeypatch.setattr(command.os, "sched_setaffinity", lambda pid, cores: None, raising=False)
    out, runs = tmp_path / "a.json", tmp_path / "runs"
    words = ["--seeds", "2", "--jobs", "1", f"--out={out}", "--runs", str(runs)]
    assert command.main(words) == 1, "the first child failed"
    given = ["--seeds=2", f"--out={out}", f"--runs={runs}"]
    assert commands == [["T", *given], ["U", *given]]
    out.write_text(json.dumps({"T": {}}))
    commands.clear()
    assert command.main([*words, "t", "u"]) == 1 and len(commands) == 2
