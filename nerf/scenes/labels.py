"""Labels beside the images: the class of each pixel, and the number of the single object it shows.

A view's file has the name of its image, in one of these folders of the scene:

  labels, semantics, label-filt (ScanNet), semantic_class (Replica)        classes
  instances, instance-filt (ScanNet), semantic_instance (Replica)          single objects

The path below it is that of the image or that without its first folder: labels/images/0.png or
labels/0.png for images/0.jpg. Replica's tools repeat the folder in the name, as
semantic_class/semantic_class_0.png for rgb/rgb_0.png. A frame of a `transforms.json` may also name
its files as `semantics_path` and `instances_path`. Files are PNG with one number per pixel (or the
colours of the palette) or NumPy's .npy, at the size of the image or smaller. Views may lack them.
The object 0 is that of pixels without an object.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8, UInt16
from PIL import Image

from nerf.foundation.files import replacing
from nerf.scenes.base import LabelClass, SceneError
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import MAX_PIXELS, SCALE_DOWN
from nerf.scenes.frames import MAX_ASPECT_ERROR, Frame, ReducedFrame, stored_pixels
from nerf.scenes.palette import UNKNOWN, Palette, read_palette

FOLDERS = {
    "labels": ("labels", "semantics", "label-filt", "semantic_class"),
    "instances": ("instances", "instance-filt", "semantic_instance"),
}
ENDINGS = (".png", ".npy")
INEXACT = (".jpg", ".jpeg", ".webp")  # endings of pictures whose numbers are not exact
SPLITS = {"train", "val", "test"}  # folders whose images may share their names
ANY_NUMBER = Palette("", ())
UNKNOWN_BYTE = 255  # the number of pixels of unknown class in a file of 8 bits
# Folders in which 0 means that nobody annotated a pixel.
ZERO_IS_UNKNOWN = {"label-filt", "instance-filt"}


def with_labels(frames: Sequence[Frame], root: Path) -> tuple[list[Frame], list[str]]:
    """Return frames with the label files that the scene folder has for them, and notes.

    Args:
      frames: the checked frames; files that they name already are kept.
      root: the scene folder.
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
            matches, of_names = _without_doubles(
                [_match(frame, root, files) for frame in found], found, root
            )
            notes += [*of_names, *_notes(kind, folder, found, matches)]
            if any(matches):
                changes: list[dict[str, Any]] = [{kind: match} for match in matches]
                found = [
                    dataclasses.replace(frame, **change)
                    for frame, change in zip(found, changes, strict=True)
                ]
                break
    if any(frame.labels for frame in found):
        try:
            palette = read_palette(root)
        except SceneError as error:
            # Labels that nothing learns from are no reason not to train.
            unlabelled = [dataclasses.replace(frame, labels=None) for frame in found]
            return unlabelled, [*notes, *(f"labels: not read: {p}" for p in error.problems)]
        found = [dataclasses.replace(frame, palette=palette) for frame in found]
    return found, notes


def _without_doubles(
    matches: Sequence[Path | None], frames: Sequence[Frame], root: Path
) -> tuple[list[Path | None], list[str]]:
    """Return the matches without files that fit several images, and a note on these."""
    counts = Counter(match for match in matches if match is not None)
    kept: list[Path | None] = []
    doubles: list[str] = []
    for match, frame in zip(matches, frames, strict=True):
        if match is not None and _fits_others(match, frame, root, counts[match] > 1):
            doubles.append(match.relative_to(root).as_posix())
            match = None
        kept.append(match)
    if not doubles:
        return kept, []
    example = f"{Path(doubles[0]).parts[0]}/{_place(frames[0], root)}.png"
    reason = f"{doubles[0]} has the name of several images"
    return kept, [f"{reason}, not read: use their folders too, as {example}"]


def _fits_others(match: Path, frame: Frame, root: Path, shared: bool) -> bool:
    """Report whether a label file has the name of another image, too.

    Args:
      match: the file.
      frame: the frame of an image of its name.
      root: the scene folder.
      shared: whether several of the frames match the file.
    """
    image = _place(frame, root)
    if match.with_suffix("").parts[-len(image.parts) :] == image.parts:
        return False
    others = SPLITS - {image.parts[0]} if image.parts[0] in SPLITS else set()
    below = Path(*image.parts[1:]).with_suffix(frame.path.suffix) if others else Path()
    return shared or any((root / split / below).is_file() for split in others)


def _files(folder: Path) -> dict[str, Path]:
    """Return the label files in a folder by their paths below it, without their endings."""
    found = sorted(folder.rglob("*")) if folder.is_dir() else []
    known = [path for path in found if path.suffix.lower() in (*ENDINGS, *INEXACT)]
    # Exact files replace inexact ones of the same name.
    known.sort(key=lambda path: path.suffix.lower() in ENDINGS)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in known}


def _match(frame: Frame, root: Path, files: dict[str, Path]) -> Path | None:
    """Return the label file of a frame, if there is one."""
    names = _names(_place(frame, root), files)
    return next((files[name] for name in names if name in files), None)


def _place(frame: Frame, root: Path) -> PurePosixPath:
    """Return the path of a frame's image in the scene folder, without its ending."""
    if not frame.path.is_relative_to(root):
        return PurePosixPath(frame.path.stem)
    return PurePosixPath(frame.path.relative_to(root).with_suffix("").as_posix())


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
    palette = palette._replace(ignored=palette.ignored | _unknown_in(path))
    return palette.known(_numbers(path, palette, reduced))


def read_instances(path: Path, reduced: ReducedFrame) -> UInt16[np.ndarray, "h w"]:
    """Read 1 + the number of the single object in each pixel, as `read_labels` does."""
    palette = ANY_NUMBER._replace(ignored=_unknown_in(path))
    return palette.known(_numbers(path, palette, reduced))


def _unknown_in(path: Path) -> frozenset[int]:
    """Return the numbers that mean "unknown" in a folder of another program."""
    return frozenset([0] if ZERO_IS_UNKNOWN & set(path.parts) else [])


def _numbers(path: Path, palette: Palette, reduced: ReducedFrame) -> Integer[np.ndarray, "h w"]:
    """Read the number of each pixel of a reduced image; -1 where the picture is transparent."""
    # Pixels are chosen before colours are compared, which takes longer.
    stored = _at_pixels(_decode(path), reduced)
    if stored.ndim == 2:
        return stored
    numbers = palette.numbers_of(stored[..., :3]).astype(np.int64)
    return np.where(stored[..., 3] > 0, numbers, UNKNOWN)


def _decode(path: Path) -> Integer[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 4"]:
    """Read the numbers that a label file stores, or its colours and their alpha."""
    if path.suffix.lower() == ".npy":
        stored = np.load(path, allow_pickle=False)
    elif path.suffix.lower() in INEXACT:
        raise ImageError("numbers in a lossy format, which are not exact", "save them as PNG")
    else:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise ImageError(f"{image.size[0]}x{image.size[1]} pixels", SCALE_DOWN)
            # A picture with a palette of its own stores numbers.
            if image.mode in ("RGB", "RGBA"):
                return np.asarray(image.convert("RGBA"))
            if image.mode == "LA":
                grey, alpha = np.moveaxis(np.asarray(image).astype(np.int16), -1, 0)
                return np.where(alpha > 0, grey, UNKNOWN)
            stored = np.asarray(image)
        # Pillow stretches grey of 2 and 4 bits to 8.
        stored = stored.astype(np.uint8) if stored.dtype == bool else stored
        stored = stored // {2: 85, 4: 17}.get(_grey_bits(path), 1)
    if stored.ndim != 2 or stored.dtype.kind not in "iu":
        what = f"an array of shape {stored.shape} and type {stored.dtype}"
        raise ImageError(what, "write one whole number per pixel")
    return stored


def _grey_bits(path: Path) -> int:
    """Return the number of bits of a grey PNG, 0 for other pictures."""
    with path.open("rb") as file:
        start = file.read(26)
    return start[24] if len(start) == 26 and start[25] == 0 else 0


def _at_pixels(
    stored: Integer[np.ndarray, "_ _ *c"], reduced: ReducedFrame
) -> Integer[np.ndarray, "h w *c"]:
    """Return what is stored nearest to each pixel of a reduced image."""
    (high, wide), (w, h) = stored.shape[:2], reduced.frame.size
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
    if numbers.max(initial=0) < UNKNOWN_BYTE and all(
        each.number < UNKNOWN_BYTE for each in classes
    ):
        colours = np.zeros((256, 3), np.uint8)
        for each in classes:
            colours[each.number] = each.colour
        image = Image.fromarray(np.where(numbers < 0, UNKNOWN_BYTE, numbers).astype(np.uint8), "P")
        image.putpalette(colours.tobytes())
    else:
        image = Image.fromarray(np.where(numbers < 0, 65535, numbers).astype(np.uint16))
    with replacing(path) as temporary:
        image.save(temporary, "PNG", optimize=True)
