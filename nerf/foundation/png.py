"""Write PNGs atomically, with a stamp that identifies their content."""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import imageio.v3 as iio
import numpy as np
from jaxtyping import Float, UInt8
from PIL import PngImagePlugin

from nerf.foundation.files import replacing

STAMP_KEY = "nerf-stamp"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_png(
    path: str | os.PathLike[str], image: UInt8[np.ndarray, "h w *c"], stamp: str = ""
) -> None:
    """Write an 8-bit image as PNG, complete or not at all.

    Args:
      path: the file to write.
      image: grey (no channel axis), RGB or RGBA.
      stamp: identifies the image's inputs, e.g. a hash of checkpoint, path and settings. It is
        stored in latin-1 as the tEXt chunk "nerf-stamp".
    """
    text = PngImagePlugin.PngInfo()
    text.add_text(STAMP_KEY, stamp)
    with replacing(Path(path)) as temporary:
        iio.imwrite(temporary, image, plugin="pillow", extension=".png", pnginfo=text)


def read_stamp(path: str | os.PathLike[str]) -> str | None:
    """Return the stamp of a PNG, or None if the file or its stamp is missing or cut off."""
    with contextlib.suppress(OSError, ValueError):
        for kind, data in _chunks(Path(path)):
            keyword, _, text = data.partition(b"\0")
            if kind == b"tEXt" and keyword == STAMP_KEY.encode():
                return text.decode("latin-1")
    return None


def is_finished(path: str | os.PathLike[str], stamp: str) -> bool:
    """Return whether `path` is a complete PNG with this stamp.

    A PNG is complete if every checksum is right and the end marker is present.
    """
    if read_stamp(path) != stamp:
        return False
    try:
        return [kind for kind, _ in _chunks(Path(path))][-1] == b"IEND"
    except (OSError, ValueError):
        return False


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of a PNG's chunks; raise ValueError if it is cut off or damaged."""
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
    """Convert floats in [0, 1] to uint8; values outside are clipped."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
