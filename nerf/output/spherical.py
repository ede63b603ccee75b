"""Mark an MP4 or QuickTime file as a spherical video, so that players let their users look around.

The mark is the one of Google's Spherical Video RFC, version 1: a box of the type `uuid` in the
video's track, with a short XML document. ffmpeg writes none for frames that come through a pipe.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
XML = """<?xml version="1.0"?>
<rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">
<GSpherical:Spherical>true</GSpherical:Spherical>
<GSpherical:Stitched>true</GSpherical:Stitched>
<GSpherical:StitchingSoftware>nerf</GSpherical:StitchingSoftware>
<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>
</rdf:SphericalVideo>"""
HEADER = 8  # bytes of a box before its content: size and type
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")  # on the way to the tables of offsets
OFFSETS = {b"stco": "I", b"co64": "Q"}  # tables of positions in the file, and their type


def mark_spherical(source: Path, target: Path) -> None:
    """Copy a video with one track, with the mark of a spherical video in equirectangular frames.

    Args:
      source: an .mp4 or .mov.
      target: the copy.

    Raises:
      ValueError: the file has no track.
    """
    with open(source, "rb") as file, open(target, "wb") as out:
        for kind, start, size in _boxes_of(file):
            file.seek(start)
            if kind != b"moov":
                _copy(file, out, size)
                continue
            data_follows = any(k == b"mdat" and at > start for k, at, _ in _boxes_of(file))
            file.seek(start)
            out.write(_marked(file.read(size), data_follows))


def _copy(file: BinaryIO, out: BinaryIO, size: int) -> None:
    """Copy bytes in pieces: the pictures may be larger than the memory."""
    end = file.tell() + size
    while (left := end - file.tell()) > 0:
        out.write(file.read(min(left, 1 << 20)))


def _boxes_of(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and size of the boxes of a file."""
    start, end = 0, os.fstat(file.fileno()).st_size
    while start < end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(HEADER))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        size = size or end - start
        yield kind, start, size
        start += size


def _marked(moov: bytes, data_follows: bool) -> bytes:
    """Return the box `moov` with the mark at the end of its track.

    Args:
      moov: the box.
      data_follows: whether the pictures come later in the file: then the mark moves them.
    """
    mark = struct.pack(">I4s", HEADER + len(ID) + len(XML), b"uuid") + ID + XML.encode()
    found = bytearray(moov)
    at = {kind: (start, size) for kind, start, size in _inside(moov, 0, len(moov))}
    if b"trak" not in at:
        raise ValueError("the video has no track")
    for kind, code in OFFSETS.items() if data_follows else ():
        if kind in at:
            start = at[kind][0] + HEADER + 4  # after a version and flags
            (count,) = struct.unpack_from(">I", moov, start)
            shape = f">{count}{code}"
            places = struct.unpack_from(shape, moov, start + 4)
            struct.pack_into(shape, found, start + 4, *(place + len(mark) for place in places))
    for kind in (b"moov", b"trak"):
        start, size = at[kind]
        struct.pack_into(">I", found, start, size + len(mark))
    start, size = at[b"trak"]
    return bytes(found[: start + size]) + mark + bytes(found[start + size :])


def _inside(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and size of the boxes in a part of a file, and of those inside them."""
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start, size
        if kind in CONTAINERS:
            yield from _inside(data, start + HEADER, start + size)
        start += size
