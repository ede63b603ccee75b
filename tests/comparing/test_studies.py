"""Arguments become entries, grids and wanted runs, and what is wrong with them is one line."""

import pytest

from nerf.comparing.report import build
from nerf.comparing.studies import (
    Method,
    parse_argument,
    parse_seconds,
    parse_seeds,
    split_values,
    sweep,
    wanted_runs,
    with_unique_labels,
)
from nerf.foundation.instantiate import ConfigError
from nerf.runs.config_files import load_config
from nerf.scenes import SceneError
from tests.conftest import ROOT
from tests.support.made_up_runs import config_of, make_run

TINY = "configs/tiny.py"


def test_a_config_its_values_its_name_and_its_seeds():
    assert parse_argument(TINY, (0, 1)) == Method("tiny", TINY, (), (0, 1))
    name = "scene.name=nerf.scenes:load"
    entry = parse_argument(
        f"mine={TINY}:batch_size=64,config.background=(1,0,0.5),{name},seeds=3-5", (0,)
    )
    assert entry == Method("mine", TINY, ("batch_size=64", "background=(1,0,0.5)", name), (3, 4, 5))
    assert parse_argument(f"{TINY}:model.x.width=8,{name}", (0,)).label == "tiny width=8 name=load"


@pytest.mark.parametrize(
    "text, says",
    [
        (f"{TINY}:batch_size", "not key=value"),
        (f"{TINY}:seed=3", "seeds=3-5"),
        (f"{TINY}:seeds=x", "not a number of seeds"),
        ("nowhere/at/all", "neither a config"),
        ("configs/nowhere.py", "no such config: give a name .*ngp"),
    ],
)
def test_arguments_that_mean_nothing_are_one_line(text, says):
    with pytest.raises(ConfigError, match=says) as error:
        parse_argument(text, (0,))
    assert "\n" not in str(error.value)


def test_finished_runs_are_one_entry_if_only_the_seed_differs(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / "a" / f"s{seed}", config_of(seed), [20.0, 21.0], pictures=False)
    make_run(tmp_path / "b", config_of(5, steps=200), [20.0, 21.0], pictures=False)
    entry = parse_argument(str(tmp_path / "a"), ())
    assert entry.label == "a" and [run.config["seed"] for run in entry.runs] == [0, 1]
    both = parse_argument(f"mine={tmp_path}/a/s0+{tmp_path}/a/s1", ())
    assert both.label == "mine" and len(both.runs) == 2
    with pytest.raises(ConfigError, match="different configs, steps: 100 -> 200"):
        parse_argument(f"{tmp_path}/a+{tmp_path}/b", ())
    with pytest.raises(ConfigError, match="duplicate seed"):
        parse_argument(f"{tmp_path}/a+{tmp_path}/a/s1", ())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no finished run"):
        parse_argument(str(tmp_path / "empty"), ())


def test_a_grid_is_every_combination_or_a_walk():
    entries = [Method("tiny", TINY, ("keep=1",), (0,))]
    axes = ["config.batch_size=64,128", "background=(1,1,1),(0,0,0)"]
    grid = sweep(entries, axes, together=False)
    assert [entry.overrides for entry in grid] == [
        ("keep=1", f"batch_size={b}", f"background={c}")
        for b in (64, 128)
        for c in ("(1,1,1)", "(0,0,0)")
    ]
    walk = sweep(entries, axes, together=True)
    assert [entry.label for entry in walk] == [
        "tiny batch_size=64 background=(1,1,1)",
        "tiny batch_size=128 background=(0,0,0)",
    ]
    with pytest.raises(ConfigError, match="same number"):
        sweep(entries, ["batch_size=1,2", "keep=1,2,3"], together=True)
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        sweep(entries, ["batch_size"], together=True)


def test_configs_have_names_and_runs_have_homes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = make_run(tmp_path / "a", config_of(), [20.0], pictures=False)
    assert parse_argument("mine=ngp:keep=3", (0,)) == Method("mine", "ngp", ("keep=3",), (0,))
    assert parse_argument("systems/siren", (0,)).label == "siren"
    assert parse_argument(f"{folder}/config.json:keep=3", (0,)).label == "a keep=3"
    assert parse_argument("mine=~/a", ()).runs[0].folder == folder
    with pytest.raises(ConfigError, match=r"C:\\runs\\a: neither a config"):
        parse_argument("C:\\runs\\a", ())


def test_runs_of_two_budgets_are_no_seeds_of_one(tmp_path):
    for seed, seconds in ((0, 5.0), (1, 9.0)):
        make_run(tmp_path / str(seed), config_of(seed), [20.0], pictures=False, max_seconds=seconds)
    with pytest.raises(ConfigError, match="different budgets"):
        parse_argument(str(tmp_path), ())


def test_values_in_brackets_are_one_value():
    assert split_values("4,8,(1,2),[3,4] , x") == ["4", "8", "(1,2)", "[3,4]", "x"]


def test_labels_tell_entries_apart():
    twice = [
        Method("a", TINY, (), (0, 1)),
        Method("a", TINY, (), (3,)),
        Method("b", TINY, (), (0,)),
    ]
    assert [entry.label for entry in with_unique_labels(twice)] == [
        "a (seeds 0-1)",
        "a (seeds 3)",
        "b",
    ]
    same = [Method("a", TINY, (), (0,)), Method("a", TINY, (), (0,))]
    assert [entry.label for entry in with_unique_labels(same)] == [
        "a (seeds 0) #1",
        "a (seeds 0) #2",
    ]


def test_a_config_is_read_as_train_reads_it_and_mistakes_are_one_line():
    config = load_config(TINY, ["batch_size=64", "model.stages.fine.field.width=8"])
    assert config["batch_size"] == 64 and config["model"]["stages"]["fine"]["field"]["width"] == 8
    for overrides, says in (
        (["batch_sise=64"], "batch_size"),
        (["batch_size=x"], "not a whole number"),
    ):
        with pytest.raises(ConfigError, match=says) as error:
            load_config(TINY, overrides)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="no such config"):
        load_config("configs/nowhere.py", [])


def test_wanted_runs_come_seed_by_seed_and_are_bounded_as_asked():
    entries = [Method("a", TINY, (), (0, 1)), Method("b", TINY, ("batch_size=64",), (7,))]
    runs = wanted_runs(entries, None, 60, 4, "val")
    assert [(run.label, run.config["seed"]) for run in runs] == [("a", 0), ("b", 7), ("a", 1)]
    assert all(r.config["steps"] == 60 and r.config["eval_times"] == 4 for r in runs)
    assert "--config.eval_split=val" in runs[0].flags() and "--config.seed=7" in runs[1].flags()
    timed = wanted_runs(entries, 30.0, None, 4, None)[0]
    assert (
        timed.flags()[-1] == "--max_seconds=30"
        and timed.config["steps"] == load_config(TINY, [])["steps"]
    )
    fixed = [Method("c", TINY, ("steps_per_call=10",), (0,))]
    with pytest.raises(ConfigError, match="not divisible by steps_per_call"):
        wanted_runs(fixed, None, 61, 4, None)


def test_a_folders_name_is_that_of_config_scene_and_budget_not_of_its_seed():
    def name(*arguments, digest="x"):
        run = wanted_runs([Method("any", TINY, *arguments[:1], (3,))], *arguments[1:], 4, None)[0]
        return run.folder_name({"train": digest})

    assert name((), None, 60).startswith("tiny-") and name((), None, 60).endswith("-seed3")
    assert (
        len(
            {
                name((), None, 60),
                name((), None, 80),
                name((), 30.0, None),
                name(("chunk=512",), None, 60),
            }
        )
        == 4
    )
    assert name((), None, 60) != name((), None, 60, digest="y")
    assert name(("keep=5",), None, 60) == name((), None, 60), (
        "what changes no number changes no name"
    )


@pytest.mark.parametrize(
    "text, seconds", [("60s", 60.0), ("1.5m", 90.0), ("20", 20.0), (".5s", 0.5)]
)
def test_times(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "0s", "-3s", "1h", "1.2.3s", "sixty"])
def test_what_is_no_time(text):
    with pytest.raises(ConfigError, match="not a time"):
        parse_seconds(text)


def test_seeds():
    assert parse_seeds("3") == (0, 1, 2) and parse_seeds("3-5") == (3, 4, 5)
    for text in ("0", "5-3", "a", "1,2"):
        with pytest.raises(ConfigError):
            parse_seeds(text)


@pytest.mark.long
def test_a_fault_of_the_second_scene_is_told_before_the_first_is_trained(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(build, "find_or_train", lambda *of: trained.append(of))
    question = build.Question(
        [f"{TINY}:scene.max_side=20", f"{TINY}:scene.max_side=20,batch_size=64"],
        command="",
        out=tmp_path / "report.html",
        scenes=(str(ROOT / "data/tabletop"), str(tmp_path / "missing")),
        steps=10,
    )
    with pytest.raises(SceneError, match="missing: no such folder"):
        build.build_report(question)
    assert not trained
