"""On this machine each run of a study gets a GPU of its own, if there are any."""

import contextlib
import os
import subprocess
import sys
import threading

import pytest

from nerf.comparing import engines
from nerf.comparing.child_processes import run_child
from nerf.comparing.engines import LocalEngine, Training, visible_gpus
from nerf.comparing.report.build import Question, check
from nerf.foundation.instantiate import ConfigError


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return a function that sets the kinds of GPUs that nvidia-smi lists."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(engines, "_has_cuda", lambda: True)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def have(kinds):
        lines = "".join(f"echo {index}, {kind}\n" for index, kind in enumerate(kinds))
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{lines}")
        program.chmod(0o755)

    return have


@pytest.mark.whole
def test_the_gpus_are_those_that_children_will_see(machine, monkeypatch):
    machine([])
    assert visible_gpus() == []
    machine(["H100 SXM", "T4", "H100 SXM"])
    assert visible_gpus() == ["0", "2"], "of one kind"
    machine(["H100 SXM"] * 3)
    assert visible_gpus() == ["0", "1", "2"]
    for chosen, names in {"1": ["1"], "2,0": ["2", "0"], "": [], "-1": [], "0,-1,1": ["0"]}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert visible_gpus() == names, chosen
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for platforms, count in {"cpu": 0, "cuda,cpu": 3, "gpu": 3, "tpu": 0}.items():
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
        assert len(visible_gpus()) == count, platforms
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(engines, "_has_cuda", lambda: False)
    assert visible_gpus() == [], "JAX for CPUs alone trains on none of them"


@pytest.mark.whole
def test_a_machine_without_nvidias_program_has_no_gpus(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []


@pytest.mark.parametrize(
    "jobs, gpus, slots, sharing",
    [(None, [], 1, 1), (2, [], 2, 2), (None, ["3", "5"], 2, 1), (1, ["3", "5"], 1, 1)]
    + [(3, ["3", "5"], 3, 2)],
)
def test_as_many_runs_share_a_gpu_as_must(jobs, gpus, slots, sharing):
    engine = LocalEngine(jobs, gpus)
    assert (engine.slots, engine.sharing) == (slots, sharing)


def test_runs_at_the_same_time_have_different_gpus(monkeypatch, tmp_path):
    for name in ("PREALLOCATE", "MEM_FRACTION"):
        monkeypatch.delenv(f"XLA_PYTHON_CLIENT_{name}", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    together, seen = threading.Barrier(2, timeout=20), []

    def child(command, log, should_stop, lock, on_progress, variables):
        together.wait()  # both run now
        seen.append(variables["CUDA_VISIBLE_DEVICES"])
        assert variables["JAX_PLATFORMS"] == "cuda,cpu", "no GPU is an error"
        assert variables["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
        assert variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.75"
        together.wait()
        return 0

    monkeypatch.setattr(engines, "run_child", child)
    engine = LocalEngine(None, ["3", "5"])

    def twice():
        for _ in range(2):
            log = tmp_path / "log"
            with log.open("w") as lock:
                engine.train(Training([], log, lambda: False, lock, print))

    threads = [threading.Thread(target=twice, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [sorted(pair) for pair in (seen[:2], seen[2:])] == [["3", "5"]] * 2


@pytest.mark.whole
def test_what_runs_are_made_with_is_asked_with_the_device_of_a_run(monkeypatch):
    asked = []
    monkeypatch.setattr(engines, "environment_of_children", lambda v: asked.append(v) or {})
    engine = LocalEngine(4, ["3", "5"])
    for _ in range(2):
        engine.conditions((), lambda: False)
    assert [v["CUDA_VISIBLE_DEVICES"] for v in asked] == ["3", "3"], "it is given back"
    assert asked[0]["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.38", "two runs share it"


def test_a_run_gets_the_gpu_that_fewest_use():
    engine = LocalEngine(3, ["3", "5"])
    with contextlib.ExitStack() as first, contextlib.ExitStack() as rest:
        devices = [rest.enter_context(engine._device()), first.enter_context(engine._device())]
        assert [d["CUDA_VISIBLE_DEVICES"] for d in devices] == ["3", "5"]
        first.close()
        assert rest.enter_context(engine._device())["CUDA_VISIBLE_DEVICES"] == "5"


@pytest.mark.whole
def test_the_command_itself_takes_no_device():
    code = (
        "import sys, jax, nerf.comparing.report.build as build\n"
        "build.build_report = lambda *given: sys.exit('on ' + jax.config.jax_platforms)\n"
        "sys.argv = ['nerf', 'compare', 'a', 'b', '--scene=s', '--out=x.html']\n"
        "from nerf.cli.main import main; main()"
    )
    environment = {**os.environ, "JAX_PLATFORMS": "cuda,cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "on cpu"


@pytest.mark.whole
def test_a_child_has_the_variables_that_it_is_given(tmp_path):
    three = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    assert engines.environment_of_children(three)["device"].startswith("3 x ")
    code = "import os; print(os.environ['GIVEN'])"
    log = tmp_path / "log"
    run_child([sys.executable, "-c", code], log, lambda: False, variables={"GIVEN": "yes"})
    assert log.read_text() == "yes\n"


@pytest.mark.whole
def test_budgets_in_seconds_need_a_gpu_for_each_run(machine, tmp_path):
    def ask(**options):
        page = tmp_path / "x.html"
        check(Question(["a", "b"], "", page, scenes=("s",), budget="2s", **options))

    machine(["A", "A"])
    ask(jobs=2)
    with pytest.raises(ConfigError, match="--jobs=3: .* slow each other down: .* --jobs=2$"):
        ask(jobs=3)
    machine([])
    with pytest.raises(ConfigError, match="--jobs=2: .*--jobs=1$"):
        ask(jobs=2)
