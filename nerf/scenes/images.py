"""Read all images, masks and depth maps of a scene in parallel."""

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


def add_alpha(image: Real[np.ndarray, "h w c"]) -> Real[np.ndarray, "h w 4"]:
    """Add an opaque alpha channel to an image that has none."""
    rest = np.full((*image.shape[:2], 4 - image.shape[2]), opaque(image.dtype), image.dtype)
    return np.concatenate([image, rest], -1)


def read_images(
    paths: Sequence[Path], root: Path, factors: Sequence[int] | None = None, alpha: bool = False
) -> list[Real[np.ndarray, "_ _ c"]]:
    """Read many images in parallel.

    Memory for all of them is allocated before any is decoded, by the sizes in their headers.

    Args:
      paths: the images.
      root: the scene folder, to which the paths in errors are relative.
      factors: integer by which each image is reduced; None stands for 1.
      alpha: add an alpha channel to every image.

    Returns:
      The images. All have the most precise of their types, and four channels with `alpha` or if any
      of them has alpha, otherwise three.

    Raises:
      SceneError: files cannot be decoded (it lists all of them), or there is no space for images.
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
    """Return an image's header, or that of one pixel if it is damaged."""
    try:
        return read_header(path)
    except Exception:  # Decoding will report the problem.
        return Header((1, 1), False, np.uint8)


def _read_all(
    fill: Callable[..., None],
    shapes: Sequence[tuple[int, ...]],
    kind: type[np.generic],
    root: Path,
    paths,
    *others,
) -> list[np.ndarray]:
    """Allocate arrays and fill them from files in parallel.

    Args:
      fill: called as `fill(array, path, *other)` for each file.
      shapes: shapes of the arrays.
      kind: type of all arrays.
      root: the scene folder, to which the paths in errors are relative.
      paths: the files; None gives an array of zeros.
      *others: sequences of further arguments for `fill`, one entry per file.

    Returns:
      The arrays.

    Raises:
      SceneError: files cannot be decoded (it lists all of them), or there is no space for them.
    """
    # All arrays are views of one allocation.
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
        except Exception as error:  # Decoders raise errors of any type on damaged data.
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
    """Read masks of the pixels that count.

    A pixel of a mask file counts if it is brighter than half of the file's brightest pixel. Since
    images are reduced, and mask files may be larger or smaller than their images, a pixel of an
    image counts if all pixels of the mask file that it overlaps do.

    Args:
      paths: mask files; None for a view without one.
      root: the scene folder.
      factors: factors by which the images are reduced.
      sizes: width and height of the stored images.
      hides: masks are bright at pixels that do not count; then only black pixels count.

    Returns:
      One mask per view, True at pixels that count, and True everywhere in a view without a file;
      None if no view has a file.

    Raises:
      SceneError: lists every file that cannot be decoded.
    """
    if not any(paths):
        return None

    def fill(mask: np.ndarray, path: Path, factor: int, size: tuple[int, int]) -> None:
        grey = decode_stored(path)[..., :3].max(-1)
        dark = grey > 0 if hides else 2.0 * grey <= grey.max()
        # A summed-area table: the number of dark pixels in a rectangle is the sum of four entries.
        counts = np.pad(dark.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
        top, bottom = _spans(mask.shape[0], factor * dark.shape[0] / size[1], dark.shape[0])
        left, right = _spans(mask.shape[1], factor * dark.shape[1] / size[0], dark.shape[1])
        # `mask` is True at pixels that do not count: those that overlap a dark pixel.
        rows = counts[bottom] - counts[top]
        np.copyto(mask, rows[:, right] > rows[:, left])

    shapes = [(h // n, w // n) for (w, h), n in zip(sizes, factors, strict=True)]
    hidden = _read_all(fill, shapes, np.bool_, root, paths, factors, sizes)
    for mask in hidden:
        np.logical_not(mask, out=mask)
    return hidden


def _spans(count: int, step: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of pixels that each of a row of intervals overlaps.

    Args:
      count: number of intervals, side by side from 0.
      step: length of an interval in pixels.
      limit: number of pixels.

    Returns:
      The first pixel of each interval, and the one after its last.
    """
    edges = np.arange(count + 1) * step
    first = np.floor(edges[:-1] + 1e-6).astype(int)
    end = np.ceil(edges[1:] - 1e-6).astype(int)
    return np.clip(first, 0, limit - 1), np.clip(np.maximum(end, first + 1), 1, limit)


def _nearest(
    positions: Float[np.ndarray, " n"], count: int
) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """Return the pixel at each position in a row from 0 to 1.

    Args:
      positions: positions, of which those in [0, 1) are in a pixel.
      count: number of pixels.

    Returns:
      The index of the nearest pixel, and whether the position is in it.
    """
    pixel = np.floor(positions * count).astype(int)
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
    """Read depth maps as distances along the rays of `cameras`.

    Depth of perspective cameras is stored along their optical axis, and converted; that of other
    cameras is stored along the ray. A depth map may be smaller or larger than its image. The
    nearest stored number is used, since a mean across an edge would be a depth without a surface.

    Args:
      paths: depth files; None for a view without one.
      root: the scene folder.
      factors: factors by which the images are reduced.
      sizes: width and height of the stored images.
      cameras: cameras of the reduced images, in the normalised world.
      units: units of the normalised world per unit of each depth file.
      lenses: for each view, two numbers (a, b) for x and two for y: the pixel coordinate x of the
        stored image is a x + b in the camera that measured depth, for pixels of the same size.

    Returns:
      One array per view in units of the normalised world, 0 if depth is unknown or not finite; None
      if no view has a file.

    Raises:
      SceneError: lists every file that cannot be decoded.
    """
    if not any(paths):
        return None

    def locate(view: int, axis: int, count: int, stored: int) -> tuple[np.ndarray, np.ndarray]:
        # Pixel centres of the reduced image, as fractions of the depth camera's picture.
        a, b = lenses[view][axis]
        centres = (a * (np.arange(count) + 0.5) * factors[view] + b) / sizes[view][axis]
        return _nearest(centres, stored)

    def fill(depth: np.ndarray, path: Path, view: int) -> None:
        stored = decode_numbers(path)
        x, in_x = locate(view, 0, depth.shape[1], stored.shape[1])
        y, in_y = locate(view, 1, depth.shape[0], stored.shape[0])
        found = stored[y[:, None], x[None, :]] * np.float32(units[view])
        known = np.isfinite(found) & (found > 0) & in_y[:, None] & in_x[None, :]
        found = np.where(known, found, np.float32(0.0))
        # Depth along the axis is the distance along the ray times the cosine between them.
        if cameras.model[view] == PERSPECTIVE:
            found = found / axis_cosines(cameras[view])
        np.copyto(depth, found)

    shapes = [(h, w) for w, h in np.asarray(cameras.size).tolist()]
    return _read_all(fill, shapes, np.float32, root, paths, range(len(paths)))


def over(
    rgba: Float[Array | np.ndarray, "*b c"], background: Float[Array | np.ndarray, "*#b 3"]
) -> Float[Array | np.ndarray, "*b 3"]:
    """Composite straight-alpha sRGB over a background, in sRGB as renderings are.

    Colours without alpha are returned unchanged.
    """
    if rgba.shape[-1] == 3:
        return rgba
    return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:]) * background
