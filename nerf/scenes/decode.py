"""Decode one image file to sRGB pixels, after a check of its header.

Pixels are never rotated: poses are for the stored pixels, whatever EXIF says. HEIC is the
exception: its orientation (`irot`, `imir`) is part of the picture, every reader applies it, and the
header gives the size after it. Pixels are never reduced to 8 bits: OpenImageIO reads 16-bit PNG and
OpenEXR, and Pillow, which would silently reduce 16-bit colour, reads everything else.
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

# Larger images, which few cameras take, are refused as decompression bombs. Pillow warns from 89
# million pixels.
MAX_PIXELS = 80_000_000
# Reasons of problems.
MISSING = "no such image"
FOLDER = "a folder, not an image"
SCALE_DOWN = f"scale it down to at most {MAX_PIXELS // 1_000_000} million pixels"
# Pillow must not try other formats: it would run Ghostscript for an EPS file, and it reduces a
# 16-bit TIFF to 8 bits.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
AVIF_SUFFIXES = (".avif",)
# Brands in the `ftyp` box of an ISO media file, which identify its format. AVIF files also name a
# brand of HEIF, so that AVIF is tested first.
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
# Channels of an EXR file that may contain depth, in order of preference.
DEPTH_CHANNELS = ("Z", "V", "Y", "DEPTH", "R")


class Header(NamedTuple):
    """Properties of an image that are known before it is decoded.

    Attributes:
      size: width and height in pixels.
      transparent: whether it has an alpha channel or a transparent colour.
      kind: type of the decoded pixels: uint8, uint16 or float32.
    """

    size: tuple[int, int]
    transparent: bool
    kind: type[np.generic]


def is_exr(path: Path) -> bool:
    """Return whether a file is OpenEXR, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"\x76\x2f\x31\x01"


def is_deep(path: Path) -> bool:
    """Return whether a file is deep: OpenEXR or 16-bit PNG."""
    with path.open("rb") as file:
        start = file.read(25)
    return is_exr(path) or (start.startswith(b"\x89PNG") and start[24:] == b"\x10")


def open_image(path: Path) -> Image.Image:
    """Open an image of 8 bits per channel in Pillow.

    Pillow decodes it when its pixels are first used.

    Raises:
      ImageError: the package that reads the format is missing.
      Exception: Pillow's error for a file that is not an image.
    """
    with path.open("rb") as file:
        start = file.read(64)
    # HEIF and AVIF are recognised by the brands in the file, not by the file's name.
    brands = set()
    if start[4:8] == b"ftyp":
        length = struct.unpack(">I", start[:4])[0]
        brands = {start[i : i + 4] for i in range(8, min(length, len(start)), 4)}
    if brands & AVIF_BRANDS:
        if not features.check("avif"):
            raise ImageError(
                "this version of Pillow does not read AVIF", "pip install --upgrade pillow"
            )
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
    """Return whether an image has an alpha channel or a transparent colour."""
    return "A" in image.mode or "transparency" in image.info


@contextlib.contextmanager
def _deep(path: Path) -> Iterator:
    """Open a deep image in OpenImageIO, with alpha as it is stored.

    Raises:
      ValueError: the file is not a readable image.
    """
    import OpenImageIO as oiio  # takes 0.1 s and few scenes need it

    options = oiio.ImageSpec()
    options.attribute("oiio:UnassociatedAlpha", 1)
    image = oiio.ImageInput.open(str(path), options)
    if image is None:
        raise ValueError(oiio.geterror().strip() or "not a readable image")
    try:
        yield image
    finally:
        image.close()


def _numbers(path: Path) -> tuple[Real[np.ndarray, "h w c"], list[str]]:
    """Read all channels of a deep image.

    Returns:
      The pixels, uint16 or float32, and the channels' names in capitals.

    Raises:
      ValueError: the file cannot be read.
    """
    with _deep(path) as image:
        spec = image.spec()
        pixels = image.read_image(0, 0, 0, spec.nchannels, "float" if is_exr(path) else "uint16")
        if pixels is None:
            raise ValueError(image.geterror().strip() or "damaged pixels")
        names = [name.upper() for name in spec.channelnames]
        return np.asarray(pixels).reshape(spec.height, spec.width, spec.nchannels), names


def read_header(path: Path) -> Header:
    """Read an image's header.

    Raises:
      ValueError: the image is not supported.
      Exception: the reader's error for a file that is not an image.
    """
    if not is_deep(path):
        with warnings.catch_warnings():
            # `check_header` refuses such images because of MAX_PIXELS.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with open_image(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise ValueError(f"pixels of type {image.mode}")
                return Header(image.size, is_transparent(image), np.uint8)
    with _deep(path) as image:
        spec = image.spec()
        count = spec.width * spec.height * spec.nchannels
        if spec.deep or spec.depth > 1 or count > 4 * MAX_PIXELS:
            raise ValueError("not a flat picture, or too many channels")
        names = [name.upper() for name in spec.channelnames]
        kind = np.float32 if is_exr(path) else np.uint16
        return Header((spec.width, spec.height), "A" in names, kind)


def check_header(path: Path, shown: str) -> tuple[Header, Problem | None]:
    """Return an image's header, and its problem or None."""
    nothing = Header((0, 0), False, np.uint8)
    try:
        header = read_header(path)
    except FileNotFoundError:
        return nothing, Problem(shown, "", MISSING, "add it or remove its entry")
    except Image.DecompressionBombError:
        return nothing, Problem(shown, "", "implausibly many pixels", SCALE_DOWN)
    except ImageError as error:
        return nothing, Problem(shown, "", str(error), error.fix)
    except Exception as error:  # The readers raise errors of any type on damaged data.
        return nothing, Problem(shown, "", *_why(path, error))
    if header.size[0] * header.size[1] > MAX_PIXELS:
        return header, Problem(shown, "", f"{header.size[0]}x{header.size[1]} pixels", SCALE_DOWN)
    return header, None


def _why(path: Path, error: Exception) -> tuple[str, str]:
    """Return the reason and the fix for an image that cannot be read."""
    if path.is_dir():
        return FOLDER, "name an image"
    if path.is_file() and not path.stat().st_size:
        return "empty file", "copy or export it again"
    if isinstance(error, PermissionError):
        return "no permission to read it", "make the file readable"
    reason = "not a readable image"
    if not isinstance(error, UnidentifiedImageError):
        reason = f"{reason} ({error})"
    return reason, "export it again as PNG or JPEG"


def decode(path: Path) -> Real[np.ndarray, "h w c"]:
    """Decode a photo to sRGB, with straight alpha if it has transparency.

    OpenEXR is linear with premultiplied alpha by convention: it is converted and clipped to [0, 1].

    Returns:
      An (h, w, 3) or (h, w, 4) array of type uint8, uint16, or float32 in [0, 1].

    Raises:
      ImageError: the colours cannot be converted.
      Exception: the reader's error on damaged data.
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
        # The image has an ICC profile. It converts colours only, so alpha is added again.
        converted = convert_with_profile(image, space)
        if is_transparent(image):
            converted = np.dstack([converted, np.asarray(image.convert("RGBA").getchannel("A"))])
        return converted


def decode_stored(path: Path) -> Real[np.ndarray, "h w c"]:
    """Decode an image without conversion of its colours, e.g. a mask.

    Returns:
      An (h, w, 3) or (h, w, 4) array of the stored values.

    Raises:
      ValueError: the channels are neither colours nor grey.
      Exception: the reader's error on damaged data.
    """
    if not is_deep(path):
        with open_image(path) as image:
            return _straight(image)
    pixels, names = _numbers(path)
    # Order the channels as R, G, B and A; grey images repeat their luminance Y.
    colours = ["R", "G", "B"] if {"R", "G", "B"} <= set(names) else ["Y"] * 3
    if not set(colours) <= set(names):
        raise ValueError(f"channels {', '.join(names)}: no R, G and B, and no Y")
    if "A" in names:
        colours.append("A")
    return pixels[..., [names.index(name) for name in colours]]


def _straight(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    """Return RGB pixels, or RGB with straight alpha if the image has transparency."""
    return np.asarray(image.convert("RGBA" if is_transparent(image) else "RGB"))


def _exr_matrix(path: Path) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB of an EXR file to linear sRGB.

    Files that name no primaries use those of BT.709, which are sRGB's.
    """
    with _deep(path) as image:
        named = image.spec().getattribute("chromaticities")
    return matrix_to_srgb(named) if named is not None and len(named) == 8 else np.eye(3)


def _linear_to_srgb(
    linear: Float[np.ndarray, "h w c"], matrix: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "h w c"]:
    """Encode linear light with premultiplied alpha as sRGB with straight alpha."""
    linear = np.nan_to_num(linear)
    alpha = np.clip(linear[..., 3:], 0.0, 1.0)
    colour = np.clip(linear[..., :3] @ matrix.T.astype(np.float32), 0.0, 1.0)
    # Divide by alpha in linear light, where the colours were multiplied by it.
    if alpha.size:
        colour = np.minimum(colour / np.maximum(alpha, 1e-6), 1.0)
    return np.concatenate([linear_to_srgb(colour), alpha], -1).astype(np.float32)


def decode_numbers(path: Path) -> Float[np.ndarray, "h w"]:
    """Read a file of one number per pixel, such as depth.

    The file is an 8- or 16-bit PNG, OpenEXR, or NumPy's .npy. The largest 16-bit number becomes 0,
    since sensors write either of them at pixels without a measurement.

    Returns:
      The stored numbers as float32, in the units of the file.
    """
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False).astype(np.float32)
    if not is_deep(path):
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("L"), np.float32)
    pixels, names = _numbers(path)
    channel = next((names.index(name) for name in DEPTH_CHANNELS if name in names), 0)
    found = pixels[..., channel]
    if found.dtype == np.uint16:
        return np.where(found == 65535, 0, found).astype(np.float32)
    return found


def check_numbers(path: Path, shown: str) -> tuple[tuple[int, int], Problem | None]:
    """Check a file for `decode_numbers`.

    Returns:
      Its width and height, and its problem or None.
    """
    if path.suffix.lower() != ".npy":
        header, problem = check_header(path, shown)
        return header.size, problem
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype.kind not in "iuf":
            raise ValueError(f"shape {array.shape}, type {array.dtype}")
    except FileNotFoundError:
        return (0, 0), Problem(shown, "", "no such file", "add it or remove its entry")
    except Exception as error:  # NumPy's reader raises errors of any type on damaged data.
        reason = f"not an array of numbers ({error})"
        return (0, 0), Problem(shown, "", reason, "write a numeric array (height, width)")
    if array.size > MAX_PIXELS:
        return (0, 0), Problem(shown, "", f"{array.shape[1]}x{array.shape[0]} pixels", SCALE_DOWN)
    return (array.shape[1], array.shape[0]), None


def convert(pixels: Real[np.ndarray, "h w c"], kind: type[np.generic]) -> Real[np.ndarray, "h w c"]:
    """Convert pixels to a type of the same or higher precision."""
    if pixels.dtype == kind:
        return pixels
    if kind == np.float32:
        return np.asarray(to_unit(pixels))
    # 257 = 65535 / 255 maps the largest uint8 to the largest uint16.
    return pixels.astype(np.uint16) * np.uint16(257)
