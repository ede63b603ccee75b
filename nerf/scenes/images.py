"""Reading 8-bit images safely: checked before they are decoded, pixels as stored, never rotated."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from nerf.scenes.base import Problem, SceneError
from nerf.scenes.storage import allocate

MAX_PIXELS = 80_000_000  # larger than most cameras' images: a decompression bomb. Pillow warns from 89 million
# Others are not tried: Pillow would run Ghostscript for an EPS file, and cuts a 16-bit TIFF to 8 bits.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def png_bit_depth(path: Path) -> int:
    """Bits a channel of a PNG file, 0 for other formats. Pillow cuts 16-bit colour to 8 bits silently."""
    with path.open("rb") as file:
        header = file.read(25)
    return header[24] if header.startswith(b"\x89PNG") and len(header) == 25 else 0


def is_transparent(image: Image.Image) -> bool:
    """Whether the header promises transparency: an alpha channel, or a colour that stands for it."""
    return "A" in image.mode or "transparency" in image.info


def has_transparent_pixel(path: Path) -> bool:
    """Whether any pixel is not opaque: some programs write an alpha channel that says nothing."""
    with Image.open(path, formats=FORMATS) as image:
        return is_transparent(image) and image.convert("RGBA").getextrema()[3][0] < 255


def check_image(path: Path, shown: str) -> tuple[tuple[int, int], bool, Problem | None]:
    """From the header: size (width, height), transparency, and what is wrong with the file if anything is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS refuses those
            with Image.open(path, formats=FORMATS) as image:
                size, mode, transparent = image.size, image.mode, is_transparent(image)
        deep = mode.startswith(("I", "F")) or png_bit_depth(path) > 8
    except FileNotFoundError:
        return (0, 0), False, Problem(shown, "", "no such image", "add it or remove its entry")
    except Image.DecompressionBombError:
        return (0, 0), False, Problem(shown, "", "implausibly many pixels", "scale it down")
    except Exception as error:  # Pillow's readers raise anything on damaged data
        return (0, 0), False, Problem(shown, "", _why(path, error), "export it again as PNG or JPEG")
    if size[0] * size[1] > MAX_PIXELS:
        return size, transparent, Problem(shown, "", f"{size[0]}x{size[1]} pixels", "scale it down")
    if deep:
        return size, transparent, Problem(shown, "", "more than 8 bits a channel", "export it with 8 bits")
    return size, transparent, None


def _why(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "a folder, not an image"
    if path.is_file() and not path.stat().st_size:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        return "not a readable image"
    return f"not a readable image ({error})"


def read_image(path: Path, factor: int = 1) -> UInt8[np.ndarray, "h w c"]:
    """Decode to (h, w, 3) or, with transparency, (h, w, 4), box-filtered down by an integer factor.

    Reduction averages colour weighted by alpha, so that a transparent pixel's colour does not bleed in. Rows
    and columns that do not fill a block are cropped. EXIF orientation is not applied: poses are for pixels as
    stored.
    """
    with Image.open(path, formats=FORMATS) as image:
        pixels = np.asarray(image.convert("RGBA" if is_transparent(image) else "RGB"))
    if factor == 1:
        return pixels
    h, w, c = pixels.shape[0] // factor, pixels.shape[1] // factor, pixels.shape[2]
    blocks = pixels[: h * factor, : w * factor].reshape(h, factor, w, factor, c).astype(np.float32)
    if c == 3:
        return np.rint(blocks.mean((1, 3))).astype(np.uint8)
    alpha = blocks[..., 3:]
    colour = (blocks[..., :3] * alpha).sum((1, 3)) / np.maximum(alpha.sum((1, 3)), 1e-6)
    return np.rint(np.concatenate([colour, alpha.mean((1, 3))], -1)).astype(np.uint8)


def add_alpha(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 4"]:
    """The image with an opaque fourth channel, where it has none."""
    opaque = np.full((*image.shape[:2], 4 - image.shape[2]), 255, np.uint8)
    return np.concatenate([image, opaque], -1)


def read_images(
    paths: Sequence[Path], root: Path, factors: Sequence[int] | None = None, alpha: bool = False
) -> list[UInt8[np.ndarray, "_ _ c"]]:
    """Read many images in parallel; raises one SceneError that lists every file that cannot be decoded.

    All get the same number of channels: four with `alpha`, or where any of them has four. Where there is room for all
    of them is found out first, from their headers: see `nerf.scenes.storage`.
    """
    if not paths:
        return []
    factors = factors or [1] * len(paths)
    shapes = [_shape(path, factor) for path, factor in zip(paths, factors, strict=True)]
    channels = 4 if alpha or any(shape[2] == 4 for shape in shapes) else 3
    ends = np.cumsum([h * w * channels for h, w, _ in shapes])
    flat = allocate(int(ends[-1]))
    images = [part.reshape(h, w, channels) for part, (h, w, _) in zip(np.split(flat, ends[:-1]), shapes, strict=True)]

    def attempt(path: Path, factor: int, image: np.ndarray) -> Problem | None:
        try:
            pixels = read_image(path, factor)
            np.copyto(image, (add_alpha(pixels) if channels == 4 else pixels).reshape(image.shape))
        except Exception as error:  # Pillow's decoders raise anything on damaged data
            reason = f"cannot be decoded ({error})"
            return Problem(path.relative_to(root).as_posix(), "", reason, "export it again")
        return None

    with ThreadPoolExecutor(4) as pool:
        problems = list(pool.map(attempt, paths, factors, images))
    if found := [problem for problem in problems if problem is not None]:
        raise SceneError(found)
    return images


def _shape(path: Path, factor: int) -> tuple[int, int, int]:
    """What `read_image` gives has this shape, by the header; a pixel where there is none."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.height // factor, image.width // factor, 4 if is_transparent(image) else 3
    except Exception:  # decoding it names it
        return 1, 1, 3
