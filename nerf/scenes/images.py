"""Check, read and reduce images, and report all files that cannot be decoded."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Array, Float, Real
from PIL import ExifTags

from nerf.scenes.base import Problem, to_unit
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import (
    check_header,
    decode,
    decode_stored,
    is_deep,
    is_transparent,
    open_image,
)
from nerf.scenes.embedded import has_chunk

T = TypeVar("T")
DECODING_THREADS = 4
# Keys of Pillow's `info` that may contain the orientation of a PNG.
EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp"}


def check_image(path: Path, shown: str) -> tuple[tuple[int, int], bool, Problem | None]:
    """Check an image by its header.

    Returns:
      Its size (width, height), whether it has transparency, and its problem or None.
    """
    header, problem = check_header(path, shown)
    return header.size, header.transparent, problem


def has_transparent_pixel(path: Path) -> bool:
    """Return whether any pixel is not opaque, since alpha channels may be opaque."""
    if is_deep(path):
        pixels = decode_stored(path)
        return bool(pixels.shape[2] == 4 and pixels[..., 3].min() < opaque(pixels.dtype))
    with open_image(path) as image:
        return is_transparent(image) and image.convert("RGBA").getextrema()[3][0] < 255


def orientation(path: Path) -> int:
    """Return an image's EXIF orientation, 1 to 8, by default 1.

    It is the rotation that makes the image upright; 5 to 8 exchange width and height. Pixels are
    never rotated, since poses are for the stored pixels.
    """
    try:
        with open_image(path) as image:
            # Pillow would decode a complete PNG to look for EXIF after its pixels.
            if (
                image.format == "PNG"
                and not (EXIF_KEYS & image.info.keys())
                and not has_chunk(path, b"eXIf")
            ):
                return 1
            number = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged data raises errors of any type; `check_image` reports them.
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def opaque(kind: np.dtype) -> float:
    """Return the alpha of opaque pixels of a type."""
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


def reduce(pixels: Real[np.ndarray, "h w c"], factor: int) -> Real[np.ndarray, "_ _ c"]:
    """Reduce an image by an integer factor with a box filter.

    Rows and columns that do not fill a block are cropped. The mean colour is weighted by alpha, so
    that colours of transparent pixels do not bleed in.
    """
    if factor == 1:
        return pixels
    h, w, c = pixels.shape[0] // factor, pixels.shape[1] // factor, pixels.shape[2]
    blocks = pixels[: h * factor, : w * factor].reshape(h, factor, w, factor, c).astype(np.float32)
    # Average each factor x factor block.
    mean = blocks.mean((1, 3))
    if c == 4:
        alpha = blocks[..., 3:]
        mean[..., :3] = (blocks[..., :3] * alpha).sum((1, 3)) / np.maximum(alpha.sum((1, 3)), 1e-6)
    return mean if pixels.dtype == np.float32 else np.rint(mean).astype(pixels.dtype)


def read_image(path: Path, factor: int = 1) -> Real[np.ndarray, "h w c"]:
    """Decode an image to sRGB and reduce it by an integer factor."""
    return reduce(decode(path), factor)


def on_background(
    image: Real[np.ndarray, "h w c"], background: Sequence[float] | Float[np.ndarray, "3"]
) -> Float[np.ndarray, "h w 3"]:
    """Return an image of any type in [0, 1], blended over a background.

    Args:
      image: sRGB, with or without straight alpha.
      background: sRGB colour in [0, 1].
    """
    return np.asarray(over(np.asarray(to_unit(image)), np.asarray(background, np.float32)))


def add_alpha(image: Real[np.ndarray, "h w c"]) -> Real[np.ndarray, "h w 4"]:
    """Add an opaque alpha channel to an image that has none."""
    rest = np.full((*image.shape[:2], 4 - image.shape[2]), opaque(image.dtype), image.dtype)
    return np.concatenate([image, rest], -1)


@contextlib.contextmanager
def reported(path: Path, root: Path, problems: list[Problem]) -> Iterator[None]:
    """Add an error in decoding a file to `problems`, and continue.

    Args:
      path: the file that the context decodes.
      root: the scene folder, to which the path in the problem is relative.
      problems: list to which the problem is added.
    """
    shown = path.relative_to(root).as_posix()
    try:
        yield
    except ImageError as error:
        problems.append(Problem(shown, "", str(error), error.fix))
    except Exception as error:  # Decoders raise errors of any type on damaged data.
        problems.append(Problem(shown, "", f"cannot be decoded ({error})", "export it again"))


def in_parallel(visit: Callable[[T], list[Problem]], items: Iterable[T]) -> list[Problem]:
    """Call a function with each item in parallel; return all problems in the items' order."""
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        return [problem for problems in pool.map(visit, items) for problem in problems]


def undecodable(paths: Iterable[Path], root: Path) -> list[Problem]:
    """Return the problems that only decoding finds, as in images with damaged pixels."""

    def visit(path: Path) -> list[Problem]:
        problems: list[Problem] = []
        with reported(path, root, problems):
            read_image(path)
        return problems

    return in_parallel(visit, paths)


def over(
    rgba: Float[Array | np.ndarray, "*b c"], background: Float[Array | np.ndarray, "*#b 3"]
) -> Float[Array | np.ndarray, "*b 3"]:
    """Composite straight-alpha sRGB over a background, in sRGB as renderings are.

    Colours without alpha are returned unchanged.
    """
    if rgba.shape[-1] == 3:
        return rgba
    return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:]) * background
