"""The laboratory of docs/systems.md: how it chooses, keeps runs and judges."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from benchmarks.systems import __main__ as command
from benchmarks.systems import laboratory as laboratory_module
from benchmarks.systems import store as store_module
from benchmarks.systems.choosing import FACTOR, MAX_EXTENSIONS, Candidate, choose
from benchmarks.systems.claims import Check, Row
from benchmarks.systems.judging import FAILS, HOLDS, UNDECIDED, has_converged, interval, judge
from benchmarks.systems.laboratory import Laboratory
from benchmarks.systems.rows.common import ON_PICTURES
from benchmarks.systems.rows.pictures import RELU_RAW, SIREN
from benchmarks.systems.store import Store, digest_code, digest_scenes, imports_of
from benchmarks.systems.training import Trainer
from nerf.comparing.statistics import compare
from nerf.scenes import picture, toybox

TINY = {**ON_PICTURES, "steps": 40, "steps_per_call": 10, "log_every": 40, "batch_size": 64}
DRAWING = {
    "name": "nerf.scenes.picture:load",
    "source": {"name": "nerf.scenes.drawings:cppn", "size": 16},
}


def arm_of(psnr, change=0.0, **numbers) -> dict[str, Any]:
    """Return measurements with these scores (seeds, views)."""
    return {"psnr": psnr, "val": [[20.0, 20.0 + change]] * len(psnr), "numbers": numbers}


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
    chosen = choose(2, (1 / 3, 1.0, 3.0), peak(best, seen))
    assert chosen.candidate.trial == 0 and chosen.interior
    assert abs(np.log(chosen.candidate.rate / best)) <= np.log(FACTOR) / 2 + 1e-6
    rates = [one.rate for one, _ in seen if one.trial == 0]
    assert min(rates) < chosen.candidate.rate < max(rates)


def test_few_candidates_are_trained_for_long():
    seen: list[Any] = []
    choose(3, (1 / 3, 1.0, 3.0), peak(1.0, seen))
    assert [fraction for _, fraction in seen] == [1 / 8] * 9 + [1 / 2] * 2
    assert all(one.trial == 0 or fraction == 1 / 8 for one, fraction in seen)


def test_a_range_without_an_end_is_said_to_have_none():
    chosen = choose(1, (1.0, 3.0), lambda one, fraction: one.rate)
    assert not chosen.interior and len(chosen.scores) <= 4 + 2 * MAX_EXTENSIONS


def test_the_last_round_decides():
    """A rate that is ahead early and behind later is not chosen."""

    def score(one, fraction):
        return -abs(np.log(one.rate / (3.0 if fraction == 1 / 8 else 1.0)))

    assert choose(1, (1 / 3, 1.0, 3.0), score).candidate == Candidate(0, 1.0)


def test_a_single_candidate_is_not_trained():
    chosen = choose(1, (1.0,), lambda one, fraction: pytest.fail("trained"))
    assert chosen.candidate == Candidate(0, 1.0) and chosen.scores == []


# Judging.


@pytest.mark.parametrize(
    ("margin", "change", "verdict"),
    [
        ({"at_least": 1.0}, 0.0, HOLDS),
        ({"at_least": 1.0}, 9.0, HOLDS),
        ({"at_least": 2.0}, 0.0, UNDECIDED),
        ({"at_least": 3.0}, 0.0, FAILS),
        ({"at_least": 3.0}, 0.3, UNDECIDED),
        ({"at_least": 3.0}, -0.3, UNDECIDED),
        ({"at_most": 3.0}, 0.0, HOLDS),
        ({"at_most": 2.0}, 0.0, UNDECIDED),
        ({"at_most": 1.0}, 0.0, FAILS),
    ],
)
def test_a_margin_is_decided_only_outside_of_the_interval_and_against_a_claim_only_if_converged(
    margin, change, verdict
):
    arms = {"a": arm_of([[22.1], [21.9], [22.0]], change), "b": arm_of([[20.1], [19.9], [20.0]])}
    assert judge(Check("a", "b", **margin), arms)["verdict"] == verdict


def test_one_seed_decides_nothing():
    arms = {"a": arm_of([[30.0, 31.0]]), "b": arm_of([[20.0, 20.0]])}
    judged = judge(Check("a", "b", at_least=1.0), arms)
    assert judged["verdict"] == UNDECIDED and judged["low"] is None and judged["mean"] == 10.5


def test_a_run_that_was_not_checked_has_not_converged():
    assert not has_converged({"val": []})
    assert has_converged(arm_of([[1.0]], 0.19)) and not has_converged(arm_of([[1.0]], -0.21))


def test_views_count_as_in_a_study_and_numbers_by_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(22.0, 1.0, (3, 6)), rng.normal(20.0, 1.0, (4, 6))
    ratio_a, ratio_b = [4.0, 5.0, 6.0], [2.0, 2.2, 2.1, 1.9]
    arms = {"a": arm_of(a.tolist(), ms=ratio_a), "b": arm_of(b.tolist(), ms=ratio_b)}
    found = compare({"b": b, "a": a})[0]
    assert interval(Check("a", "b", at_least=0.0), arms) == (found.mean, found.low, found.high)
    welch = stats.ttest_ind(np.log(ratio_a), np.log(ratio_b), equal_var=False)
    low, high = np.exp(welch.confidence_interval(0.95))
    wanted = np.exp(np.mean(np.log(ratio_a)) - np.mean(np.log(ratio_b))), low, high
    np.testing.assert_allclose(interval(Check("a", "b", "ms", 1.0, ratio=True), arms), wanted)
    alone = stats.t.interval(0.95, 2, np.mean(ratio_a), stats.sem(ratio_a))
    np.testing.assert_allclose(interval(Check("a", None, "ms", 1.0), arms)[1:], alone)


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
    assert digest_code(sines) == digest_code(sines)
    assert digest_code(sines) != digest_code({**sines, "scene": rays})
    assert digest_code(sines) != digest_code(sines, ["benchmarks.systems.measures"])
    imported = imports_of("nerf.scenes.toybox")
    assert "nerf.scenes.solids" in imported and "numpy" not in imported
    assert "nerf.training.session" in imports_of("benchmarks.systems.training")


def test_only_code_that_computes_counts(tmp_path, monkeypatch):
    def digest_of(text):
        (tmp_path / "nerf" / "a.py").write_text(text)
        for function in (store_module._path, store_module._parsed, store_module._tree, imports_of):
            function.cache_clear()
        return digest_code({"name": "nerf.a:A"})

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
        {"train": dataclasses.replace(masked, masks=[~masked.masks[0]])}
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
    assert sines["steps"] == 40 and len(sines["curve"]) == 24
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

    def arms(self, row, seeds, steps):
        asked.append((seeds, steps))
        change = 0.5 if steps < 160 else 0.1
        return {name: arm_of([[20.0 + i] for i in range(seeds)], change) for name in ("a", "b")}

    monkeypatch.setattr(Laboratory, "_arms", arms)
    row = dataclasses.replace(tiny_row(doublings=3), checks=[Check("a", "b", at_least=1.0)])
    result = Laboratory(Store("unused")).measure(row)
    assert asked == [(1, 40), (1, 80), (1, 160), (3, 160), (5, 160)]
    assert result["checks"][0]["verdict"] == UNDECIDED
    asked.clear()
    Laboratory(Store("unused")).measure(dataclasses.replace(row, doublings=1), seeds=2)
    assert asked == [(1, 40), (2, 80)]


@pytest.mark.whole
def test_the_steps_of_the_last_quarter_are_counted_exactly():
    trainer = Trainer(tiny_row().arms[0].resolve(), tiny_row().arms[0].scenes())
    assert trainer.rounded(100) == 80 and trainer.rounded(1) == 40
    trained = trainer.train(0, 1.0, 41)
    assert np.isfinite(trained.before) and trainer.session.step == 40
    assert trained.after == trainer.score(trained.model, "val")


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
