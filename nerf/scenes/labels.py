"""Labels beside the images: the class of each pixel, and the number of the single object it shows.

A view's file has the name of its image, in one of these folders of the scene:

  labels, semantics, label-filt (ScanNet), semantic_class (Replica)        classes
  instances, instance-filt (ScanNet), semantic_instance (Replica)          single objects

The path below it is that of the image or that without its first folder: labels/images/0.png or
labels/0.png for images/0.jpg. Replica's tools repeat the folder in the name, as
semantic_class/semantic_class_0.png for rgb/rgb_0.png. A frame of a `transforms.json` may also name
its files as `semantics_path` and `instances_path`. Files are PNG with one number per pixel (or the
colours of the palette) or NumPy's .npy, at the size of the image or smaller. Views may lack them.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt16
from PIL import Image

from nerf.foundation.files import replacing
from nerf.scenes.base import LabelClass
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import MAX_PIXELS, SCALE_DOWN
from nerf.scenes.frames import Frame, ReducedFrame, stored_pixels
from nerf.scenes.palette import Palette, read_palette

FOLDERS = {
    "labels": ("labels", "semantics", "label-filt", "semantic_class"),
    "instances": ("instances", "instance-filt", "semantic_instance"),
}
ENDINGS = (".png", ".npy")
INEXACT = (".jpg", ".jpeg", ".webp")  # endings of pictures whose numbers are not exact
MAX_ASPECT_ERROR = 0.02
ANY_NUMBER = Palette("", ())
UNKNOWN = 255  # the number of pixels of unknown class in a file of 8 bits


def with_labels(frames: Sequence[Frame], root: Path) -> tuple[list[Frame], list[str]]:
    """Return frames with the label files that the scene folder has for them, and notes.

    Args:
      frames: the checked frames; files that they name already are kept.
      root: the scene folder.

    Raises:
      SceneError: the file with the classes is wrong.
    """
    notes: list[str] = []
    found = list(frames)
    for kind, folders in FOLDERS.items():
        if any(getattr(frame, kind) for frame in found):
            continue
        for folder in folders:
            files = _files(root / folder)
            if not files:
                continue
            matches = [_match(frame, root, files) for frame in found]
            notes += _notes(kind, folder, found, matches)
            if any(matches):
                found = [
                    dataclasses.replace(frame, **_named(kind, match))
                    for frame, match in zip(found, matches, strict=True)
                ]
                break
    if any(frame.labels for frame in found):
        palette = read_palette(root)
        found = [dataclasses.replace(frame, palette=palette) for frame in found]
    return found, notes


def _named(kind: str, file: Path | None) -> dict[str, Any]:
    return {kind: file}


def _files(folder: Path) -> dict[str, Path]:
    """Return the label files in a folder by their paths below it, without their endings."""
    found = sorted(folder.rglob("*")) if folder.is_dir() else []
    known = [path for path in found if path.suffix.lower() in (*ENDINGS, *INEXACT)]
    # Exact files replace inexact ones of the same name.
    known.sort(key=lambda path: path.suffix.lower() in ENDINGS)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in known}


def _match(frame: Frame, root: Path, files: dict[str, Path]) -> Path | None:
    """Return the label file of a frame, if there is one."""
    try:
        place = PurePosixPath(frame.path.relative_to(root).with_suffix("").as_posix())
    except ValueError:
        place = PurePosixPath(frame.path.stem)
    return next((files[name] for name in _names(place, files) if name in files), None)


def _names(place: PurePosixPath, files: dict[str, Path]) -> Iterator[str]:
    """Yield the names that the label file of an image may have, without their endings.

    Args:
      place: path of the image in the scene folder, without its ending.
      files: the label files that there are.
    """
    yield place.as_posix()
    if len(place.parts) > 1:
        yield PurePosixPath(*place.parts[1:]).as_posix()
        prefix = f"{place.parts[-2]}_"
        if place.name.startswith(prefix) and files:
            folder = next(iter(files.values())).parent.name
            yield f"{folder}_{place.name.removeprefix(prefix)}"


def _notes(
    kind: str, folder: str, frames: Sequence[Frame], matches: Sequence[Path | None]
) -> Iterator[str]:
    """Yield a note if not every view has a file in a folder."""
    count = sum(match is not None for match in matches)
    if not count:
        example = Path(frames[0].name).with_suffix(".png").as_posix()
        yield f"{kind}: no file in {folder} has the name of an image, as {folder}/{example}"
    elif count < len(frames):
        yield f"{kind}: {count} of {len(frames)} views have a file in {folder}"


def read_labels(path: Path, reduced: ReducedFrame) -> UInt16[np.ndarray, "h w"]:
    """Read 1 + the number of the class of each pixel of a reduced image, 0 if unknown.

    The nearest stored number is used.

    Raises:
      ImageError: the file does not fit its image, or has numbers of no class.
    """
    palette = reduced.frame.palette or ANY_NUMBER
    return palette.known(_at_pixels(_decode(path, palette), reduced))


def read_instances(path: Path, reduced: ReducedFrame) -> UInt16[np.ndarray, "h w"]:
    """Read 1 + the number of the single object in each pixel, as `read_labels` does."""
    return ANY_NUMBER.known(_at_pixels(_decode(path, ANY_NUMBER), reduced))


def _decode(path: Path, palette: Palette) -> Integer[np.ndarray, "h w"]:
    """Read the numbers that a label file stores."""
    if path.suffix.lower() == ".npy":
        stored = np.load(path, allow_pickle=False)
    elif path.suffix.lower() in INEXACT:
        raise ImageError("numbers in a lossy format, which are not exact", "save them as PNG")
    else:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise ImageError(f"{image.size[0]}x{image.size[1]} pixels", SCALE_DOWN)
            # A picture with a palette of its own stores numbers.
            colours = image.mode in ("RGB", "RGBA")
            stored = np.asarray(image.getchannel("L") if image.mode == "LA" else image)
        if colours:
            return palette.numbers_of(stored[..., :3])
        if stored.dtype == bool:
            stored = stored.astype(np.uint8)
    if stored.ndim != 2 or stored.dtype.kind not in "iu":
        what = f"an array of shape {stored.shape} and type {stored.dtype}"
        raise ImageError(what, "write one whole number per pixel")
    return stored


def _at_pixels(
    stored: Integer[np.ndarray, "_ _"], reduced: ReducedFrame
) -> Integer[np.ndarray, "h w"]:
    """Return the stored number that is nearest to each pixel of a reduced image."""
    (high, wide), (w, h) = stored.shape, reduced.frame.size
    # Reducing the file may have rounded each side by up to a pixel.
    rounding = 1.0 / wide + 1.0 / high if min(wide, high) else np.inf
    if not abs(wide / max(high, 1) * h / w - 1.0) <= max(MAX_ASPECT_ERROR, min(rounding, 0.1)):
        fix = "make labels of the images' size, or smaller by the same factor on both sides"
        raise ImageError(f"{wide}x{high}, the image is {w}x{h}", fix)
    x, _ = stored_pixels(reduced, 0, wide)
    y, _ = stored_pixels(reduced, 1, high)
    return stored[y[:, None], x[None, :]]


def write_labels(
    path: Path, labels: UInt16[np.ndarray, "h w"], classes: Sequence[LabelClass]
) -> None:
    """Write the numbers of classes as a PNG that programs show in the classes' colours.

    Numbers that need more than 8 bits are written with 16, without colours.

    Args:
      path: the file.
      labels: 1 + the number of the class of each pixel; 0, unknown, is written as the largest
        number that fits.
      classes: the classes that may occur.
    """
    numbers = labels.astype(np.int32) - 1
    if numbers.max(initial=0) < UNKNOWN and all(each.number < UNKNOWN for each in classes):
        colours = np.zeros((256, 3), np.uint8)
        for each in classes:
            colours[each.number] = each.colour
        image = Image.fromarray(np.where(numbers < 0, UNKNOWN, numbers).astype(np.uint8), "P")
        image.putpalette(colours.tobytes())
    else:
        image = Image.fromarray(np.where(numbers < 0, 65535, numbers).astype(np.uint16))
    with replacing(path) as temporary:
        image.save(temporary, "PNG", optimize=True)
