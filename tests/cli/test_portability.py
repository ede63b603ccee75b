"""Programs start, and pixels get their place, on simulated systems that lack what Linux has."""

import builtins
import os
import runpy
import signal
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

from nerf.capture import mapping
from nerf.cli.commands import stop_on_signal
from nerf.scenes import SceneError
from nerf.scenes.storage import allocate, room_for_pixels
from tests.conftest import ROOT

ONLY_ON_SOME = ("set_blocking", "posix_fallocate", "killpg", "fork", "setsid", "sync")
MODULES = ("fcntl", "resource", "pwd", "grp", "termios")


@pytest.fixture
def bare_system(monkeypatch):
    """What Windows with Python 3.11 lacks is taken away."""
    for name in ONLY_ON_SOME:
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.delattr(signal, "SIGKILL", raising=False)
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name in MODULES:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_a_signal_is_seen_where_pipes_cannot_be_non_blocking(bare_system):
    with stop_on_signal() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop() and stop.exit_code == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    "program, arguments, says",
    [
        ("train.py", ["--scene=/nowhere", "--workdir={}"], "no such folder"),
        ("render.py", ["--run={}", "--out={}/v.mp4"], "config.json"),
        ("view.py", ["{}", "--port=0"], "config.json"),
        ("compare.py", ["{}", "{}", "--out={}/v.html"], "no finished run"),
        ("capture.py", ["--check=/nowhere"], "no such folder"),
    ],
)
def test_every_program_starts_and_reports_in_a_line(
    bare_system, monkeypatch, capfd, tmp_path, program, arguments, says
):
    monkeypatch.setattr(
        sys, "argv", [str(ROOT / program), *(word.format(tmp_path) for word in arguments)]
    )
    with flags_saved(flags.FLAGS), pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / program), run_name="__main__")
    told = capfd.readouterr().err
    assert end.value.code == 1 and says in told and "Traceback" not in told


class flags_saved:
    """Within it, a program's flags are defined, and are gone afterwards."""

    def __init__(self, values):
        self.values, self.before = values, set(values)

    def __enter__(self):
        self.streams = sys.stdout, sys.stderr

    def __exit__(self, *_):
        sys.stdout, sys.stderr = self.streams
        for name in set(self.values) - self.before:
            delattr(self.values, name)
        self.values.unparse_flags()


def test_pixels_get_a_place_on_the_disk_without_fallocate(bare_system, tmp_path):
    with room_for_pixels(10.0, tmp_path):
        pixels = allocate(3_000_000)
    assert pixels.shape == (3_000_000,) and not pixels.any()
    pixels[-1] = 7
    np.testing.assert_array_equal(pixels[-2:], [0, 7])


def test_a_disk_that_is_full_is_a_line_with_what_to_do(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with (
        room_for_pixels(10.0, tmp_path),
        pytest.raises(SceneError, match="No space left.*max_side") as error,
    ):
        allocate(1000)
    assert "\n" not in str(error.value)


def test_a_child_is_killed_without_groups_of_processes(monkeypatch):
    monkeypatch.delattr(os, "killpg")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mapping._kill(child)
    assert child.wait(20) != 0
