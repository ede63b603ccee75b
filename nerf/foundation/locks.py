"""Lock files until the processes that hold them end."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


def wait_a_moment(file: IO[str]) -> None:
    """Wait before the next attempt to lock `file`."""
    time.sleep(0.1)


@contextlib.contextmanager
def exclusive(path: Path, busy: Callable[[IO[str]], None] = wait_a_moment) -> Iterator[IO[str]]:
    """Hold an exclusive lock on a file while the context is open.

    The lock lasts until the last process that holds the open file ends; a killed process leaves no
    lock behind. On systems without such locks (Windows) nothing is locked.

    Args:
      path: the lock file; created if it is missing.
      busy: called with the open file after each attempt that finds the lock held elsewhere. It
        waits, or raises to give up.

    Yields: the locked file, open for reading and appending.
    """
    with open(path, "a+", encoding="utf-8") as file:
        while not _try_lock(file):
            busy(file)
        yield file


def _try_lock(file: IO[str]) -> bool:
    """Lock an open file, and return whether that succeeded."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
