"""Finished runs read back: scores at a step, runs that are one, protocols, the list of runs."""

import json
import subprocess
import sys

import numpy as np
import pytest

from nerf.comparing.comparison import asked_axis, judge
from nerf.foundation.instantiate import ConfigError
from nerf.runs.results import as_table, check_protocols, mismatch, read_result, run_folders, summary
from tests.conftest import ROOT
from tests.support.made_up_runs import CODE, DIGEST, HERE, config_of, make_run

NOW = {**HERE, "code": {**CODE, "nerf/unused.py": "9"}, "scene_digest": DIGEST}


def answer_of(groups, axis):
    return next(answer for answer in judge(groups, ["psnr"]).comparisons if answer.axis == axis)


def test_scores_between_two_scorings_lie_on_the_line_and_none_are_made_up_outside(tmp_path):
    run = read_result(make_run(tmp_path / "a", config_of(), [20.0, 30.0], pictures=False))
    np.testing.assert_allclose(run.at("step", 75.0), [19.0, 29.0])
    np.testing.assert_allclose(run.at("seconds", 10.0), [20.0, 30.0])
    assert run.at("step", 49.0) is None and run.at("step", 101.0) is None


def score_less_on_the_way(run, views):
    """Rewrite the interim lines of a made-up run as if only some of the views had been scored."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines[:-1]:
        listed = [line["per_image"]["psnr"][view] for view in views]
        line |= {"views": views, "psnr": float(np.mean(listed)), "per_image": {"psnr": listed}}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_views_that_were_not_scored_on_the_way_have_no_score_there(tmp_path):
    folder = make_run(tmp_path / "a", config_of(), [20.0, 30.0, 40.0], pictures=False)
    run = read_result(score_less_on_the_way(folder, [0, 2]))
    np.testing.assert_allclose(run.at("step", 75.0), [19.0, np.nan, 39.0])
    np.testing.assert_allclose(run.at("step", 100.0), [20.0, np.nan, 40.0])
    np.testing.assert_allclose(run.curve[0].per_image, [18.0, np.nan, 38.0])
    assert run.curve[1].per_image.tolist() == [20.0, 30.0, 40.0]


def test_an_answer_from_scores_on_the_way_rests_on_the_views_that_all_runs_have(tmp_path):
    groups = groups_of(tmp_path, a={"steps": 200}, b={"steps": 100})
    for folder in (run.folder for results in groups.values() for run in results):
        score_less_on_the_way(folder, [1, 2, 5, 7] if folder.name == "a0" else [1, 3, 5, 7])
    groups = {
        label: [read_result(run.folder) for run in results] for label, results in groups.items()
    }
    at_steps = answer_of(groups, "step")
    assert at_steps.at == 100 and not at_steps.ends and at_steps.differences[0].views == 3
    np.testing.assert_allclose(at_steps.scores["b"][0], groups["b"][0].scores("psnr")[[1, 5, 7]])
    np.testing.assert_allclose(
        at_steps.scores["a"][0], groups["a"][0].scores("psnr")[[1, 5, 7]] - 2.0
    )
    assert at_steps.differences[0].mean > 1.0


def test_a_torn_line_and_lines_without_scores_of_views_are_passed_over(tmp_path):
    folder = make_run(tmp_path / "a", config_of(), [20.0, 30.0], pictures=False)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 100, "seconds": 10.0, "split": "train", "psnr": 3.0}\n{"step": 1')
    assert [point.step for point in read_result(folder).curve] == [50, 100]


def test_a_run_is_the_wanted_one_only_if_config_scene_budget_code_versions_and_device_are(tmp_path):
    run = read_result(make_run(tmp_path / "a", config_of(), [20.0], pictures=False))
    assert mismatch(run, config_of(), None, NOW) == []
    assert mismatch(run, config_of(keep=9), None, NOW) == []
    # The length of a call follows from `log_every` where a config leaves it open.
    assert mismatch(run, config_of(steps_per_call=7), None, NOW) == []
    for why, config, seconds, now in [
        ("seed: 0 -> 1", config_of(1), None, NOW),
        (
            "model.width: 8 -> 9",
            config_of(model={"width": 9, "name": "nerf.rendering.model:Model"}),
            None,
            NOW,
        ),
        ("max_seconds: None -> 5.0", config_of(), 5.0, NOW),
        ("another scene", config_of(), None, {**NOW, "scene_digest": {}}),
        (
            "the code changed: nerf/rendering/model.py",
            config_of(),
            None,
            {**NOW, "code": {**CODE, "nerf/rendering/model.py": "x"}},
        ),
        (
            "versions.jax: 1 -> 2",
            config_of(),
            None,
            {**NOW, "versions": {"python": "3", "jax": "2"}},
        ),
        ("device: 1 x cpu -> 1 x gpu", config_of(), None, {**NOW, "device": "1 x gpu"}),
    ]:
        (line,) = mismatch(run, config, seconds, now)
        assert line.startswith(why)
    old = read_result(make_run(tmp_path / "b", config_of(), [20.0], pictures=False, code={}))
    assert mismatch(old, config_of(), None, NOW) == ["its code was not recorded"]


def changed(folder, **results):
    """A run whose results.json says something else; returned as read."""
    stored = json.loads((folder / "results.json").read_text())
    protocol = {**stored["protocol"], **results.pop("protocol", {})}
    (folder / "results.json").write_text(json.dumps({**stored, **results, "protocol": protocol}))
    return read_result(folder)


EXTENDED = [{"from": "60 s", "to": "600 s", "step": 50, "seconds": 60.0}]


def test_a_run_whose_budget_was_changed_is_never_taken_for_a_straight_one(tmp_path):
    folders = [
        make_run(tmp_path / name, config_of(), [20.0, 21.0], pictures=False) for name in "ab"
    ]
    straight, extended = read_result(folders[0]), changed(folders[1], extended=EXTENDED)
    assert mismatch(extended, config_of(), None, NOW) == [
        "its budget was changed while it trained (60 s, then 600 s)"
    ]
    with pytest.raises(ConfigError, match="budgets of one run: one -> 60 s, then 600 s"):
        check_protocols([("A", straight), ("B", extended)])
    check_protocols([("A", extended), ("B", extended)])


def test_where_the_clock_bounds_a_run_its_steps_make_no_difference(tmp_path):
    run = read_result(
        make_run(tmp_path / "a", config_of(), [20.0], pictures=False, max_seconds=5.0)
    )
    assert mismatch(run, config_of(steps=7), 5.0, NOW) == []
    assert mismatch(run, config_of(steps=7), None, NOW)[0] == "steps: 100 -> 7"
    # Calls of another length take another number of steps in a second.
    assert mismatch(run, config_of(steps_per_call=7), 5.0, NOW)
    elsewhere = {**NOW, "processor": "8 x Another"}
    assert mismatch(run, config_of(), 5.0, elsewhere) == ["processor: 2 x Made Up -> 8 x Another"]
    by_steps = read_result(make_run(tmp_path / "b", config_of(), [20.0], pictures=False))
    assert mismatch(by_steps, config_of(), None, elsewhere) == [], (
        "as many steps are as many anywhere"
    )


def test_runs_that_were_not_scored_or_scored_on_what_they_know_are_refused_and_listed(tmp_path):
    good = read_result(make_run(tmp_path / "good", config_of(), [20.0, 21.0], pictures=False))
    unscored = changed(
        make_run(tmp_path / "unscored", config_of(), [20.0], pictures=False),
        psnr=None,
        ssim=None,
        per_image={},
    )
    leaky = changed(
        make_run(tmp_path / "leaky", config_of(), [20.0, 21.0], pictures=False),
        protocol={"trained_on": 2},
    )
    with pytest.raises(ConfigError, match="not scored.*eval_split=val"):
        check_protocols([("A", good), ("B", unscored)])
    with pytest.raises(ConfigError, match="trained on 2 of its 2 scored views.*eval_split=val"):
        check_protocols([("A", leaky), ("B", good)])
    assert summary(tmp_path / "leaky")["state"] == "finished, scored on 2 training views"
    row = summary(tmp_path / "unscored")
    assert row["state"] == "finished" and row["psnr"] is None and " - " in as_table([row])


@pytest.mark.parametrize(
    "key, value", [("background", [0.0, 0.0, 0.0]), ("size", ["9x9"]), ("split", "val")]
)
def test_unlike_protocols_are_refused_with_what_differs(tmp_path, key, value):
    folders = [
        make_run(tmp_path / name, config_of(), [20.0, 21.0], pictures=False) for name in "ab"
    ]
    check_protocols([("A", read_result(folder)) for folder in folders])
    results = json.loads((folders[1] / "results.json").read_text())
    results["protocol"][key] = value
    (folders[1] / "results.json").write_text(json.dumps(results))
    with pytest.raises(ConfigError, match=f"A .* and B .*unlike protocols, {key}: ") as error:
        check_protocols([("A", read_result(folders[0])), ("B", read_result(folders[1]))])
    assert "\n" not in str(error.value)


def groups_of(tmp_path, **kinds):
    groups = {}
    for label, facts in kinds.items():
        base = facts.pop("base", 20.0)
        runs = []
        for seed in range(3):
            psnr = (
                base
                + 0.05 * seed
                + np.arange(8.0)
                + np.random.default_rng([seed, len(label)]).normal(0, 0.05, 8)
            )
            runs.append(
                make_run(
                    tmp_path / f"{label}{seed}", config_of(seed), psnr, pictures=False, **facts
                )
            )
        groups[label] = [read_result(run) for run in runs]
    return groups


def test_equal_time_and_equal_steps_may_have_two_winners(tmp_path):
    """Fast is better in its seconds; slow is better at every step, but took half as many."""
    groups = groups_of(
        tmp_path,
        fast={"steps": 200, "seconds": 10.0, "max_seconds": 10.0},
        slow={"steps": 100, "seconds": 10.0, "max_seconds": 10.0, "base": 19.5},
    )
    assert asked_axis(groups) == "seconds"
    time, steps = answer_of(groups, "seconds"), answer_of(groups, "step")
    assert (
        time.ends
        and time.at == 10.0
        and time.differences[0].real
        and time.differences[0].mean < -0.3
    )
    assert not steps.ends and steps.at == 100 and steps.progress == {"fast": 0.5, "slow": 1.0}
    assert steps.differences[0].real and 1.0 < steps.differences[0].mean < 2.0


def test_a_question_that_the_runs_do_not_tell_is_left_open(tmp_path):
    groups = groups_of(tmp_path, a={"steps": 1000}, b={"steps": 100})
    for results in groups.values():
        for result in results:
            del result.curve[:-1]
    left_open = answer_of(groups, "step")
    assert left_open.at is None and not left_open.differences and "eval_times" in left_open.missing


def test_runs_that_ended_before_their_budget_did_not_have_equal_time(tmp_path):
    groups = groups_of(
        tmp_path, a={"seconds": 10.0, "max_seconds": 10.0}, b={"seconds": 6.0, "max_seconds": 10.0}
    )
    assert not answer_of(groups, "seconds").ends and answer_of(groups, "seconds").at == 6.0


@pytest.mark.whole
def test_the_list_has_every_run_finished_or_not_or_broken(tmp_path):
    make_run(tmp_path / "x" / "done", config_of(), [20.0, 21.0], pictures=False)
    (make_run(tmp_path / "half", config_of(3), [20.0], pictures=False) / "results.json").unlink()
    (
        make_run(tmp_path / "broken", config_of(), [20.0], pictures=False) / "results.json"
    ).write_text("{")
    rows = {row["run"]: row for row in map(summary, run_folders(tmp_path))}
    assert [row["state"].split(":")[0] for row in rows.values()] == [
        "broken",
        "unfinished",
        "finished",
    ]

    def listed(*flags):
        command = [sys.executable, "compare.py", "--list", str(tmp_path), *flags]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    head, *lines = listed().splitlines()
    assert head.split()[:2] == ["run", "state"] and len(lines) == 3 and "20.50" in lines[2]
    assert json.loads(listed("--json=-")) == list(rows.values())
