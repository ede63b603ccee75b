"""Lock a folder for one process, until the process ends.

Imports nothing heavy.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from nerf.foundation.errors import UserError
from nerf.foundation.locks import exclusive

OWNER_FILE = "owner.json"
_HELD: dict[Path, int] = {}  # folders that this process holds, and the thread that holds each


class InUse(UserError, RuntimeError):
    """Another process uses the folder; the message is one line that names it."""


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no other process works in it.

    A missing folder is created. The file owner.json names the holder; one that a killed process
    left behind holds nothing. On systems without such locks (Windows) nothing is locked. The thread
    that holds a folder may hold it again inside.

    Raises:
      InUse: at once, if another process holds the folder.
    """
    key = folder.absolute()
    if _HELD.get(key) == threading.get_ident():
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(exclusive(folder / OWNER_FILE, partial(_refuse, folder)))
        except OSError as error:
            message = f"{folder}: cannot be written ({error.strerror}): choose another folder"
            raise UserError(message) from error
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, file)
        file.flush()
        _HELD[key] = threading.get_ident()
        try:
            yield
        finally:
            del _HELD[key]
            with contextlib.suppress(OSError):
                file.truncate(0)


def check_free(folder: Path) -> None:
    """Check that no other process works in a folder, without holding it.

    Raises:
      InUse: another process holds the folder.
    """
    file = folder / OWNER_FILE
    # A folder without the file, or one that cannot be written, has never been held from here.
    if _HELD.get(folder.absolute()) is None and os.access(file, os.W_OK):
        with exclusive(file, partial(_refuse, folder)):
            pass


def _refuse(folder: Path, file: IO[str]) -> None:
    """Raise InUse with the holder that the file names."""
    file.seek(0)
    who = "another process"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        data = json.load(file)
        who = f"process {data['pid']} on {data['host']} since {data['since']}"
    fix = "wait for it, stop it, or choose another folder"
    raise InUse(f"{folder}: in use by {who}: {fix}")
