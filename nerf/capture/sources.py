"""Find the photos in a folder with subfolders, hidden files, raw twins, videos and copies.

Every file that looks like a picture is either used or counted in a note that says why it is
skipped.
"""

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from nerf.capture.mapping import CaptureError
from nerf.capture.upright import can_read_avif, can_read_heif, is_panorama, is_turned
from nerf.scenes.base import Problem
from nerf.scenes.decode import AVIF_SUFFIXES, HEIF_SUFFIXES, is_deep, open_image
from nerf.scenes.images import check_image

# fmt: off
PHOTOS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp")
RAWS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".gpr", ".iiq", ".nef", ".nrw", ".orf",
    ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)
# fmt: on
OTHER_PICTURES = (".exr", ".gif", ".jp2", ".jxl", ".psd", ".tga", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
# Photos that are converted to JPEG; read if the packages for them are installed.
CONVERTED = (*HEIF_SUFFIXES, *AVIF_SUFFIXES)
PICTURES = (*PHOTOS, *CONVERTED, *RAWS, *OTHER_PICTURES)
MIN_PHOTOS = 3  # the smallest number of photos whose poses can be estimated
MAX_NAMED = 20  # problems that a message lists
MAX_EXAMPLES = 3  # files that a note names
# Folders in which other programs put thumbnails, deleted files and per-pixel data.
NOT_PHOTOS = (
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "lost+found",
    "thumbnails",
    "masks",
    "depth",
    "depths",
)


@dataclasses.dataclass(frozen=True)
class Sources:
    """The photos of a folder.

    Attributes:
      root: the folder.
      photos: the files to use, sorted by path.
      turned: number of them that are stored rotated or mirrored.
      notes: one line for each kind of skipped files, with the reason.
    """

    root: Path
    photos: Sequence[Path]
    turned: int
    notes: Sequence[str]


def find_photos(root: Path, skip: Sequence[Path] = ()) -> Sources:
    """Find the photos in a folder and its subfolders.

    Args:
      root: the folder.
      skip: folders below it that contain no photos of the user.

    Returns:
      The photos, and notes on the skipped files.

    Raises:
      CaptureError: the photos are too few or damaged.
    """
    files = list(_walk(root, [folder.resolve() for folder in skip]))
    photos, notes = _sort_out(root, files)
    checks = (_check(file, file.relative_to(root).as_posix()) for file in photos)
    problems = [problem for problem in checks if problem]
    if problems:
        lines = [str(problem) for problem in problems[:MAX_NAMED]]
        more = [f"... and {len(problems) - MAX_NAMED} more"] if len(problems) > MAX_NAMED else []
        raise CaptureError("\n".join([*lines, *more]))
    photos, copies = _without_copies(photos)
    notes += _note(root, copies, "copies of other photos, byte for byte")
    looked_at = [_look(file) for file in photos]
    panoramas = [file for file, (stitched, _) in zip(photos, looked_at, strict=True) if stitched]
    notes += _note(root, panoramas, "panoramas: stitched pictures have no single lens")
    photos = [file for file in photos if file not in panoramas]
    if len(photos) < MIN_PHOTOS:
        raise CaptureError(_too_few(root, photos, files, notes))
    turned = sum(turned for stitched, turned in looked_at if not stitched)
    return Sources(root, photos, turned, notes)


def _walk(root: Path, skip: Sequence[Path]) -> Iterator[Path]:
    """Yield all files below a folder, in a fixed order."""
    for folder, folders, files in os.walk(root):
        # "images_2" next to "images" contains reduced copies, as in the scenes of mip-NeRF 360.
        reduced = {name for name in folders if name.startswith("images_") and "images" in folders}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name.lower() not in NOT_PHOTOS
            and name not in reduced
            and (Path(folder) / name).resolve() not in skip
        )
        yield from (Path(folder) / name for name in sorted(files))


def _sort_out(root: Path, files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Choose the photos that can be read, one file per photo.

    Args:
      root: the folder of the photos.
      files: all files in it.

    Returns:
      The photos, sorted; and notes on the other pictures and videos.
    """
    shown = [file for file in files if not file.name.startswith(".")]
    hidden = [
        file for file in files if file.name.startswith(".") and file.suffix.lower() in PICTURES
    ]
    photos, heif, avif, raws = (
        _of_types(shown, types) for types in (PHOTOS, HEIF_SUFFIXES, AVIF_SUFFIXES, RAWS)
    )
    # Files with the same stem are one photo. JPEG and PNG come first, then AVIF, then HEIC.
    known = {_stem(file) for file in photos}
    readable = [*(avif if can_read_avif() else []), *(heif if can_read_heif() else [])]
    taken = {_stem(file): file for file in reversed(readable) if _stem(file) not in known}
    photos = sorted([*photos, *taken.values()])
    known |= taken.keys()
    twins = [file for file in (*raws, *heif, *avif) if _stem(file) in known and file not in photos]
    raws, heif, avif = (
        [file for file in files if _stem(file) not in known] for files in (raws, heif, avif)
    )
    videos = _of_types(shown, VIDEOS)
    live = [file for file in videos if _stem(file) in known]
    or_export = "to use them, or export them as JPEG"
    others = _of_types(shown, OTHER_PICTURES)
    unrelated = [file for file in videos if file not in live]
    notes = [
        *_note(root, hidden, "hidden files: their names begin with a dot"),
        *_note(
            root, twins, "raw, HEIC or AVIF files beside a photo of the same name, which is used"
        ),
        *_note(root, raws, "raw files without a JPEG: export them as JPEG to use them"),
        *_note(root, heif, f"HEIC photos: pip install pillow-heif {or_export}"),
        *_note(root, avif, f"AVIF photos: pip install --upgrade pillow {or_export}"),
        *_note(root, others, "pictures of other types: export them as JPEG to use them"),
        *_note(root, live, "videos beside a photo of the same name (Live Photos)"),
        *_note(root, unrelated, "videos: give a video by itself"),
    ]
    return photos, notes


def _of_types(files: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    return [file for file in files if file.suffix.lower() in suffixes]


def _stem(file: Path) -> tuple[Path, str]:
    """Return a key that a photo shares with its raw file and its video."""
    return file.parent, file.stem.lower()


def _note(root: Path, files: Sequence[Path], what: str) -> list[str]:
    """Return a note on skipped files as a list; empty if there are none.

    Args:
      root: the folder of the photos.
      files: the skipped files.
      what: what they are, and why they are skipped or how to use them.
    """
    if not files:
        return []
    names = ", ".join(file.relative_to(root).as_posix() for file in files[:MAX_EXAMPLES])
    more = ", ..." if len(files) > MAX_EXAMPLES else ""
    return [f"skipped: {len(files)} {what} ({names}{more})"]


def _check(file: Path, shown: str) -> Problem | None:
    """Return the problem of a photo, or None."""
    problem = check_image(file, shown)[2]
    if problem is None and is_deep(file) and _look(file)[1]:
        reason = "16 bits per channel, and stored rotated"
        return Problem(shown, "", reason, "export it as 8-bit PNG or JPEG")
    return problem


def _look(file: Path) -> tuple[bool, bool]:
    """Return whether a photo is a panorama, and whether its pixels must be turned upright."""
    with open_image(file) as image:
        return is_panorama(image), is_turned(image)


def _without_copies(photos: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split photos into the first of each content and copies of these.

    Only files of equal size are compared.
    """
    of_size: dict[int, list[Path]] = defaultdict(list)
    for file in photos:
        of_size[file.stat().st_size].append(file)
    digests: dict[bytes, Path] = {}
    copies = set()
    for file in (file for same in of_size.values() if len(same) > 1 for file in same):
        digest = hashlib.sha256(file.read_bytes()).digest()
        if digests.setdefault(digest, file) != file:
            copies.add(file)
    return [file for file in photos if file not in copies], sorted(copies)


def _too_few(
    root: Path, photos: Sequence[Path], files: Sequence[Path], notes: Sequence[str]
) -> str:
    """Return the message for a folder with too few photos.

    Args:
      root: the folder.
      photos: the photos in it.
      files: all files in it.
      notes: notes on the skipped files, which the message includes.
    """
    videos = [file for file in _of_types(files, VIDEOS) if not file.name.startswith(".")]
    if not photos and videos:
        fix = f"give one of them instead of the folder: {videos[0]}"
        return f"{root}: no photos in it, but {len(videos)} videos: {fix}"
    kinds = ", ".join((*PHOTOS, *CONVERTED))
    found = f"{root}: {len(photos)} photos in it: give {MIN_PHOTOS} or more ({kinds})"
    return "; ".join([found, *notes])
