"""numpy's .npy and .npz read without trust: no pickles, and no size that the file is not as long as."""

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from nerf.scenes.base import Problem, SceneError, read_bytes

MAX_BYTES = 100_000_000  # of all arrays of a file; cameras take a few hundred each
MAX_MEMBERS = 1_000_000
DAMAGED = (
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
    """The numbers (float64) in a .npy file. Raises SceneError."""
    return _decode(read_bytes(path, MAX_BYTES), path.name, "")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The numbers (float64) in a .npz file, by name. Raises SceneError."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path, MAX_BYTES))) as archive:
            members = archive.infolist()
            if (
                sum(member.file_size for member in members) > MAX_BYTES
                or len(members) > MAX_MEMBERS
            ):
                fix = "check that it is the right file"
                raise SceneError([Problem(path.name, "", "implausibly large", fix)])
            return {
                m.filename.removesuffix(".npy"): _decode(_member(archive, m), path.name, m.filename)
                for m in members
            }
    except SceneError:
        raise
    except DAMAGED as error:
        raise SceneError(
            [Problem(path.name, "", f"not a readable archive ({error})", "copy or export it again")]
        ) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """As many bytes as the archive's directory promises and no more: what unpacks to more is damaged."""
    with archive.open(member) as file:
        return file.read(member.file_size + 1)


def _decode(data: bytes, file: str, key: str) -> np.ndarray:
    """One array from the bytes of a .npy file (numpy's format, versions 1 and 2)."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = header(stream)
    except Exception as error:  # the header is a Python literal: a damaged one raises anything
        raise SceneError(
            [Problem(file, key, f"not a numpy array ({error})", "export it again")]
        ) from error
    body = data[stream.tell() :]
    if dtype.kind not in "fiu":
        raise SceneError(
            [
                Problem(
                    file, key, f"an array of {dtype}, not of numbers", "save arrays of float or int"
                )
            ]
        )
    if not all(0 <= n <= MAX_BYTES for n in shape) or math.prod(shape) * dtype.itemsize != len(
        body
    ):
        reason = f"damaged: {len(body)} bytes for an array of {shape}"
        raise SceneError([Problem(file, key, reason, "copy or export it again")])
    flat = np.frombuffer(body, dtype).astype(np.float64)
    return flat.reshape(shape, order="F" if fortran else "C")
