"""Read the colour space that an image file declares.

The sources are ICC profiles; PNG's cICP, gAMA and cHRM chunks, in the order of precedence of PNG's
third edition; the `nclx` codes of HEIF and AVIF; and EXIF's mark of Adobe RGB. A file that declares
no colour space is sRGB by convention. The gain map of an HDR photo is not applied, since the base
picture is the one for SDR. CMYK without a profile is refused, since its inks are unknown.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from nerf.scenes.colour import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    ColourSpace,
    ImageError,
    from_chromaticities,
    from_cicp,
    gamma,
    srgb_to_linear,
)
from nerf.scenes.icc import unusable_profile

MAX_PROFILE = 1 << 24  # bytes of an ICC profile; printers' profiles have a few million
AVIF_HEADER = 1 << 16  # first bytes of an AVIF file; they contain the first picture's colour codes


def colours_of(image: Image.Image, path: Path) -> ColourSpace | bytes | None:
    """Return an open image's colour space, its ICC profile, or None for sRGB."""
    if image.format == "PNG":
        return png_colours(path)
    profile = image.info.get("icc_profile")
    if profile:
        return profile
    if "icc_profile" in image.info and image.format in ("JPEG", "MPO"):
        # Pillow found some parts of a profile, but not all.
        raise ImageError("parts of its colour profile are missing", "save it again as sRGB")
    if image.format == "HEIF":
        codes = image.info.get("nclx_profile") or {}
        return from_cicp(codes.get("color_primaries", 1), codes.get("transfer_characteristics", 13))
    if image.format == "AVIF":
        return _avif_colours(path)
    # Cameras that are set to Adobe RGB write no profile. They mark the photo as DCF's "option file"
    # (Exif 3.0, 4.6.7).
    if (
        b"R03" in image.info.get("exif", b"")
        and image.getexif().get_ifd(ExifTags.IFD.Interop).get(1) == "R03"
    ):
        return from_chromaticities(ADOBE_RGB, gamma(ADOBE_GAMMA))
    if image.mode == "CMYK":
        reason = "CMYK without a colour profile that defines its inks"
        raise ImageError(reason, "save it as sRGB")
    return None


def _avif_colours(path: Path) -> ColourSpace | None:
    """Return the space of an AVIF file's first picture, from its `nclx` box.

    Pillow does not report it. None means sRGB.
    """
    with path.open("rb") as file:
        _, found, codes = file.read(AVIF_HEADER).partition(b"colrnclx")
    return from_cicp(*struct.unpack_from(">HH", codes)) if found and len(codes) >= 4 else None


def png_colours(path: Path) -> ColourSpace | bytes | None:
    """Return a PNG's colour space, its ICC profile, or None for sRGB.

    The chunk of highest precedence counts.
    """
    chunks = _png_chunks(path)
    if codes := chunks.get(b"cICP"):
        return from_cicp(codes[0], codes[1])
    if b"iCCP" in chunks:
        return _png_profile(chunks[b"iCCP"])
    if b"sRGB" in chunks:
        return None
    # gAMA stores the exponent of the encoding, times 100000.
    power = 0.0
    if len(chunks.get(b"gAMA", b"")) == 4:
        power = struct.unpack(">I", chunks[b"gAMA"])[0] / 100000
    # Writers of sRGB store 1 / 2.2, and 0 is invalid: sRGB's curve applies to both.
    usual = power == 0.0 or abs(power - 1 / 2.2) < 0.01
    curve = srgb_to_linear if usual else gamma(1.0 / power)
    if len(chunks.get(b"cHRM", b"")) == 32:
        # cHRM stores x and y of white, red, green and blue, times 100000.
        white, *primaries = np.array(struct.unpack(">8I", chunks[b"cHRM"])).reshape(4, 2) / 100000
        return from_chromaticities(np.concatenate([*primaries, white]).tolist(), curve)
    return None if usual else ColourSpace((curve,) * 3, np.eye(3))


def _png_chunks(path: Path) -> dict[bytes, bytes]:
    """Return a PNG's chunks that declare its colours; they precede its pixels."""
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (b"IDAT", b"IEND"):
                break
            if kind in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"):
                found.setdefault(kind, file.read(min(length, MAX_PROFILE)))
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)  # skips the data and its checksum
    return found


def has_chunk(path: Path, kind: bytes) -> bool:
    """Return whether a PNG has a chunk of this kind anywhere."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, found = struct.unpack(">I4s", head)
            if found == kind:
                return True
            file.seek(length + 4, 1)
    return False


def _png_profile(chunk: bytes) -> bytes:
    """Return the ICC profile of an iCCP chunk."""
    # The chunk consists of a name, a zero, the compression method 0, and compressed data.
    name, _, compressed = chunk.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(compressed[1:], MAX_PROFILE)
    except zlib.error as error:
        raise unusable_profile(name.decode("latin-1"), error) from error
