"""Read and write arrays in the safetensors format, with digests.

The file is the length of a header in 8 bytes, the header in JSON, then the arrays' bytes without
gaps (https://github.com/huggingface/safetensors#format), so that other programs read it too. The
header's "__metadata__" has a sha256 of every array and one of the header itself. Nothing in a file
can be executed, and every size is checked against the size of the file before memory is allocated.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from nerf.foundation.errors import UserError
from nerf.foundation.files import replacing

DTYPES = {
    "BOOL": np.dtype(bool),
    **{f"{kind.upper()}{8 * n}": np.dtype(f"{kind}{n}") for kind in "iu" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"f{n}") for n in (2, 4, 8)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_HEADER = 100_000_000  # bytes, the limit of the format
# Every header begins with its digest.
OPENING, NO_DIGEST = b'{"__metadata__":{"digest":"', b"0" * 64


class DamagedFile(UserError):
    """The bytes of a file are not those that were written; the message is one line."""


def digest(array: np.ndarray) -> str:
    """Return the sha256 of an array's dtype, shape and bytes."""
    sha = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    sha.update(_bytes(array))
    return sha.hexdigest()


def _bytes(array: np.ndarray) -> memoryview:
    """Return the bytes of an array."""
    # A view as bytes, because bfloat16 does not support the buffer protocol.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts to a file, completely or not at all.

    Args:
      path: the file.
      arrays: arrays by name.
      facts: JSON values.

    Raises:
      WriteError: if the disk does not take it.
    """
    header: dict[str, Any] = {"__metadata__": {"digest": NO_DIGEST.decode()}}
    header["__metadata__"]["digests"] = json.dumps(
        {name: digest(array) for name, array in arrays.items()}
    )
    header["__metadata__"]["facts"] = json.dumps(facts, allow_nan=False)
    # The arrays follow each other without gaps.
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    # Pad the header with spaces, so that the arrays begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    length = len(text).to_bytes(8, "little")
    # The digest covers the header with zeros in its own place, which it then replaces.
    signed = text.replace(NO_DIGEST, _header_digest(length, text), 1)
    with replacing(path, size=8 + len(text) + end) as temporary, open(temporary, "wb") as file:
        file.write(length + signed)
        for array in arrays.values():
            file.write(_bytes(array))


def _header_digest(length: bytes, text: bytes) -> bytes:
    """Return the digest of a header with zeros in its place."""
    return hashlib.sha256(length + text).hexdigest().encode()


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a file; the digests of its arrays by name are under "digests".

    Raises:
      DamagedFile: if the header is damaged.
      OSError: if the file cannot be read.
    """
    with open(path, "rb") as file:
        return _read_header(file, path)[1]


def read_tensors(
    path: Path, names: Collection[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read arrays of a file, verified by digests, and its facts.

    Args:
      path: the file.
      names: names of the arrays to read; None: all.

    Raises:
      DamagedFile: if any bit of them or of the header has changed.
      OSError: if the file cannot be read.
    """
    arrays = {}
    with open(path, "rb") as file:
        entries, facts = _read_header(file, path)
        start = file.tell()
        for name, (dtype, shape, begin) in entries.items():
            if names is not None and name not in names:
                continue
            array = np.empty(shape, dtype)
            file.seek(start + begin)
            file.readinto(_bytes(array))
            if digest(array) != facts["digests"].get(name):
                raise DamagedFile(f"{path}: {name}: damaged on disk")
            arrays[name] = array
    return arrays, facts


def _read_header(
    file: IO[bytes], path: Path
) -> tuple[dict[str, tuple[np.dtype, tuple[int, ...], int]], dict]:
    """Return {name: (dtype, shape, begin)} and the facts.

    Leaves the file position at the beginning of the arrays.
    """
    size = path.stat().st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(size - 8, MAX_HEADER):
        raise DamagedFile(f"{path}: damaged on disk: it ends early")
    text = file.read(length)
    place = slice(len(OPENING), len(OPENING) + len(NO_DIGEST))
    unsigned = text[: place.start] + NO_DIGEST + text[place.stop :]
    if not text.startswith(OPENING) or _header_digest(prefix, unsigned) != text[place]:
        raise DamagedFile(f"{path}: header: damaged on disk")
    try:
        return _parse(json.loads(text), size - 8 - length)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The digest of a header can fit although somebody else wrote it.
        reason = f"not that of a checkpoint ({type(error).__name__}: {error})"
        raise DamagedFile(f"{path}: header: {reason}") from error


def _parse(
    header: dict[str, Any], size: int
) -> tuple[dict[str, tuple[np.dtype, tuple[int, ...], int]], dict]:
    """Parse a header and check it against the size of the arrays."""
    metadata = header.pop("__metadata__")
    entries, expected = {}, 0
    for name, entry in header.items():
        dtype, shape, (begin, end) = (
            DTYPES[entry["dtype"]],
            tuple(entry["shape"]),
            entry["data_offsets"],
        )
        if not all(isinstance(n, int) and n >= 0 for n in shape) or begin != expected:
            raise ValueError(name)
        expected = begin + math.prod(shape) * dtype.itemsize
        if end != expected:
            raise ValueError(name)
        entries[name] = (dtype, shape, begin)
    if expected != size:
        raise ValueError(f"{expected} bytes of arrays in {size}")
    digests = json.loads(metadata["digests"])
    if digests.keys() != entries.keys():
        raise ValueError("digests of other arrays")
    return entries, {**json.loads(metadata["facts"]), "digests": digests}
