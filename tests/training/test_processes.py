"""Several processes train as one, decide alike, and end together.

They are real ones on loopback, with a device each.
"""

import json
import os
import signal
import socket
import time
from functools import partial

import jax
import numpy as np
import pytest

from nerf.foundation.devices import data_mesh
from nerf.training.processes import (
    ProcessError,
    any_process,
    assert_equal,
    broadcast_from_first,
    initialize,
    replicate,
    unreplicate,
)
from tests.conftest import compile_quickly
from tests.support.children import Child, fork
from tests.test_reliability import assert_same_run, newest, temporary_files

HEARTBEAT = 10
STEPS = 200
CONFIG = """
from tests.support import one_stage

def get_config():
    config = one_stage.get_config()
    config.scene = {"name": "nerf.scenes.synthetic:load", "size": 24, "views": 6}
    config.update({"steps": 200, "batch_size": 64, "save_every": 20, "log_every": 10, "chunk": 576})
    return config
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Flags of a run of 200 steps, of one stage, that saves after every twentieth."""
    file = tmp_path_factory.mktemp("config") / "config.py"
    file.write_text(CONFIG)
    return [f"--config={file}"]


class Pair:
    """Two processes that train together."""

    def __init__(self, folder, arguments, setups=(None, None), own=((), ())):
        self.folder = folder
        self.before = self.logged()
        together = [
            f"--coordinator=127.0.0.1:{free_port()}",
            "--processes=2",
            f"--heartbeat={HEARTBEAT}",
        ]
        flags = [*arguments, *together, f"--workdir={folder}"]
        self.children = [
            Child(
                "train.py",
                [*flags, f"--process={i}", *own[i]],
                folder.with_suffix(f".log{i}"),
                partial(alike, setup),
            )
            for i, setup in enumerate(setups)
        ]

    def until_logged(self, step):
        """Wait until the first process has logged the step, which one before it may have too."""
        line = f'"step": {step},'
        assert self.children[0].until(
            lambda: line in self.logged() and self.logged() != self.before
        ), self.said()

    def logged(self):
        file = self.folder / "metrics.jsonl"
        return file.read_text() if file.exists() else ""

    def codes(self):
        return [child.code() for child in self.children]

    def said(self):
        return "\n".join(child.said() for child in self.children)


def alike(setup=None) -> None:
    """As many threads in a process of one device as of two: they split products of matrices.

    Both compile quickly, since they train on a few pixels.
    """
    os.environ["NPROC"] = "2"
    compile_quickly()
    if setup is not None:
        setup()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The run of two processes that nobody disturbed."""
    pair = Pair(tmp_path_factory.mktemp("pair") / "whole", config)
    assert pair.codes() == [0, 0], pair.said()
    return pair.folder


def two_devices() -> None:
    """A process alone with as many devices."""
    jax.config.update("jax_num_cpu_devices", 2)


def test_two_processes_end_with_the_bits_of_one_that_has_as_many_devices(config, whole, tmp_path):
    child = Child(
        "train.py",
        [*config, f"--workdir={tmp_path / 'one'}"],
        tmp_path / "log",
        partial(alike, two_devices),
    )
    assert child.code() == 0, child.said()
    assert_same_run(tmp_path / "one", whole)
    results = json.loads((whole / "results.json").read_text())
    assert results["device"].startswith("2 x ")


HARM = {
    "kill the second": (signal.SIGKILL, [1]),
    "tell the second to stop": (signal.SIGTERM, [1]),
    "kill the first": (signal.SIGKILL, [0]),
    "tell both to stop": (signal.SIGTERM, [0, 1]),
}


HARMS = [["kill the second", "tell the second to stop"], ["kill the first", "tell both to stop"]]


@pytest.mark.slow
@pytest.mark.parametrize("harms", HARMS, ids=" and ".join)
def test_whatever_happens_to_either_the_same_commands_end_with_the_same_bits(
    config, whole, tmp_path, harms
):
    folder = tmp_path / "run"
    for what in harms:
        number, told = HARM[what]
        before = newest(folder)
        pair = Pair(folder, config)
        pair.until_logged(before + 10)
        for i in told:
            pair.children[i].send(number)
        codes = pair.codes()
        if number == signal.SIGTERM:
            assert codes == [143, 143], (what, pair.said())
            assert before < newest(folder) < STEPS and "stopped and saved" in pair.said(), what
        else:
            assert codes[told[0]] == -number and codes[1 - told[0]] != 0, (what, pair.said())
            assert before <= newest(folder) < STEPS, what
    again = Pair(folder, config)
    assert again.codes() == [0, 0], again.said()
    assert_same_run(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_process_that_answers_no_more_ends_the_other(config, whole, tmp_path, stopped):
    pair = Pair(tmp_path / "run", config)
    pair.until_logged(20)
    pair.children[stopped].send(signal.SIGSTOP)
    assert pair.children[1 - stopped].code(timeout=HEARTBEAT + 10) != 0
    pair.children[stopped].send(signal.SIGKILL)
    pair.children[stopped].code()
    again = Pair(tmp_path / "run", config)
    assert again.codes() == [0, 0], again.said()
    assert_same_run(tmp_path / "run", whole)


def slow_evaluation() -> None:
    """Evaluation that takes longer than the heartbeat."""
    import nerf.training.recorder

    evaluate = nerf.training.recorder.evaluate

    def slow(*arguments):
        time.sleep(HEARTBEAT + 10)
        return evaluate(*arguments)

    nerf.training.recorder.evaluate = slow


@pytest.mark.slow
def test_a_process_that_is_merely_slow_is_waited_for(config, whole, tmp_path):
    pair = Pair(tmp_path / "run", config, (slow_evaluation, None))
    assert pair.codes() == [0, 0], pair.said()
    assert_same_run(tmp_path / "run", whole)


def full_disk() -> None:
    """No checkpoint can be written."""
    import nerf.runs.checkpoints

    def fail(path, *_):
        raise OSError(28, "No space left on device", str(path))

    nerf.runs.checkpoints.write_tensors = fail


@pytest.mark.slow
def test_where_the_first_fails_the_other_does_not_wait_for_it(config, tmp_path):
    pair = Pair(tmp_path / "run", config, (full_disk, None))
    first, second = pair.codes()
    assert first == 1 and second != 0
    assert "No space left on device" in pair.children[0].said() and "Traceback" not in pair.said()
    assert temporary_files(tmp_path) == []


def other_code() -> None:
    """A process with another version of the project."""
    import nerf.training.loop

    nerf.training.loop.source_digests = lambda *_: {"nerf/rendering/model.py": "0"}


def other_scene() -> None:
    """A process that finds other pictures in the same place."""
    import nerf.scenes.synthetic

    nerf.scenes.synthetic.COLOURS = 0.5 * nerf.scenes.synthetic.COLOURS


DIFFERENT = {
    "config": (None, ["--config.seed=1"]),
    "scene": (other_scene, []),
    "code": (other_code, []),
}
OFTEN = [
    pytest.param("config", marks=pytest.mark.slow),
    pytest.param("scene", marks=pytest.mark.slow),
    "code",
]


@pytest.mark.parametrize("what", OFTEN)
def test_processes_that_differ_are_refused_before_anything_is_written(config, tmp_path, what):
    setup, flags = DIFFERENT[what]
    pair = Pair(tmp_path / "run", config, (None, setup), ([], flags))
    first, second = pair.codes()
    assert first == 1 and second != 0
    assert f"process 1: another {what} than the first process" in pair.children[0].said(), (
        pair.said()
    )
    assert not (tmp_path / "run" / "config.json").exists()


def test_three_flags_belong_together(tmp_path):
    child = Child(
        "train.py", ["--coordinator=127.0.0.1:1", f"--workdir={tmp_path / 'run'}"], tmp_path / "log"
    )
    assert child.code() == 1
    assert child.said() == "--coordinator: needs --processes and --process: give all three\n"


def impatient() -> None:
    """Waits for the others for seconds, not minutes."""
    jax.distributed.initialize = partial(jax.distributed.initialize, initialization_timeout=3)


@pytest.mark.parametrize("process", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_waits_for_the_others_in_vain_ends(tmp_path, process):
    flags = [f"--coordinator=127.0.0.1:{free_port()}", "--processes=2", f"--process={process}"]
    child = Child(
        "train.py", [*flags, f"--workdir={tmp_path / 'run'}"], tmp_path / "log", impatient
    )
    assert child.code() not in (0, None)
    assert not (tmp_path / "run").exists()


# ---- what all hold alike

ODD = {
    "float": np.array([-0.0, np.nan, 1e-42, np.inf, 1 / 3], np.float32),
    "mask": np.array([[True], [False]]),
    "count": np.int32(7),
    "empty": np.zeros((0, 3), np.uint8),
    "seconds": 1 / 3,
    "step": 2**40,
}


def agree(process: int, port: int, folder) -> None:
    """What one of two processes finds; the second begins with other numbers."""
    with initialize(f"127.0.0.1:{port}", 2, process, HEARTBEAT):
        mine = (
            ODD
            if process == 0
            else jax.tree.map(
                lambda x: type(x)(0) if isinstance(x, int | float) else np.zeros_like(x), ODD
            )
        )
        got = broadcast_from_first(mine)
        found = {name: [str(type(x)), np.asarray(x).tobytes().hex()] for name, x in got.items()}
        found["any_process"] = [any_process(process == 1), any_process(False)]
        own = unreplicate(replicate({"a": np.arange(3.0)}, data_mesh(jax.devices())))
        found["own"] = [own["a"].tolist(), len(own["a"].sharding.device_set)]
        assert_equal(fact=lambda: 1)
        try:
            assert_equal(fact=lambda: 1, number=lambda: process)
        except ProcessError as error:
            found["refused"] = str(error)
        (folder / f"{process}.json").write_text(json.dumps(found))


def test_numbers_of_the_first_arrive_bit_for_bit_and_decisions_are_shared(tmp_path):
    port = free_port()
    both = [fork(agree, process, port, tmp_path) for process in range(2)]
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    first, second = (json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2))
    assert first == second
    for name, value in ODD.items():
        kind = type(value) if isinstance(value, int | float) else np.ndarray
        assert first[name] == [str(kind), np.asarray(value).tobytes().hex()], name
    assert first["any_process"] == [True, False] and first["own"] == [[0.0, 1.0, 2.0], 1]
    assert (
        first["refused"] == "process 1: another number than the first process:"
        " give all the same flags, scene and code"
    )


def test_a_process_alone_asks_nobody():
    assert broadcast_from_first(ODD) is ODD and any_process(True) and not any_process(False)
    assert_equal(fact=lambda: pytest.fail("asked"))


# ---- rendering


@pytest.mark.slow
def test_processes_that_share_a_film_render_each_frame_once(whole, tmp_path):
    """In turn: the one that comes last makes the video, and others do what a lost one leaves."""
    arguments = [f"--run={whole}", "--frames=5", "--width=32", "--depth"]
    alone = Child("render.py", [*arguments, f"--out={tmp_path / 'alone.mp4'}"], tmp_path / "log")
    assert alone.code() == 0, alone.said()
    shared = [*arguments, f"--out={tmp_path / 'shared.mp4'}", "--processes=2"]
    folder = tmp_path / "shared_frames"
    for process, made in ((1, [1, 3]), (0, [0, 1, 2, 3, 4])):
        assert not (tmp_path / "shared.mp4").exists()
        child = Child("render.py", [*shared, f"--process={process}"], tmp_path / "log")
        assert child.code() == 0, child.said()
        assert sorted(folder.glob("rgb_*.png")) == [folder / f"rgb_{i:05d}.png" for i in made]
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "alone_frames" / file.name).read_bytes()
    assert (tmp_path / "shared.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()
