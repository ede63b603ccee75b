"""Write PNGs completely or not at all, with a stamp of what they show."""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, PngImagePlugin

from nerf.foundation.files import replacing

STAMP_KEY = "nerf-stamp"


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_png(
    path: str | os.PathLike[str], image: UInt8[np.ndarray, "h w *c"], stamp: str = ""
) -> None:
    """Write an 8-bit picture (grey, RGB or RGBA) as PNG, whole or not at all.

    Args:
      stamp: what the picture was made from, a hash of checkpoint, path and settings (latin-1, tEXt
        "nerf-stamp").
    """
    text = PngImagePlugin.PngInfo()
    text.add_text(STAMP_KEY, stamp)
    with replacing(Path(path)) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=text)


def read_stamp(path: str | os.PathLike[str]) -> str | None:
    """The stamp of a PNG; None where there is no such file, no stamp in it, or the file ends before it."""
    with contextlib.suppress(OSError, ValueError):
        for kind, data in _chunks(Path(path)):
            keyword, _, text = data.partition(b"\0")
            if kind == b"tEXt" and keyword == STAMP_KEY.encode():
                return text.decode("latin-1")
    return None


def is_finished(path: str | os.PathLike[str], stamp: str) -> bool:
    """Whether `path` is a whole PNG with this stamp: every checksum fits and the end marker is there."""
    if read_stamp(path) != stamp:
        return False
    try:
        return [kind for kind, _ in _chunks(Path(path))][-1] == b"IEND"
    except (OSError, ValueError):
        return False


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of a PNG's chunks. Raises ValueError where the file ends early or is damaged."""
    with open(path, "rb") as png:
        if png.read(8) != PNG_SIGNATURE:
            raise ValueError(f"{path}: not a PNG")
        kind = b""
        while kind != b"IEND":
            length, kind = struct.unpack(">I4s", _exactly(png, 8))
            data = _exactly(png, length)
            if struct.unpack(">I", _exactly(png, 4))[0] != zlib.crc32(kind + data):
                raise ValueError(f"{path}: damaged")
            yield kind, data


def _exactly(file: IO[bytes], length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise ValueError("the file ends early")
    return data


def to_bytes(image: Float[np.ndarray, "*b"]) -> np.ndarray:
    """[0, 1] floats, clipped, to uint8."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
