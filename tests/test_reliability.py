"""Work is never lost: the real programs, killed, stopped, doubled and starved.

What holds is in docs/reliability.md.

Times are waited for, never asserted.
"""

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import imageio_ffmpeg
import pytest

from nerf.runs.checkpoints import Checkpoints
from nerf.runs.lock import run_lock
from tests.conftest import ROOT
from tests.support.children import Child, slow_disk

CONFIG = """
from tests.support import one_stage

def get_config():
    config = one_stage.get_config()
    config.scene = {"name": "nerf.scenes.synthetic:load", "size": 24, "views": 6}
    config.update({"steps": 300, "batch_size": 64, "save_every": 10, "log_every": 10, "chunk": 576})
    return config
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Flags of a run of 300 steps that saves after every tenth."""
    file = tmp_path_factory.mktemp("config") / "config.py"
    file.write_text(CONFIG)
    return [f"--config={file}"]


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    child = Child("train.py", [*config, f"--workdir={folder}"], folder.with_suffix(".log"))
    assert child.code() == 0, child.said()
    return folder


def state_of(folder):
    return Checkpoints(folder / "checkpoints", read_only=True).read()[0]


def newest(folder):
    return max(Checkpoints(folder / "checkpoints", read_only=True).steps(), default=0)


def temporary_files(folder):
    return [file.name for file in folder.rglob(".*.tmp*")]


def assert_same_run(folder, whole):
    a, b = state_of(folder), state_of(whole)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name
    results = [json.loads((place / "results.json").read_text()) for place in (folder, whole)]
    assert (
        results[0]["per_image"] == results[1]["per_image"]
        and results[0]["steps"] == results[1]["steps"]
    )
    steps = [
        json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [
        json.loads(line)["step"] for line in (whole / "metrics.jsonl").read_text().splitlines()
    ]
    assert temporary_files(folder) == []


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_instants_ends_as_if_it_never_was(config, whole, tmp_path, kills):
    moments = random.Random(kills)
    folder, best = tmp_path / "run", 0
    arguments = [*config, f"--workdir={folder}"]
    for _ in range(kills):
        child = Child("train.py", arguments, tmp_path / "log", slow_disk)
        child.until(lambda: newest(folder) > best)  # noqa: B023
        child.process.join(moments.uniform(0.0, 0.12))  # a save takes half of that
        child.send(signal.SIGKILL)
        assert child.code() == -signal.SIGKILL, "killed too late: raise config.steps"
        state_of(folder)
        assert newest(folder) > best, "what was saved stays"
        best = newest(folder)
    child = Child("train.py", arguments, tmp_path / "log")
    assert child.code() == 0, child.said()
    assert "damaged" not in child.said()
    assert_same_run(folder, whole)


@pytest.mark.parametrize(
    "number, code",
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_signal_in_training_saves_and_the_same_command_goes_on(
    config, whole, tmp_path, number, code
):
    folder = tmp_path / "run"
    arguments = [*config, "--config.save_every=300", f"--workdir={folder}"]
    child = Child("train.py", arguments, tmp_path / "log")
    child.until(
        lambda: (
            (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > 0
        )
    )
    child.send(number)
    assert child.code() == code, child.said()
    assert "stopped and saved: run the same command again" in child.said()
    assert 0 < newest(folder) < 300
    child = Child("train.py", arguments, tmp_path / "log")
    assert child.code() == 0, child.said()
    assert_same_run(folder, whole)


def test_every_flip_in_the_newest_step_is_named_and_the_step_before_leads_to_the_same_end(
    config, whole, tmp_path, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    reader = Checkpoints(folder / "checkpoints", read_only=True)
    before, last = reader.steps()
    file, flips = reader.file(last), random.Random(0)
    data = file.read_bytes()
    for part in range(20):
        damaged = bytearray(data)
        damaged[flips.randrange(part * len(data) // 20, (part + 1) * len(data) // 20)] ^= (
            1 << flips.randrange(8)
        )
        file.write_bytes(damaged)
        assert reader.read()[1]["step"] == before
        told = capsys.readouterr().err
        assert (
            told.startswith(f"{file}: ")
            and told.endswith(f"step {before} is used instead\n")
            and "damaged" in told
        )
    (folder / "results.json").unlink()
    child = Child("train.py", [*config, f"--workdir={folder}"], tmp_path / "log")
    assert child.code() == 0 and "is used instead" in child.said(), child.said()
    assert_same_run(folder, whole)
    assert (folder / "checkpoints" / f"{last}.damaged").read_bytes() == bytes(damaged)


def busy_compiler() -> None:
    """Compiling that takes a minute and does not listen, as C++ does not."""
    import jax

    def compile(*_, **__):
        import ctypes
        import sys

        print("compiling", file=sys.stderr)
        ctypes.CDLL(None).sleep(20)
        ctypes.CDLL(None).sleep(20)  # the first is cut short by the signal

    jax.stages.Lowered.compile = compile  # type: ignore[method-assign]


SWALLOWED = """
import signal, time
from nerf.cli.commands import stop_on_signal
class Last:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
with stop_on_signal():
    Last()
    time.sleep(30)
"""


def test_a_signal_ends_it_quietly_where_python_ignores_exceptions():
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], cwd=ROOT, capture_output=True, text=True, timeout=25
    )
    assert (done.returncode, done.stderr) == (143, "")


@pytest.mark.parametrize(
    "says, setup, scene",
    [
        ("scene: ", None, []),
        ("compiling", busy_compiler, []),
        ("loading", None, ["tests.support.plugins:endless_scene"]),
    ],
    ids=["preparing", "compiling", "loading"],
)
def test_a_signal_before_training_ends_at_once(config, tmp_path, says, setup, scene):
    folder = tmp_path / "run"
    arguments = [
        *config,
        f"--workdir={folder}",
        "--plugin=tests",
        *(f"--config.scene.name={name}" for name in scene),
    ]
    child = Child("train.py", arguments, tmp_path / "log", setup)
    assert child.until(lambda: says in child.said())
    child.send(signal.SIGTERM)
    assert child.code(timeout=30) == 143, child.said()
    assert "Traceback" not in child.said()
    assert temporary_files(folder) == []


def test_a_second_signal_ends_at_once(config, tmp_path):
    folder = tmp_path / "run"
    child = Child("train.py", [*config, f"--workdir={folder}"], tmp_path / "log", endless_step)
    child.until(lambda: "stepping" in child.said())
    child.send(signal.SIGTERM)
    child.process.join(0.5)
    assert child.process.is_alive(), "it finishes its step"
    child.send(signal.SIGTERM)
    assert child.code(timeout=30) == -signal.SIGTERM


def endless_step() -> None:
    """A step that takes for ever."""
    import sys
    import time

    import nerf.training.session

    def device_get(_):
        print("stepping", file=sys.stderr)
        while True:
            time.sleep(0.1)

    nerf.training.session.jax.device_get = device_get  # type: ignore[assignment]


def test_a_stopped_render_keeps_its_frames_and_a_killed_one_leaves_nothing_torn(whole, tmp_path):
    out = tmp_path / "orbit.mp4"
    arguments = [f"--run={whole}", "--path=orbit", f"--out={out}", "--frames=12", "--width=64"]
    folder = tmp_path / "orbit_frames"
    codes = {}
    made: dict = {}
    for number in (signal.SIGTERM, signal.SIGKILL):
        child = Child("render.py", arguments, tmp_path / "log", slow_disk)
        count = len(made) + 2
        child.until(lambda: len(list(folder.glob("rgb_*.png"))) >= count)  # noqa: B023
        child.send(number)
        codes[number] = child.code()
        assert not out.exists()
        assert all(file.stat().st_mtime_ns == time for file, time in made.items()), (
            "finished frames are kept"
        )
        made = {file: file.stat().st_mtime_ns for file in folder.glob("rgb_*.png")}
    assert codes == {signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
    child = Child("render.py", arguments, tmp_path / "log")
    assert child.code() == 0, child.said()
    assert all(file.stat().st_mtime_ns == time for file, time in made.items())
    assert out.exists() and len(list(folder.glob("rgb_*.png"))) == 12
    assert temporary_files(tmp_path) == []


def encoder(program) -> None:
    """Another program in the place of ffmpeg."""
    os.environ["IMAGEIO_FFMPEG_EXE"] = str(program)


def test_a_missing_encoder_is_told_before_anything_is_rendered(whole, tmp_path):
    arguments = [f"--run={whole}", f"--out={tmp_path / 'orbit.mp4'}", "--frames=3"]
    child = Child("render.py", arguments, tmp_path / "log", partial(encoder, tmp_path / "none"))
    assert child.code() == 1
    assert child.said().count("\n") == 1 and "pip install imageio-ffmpeg" in child.said(), (
        child.said()
    )
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_frames_survive_an_encoder_that_fails_late_with_the_line_that_makes_the_video(
    whole, tmp_path
):
    real, fake, out = imageio_ffmpeg.get_ffmpeg_exe(), tmp_path / "fake", tmp_path / "my orbit.mp4"
    fake.write_text(
        f"#!/bin/sh\n[ -e '{fake}.used' ] && exit 3\n: > '{fake}.used'\nexec '{real}' \"$@\"\n"
    )
    fake.chmod(0o755)
    arguments = [f"--run={whole}", f"--out={out}", "--frames=4", "--width=32"]
    child = Child("render.py", arguments, tmp_path / "log", partial(encoder, fake))
    assert child.code() == 1 and not out.exists()
    lines = child.said().splitlines()
    assert "Traceback" not in child.said() and temporary_files(tmp_path) == []
    made = {
        file: file.stat().st_mtime_ns for file in (tmp_path / "my orbit_frames").glob("rgb_*.png")
    }
    assert len(made) == 4
    by_hand = shlex.split(lines[-1].partition("encode them by hand: ")[2])
    subprocess.run([real, *by_hand[1:]], check=True, capture_output=True)
    assert out.stat().st_size > 0
    child = Child("render.py", arguments, tmp_path / "log")
    assert child.code() == 0, child.said()
    assert all(file.stat().st_mtime_ns == time for file, time in made.items()), (
        "finished frames are kept"
    )


@pytest.mark.slow
def test_a_full_disk_stops_a_render_with_one_line_and_its_frames_stay(whole, small_disk):
    place, limit = small_disk
    if limit is not None:
        pytest.skip("needs a disk of its own")
    arguments = [
        f"--run={whole}",
        f"--out={place / 'orbit.mp4'}",
        "--frames=12",
        "--width=64",
        "--raw_depth",
    ]
    folder, log = place / "orbit_frames", place.parent / "log"
    child = Child("render.py", arguments, log)
    child.until(lambda: len(list(folder.glob("rgb_*.png"))) >= 2)
    fill(place)
    assert child.code() == 1
    assert "cannot be written" in child.said() and " MB free): make room" in child.said(), (
        child.said()
    )
    assert "Traceback" not in child.said() and temporary_files(place) == []
    made = {file: file.stat().st_mtime_ns for file in folder.glob("rgb_*.png")}
    assert 2 <= len(made) < 12
    (place / "filler").unlink()
    child = Child("render.py", arguments, log)
    assert child.code() == 0, child.said()
    assert all(file.stat().st_mtime_ns == time for file, time in made.items())


# ---- one owner


def test_a_second_process_is_told_who_has_the_run_before_it_imports_anything_heavy(tmp_path):
    holder = Child("train.py", [f"--workdir={tmp_path}"], tmp_path / "log", hold)
    holder.until(lambda: "held" in holder.said())
    poisoned = tmp_path / "jax"  # importing JAX takes seconds: here it cannot be imported at all
    poisoned.mkdir()
    (poisoned / "__init__.py").write_text("raise SystemExit('JAX was imported')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    second = subprocess.run(
        [sys.executable, "train.py", f"--workdir={tmp_path}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    owner = json.loads((tmp_path / "owner.json").read_text())
    assert second.stderr == (
        f"{tmp_path}: in use by process {holder.process.pid} on {owner['host']}"
        f" since {owner['since']}:"
        " wait for it, stop it, or choose another folder\n"
    )
    holder.send(signal.SIGKILL)
    holder.code()
    with run_lock(tmp_path):  # what the killed one left holds nothing
        assert json.loads((tmp_path / "owner.json").read_text())["pid"] == os.getpid()


def hold() -> None:
    """A training that has begun, and does nothing more."""
    import nerf.training.loop

    def train(*_, **__):
        print("held", file=sys.stderr)
        time.sleep(600)

    nerf.training.loop.train = train


def test_a_smaller_budget_than_was_trained_is_refused_before_the_scene_is_read(
    config, whole, tmp_path
):
    shutil.copytree(whole, tmp_path / "run")
    child = Child(
        "train.py",
        [*config, f"--workdir={tmp_path / 'run'}", "--max_seconds=0.01"],
        tmp_path / "log",
    )
    assert child.code() == 1 and child.said().count("\n") == 1, child.said()
    assert (
        "of its 300 steps, and 0.01 s is no more than that: give a larger --max_seconds"
        in child.said()
    )
    assert_same_run(tmp_path / "run", whole)


# ---- folders from strangers


def importable(folder) -> None:
    """A folder on the path where Python looks for modules."""
    sys.path.insert(0, str(folder))


def test_a_config_from_a_stranger_runs_nothing(whole, tmp_path):
    folder, mark = tmp_path / "run", tmp_path / "ran"
    shutil.copytree(whole, folder)
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')\ndef f(**_): pass\n")
    config = json.loads((folder / "config.json").read_text())
    for name in (
        "os:system",
        "evil:f",
        "tests.support.plugins:Triangle",
        "nerf.output.video:subprocess.run",
    ):
        (folder / "config.json").write_text(json.dumps({**config, "model": {"name": name}}))
        arguments = [f"--run={folder}", f"--out={tmp_path / 'v.mp4'}"]
        child = Child("render.py", arguments, tmp_path / "log", partial(importable, tmp_path))
        assert child.code() == 1 and child.said().count("\n") == 1, child.said()
        assert name.partition(":")[0] in child.said() and not mark.exists()


def test_nothing_that_is_read_can_run_code():
    """No pickle, which numpy and PyTorch files may hold, no YAML, no eval."""
    for file in [
        ROOT / "train.py",
        ROOT / "render.py",
        ROOT / "compare.py",
        ROOT / "capture.py",
        *(ROOT / "nerf").rglob("*.py"),
    ]:
        if file.name == "lpips.py":
            continue  # reads one file of a package, known by its sha256, and takes only arrays
        words = set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
        assert not words & {"pickle", "dill", "joblib", "yaml", "torch", "shelve", "marshal"}, file
        assert not re.search(
            r"allow_pickle=True|(?<![\w.])(eval|exec)\(", file.read_text(encoding="utf-8")
        ), file


# ---- what a system can do to a process


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB, where the system lets us have one; else a limit on the size of files."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True
    )
    yield place, None if mounted.returncode == 0 else small_files
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place) -> None:
    """Leave no room on a disk, to which somebody else writes too."""
    with contextlib.suppress(OSError):
        (place / "filler").write_bytes(bytes(shutil.disk_usage(place).free))


def small_files() -> None:
    """No file may be larger than 200 kB."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_full_disk_stops_training_with_one_line_and_older_steps_stay(config, small_disk):
    place, limit = small_disk
    folder = place / "run"
    log = place.parent / "log"
    arguments = [*config, f"--workdir={folder}", "--config.keep=1000"]
    child = Child("train.py", arguments, log, limit)
    if limit is None:
        child.until(lambda: newest(folder) > 20)
        fill(place)
    assert child.code() == 1
    last = [
        line for line in child.said().splitlines() if not line.startswith(("scene", "train", "dev"))
    ]
    assert len(last) == 1 and "cannot be written" in last[0] and " MB needed, " in last[0], (
        child.said()
    )
    assert "Traceback" not in child.said() and temporary_files(place) == []
    if limit is None:
        assert f"step {newest(folder)} is saved" in last[0]
        state_of(folder)
        (place / "filler").unlink()
        child = Child("train.py", [*arguments, "--config.keep=1"], log)
        child.until(lambda: newest(folder) > int(last[0].split("step ")[1].split()[0]))
        child.send(signal.SIGTERM)
        assert child.code() == 143


def test_a_folder_that_cannot_be_written_is_one_line(config, tmp_path):
    child = Child("train.py", [*config, "--workdir=/proc/nothing/here"], tmp_path / "log")
    assert child.code() == 1
    assert (
        child.said().startswith("/proc/nothing/here: cannot be written (")
        and child.said().count("\n") == 1
    )


@pytest.mark.slow
def test_training_works_without_streams_home_or_locale_and_with_any_name(config, tmp_path):
    """Stdout is closed, nobody reads the pipe of stderr, home is read-only, the locale is ASCII."""
    folder = tmp_path / "a run\nof \u00fcnic\u00f6de"
    read, write = os.pipe()
    os.close(read)
    environment = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("JAX_COMPILATION", "XDG", "LC_", "LANG"))
    }
    environment |= {
        "HOME": "/proc/nothing",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    flags = [*config, "--config.steps=20", f"--workdir={folder}"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "train.py", *flags],
        cwd=ROOT,
        env=environment,
        stderr=write,
    )
    os.close(write)
    assert done.returncode == 0
    assert json.loads((folder / "results.json").read_text())["steps"] == 20
