"""One image file to numbers: the header is looked at before anything is decoded, and pixels are as they are stored.

Never rotated: poses are for pixels as stored, whatever EXIF says. Never cut to 8 bits: PNG of 16 bits and OpenEXR are
read by OpenImageIO, everything else by Pillow, which would cut the former silently.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real
from PIL import Image, UnidentifiedImageError

from nerf.scenes.base import Problem, to_unit

MAX_PIXELS = 80_000_000  # larger than most cameras' images: a decompression bomb. Pillow warns from 89 million
# Others are not tried: Pillow would run Ghostscript for an EPS file, and cuts a 16-bit TIFF to 8 bits.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
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
            with Image.open(path, formats=FORMATS) as image:
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
        return nothing, Problem(shown, "", "no such image", "add it or remove its entry")
    except Image.DecompressionBombError:
        return nothing, Problem(shown, "", "implausibly many pixels", "scale it down")
    except Exception as error:  # the readers raise anything on damaged data
        return nothing, Problem(shown, "", _why(path, error), "export it again as PNG or JPEG")
    if header.size[0] * header.size[1] > MAX_PIXELS:
        return header, Problem(shown, "", f"{header.size[0]}x{header.size[1]} pixels", "scale it down")
    return header, None


def _why(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "a folder, not an image"
    if path.is_file() and not path.stat().st_size:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        return "not a readable image"
    return f"not a readable image ({error})"


def decode(path: Path) -> Real[np.ndarray, "h w c"]:
    """(h, w, 3) sRGB or, with transparency, (h, w, 4) with straight alpha: uint8, uint16, or float32 in [0, 1].

    OpenEXR is linear and premultiplied by its convention: it is made sRGB, and cut to [0, 1].
    """
    if not is_deep(path):
        with Image.open(path, formats=FORMATS) as image:
            return np.asarray(image.convert("RGBA" if is_transparent(image) else "RGB"))
    pixels, names = _numbers(path)
    colours = ("R", "G", "B") if "R" in names and "G" in names and "B" in names else ("Y",) * 3
    if not set(colours) <= set(names):
        raise ValueError(f"channels {', '.join(names)}: no R, G and B, and no Y")
    rgba = pixels[..., [names.index(name) for name in (*colours, *(["A"] if "A" in names else []))]]
    return _to_srgb(rgba) if is_exr(path) else rgba


def _to_srgb(linear: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """Linear light, premultiplied by alpha if there is any, to straight sRGB in [0, 1] (IEC 61966-2-1)."""
    linear = np.clip(np.nan_to_num(linear), 0.0, 1.0)
    alpha = linear[..., 3:]
    colour = np.minimum(linear[..., :3] / np.maximum(alpha, 1e-6), 1.0) if alpha.size else linear
    curved = np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour ** (1 / 2.4) - 0.055)
    return np.concatenate([curved, alpha], -1).astype(np.float32)


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
        return (0, 0), Problem(shown, "", f"{array.shape[1]}x{array.shape[0]} pixels", "scale it down")
    return (array.shape[1], array.shape[0]), None


def convert(pixels: Real[np.ndarray, "h w c"], kind: type[np.generic]) -> Real[np.ndarray, "h w c"]:
    """Pixels in a type that is as precise or more: uint8, uint16, float32."""
    if pixels.dtype == kind:
        return pixels
    return np.asarray(to_unit(pixels)) if kind == np.float32 else pixels.astype(np.uint16) * np.uint16(257)
