"""Runs of a study are trained on a Ray cluster, and resumed where a machine was lost."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from nerf.comparing import ray_engine
from nerf.comparing.child_processes import last_line
from nerf.comparing.engines import Interrupted, Training
from nerf.comparing.ray_engine import RayEngine, train_here
from nerf.foundation.errors import UserError
from nerf.foundation.instantiate import ConfigError
from nerf.foundation.locks import exclusive
from tests.conftest import ROOT
from tests.support.children import Child
from tests.support.small_scenes import write_small_tabletop


@pytest.fixture
def cluster(monkeypatch):
    """Two machines with a processor each, made of processes of this one, and a head without."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # otherwise workers wait for other tests
    head = {"num_cpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.machines = [made.add_node(num_cpus=1, num_gpus=0) for _ in range(2)]
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


def raylet_of(machine):
    """Return the number of the process that starts a machine's workers."""
    return machine.all_processes["raylet"][0].process.pid


def ancestors(pid):
    """Return the numbers of the processes that started a process, the nearest first."""
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        found.append(pid)
    return found


@pytest.fixture
def study(tmp_path):
    """Start the command; its runs lie in `home`."""
    scene = write_small_tabletop(tmp_path / "scene", size=20)

    def start() -> Child:
        arguments = [
            "tests/support/one_stage.py:chunk=400,batch_size=64,save_every=20",
            "--sweep=config.optimizer.learning_rate=1e-3,1e-2",
            "--steps=2000",
            "--seeds=1",
            "--eval_times=2",
            "--frames=0",
            "--engine=ray",
            f"--scene={scene}",
            f"--runs={tmp_path / 'runs'}",
            f"--out={tmp_path / 'page.html'}",
            f"--json={tmp_path / 'page.json'}",
        ]
        return Child("compare.py", arguments, tmp_path / "log")

    start.home = tmp_path / "runs" / "compare"
    start.numbers = tmp_path / "page.json"
    return start


def steps_of(run):
    """Return the steps of a run whose numbers were written."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [one["step"] for one in map(json.loads, lines) if one["split"] == "train"]


@pytest.mark.whole
def test_a_run_goes_on_after_a_stop_and_on_another_machine_if_its_own_is_lost(cluster, study):
    def training():
        runs = [log.with_suffix("") for log in study.home.glob("*.log")]
        return [run for run in runs if (run / "metrics.jsonl").exists() and steps_of(run)]

    first = study()
    assert first.until(lambda: len(training()) == 2), first.said()
    first.send(signal.SIGTERM)
    assert first.code() == 143 and "run the same command again to resume" in first.said()
    lost = training()[0]
    assert all("stopped and saved" in log.read_text() for log in study.home.glob("*.log"))
    began, stopped_at = (lost / "metrics.jsonl").read_text(), steps_of(lost)[-1]
    assert stopped_at < 2000 and not list(study.home.glob("*.stop"))

    second = study()
    assert second.until(lambda: steps_of(lost)[-1] > stopped_at), second.said()
    pid = json.loads((lost / "owner.json").read_text())["pid"]
    worker, *above = ancestors(pid)
    (machine,) = [m for m in cluster.machines if raylet_of(m) in above]
    # The training, its worker and the machine end at the same time.
    os.kill(pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGSTOP)
    cluster.remove_node(machine, allow_graceful=False)
    os.kill(worker, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    assert second.code(300) == 0, second.said()
    numbers = json.loads(study.numbers.read_text())
    assert [row["failure"] for row in numbers["table"]] == [None, None]
    # The lines hold seconds, which no second training would repeat.
    assert (lost / "metrics.jsonl").read_text().startswith(began)
    assert steps_of(lost) == sorted(set(steps_of(lost)))


def test_a_machine_begins_after_the_training_that_a_lost_one_left_has_ended(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(ray_engine, "run_child", lambda *_, **__: done.append("trained") or 0)
    monkeypatch.setattr(ray_engine, "POLL_SECONDS", 0.01)
    words = [f"--workdir={tmp_path}"]
    with exclusive(tmp_path / "owner.json") as lock, ThreadPoolExecutor() as pool:
        task = pool.submit(train_here, words, "log", str(tmp_path / "stop"), os.getcwd())
        with pytest.raises(TimeoutError):
            task.result(0.2)
        done.append("left")
        lock.close()
        assert task.result(5) == 0
    assert done == ["left", "trained"]


def ray_that_answers(monkeypatch, *answers):
    """Let the machines of a cluster return these conditions, or raise them."""

    def get(task):
        if isinstance(task, Exception):
            raise task
        return task

    tasks = iter(answers)
    remote = SimpleNamespace(remote=lambda plugins: next(tasks))
    module = SimpleNamespace(
        remote=lambda _: SimpleNamespace(options=lambda **_: remote),
        wait=lambda tasks, timeout: ([] if tasks[0] == "busy" else tasks, []),
        get=get,
        exceptions=SimpleNamespace(RayError=Lost),
    )
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: module)


class Lost(Exception):
    """An error of Ray, whose text is many lines; its cause is another error."""

    cause = None


def test_machines_that_differ_do_not_answer_or_fail_are_reported(monkeypatch):
    engine = RayEngine(2, {"num_cpus": 1.0}, ("a", "b"))
    same, other = {"device": "cpu", "code": {}}, {"device": "gpu", "code": {}}
    ray_that_answers(monkeypatch, same, dict(same))
    assert engine.conditions((), lambda: False) == same
    ray_that_answers(monkeypatch, same, other)
    with pytest.raises(UserError, match="the machines differ in device"):
        engine.conditions((), lambda: False)
    ray_that_answers(monkeypatch, same, "busy")
    with pytest.raises(Interrupted):
        engine.conditions((), lambda: True)
    for cause, says in (
        (None, "machine 2 of 2: Lost: a trace: repair it"),
        (ConfigError("no device to train on: fix"), "machine 2 of 2: no device to train on: fix:"),
    ):
        error = Lost("a trace\nof many lines")
        error.cause = cause
        ray_that_answers(monkeypatch, same, error)
        with pytest.raises(UserError, match=says):
            engine.conditions((), lambda: False)


def test_a_stop_takes_back_a_run_that_no_machine_has_begun(tmp_path, monkeypatch):
    cancelled = []
    module = SimpleNamespace(
        remote=lambda _: SimpleNamespace(
            options=lambda **_: SimpleNamespace(remote=lambda *_: "task")
        ),
        wait=lambda tasks, timeout: ([], tasks),
        cancel=cancelled.append,
        exceptions=SimpleNamespace(RayError=Lost),
    )
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: module)
    engine = RayEngine(1, {"num_cpus": 1.0}, ("a",))
    with open(tmp_path / "lock", "w") as lock:
        training = Training([], tmp_path / "run.log", lambda: True, lock, lambda _: None)
        assert engine.train(training) == 143
    assert cancelled == ["task"] and not (tmp_path / "run.stop").exists()


def test_an_error_on_a_machine_ends_the_log_with_its_cause(tmp_path, monkeypatch):
    error = Lost("a trace\nof many lines")
    error.cause = FileNotFoundError("[Errno 2] No such file or directory: '/shared'")
    ray_that_answers(monkeypatch)
    ray_engine._import_ray().remote = lambda _: SimpleNamespace(
        options=lambda **_: SimpleNamespace(remote=lambda *_: error)
    )
    with open(tmp_path / "lock", "w") as lock:
        training = Training([], tmp_path / "run.log", lambda: False, lock, lambda _: None)
        assert RayEngine(1, {"num_cpus": 1.0}, ("a",)).train(training) == 1
    wanted = "FileNotFoundError: [Errno 2] No such file or directory: '/shared'"
    assert last_line((tmp_path / "run.log").read_text()) == wanted


def test_without_ray_or_a_cluster_one_line_says_what_to_do(monkeypatch):
    def refuse(**_):
        raise ConnectionError("no answer\nat all") from refusal

    refusal = None
    module = SimpleNamespace(init=refuse)
    with monkeypatch.context() as patch:
        patch.setattr(ray_engine, "_import_ray", lambda: module)
        with pytest.raises(UserError, match="no cluster: ConnectionError: no answer: start one"):
            RayEngine.connect()
        refusal = RuntimeError("other versions")
        with pytest.raises(UserError, match="no cluster: RuntimeError: other versions: start"):
            RayEngine.connect()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed: pip install 'nerf-compare\[ray\]'"):
        RayEngine.connect()


def test_runs_take_a_gpu_or_all_processors_of_a_machine(monkeypatch):
    def cluster_of(*resources):
        nodes = [
            {"NodeID": str(i), "Alive": i < 3, "Resources": one} for i, one in enumerate(resources)
        ]
        module = SimpleNamespace(init=lambda **_: None, nodes=lambda: nodes)
        monkeypatch.setattr(ray_engine, "_import_ray", lambda: module)

    cluster_of({"CPU": 4.0}, {"CPU": 4.0}, {"memory": 1.0}, {"CPU": 64.0})
    engine = RayEngine.connect()
    assert (engine.slots, engine.resources) == (2, {"num_cpus": 4.0})
    assert engine.machines == ("0", "1") and RayEngine.connect(1).slots == 1
    cluster_of({"CPU": 8.0, "GPU": 4.0}, {"CPU": 4.0})
    engine = RayEngine.connect(9)
    assert (engine.slots, engine.resources) == (4, {"num_gpus": 1.0, "num_cpus": 0.0})
    cluster_of({"memory": 1.0})
    with pytest.raises(UserError, match="no machine of the cluster"):
        RayEngine.connect()
    cluster_of({"CPU": 8.0}, {"CPU": 4.0})
    with pytest.raises(UserError, match="the machines have 4, 8 processors"):
        RayEngine.connect()


def test_trainings_get_what_decides_their_numbers_and_not_this_machines_cache(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/here")
    found = ray_engine._forwarded()
    assert found["JAX_PLATFORMS"] == "cpu" and "PYTHONPATH" in found
    assert "JAX_COMPILATION_CACHE_DIR" not in found and "HOME" not in found


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of such an end")
def test_a_training_is_stopped_when_its_worker_is_killed(tmp_path):
    worker = (
        "import os, pathlib, sys\nfrom nerf.comparing import ray_engine\n"
        "from nerf.comparing.child_processes import run_child\n"
        "from nerf.foundation.locks import exclusive\n"
        f"home = pathlib.Path({str(tmp_path)!r})\n"
        "with exclusive(home / 'lock') as lock:\n"
        "    command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "    kill = lambda: os.kill(os.getpid(), 9)\n"
        "    run_child(command, home / 'log', kill, lock, at_start=ray_engine._end_with_parent)\n"
    )
    done = subprocess.run([sys.executable, "-c", worker], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    began = time.monotonic()
    with exclusive(tmp_path / "lock"):  # the training had it too
        assert time.monotonic() - began < 30.0
