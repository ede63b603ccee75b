"""Reading a scene's images, masks and depths, all at once: in parallel, reduced, where there is room for them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Array, Bool, Float, Real
from PIL import ExifTags

from nerf.cameras.cameras import Cameras, axis_cosines
from nerf.cameras.lenses import PERSPECTIVE
from nerf.scenes.base import Problem, SceneError
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import (
    Header,
    check_header,
    convert,
    decode,
    decode_numbers,
    decode_stored,
    is_deep,
    is_transparent,
    open_image,
    read_header,
)
from nerf.scenes.embedded import has_chunk
from nerf.scenes.storage import allocate

EXIF_KEYS = {
    "exif",
    "Raw profile type exif",
    "XML:com.adobe.xmp",
}  # where Pillow finds an orientation in a PNG


def check_image(path: Path, shown: str) -> tuple[tuple[int, int], bool, Problem | None]:
    """From the header: size (width, height), transparency, and what is wrong with the file if anything is."""
    header, problem = check_header(path, shown)
    return header.size, header.transparent, problem


def has_transparent_pixel(path: Path) -> bool:
    """Whether any pixel is not opaque: some programs write an alpha channel that says nothing."""
    if is_deep(path):
        pixels = decode_stored(path)
        return bool(pixels.shape[2] == 4 and pixels[..., 3].min() < opaque(pixels.dtype))
    with open_image(path) as image:
        return is_transparent(image) and image.convert("RGBA").getextrema()[3][0] < 255


def orientation(path: Path) -> int:
    """Read how an image is to be turned to be seen, EXIF's orientation 1 to 8; 1 where the file does not say.

    Pixels are never turned, since poses are of the pixels as they are stored. With 5 to 8 the sides are exchanged.
    """
    try:
        with open_image(path) as image:
            # Pillow would decode a whole PNG to look for EXIF behind its pixels.
            if (
                image.format == "PNG"
                and not (EXIF_KEYS & image.info.keys())
                and not has_chunk(path, b"eXIf")
            ):
                return 1
            number = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the readers raise anything on damaged data; what is wrong is said elsewhere
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def opaque(kind: np.dtype) -> float:
    """The largest alpha of a type."""
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


def reduce(pixels: Real[np.ndarray, "h w c"], factor: int) -> Real[np.ndarray, "_ _ c"]:
    """Box-filtered down by an integer factor. Rows and columns that do not fill a block are cropped.

    The mean colour is weighted by alpha, so that a transparent pixel's colour does not bleed in.
    """
    if factor == 1:
        return pixels
    h, w, c = pixels.shape[0] // factor, pixels.shape[1] // factor, pixels.shape[2]
    blocks = pixels[: h * factor, : w * factor].reshape(h, factor, w, factor, c).astype(np.float32)
    mean = blocks.mean((1, 3))
    if c == 4:
        alpha = blocks[..., 3:]
        mean[..., :3] = (blocks[..., :3] * alpha).sum((1, 3)) / np.maximum(alpha.sum((1, 3)), 1e-6)
    return mean if pixels.dtype == np.float32 else np.rint(mean).astype(pixels.dtype)


def read_image(path: Path, factor: int = 1) -> Real[np.ndarray, "h w c"]:
    """`decode`, reduced."""
    return reduce(decode(path), factor)


def add_alpha(image: Real[np.ndarray, "h w c"]) -> Real[np.ndarray, "h w 4"]:
    """The image with an opaque fourth channel, where it has none."""
    rest = np.full((*image.shape[:2], 4 - image.shape[2]), opaque(image.dtype), image.dtype)
    return np.concatenate([image, rest], -1)


def read_images(
    paths: Sequence[Path], root: Path, factors: Sequence[int] | None = None, alpha: bool = False
) -> list[Real[np.ndarray, "_ _ c"]]:
    """Read many images in parallel; raises one SceneError that lists every file that cannot be decoded.

    All get the same type, the most precise among them, and number of channels: four with `alpha`, or where any of them
    has four. Whether there is room for all of them is found out first, from their headers.
    """
    if not paths:
        return []
    factors = factors or [1] * len(paths)
    headers = [_header(path) for path in paths]
    kind = max((header.kind for header in headers), key=lambda kind: np.dtype(kind).itemsize)
    channels = 4 if alpha or any(header.transparent for header in headers) else 3
    shapes = [(h // n, w // n, channels) for ((w, h), *_), n in zip(headers, factors, strict=True)]

    def fill(image: np.ndarray, path: Path, factor: int) -> None:
        pixels = convert(read_image(path, factor), kind)
        np.copyto(image, (add_alpha(pixels) if channels == 4 else pixels).reshape(image.shape))

    return _read_all(fill, shapes, kind, root, paths, factors)


def _header(path: Path) -> Header:
    """A pixel's where there is none: decoding names what is wrong."""
    try:
        return read_header(path)
    except Exception:
        return Header((1, 1), False, np.uint8)


def _read_all(
    fill: Callable[..., None],
    shapes: Sequence[tuple[int, ...]],
    kind: type[np.generic],
    root: Path,
    paths,
    *others,
) -> list[np.ndarray]:
    """Arrays of these shapes and type, each filled by `fill(array, path, *others)`; a path that is None gives zeros."""
    size = np.dtype(kind).itemsize
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    flat = allocate(int(ends[-1]) * size).view(kind)
    arrays = [
        part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)
    ]

    def attempt(array: np.ndarray, path: Path | None, *other) -> Problem | None:
        if path is None:
            array[...] = 0
            return None
        try:
            fill(array, path, *other)
        except ImageError as error:
            return Problem(path.relative_to(root).as_posix(), "", str(error), error.fix)
        except Exception as error:  # decoders raise anything on damaged data
            reason = f"cannot be decoded ({error})"
            return Problem(path.relative_to(root).as_posix(), "", reason, "export it again")
        return None

    with ThreadPoolExecutor(4) as pool:
        problems = list(pool.map(attempt, arrays, paths, *others))
    if found := [problem for problem in problems if problem is not None]:
        raise SceneError(found)
    return arrays


def read_masks(
    paths: Sequence[Path | None],
    root: Path,
    factors: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    hides: bool = False,
) -> list[Bool[np.ndarray, "_ _"]] | None:
    """Read masks: True where one is brighter than half of its brightest pixel, and everywhere in a view without one.

    A pixel is True where all pixels of the mask that lie in it are: masks may be larger or smaller than their images,
    and images are reduced.

    Args:
      paths: the masks.
      root: the scene folder.
      factors: by which the images are reduced.
      sizes: of the images as they are stored.
      hides: whether masks are bright where nothing counts: then True is where one is black.

    Returns:
      One mask a view; None if there is none.
    """
    if not any(paths):
        return None

    def fill(mask: np.ndarray, path: Path, factor: int, size: tuple[int, int]) -> None:
        grey = decode_stored(path)[..., :3].max(-1)
        dark = grey > 0 if hides else 2.0 * grey <= grey.max()
        # Counts of dark pixels left of and above each corner give the count in any rectangle from four of them.
        counts = np.pad(dark.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
        top, bottom = _spans(mask.shape[0], factor * dark.shape[0] / size[1], dark.shape[0])
        left, right = _spans(mask.shape[1], factor * dark.shape[1] / size[0], dark.shape[1])
        down = counts[bottom] - counts[top]
        np.copyto(mask, down[:, right] > down[:, left])

    shapes = [(h // n, w // n) for (w, h), n in zip(sizes, factors, strict=True)]
    hidden = _read_all(fill, shapes, np.bool_, root, paths, factors, sizes)
    for mask in hidden:
        np.logical_not(mask, out=mask)
    return hidden


def _spans(count: int, step: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the end of the pixels, of `limit`, that each of `count` intervals of length `step` meets."""
    edges = np.arange(count + 1) * step
    first = np.floor(edges[:-1] + 1e-6).astype(int)
    end = np.ceil(edges[1:] - 1e-6).astype(int)
    return np.clip(first, 0, limit - 1), np.clip(np.maximum(end, first + 1), 1, limit)


def _nearest(
    places: Float[np.ndarray, " n"], count: int
) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """Which of `count` pixels each place is in, where they begin at 0 and end at 1, and whether it is in one."""
    pixel = np.floor(places * count).astype(int)
    return np.clip(pixel, 0, count - 1), (pixel >= 0) & (pixel < count)


def read_depths(
    paths: Sequence[Path | None],
    root: Path,
    factors: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    cameras: Cameras,
    units: Sequence[float],
    lenses: Sequence[Float[np.ndarray, "2 2"]],
) -> list[Float[np.ndarray, "_ _"]] | None:
    """Distance along the rays of `cameras`: what is stored times a unit; 0 where it is not known, or not finite.

    Depth of perspective cameras is stored along their axis, and converted; of others, along the ray. A depth map may be
    smaller or larger than its image: the nearest number counts, since a mean over an edge is a place where nothing is.
    None if there is none. `sizes` are those of the images as they are stored, `cameras` belong to the reduced ones.
    `lenses` are two numbers (a, b) for x and two for y: the place x of an image, in its pixels, is a x + b in those of
    the camera that measured depth, were it as large.
    """
    if not any(paths):
        return None

    def fill(depth: np.ndarray, path: Path, view: int) -> None:
        stored = decode_numbers(path)
        (x, in_x), (y, in_y) = (
            _nearest((a * (np.arange(n) + 0.5) * factors[view] + b) / full, stored.shape[1 - axis])
            for axis, ((a, b), n, full) in enumerate(
                zip(lenses[view], depth.shape[::-1], sizes[view], strict=True)
            )
        )
        found = stored[y[:, None], x[None, :]] * np.float32(units[view])
        known = np.isfinite(found) & (found > 0) & in_y[:, None] & in_x[None, :]
        found = np.where(known, found, np.float32(0.0))
        np.copyto(
            depth,
            found / axis_cosines(cameras[view]) if cameras.model[view] == PERSPECTIVE else found,
        )

    shapes = [(h, w) for w, h in np.asarray(cameras.size).tolist()]
    return _read_all(fill, shapes, np.float32, root, paths, range(len(paths)))


def over(
    rgba: Float[Array | np.ndarray, "*b c"], background: Float[Array | np.ndarray, "*#b 3"]
) -> Float[Array | np.ndarray, "*b 3"]:
    """Straight-alpha sRGB over a background, composited in sRGB as a rendering is; opaque colours as they are."""
    if rgba.shape[-1] == 3:
        return rgba
    return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:]) * background
