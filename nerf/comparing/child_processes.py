"""Run this project's programs as child processes.

The output of a child goes to a log file, its progress lines are passed on, and a stop is forwarded.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from nerf.foundation.progress import LINE_EVERY
from nerf.foundation.resources import child_environment

PROGRESS_LINE = re.compile(r"[a-z ]+ \d+(%|/\d+),")  # as written by `nerf.foundation.progress`


def run_child(
    command: Sequence[str],
    log: Path,
    should_stop: Callable[[], bool],
    lock: IO[str] | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
    at_start: Callable[[], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Run a program of this project and return its exit code.

    A stop is forwarded as SIGTERM. The child inherits the lock, so the lock lasts as long as the
    child runs, even if this process is killed. The child has its own session, so that Ctrl-C
    reaches it only once, through this process.

    Args:
      command: a program and its arguments.
      log: the file that receives the child's stdout and stderr.
      should_stop: polled five times a second; True sends SIGTERM to the child once.
      lock: an open, locked file that the child inherits; None for no lock.
      on_progress: called every ten seconds with the child's last progress line.
      at_start: called in the child before it runs the program.
      variables: of its environment, besides those of this process.

    Returns: the exit code of the child.
    """
    # Windows passes no open files on, and has no such locks.
    inherited = (lock.fileno(),) if lock is not None and os.name != "nt" else ()
    with open(log, "w", encoding="utf-8") as output:
        child = subprocess.Popen(
            command,
            env=child_environment(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            pass_fds=inherited,
            start_new_session=True,
            preexec_fn=at_start,
        )
        stopping, last_report = False, time.monotonic()
        while True:
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if time.monotonic() - last_report >= LINE_EVERY and not stopping:
                    last_report = time.monotonic()
                    on_progress(progress_of(log))
                if should_stop() and not stopping:
                    stopping = True
                    child.terminate()


def progress_of(log: Path) -> str:
    """Return the last progress line in the log of a program, or "starting"."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if PROGRESS_LINE.match(line)]
    return lines[-1] if lines else "starting"


def last_line(text: str) -> str:
    """Return the last line of a program's output that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"
