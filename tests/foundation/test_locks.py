"""A lock has one holder, excludes threads and processes, and ends with its holder."""

import builtins
import subprocess
import sys
import threading

import pytest

from nerf.foundation.locks import exclusive
from tests.conftest import ROOT

HOLDER = """
import pathlib, sys, time
from nerf.foundation.locks import exclusive
with exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


class Busy(Exception):
    pass


def give_up(file):
    raise Busy


def test_one_at_a_time_changes_what_it_guards(tmp_path):
    """Each of many threads adds one to a number in a file."""
    (tmp_path / "n").write_text("0")

    def add():
        for _ in range(5):
            with exclusive(tmp_path / "lock", lambda file: None):
                number = int((tmp_path / "n").read_text())
                (tmp_path / "n").write_text(str(number + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "n").read_text() == "20"


def test_a_killed_process_leaves_no_lock_and_the_file_stays_readable_to_all(tmp_path):
    path = tmp_path / "lock"
    path.write_text("holder")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(Busy), exclusive(path, give_up):
        pass
    seen = []

    def once(file):
        file.seek(0)
        seen.append(file.read())
        child.kill()
        child.wait()

    with exclusive(path, once) as file:
        file.seek(0)
        assert seen == ["holder"] and file.read() == "holder"
    child.stdout.close()


def test_an_error_inside_ends_the_lock(tmp_path):
    with pytest.raises(Busy), exclusive(tmp_path / "lock"):
        raise Busy
    with exclusive(tmp_path / "lock", give_up):
        pass


def test_where_there_are_no_locks_nothing_is_locked(tmp_path, monkeypatch):
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name == "fcntl":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    with exclusive(tmp_path / "lock", give_up), exclusive(tmp_path / "lock", give_up) as file:
        assert not file.closed
