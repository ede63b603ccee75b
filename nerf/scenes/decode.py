"""Decode one image file to sRGB pixels; its header is checked before anything is decoded.

Never rotated: poses are for pixels as stored, whatever EXIF says. HEIC is the exception: its orientation is part of
the picture (`irot`, `imir`), which every reader applies, and its header gives the size after that. Never cut to
8 bits: PNG of 16 bits and OpenEXR are read by OpenImageIO, everything else by Pillow, which would cut the former
silently.
"""

import contextlib
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real, UInt8
from PIL import Image, UnidentifiedImageError, features

from nerf.scenes.base import Problem, to_unit
from nerf.scenes.colour import ImageError, linear_to_srgb, matrix_to_srgb, to_srgb
from nerf.scenes.embedded import colours_of, png_colours
from nerf.scenes.icc import convert_with_profile, from_icc

MAX_PIXELS = 80_000_000  # larger than most cameras' images: a decompression bomb. Pillow warns from 89 million
MISSING, FOLDER = "no such image", "a folder, not an image"  # reasons of problems
SCALE_DOWN = f"scale it down to at most {MAX_PIXELS // 1_000_000} million pixels"
# Others are not tried: Pillow would run Ghostscript for an EPS file, and cuts a 16-bit TIFF to 8 bits.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
AVIF_SUFFIXES = (".avif",)
# Of an ISO media file's `ftyp` box, which says what is in it. AVIF names HEIF's container beside its own.
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
DEPTHS = ("Z", "V", "Y", "DEPTH", "R")  # channels of an EXR file that may hold depth, the likeliest first


class Header(NamedTuple):
    """What a file says of its image before it is decoded: width and height, an alpha channel, and its type."""

    size: tuple[int, int]
    transparent: bool
    kind: type[np.generic]


def is_exr(path: Path) -> bool:
    """Whether a file says that it is OpenEXR, whatever its name."""
    with path.open("rb") as file:
        return file.read(4) == b"\x76\x2f\x31\x01"


def is_deep(path: Path) -> bool:
    """Whether a file holds more than 8 bits a channel."""
    with path.open("rb") as file:
        start = file.read(25)
    return is_exr(path) or (start.startswith(b"\x89PNG") and start[24:] == b"\x10")


def open_image(path: Path) -> Image.Image:
    """Open an image of 8 bits a channel; Pillow decodes it when its pixels are used.

    Raises: ImageError, where a package is missing; whatever Pillow raises for a file that is no image.
    """
    with path.open("rb") as file:
        start = file.read(64)
    brands = set()
    if start[4:8] == b"ftyp":
        length = struct.unpack(">I", start[:4])[0]
        brands = {start[i : i + 4] for i in range(8, min(length, len(start)), 4)}
    if brands & AVIF_BRANDS:
        if not features.check("avif"):
            raise ImageError("this version of Pillow does not read AVIF", "pip install --upgrade pillow")
        return Image.open(path, formats=("AVIF",))
    if brands & HEIF_BRANDS:
        try:
            import pillow_heif
        except ImportError as error:
            reason = "HEIC is read by a package that is not installed"
            raise ImageError(reason, "pip install pillow-heif, or export it as JPEG") from error
        pillow_heif.register_heif_opener()
        return Image.open(path, formats=("HEIF",))
    return Image.open(path, formats=FORMATS)


def is_transparent(image: Image.Image) -> bool:
    """Whether the header promises transparency: an alpha channel, or a colour that stands for it."""
    return "A" in image.mode or "transparency" in image.info


@contextlib.contextmanager
def _deep(path: Path) -> Iterator:
    """A deep image, open in OpenImageIO, with alpha as it is stored. Raises ValueError."""
    import OpenImageIO as oiio  # a tenth of a second, for few scenes

    wishes = oiio.ImageSpec()
    wishes.attribute("oiio:UnassociatedAlpha", 1)
    image = oiio.ImageInput.open(str(path), wishes)
    if image is None:
        raise ValueError(oiio.geterror().strip() or "not a readable image")
    try:
        yield image
    finally:
        image.close()


def _numbers(path: Path) -> tuple[Real[np.ndarray, "h w c"], list[str]]:
    """All channels of a deep image, uint16 or float32, and their names in capitals. Raises ValueError."""
    with _deep(path) as image:
        spec = image.spec()
        pixels = image.read_image(0, 0, 0, spec.nchannels, "float" if is_exr(path) else "uint16")
        if pixels is None:
            raise ValueError(image.geterror().strip() or "damaged pixels")
        names = [name.upper() for name in spec.channelnames]
        return np.asarray(pixels).reshape(spec.height, spec.width, spec.nchannels), names


def read_header(path: Path) -> Header:
    """Raises whatever the readers raise on a file that is no image, ValueError for one that is not supported."""
    if not is_deep(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS refuses those
            with open_image(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise ValueError(f"pixels of type {image.mode}")
                return Header(image.size, is_transparent(image), np.uint8)
    with _deep(path) as image:
        spec = image.spec()
        if spec.deep or spec.depth > 1 or spec.width * spec.height * spec.nchannels > 4 * MAX_PIXELS:
            raise ValueError("not a flat picture, or too many channels")
        names = [name.upper() for name in spec.channelnames]
        return Header((spec.width, spec.height), "A" in names, np.float32 if is_exr(path) else np.uint16)


def check_header(path: Path, shown: str) -> tuple[Header, Problem | None]:
    """The header, and what is wrong with the file if anything is."""
    nothing = Header((0, 0), False, np.uint8)
    try:
        header = read_header(path)
    except FileNotFoundError:
        return nothing, Problem(shown, "", MISSING, "add it or remove its entry")
    except Image.DecompressionBombError:
        return nothing, Problem(shown, "", "implausibly many pixels", SCALE_DOWN)
    except ImageError as error:
        return nothing, Problem(shown, "", str(error), error.fix)
    except Exception as error:  # the readers raise anything on damaged data
        return nothing, Problem(shown, "", *_why(path, error))
    if header.size[0] * header.size[1] > MAX_PIXELS:
        return header, Problem(shown, "", f"{header.size[0]}x{header.size[1]} pixels", SCALE_DOWN)
    return header, None


def _why(path: Path, error: Exception) -> tuple[str, str]:
    """Return why an image cannot be read, and what to do."""
    if path.is_dir():
        return FOLDER, "name an image"
    if path.is_file() and not path.stat().st_size:
        return "empty file", "copy or export it again"
    if isinstance(error, PermissionError):
        return "no permission to read it", "make the file readable"
    reason = "not a readable image" if isinstance(error, UnidentifiedImageError) else f"not a readable image ({error})"
    return reason, "export it again as PNG or JPEG"


def decode(path: Path) -> Real[np.ndarray, "h w c"]:
    """Decode a photo to sRGB: (h, w, 3) or, with transparency, (h, w, 4) with straight alpha.

    The type is uint8, uint16, or float32 in [0, 1]. OpenEXR is linear and premultiplied by its convention: it is made
    sRGB, and cut to [0, 1].

    Raises: ImageError, where its colours cannot be converted; whatever the readers raise on damaged data.
    """
    if is_exr(path):
        return _linear_to_srgb(decode_stored(path), _exr_matrix(path))
    if is_deep(path):
        pixels = decode_stored(path)
        space = png_colours(path)
        if isinstance(space, bytes):
            space = from_icc(space)
        return pixels if space is None else to_srgb(pixels, space)
    with open_image(path) as image:
        space = colours_of(image, path)
        if not isinstance(space, bytes):
            pixels = _straight(image)
            return pixels if space is None else to_srgb(pixels, space)
        converted = convert_with_profile(image, space)
        if is_transparent(image):
            converted = np.dstack([converted, np.asarray(image.convert("RGBA").getchannel("A"))])
        return converted


def decode_stored(path: Path) -> Real[np.ndarray, "h w c"]:
    """Decode an image without any conversion of its colours, as for a mask, whose numbers are none."""
    if not is_deep(path):
        with open_image(path) as image:
            return _straight(image)
    pixels, names = _numbers(path)
    colours = ("R", "G", "B") if "R" in names and "G" in names and "B" in names else ("Y",) * 3
    if not set(colours) <= set(names):
        raise ValueError(f"channels {', '.join(names)}: no R, G and B, and no Y")
    return pixels[..., [names.index(name) for name in (*colours, *(["A"] if "A" in names else []))]]


def _straight(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    return np.asarray(image.convert("RGBA" if is_transparent(image) else "RGB"))


def _exr_matrix(path: Path) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from an EXR file's primaries, BT.709's unless it names others, to sRGB's."""
    with _deep(path) as image:
        named = image.spec().getattribute("chromaticities")
    return matrix_to_srgb(named) if named is not None and len(named) == 8 else np.eye(3)


def _linear_to_srgb(linear: Float[np.ndarray, "h w c"], matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w c"]:
    """Encode linear light, premultiplied by alpha if there is any, as straight sRGB in [0, 1]."""
    linear = np.nan_to_num(linear)
    alpha = np.clip(linear[..., 3:], 0.0, 1.0)
    colour = np.clip(linear[..., :3] @ matrix.T.astype(np.float32), 0.0, 1.0)
    if alpha.size:
        colour = np.minimum(colour / np.maximum(alpha, 1e-6), 1.0)
    return np.concatenate([linear_to_srgb(colour), alpha], -1).astype(np.float32)


def decode_numbers(path: Path) -> Float[np.ndarray, "h w"]:
    """What a file of one number a pixel stores, e.g. depth: PNG of 8 or 16 bits, OpenEXR, or NumPy's .npy.

    The largest number of 16 bits becomes 0: sensors write it, as they do 0, where they saw nothing.
    """
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False).astype(np.float32)
    if not is_deep(path):
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("L"), np.float32)
    pixels, names = _numbers(path)
    channel = next((names.index(name) for name in DEPTHS if name in names), 0)
    found = pixels[..., channel]
    return np.where(found == 65535, 0, found).astype(np.float32) if found.dtype == np.uint16 else found


def check_numbers(path: Path, shown: str) -> tuple[tuple[int, int], Problem | None]:
    """Width and height of a file for `decode_numbers`, and what is wrong with it if anything is."""
    if path.suffix.lower() != ".npy":
        header, problem = check_header(path, shown)
        return header.size, problem
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype.kind not in "iuf":
            raise ValueError(f"shape {array.shape}, type {array.dtype}")
    except FileNotFoundError:
        return (0, 0), Problem(shown, "", "no such file", "add it or remove its entry")
    except Exception as error:  # NumPy's reader raises anything on damaged data
        return (0, 0), Problem(
            shown, "", f"not an array of numbers ({error})", "write (height, width) of a number type"
        )
    if array.size > MAX_PIXELS:
        return (0, 0), Problem(shown, "", f"{array.shape[1]}x{array.shape[0]} pixels", SCALE_DOWN)
    return (array.shape[1], array.shape[0]), None


def convert(pixels: Real[np.ndarray, "h w c"], kind: type[np.generic]) -> Real[np.ndarray, "h w c"]:
    """Pixels in a type that is as precise or more: uint8, uint16, float32."""
    if pixels.dtype == kind:
        return pixels
    return np.asarray(to_unit(pixels)) if kind == np.float32 else pixels.astype(np.uint16) * np.uint16(257)
