"""Named arrays and a few facts in one file that can be trusted or is refused: the safetensors format, with digests.

The file is the length of a header in 8 bytes, the header in JSON, then the arrays' bytes without gaps
(https://github.com/huggingface/safetensors#format), so other programs read it too. Among the header's "__metadata__"
are a sha256 of every array and one of the header itself. There is nothing in it that could run, and every size is
checked against the size of the file before memory is taken.
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
MAX_HEADER = 100_000_000
OPENING, NO_DIGEST = b'{"__metadata__":{"digest":"', b"0" * 64


class DamagedFile(UserError):
    """A file whose bytes are not those that were written; the message is one line."""


def digest(array: np.ndarray) -> str:
    """sha256 of an array's dtype, shape and bytes."""
    sha = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    sha.update(_bytes(array))
    return sha.hexdigest()


def _bytes(array: np.ndarray) -> memoryview:
    return (
        np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    )  # bytes: bfloat16 has no buffer


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts (JSON), whole or not at all. Raises WriteError."""
    header: dict[str, Any] = {"__metadata__": {"digest": NO_DIGEST.decode()}}
    header["__metadata__"]["digests"] = json.dumps(
        {name: digest(array) for name, array in arrays.items()}
    )
    header["__metadata__"]["facts"] = json.dumps(facts, allow_nan=False)
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    length = len(text).to_bytes(8, "little")
    signed = text.replace(NO_DIGEST, _header_digest(length, text), 1)
    with replacing(path, size=8 + len(text) + end) as temporary, open(temporary, "wb") as file:
        file.write(length + signed)
        for array in arrays.values():
            file.write(_bytes(array))


def _header_digest(length: bytes, text: bytes) -> bytes:
    """Of a header in which the place of the digest itself holds zeros."""
    return hashlib.sha256(length + text).hexdigest().encode()


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a file, and "digests", those of its arrays by name. Raises DamagedFile, OSError."""
    with open(path, "rb") as file:
        return _read_header(file, path)[1]


def read_tensors(
    path: Path, names: Collection[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file (those that have one of the `names`), verified, and its facts as `read_facts` gives them.

    Raises DamagedFile where a bit of them is not as it was written, OSError where the file cannot be read.
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
    """{name: (dtype, shape, begin)} and the facts; leaves the file where the arrays begin."""
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
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # signed, and yet nonsense
        raise DamagedFile(
            f"{path}: header: not that of a checkpoint ({type(error).__name__}: {error})"
        ) from error


def _parse(
    header: dict[str, Any], size: int
) -> tuple[dict[str, tuple[np.dtype, tuple[int, ...], int]], dict]:
    """What a header says, checked against the number of bytes that follow it."""
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
