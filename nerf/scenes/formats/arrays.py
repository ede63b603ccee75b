"""Read numpy's .npy and .npz files from untrusted sources.

Pickles are never loaded, and an array is never larger than its file.
"""

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from nerf.scenes.base import Problem, SceneError, read_bytes

MAX_BYTES = 100_000_000  # for all arrays of a file; cameras take a few hundred bytes each
MAX_MEMBERS = 1_000_000
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    KeyError,
    ValueError,
    OSError,
)


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a .npy file as float64.

    Raises:
      SceneError: if the file is damaged or does not contain numbers.
    """
    return _decode(read_bytes(path, MAX_BYTES), path.name, "")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a .npz file as float64, by name.

    Raises:
      SceneError: if the file is damaged, is too large, or does not contain numbers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path, MAX_BYTES))) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > MAX_BYTES or len(members) > MAX_MEMBERS:
                fix = "check that it is the right file"
                raise SceneError([Problem(path.name, "", "implausibly large", fix)])
            return {
                m.filename.removesuffix(".npy"): _decode(_member(archive, m), path.name, m.filename)
                for m in members
            }
    except SceneError:
        raise
    except ARCHIVE_ERRORS as error:
        reason = f"not a readable archive ({error})"
        raise SceneError([Problem(path.name, "", reason, "copy or export it again")]) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return at most one byte more than the member's declared size.

    The additional byte shows that a member unpacks to more than it declares: `_decode` then finds
    the wrong length.
    """
    with archive.open(member) as file:
        return file.read(member.file_size + 1)


def _decode(data: bytes, file: str, key: str) -> np.ndarray:
    """Decode one array from the bytes of a .npy file (numpy's format, versions 1 and 2)."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = header(stream)
    except Exception as error:  # the header is a Python literal: a damaged one raises anything
        reason = f"not a numpy array ({error})"
        raise SceneError([Problem(file, key, reason, "export it again")]) from error
    body = data[stream.tell() :]
    # Only plain numbers are accepted: objects could run code when they are read.
    if dtype.kind not in "fiu":
        reason = f"an array of {dtype}, not of numbers"
        raise SceneError([Problem(file, key, reason, "save arrays of float or int")])
    # The declared shape must match the bytes that are there before memory is allocated for it.
    plausible = all(0 <= n <= MAX_BYTES for n in shape)
    if not plausible or math.prod(shape) * dtype.itemsize != len(body):
        reason = f"damaged: {len(body)} bytes for an array of {shape}"
        raise SceneError([Problem(file, key, reason, "copy or export it again")])
    flat = np.frombuffer(body, dtype).astype(np.float64)
    return flat.reshape(shape, order="F" if fortran else "C")
