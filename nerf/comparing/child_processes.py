"""Programs of this project as child processes: their output kept, their progress passed on, a stop handed down."""

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from nerf.foundation.progress import LINE_EVERY
from nerf.foundation.resources import child_environment, nerf_command

PROGRESS = re.compile(r"[a-z ]+ \d+(%|/\d+),")  # lines of `nerf.foundation.progress`


def run_child(
    command: Sequence[str],
    log: Path,
    should_stop: Callable[[], bool],
    lock: IO | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> int:
    """Run a program of this project and return its exit code. A stop is passed on as SIGTERM.

    The child holds the lock too, so the lock lasts as long as it does, also where this process is killed. It has its
    own session: Ctrl-C reaches it once, through here.

    Args:
      command: a command of `nerf` and its arguments.
      log: where its output goes.
      should_stop: asked again and again.
      lock: an open file that the child holds too.
      tell: called every ten seconds with what the child says of its progress.
    """
    passed = (lock.fileno(),) if lock is not None else ()
    with open(log, "w", encoding="utf-8") as output:
        child = subprocess.Popen(
            nerf_command(*command),
            env=child_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            pass_fds=passed,
            start_new_session=True,
        )
        asked, told = False, time.monotonic()
        while True:
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if time.monotonic() - told >= LINE_EVERY and not asked:
                    told = time.monotonic()
                    tell(_progress(log.read_text(errors="replace")))
                if should_stop() and not asked:
                    asked = True
                    child.terminate()


def _progress(text: str) -> str:
    """Return the last line about progress of a program's output."""
    lines = [line for line in text.splitlines() if PROGRESS.match(line)]
    return lines[-1] if lines else "starts"


def last_line(text: str) -> str:
    """Return the last line of a program's output that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
