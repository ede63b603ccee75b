"""Runs are found again exactly or trained.

Locks end with their processes; a stop and a failure lose nothing.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from nerf.comparing import engines, reusable_runs, run_store, study_scenes
from nerf.comparing.child_processes import run_child
from nerf.comparing.engines import Interrupted, LocalEngine
from nerf.comparing.run_store import RunStore, _waiting, find_or_train
from nerf.comparing.studies import Method, wanted_runs
from nerf.foundation.locks import exclusive
from nerf.runs.provenance import devices_of
from tests.conftest import ROOT
from tests.support.made_up_runs import CODE, HERE, make_run

STEPS = 60


@pytest.fixture
def factory(monkeypatch):
    """`train.py` replaced by one that makes up its run at once.

    `made` counts, `fails` names seeds that fail.
    """

    class Factory:
        made, fails, code = [], set(), dict(CODE)

    def child(command, log, should_stop, lock, on_progress, variables):
        flags = dict(word.split("=", 1) for word in command if word.startswith("--"))
        seed = int(flags["--config.seed"])
        log.write_text("some output\nconfig: a reason\n")
        if seed in Factory.fails:
            return 1
        run = next(r for r in Factory.wanted if all(f in command for f in r.flags()))
        from pathlib import Path

        digest = Factory.digest(run)
        folder = Path(flags["--workdir"])
        make_run(
            folder,
            run.settled(*devices_of(HERE)).config,
            [20.0, 21.0],
            max_seconds=run.max_seconds,
            pictures=False,
            code=Factory.code,
        )
        results = json.loads((folder / "results.json").read_text())
        results["protocol"]["scene_digest"] = digest
        (folder / "results.json").write_text(json.dumps(results))
        Factory.made.append(seed)
        return 0

    def digest(run):
        train, test = study_scenes.load_scenes(run.config, None)
        return {"train": train.digest(), "test": test.digest()}

    Factory.made, Factory.fails, Factory.code, Factory.digest = (
        [],
        set(),
        dict(CODE),
        staticmethod(digest),
    )
    monkeypatch.setattr(engines, "run_child", child)
    monkeypatch.setattr(engines, "environment_of_children", lambda variables: HERE)
    monkeypatch.setattr(engines, "processor", lambda: HERE["processor"])
    monkeypatch.setattr(engines, "source_digests", lambda plugins: Factory.code)
    return Factory


def ask(factory, tmp_path, overrides=(), seeds=(0, 1), budget=None, **workshop):
    entries = [
        Method(
            "tiny", "configs/tiny.py", ("scene.name=nerf.scenes.synthetic:load", *overrides), seeds
        )
    ]
    factory.wanted = wanted_runs(entries, budget, None if budget else STEPS, 2, None)
    return find_or_train(
        factory.wanted, RunStore(None, tmp_path, say=lambda line: None, **workshop)
    )


def test_the_same_question_again_trains_nothing(factory, tmp_path):
    first = ask(factory, tmp_path)
    again = ask(factory, tmp_path)
    assert factory.made == [0, 1]
    assert [o.folder.resolve() for o in again] == [o.folder.resolve() for o in first]
    assert all(o.note.startswith("reused") and o.result for o in again)


def test_another_config_seed_budget_or_code_trains_anew_and_says_why(factory, tmp_path):
    ask(factory, tmp_path, seeds=(0,))
    ask(factory, tmp_path, seeds=(1,))
    ask(factory, tmp_path, seeds=(0,), overrides=("batch_size=64",))
    ask(factory, tmp_path, seeds=(0,), budget=5.0)
    assert factory.made == [0, 1, 0, 0]
    factory.code = {**CODE, "nerf/sampling/stratified.py": "changed"}
    (outcome,) = ask(factory, tmp_path, seeds=(0,))
    assert factory.made == [0, 1, 0, 0, 0] and outcome.folder.name.endswith("-2")
    assert "trained again" in outcome.note and "nerf/sampling/stratified.py" in outcome.note
    factory.code = dict(CODE)
    (outcome,) = ask(factory, tmp_path, seeds=(0,))
    assert len(factory.made) == 5 and outcome.note.startswith("reused"), (
        "the old code's run is still there"
    )


def test_what_changes_no_number_is_reused_and_fresh_reuses_nothing(factory, tmp_path):
    ask(factory, tmp_path, seeds=(0,))
    ask(factory, tmp_path, seeds=(0,), overrides=("keep=7",))
    assert factory.made == [0]
    (outcome,) = ask(factory, tmp_path, seeds=(0,), fresh=True)
    assert factory.made == [0, 0] and outcome.folder.name.endswith("-2")


def test_a_failed_run_is_an_outcome_that_says_why_and_the_rest_goes_on(factory, tmp_path):
    factory.fails = {0}
    failed, fine = ask(factory, tmp_path)
    assert failed.result is None and failed.failure == "exit code 1: config: a reason"
    assert fine.result is not None
    factory.fails = set()
    assert all(o.result for o in ask(factory, tmp_path)), "asked again, it is tried again"
    assert factory.made == [1, 0]


def test_several_at_a_time_give_each_its_own(factory, tmp_path):
    outcomes = ask(factory, tmp_path, seeds=tuple(range(6)), engine=LocalEngine(3))
    assert [o.seed for o in outcomes] == list(range(6)) == sorted(factory.made)
    assert [o.result.config["seed"] for o in outcomes] == list(range(6))


def test_a_stop_is_an_interruption_and_what_is_done_stays(factory, tmp_path):
    with pytest.raises(Interrupted, match="run the same command again"):
        ask(factory, tmp_path, should_stop=lambda: len(factory.made) >= 1)
    assert factory.made == [0]
    ask(factory, tmp_path)
    assert factory.made == [0, 1]


def test_an_unfinished_folder_is_gone_on_with_unless_its_code_is_another(factory, tmp_path):
    (outcome,) = ask(factory, tmp_path, seeds=(0,))
    unfinished = outcome.folder / "results.json"
    record = json.loads((outcome.folder / "scene.json").read_text())
    record["digest"] = outcome.result.results["protocol"]["scene_digest"]
    (outcome.folder / "scene.json").write_text(json.dumps(record))
    unfinished.rename(tmp_path / "kept.json")
    now = {**HERE, "code": dict(CODE), "scene_digest": record["digest"]}
    wanted = factory.wanted[0].settled(*devices_of(HERE))
    assert reusable_runs.why_unusable(outcome.folder, wanted, now) is None
    other = {**now, "code": {**CODE, "nerf/rendering/model.py": "other"}}
    assert "code changed" in reusable_runs.why_unusable(outcome.folder, wanted, other)
    moved = {**now, "scene_digest": {}}
    assert "another scene" in reusable_runs.why_unusable(outcome.folder, wanted, moved)


def test_a_lock_lasts_as_long_as_any_process_that_holds_it(tmp_path):
    """The child of a study that was killed still holds its run."""
    (tmp_path / "child.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    log = tmp_path / "log"
    parent = (
        "import pathlib, sys\nfrom nerf.comparing.child_processes import run_child\n"
        "from nerf.foundation.locks import exclusive\n"
        f"with exclusive(pathlib.Path({str(tmp_path / 'lock')!r})) as lock:\n"
        f"    run_child([sys.executable, {str(tmp_path / 'child.py')!r}], "
        f"pathlib.Path({str(log)!r}), lambda: False, lock)"
    )
    study = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT)
    while not (log.exists() and log.read_text().endswith("\n")):
        assert study.poll() is None
        time.sleep(0.05)
    grandchild = int(log.read_text())
    study.send_signal(signal.SIGKILL)
    study.wait()
    gave_up = threading.Event()
    shop = RunStore(None, tmp_path, should_stop=gave_up.is_set, say=lambda line: None)
    threading.Timer(0.3, gave_up.set).start()
    waited = []
    busy = _waiting(lambda: waited.append(1), shop)
    with pytest.raises(Interrupted), exclusive(tmp_path / "lock", busy):
        pass
    assert waited == [1]
    os.kill(grandchild, signal.SIGKILL)
    gave_up.clear()
    with exclusive(tmp_path / "lock", busy):
        assert waited == [1]


def test_a_stop_reaches_a_child_once_and_its_words_are_kept(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(143)))\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    log = tmp_path / "log"

    def ready():
        return log.exists() and "ready" in log.read_text()

    began = time.monotonic()
    assert run_child([sys.executable, str(script)], log, ready) == 143
    assert log.read_text() == "ready\nsaved\n" and time.monotonic() - began < 50


def test_the_progress_of_a_child_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setattr("nerf.comparing.child_processes.LINE_EVERY", 0.1)
    script = tmp_path / "child.py"
    script.write_text(
        "import time\nprint('scene: 3 training views', flush=True)\ntime.sleep(1.0)\n"
        "print('train 45%, step 90, 9 s left', flush=True)\n"
        "print('a note', flush=True)\ntime.sleep(1.5)\n"
    )
    told = []
    assert (
        run_child(
            [sys.executable, str(script)], tmp_path / "log", lambda: False, on_progress=told.append
        )
        == 0
    )
    assert (
        told[0] == "starting" and told[-1] == "train 45%, step 90, 9 s left" and len(set(told)) == 2
    )


def test_a_study_says_how_long_it_will_take_and_what_is_left(factory, tmp_path, monkeypatch):
    said = []
    workshop = RunStore(None, tmp_path, say=said.append)

    def ask_aloud(seeds, budget):
        said.clear()
        name = "scene.name=nerf.scenes.synthetic:load"
        entries = [Method("tiny", "configs/tiny.py", (name,), seeds)]
        factory.wanted = wanted_runs(entries, budget, None if budget else STEPS, 2, None)
        return find_or_train(factory.wanted, workshop)

    ask_aloud((0, 1, 2), 100.0)
    assert said[0].startswith("3 runs to train: about 7 min, if ") and "the first run" in said[0]
    assert (
        said[-1].startswith("tiny, seed 2 (3 of 3): 20.50 dB after 10 s of training")
        and "left" not in said[-1]
    )
    assert re.search(r"; study: about \d s left$", said[2]), "the first run has told"
    ask_aloud((0, 1, 2), 100.0)
    assert len(said) == 3 and all("reused" in line for line in said), "nothing is to be trained"
    ask_aloud((3, 4), 100.0)
    assert re.match(r"2 runs to train: about \d s, as earlier runs of these configs took$", said[0])
    ask_aloud((0,), None)
    assert said[0] == "1 run to train: the time is estimated once the first run has ended"
    workshop = dataclasses.replace(workshop, frames=6000)
    ask_aloud((0, 5), 100.0)
    assert said[0].startswith("1 run to train: about 10 min"), "6000 frames of 0.1 s"
    monkeypatch.setattr(run_store, "is_image_task", lambda config: True)
    ask_aloud((6,), 100.0)
    assert re.match(r"1 run to train: about \d s,", said[0]), "images get no fly-through"


def test_the_children_tell_their_device_and_versions():
    found = engines.environment_of_children()
    assert (
        found["versions"]["python"] == ".".join(map(str, sys.version_info[:3])) and found["device"]
    )
