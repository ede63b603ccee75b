"""Storage for decoded pixels: memory, or a memory-mapped file if memory is too small."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from nerf.scenes.base import Problem, SceneError

BLOCK_BYTES = 1 << 20  # bytes written at a time
FREE_FRACTION = 0.8  # fraction of the free memory or disk space that pixels may take


@dataclasses.dataclass
class Room:
    """Space for pixels.

    Attributes:
      memory: bytes of memory that pixels may still take.
      folder: folder of the files for pixels that do not fit; None if no file may be used.
    """

    memory: float
    folder: Path | None = None


_ROOM: ContextVar[Room | None] = ContextVar("room", default=None)


@contextlib.contextmanager
def room_for_pixels(memory: float | None, folder: Path) -> Iterator[None]:
    """Limit the memory of scenes that are loaded inside the context.

    They take at most `memory` bytes (None: a fraction of the free memory); further pixels are
    stored in files in `folder`.
    """
    token = _ROOM.set(Room(FREE_FRACTION * free_memory() if memory is None else memory, folder))
    try:
        yield
    finally:
        _ROOM.reset(token)


def free_memory() -> float:
    """Return the bytes of memory that this process may still take, infinity if unknown.

    It is the minimum of the available memory of the system and of the control group.
    """
    free = float("inf")
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024.0 * int(
            next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        )
    # A control group without a limit has the word "max" instead of a number.
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text())
        free = min(free, float((group / "memory.max").read_text()) - used)
    return free


def allocate(count: int) -> UInt8[np.ndarray, " n"]:
    """Return an uninitialised buffer of `count` bytes, in memory or in a file.

    The file is already unlinked, so it disappears when the process ends for any reason.

    Raises:
      SceneError: neither memory nor disk has enough space; the message has the numbers.
    """
    room = _ROOM.get() or Room(FREE_FRACTION * free_memory())
    if count <= room.memory:
        room.memory -= count
        return np.empty(count, np.uint8)
    # The folder may not exist yet: its closest existing parent is on the same disk.
    folder = room.folder
    while folder is not None and not folder.is_dir():
        folder = folder.parent
    disk = 0 if folder is None else shutil.disk_usage(folder).free
    if count > FREE_FRACTION * disk:
        free = f"{room.memory / 1e9:.3f} GB of memory and {disk / 1e9:.3f} GB of disk are free"
        reason = f"its pixels take {count / 1e9:.3f} GB, {free} for them"
        fix = "lower --config.scene.max_side, or free some space"
        raise SceneError([Problem("scene", "", reason, fix)])
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            _reserve(file, count)
        except OSError as error:
            need = f"its pixels take {count / 1e9:.3f} GB in a file"
            reason = f"{need}, which cannot be written ({error.strerror})"
            fix = "free some space, or lower --config.scene.max_side"
            raise SceneError([Problem(str(folder), "", reason, fix)]) from error
        return np.asarray(np.memmap(file, np.uint8, "r+", shape=(count,)))


def _reserve(file: IO[bytes], count: int) -> None:
    """Reserve `count` bytes on disk.

    Without this, a full disk would crash the process later, when the memory map is written.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, count)
        return
    # macOS and Windows cannot reserve space without writing it.
    for first in range(0, count, BLOCK_BYTES):
        file.write(bytes(min(BLOCK_BYTES, count - first)))
    file.flush()
