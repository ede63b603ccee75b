"""Where decoded pixels are kept: in memory or, where they would not fit, in a file that the system reads as needed."""

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

BLOCK = 1 << 20  # bytes written at a time
USED = 0.8  # of the memory that is free when nothing else is said


@dataclasses.dataclass
class Room:
    """How many bytes of memory pixels may take, and the folder for files that hold what does not fit; None: nowhere."""

    memory: float
    folder: Path | None = None


_ROOM: ContextVar[Room | None] = ContextVar("room", default=None)


@contextlib.contextmanager
def room_for_pixels(memory: float | None, folder: Path) -> Iterator[None]:
    """Within it, scenes take `memory` bytes at most (None: what is free) and files in `folder` beyond that."""
    token = _ROOM.set(Room(USED * free_memory() if memory is None else memory, folder))
    try:
        yield
    finally:
        _ROOM.reset(token)


def free_memory() -> float:
    """Bytes that this process may still take: what the system and its control group leave; infinite if not known."""
    free = float("inf")
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024.0 * int(
            next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        )
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text())
        free = min(free, float((group / "memory.max").read_text()) - used)
    return free


def allocate(count: int) -> UInt8[np.ndarray, " n"]:
    """So many bytes, to be filled. Raises SceneError, with the numbers, where there is no place for them.

    A file has no name any more when this returns: it goes when the process does, however that ends.
    """
    room = _ROOM.get() or Room(USED * free_memory())
    if count <= room.memory:
        room.memory -= count
        return np.empty(count, np.uint8)
    folder = room.folder
    while folder is not None and not folder.is_dir():
        folder = folder.parent
    disk = 0 if folder is None else shutil.disk_usage(folder).free
    if count > USED * disk:
        there = f"{room.memory / 1e9:.3f} GB of memory and {disk / 1e9:.3f} GB of disk are free"
        fix = "lower --config.scene.max_side, or free some"
        raise SceneError(
            [Problem("scene", "", f"its pixels take {count / 1e9:.3f} GB, {there} for them", fix)]
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            _reserve(file, count)
        except OSError as error:
            reason = f"its pixels take {count / 1e9:.3f} GB in a file, which cannot be written ({error.strerror})"
            raise SceneError(
                [Problem(str(folder), "", reason, "make room, or lower --config.scene.max_side")]
            ) from error
        return np.asarray(np.memmap(file, np.uint8, "r+", shape=(count,)))


def _reserve(file: IO[bytes], count: int) -> None:
    """Take place for so many bytes on the disk: a full disk is an error here, and would be a crash later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, count)
        return
    for first in range(0, count, BLOCK):  # macOS and Windows: only what is written has a place
        file.write(bytes(min(BLOCK, count - first)))
    file.flush()
