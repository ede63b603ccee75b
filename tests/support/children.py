"""The real programs as processes to be hurt.

They are forked from a process that has imported JAX already, so each starts at once.
"""

import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.support.preloaded"])


class Child:
    """A program of this project, running with the arguments given; what it says goes to `log`."""

    def __init__(
        self, program: str, arguments: list[str], log: Path, setup: Callable[[], None] | None = None
    ):
        self.log = log
        self.process = _FORKS.Process(
            target=_main, args=(program, [str(a) for a in arguments], str(log), setup)
        )
        self.process.start()

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def until(self, condition: Callable[[], bool], timeout: float = 120.0) -> bool:
        """Wait for a condition; False where the program ended first."""
        end = time.monotonic() + timeout
        while not condition():
            if not self.process.is_alive():
                return condition()
            assert time.monotonic() < end, f"waited in vain: {self.said()}"
            time.sleep(0.005)
        return True

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def code(self, timeout: float = 120.0) -> int | None:
        """Wait for the end; the exit code, negative for a signal that killed it."""
        self.process.join(timeout)
        assert not self.process.is_alive(), f"hangs: {self.said()}"
        return self.process.exitcode


def fork(function: Callable[..., None], *arguments) -> multiprocessing.process.BaseProcess:
    """A function of a test module in a process of its own, started."""
    process = _FORKS.Process(target=function, args=arguments)
    process.start()
    return process


def _main(program: str, arguments: list[str], log: str, setup: Callable[[], None] | None) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (
        open(n, "w", buffering=1, closefd=False)  # noqa: SIM115
        for n in (1, 2)
    )
    os.chdir(ROOT)
    sys.argv = [program, *arguments]
    if setup is not None:
        setup()
    runpy.run_path(str(ROOT / program), run_name="__main__")


def slow_disk() -> None:
    """Let every fsync take a while, so that much of the time is inside a save."""
    import nerf.foundation.files

    sync = os.fsync

    class Slow:
        def __getattr__(self, name):
            return getattr(os, name)

        @staticmethod
        def fsync(handle: int) -> None:
            time.sleep(0.03)
            sync(handle)

    nerf.foundation.files.os = Slow()  # type: ignore[assignment]
