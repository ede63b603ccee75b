"""Writing files whole or not at all: a temporary name in the same folder, fsync, rename, fsync of the folder."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nerf.foundation.errors import UserError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WriteError(UserError, OSError):
    """A file that could not be written; nothing of it is left, and what was there before is whole."""


@contextlib.contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` at the end, and is removed where anything fails.

    Raises WriteError, one line, where the disk does not take it; `size` is the number of bytes needed, where known.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, UserError) or error.filename not in (None, temporary, str(temporary)):
            raise  # of something else that was done meanwhile
        raise WriteError(_why(path, error, size)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _why(path: Path, error: OSError, size: int | None) -> str:
    """One line on a file that could not be written."""
    if error.errno not in NO_SPACE:
        return (
            f"{path}: cannot be written ({error.strerror}): choose a folder that can be written to"
        )
    needed = "" if size is None else f"{size / 1e6:.1f} MB needed, "
    with contextlib.suppress(OSError):
        needed += f"{shutil.disk_usage(path.parent).free / 1e6:.1f} MB free"
    return f"{path}: cannot be written ({error.strerror}; {needed}): make room"


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets a folder be opened (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path, stem: str | None = None) -> None:
    """Remove what processes that were killed were writing in a folder and below. Only for the folder's one owner.

    With `stem`, only what was to become a file of that name, with any ending, in the folder itself.
    """
    name = ".*" if stem is None else re.escape(stem)
    for file in folder.rglob(".*.tmp*") if stem is None else folder.glob(".*.tmp*"):
        if re.fullmatch(rf"\.{name}\.\d+\.tmp(\.\w+)?", file.name):
            file.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """A file with this in it, or the file that was there before."""
    with replacing(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, data: Any) -> None:
    """Data as JSON. Raises ValueError for numbers that JSON does not have."""
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def write_array(path: Path, array: np.ndarray) -> None:
    """An array as .npy, or compressed, under the name "array", as .npz."""
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez_compressed(buffer, array=array)
    else:
        np.save(buffer, array)
    write_bytes(path, buffer.getvalue())
