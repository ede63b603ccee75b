"""Write files atomically: temporary file in the same folder, fsync, rename, fsync of the folder."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nerf.foundation.errors import UserError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, quota exceeded, file too large


class WriteError(UserError, OSError):
    """A file could not be written; the earlier file at its path, if any, is intact."""


@contextlib.contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` at the end of the block.

    The temporary file lies in the same folder, and is removed if anything fails.

    Args:
      path: the file to create or replace.
      size: number of bytes needed, if known, for the error message.

    Raises:
      WriteError: the file could not be written, e.g. because the disk is full.
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
            raise  # the error is about another file that the block used
        raise WriteError(_why(path, error, size)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check that a file can be created or replaced, before the work for its content.

    Its folder is created if it is missing.

    Raises:
      WriteError: the folder cannot be created or written to, or the path is a folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise WriteError(_why(path, error, None)) from error


def _why(path: Path, error: OSError, size: int | None) -> str:
    """Return the message for a file that could not be written.

    Args:
      path: the file.
      error: the reason.
      size: number of bytes needed, if known.
    """
    if error.errno not in NO_SPACE:
        return (
            f"{path}: cannot be written ({error.strerror}): choose a folder that can be written to"
        )
    needed = "" if size is None else f"{size / 1e6:.1f} MB needed, "
    with contextlib.suppress(OSError):
        needed += f"{shutil.disk_usage(path.parent).free / 1e6:.1f} MB free"
    return f"{path}: cannot be written ({error.strerror}; {needed}): make room"


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a rename in it survives a power cut.

    Does nothing on systems that cannot open a folder (Windows).
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path, stem: str | None = None) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Call this only as the folder's single owner: it also removes files that are being written.

    Args:
      folder: the folder; its subfolders are searched too if `stem` is None.
      stem: remove only the temporary files of files with this name, whatever their suffix.
    """
    name = ".*" if stem is None else re.escape(stem)
    for file in folder.rglob(".*.tmp*") if stem is None else folder.glob(".*.tmp*"):
        if re.fullmatch(rf"\.{name}\.\d+\.tmp(\.\w+)?", file.name):
            file.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: after a failure the earlier file is intact."""
    with replacing(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON; raise ValueError for NaN and infinity, which JSON lacks."""
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, or compressed as .npz under the name "array"."""
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez_compressed(buffer, array=array)
    else:
        np.save(buffer, array)
    write_bytes(path, buffer.getvalue())
