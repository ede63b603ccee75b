"""Find the photos in a folder as people have it: with subfolders, hidden files, raw twins, videos, copies.

Every file that looks like a picture is either taken or counted in a note that says why it was left out.
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

PHOTOS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp")
RAWS = (
    *(
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".crw",
        ".dng",
        ".erf",
        ".gpr",
        ".iiq",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
    ),
    *(".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
OTHER_PICTURES = (".exr", ".gif", ".jp2", ".jxl", ".psd", ".tga", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
CODED = (
    *HEIF_SUFFIXES,
    *AVIF_SUFFIXES,
)  # that become JPEG; read where the packages for them are installed
PICTURES = (*PHOTOS, *CODED, *RAWS, *OTHER_PICTURES)
MIN_PHOTOS = 3  # of which poses can be estimated
MAX_NAMED = 20  # problems that a message lists
MAX_EXAMPLES = 3  # files that a note names
# Folders in which other programs put thumbnails, wastepaper, and copies of what lies beside them.
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
      photos: files to take, sorted by their path.
      turned: how many of them are stored lying on their side or mirrored.
      notes: what was left out and why, one line each.
    """

    root: Path
    photos: Sequence[Path]
    turned: int
    notes: Sequence[str]


def find_photos(root: Path, skip: Sequence[Path] = ()) -> Sources:
    """Find the photos in a folder and its subfolders. Raises CaptureError where they are too few or damaged.

    Args:
      root: the folder.
      skip: folders below it that hold no photos of the user.
    """
    files = list(_walk(root, [folder.resolve() for folder in skip]))
    photos, notes = _sort_out(root, files)
    problems = [
        problem for file in photos if (problem := _check(file, file.relative_to(root).as_posix()))
    ]
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
    return Sources(
        root, photos, sum(turned for stitched, turned in looked_at if not stitched), notes
    )


def _walk(root: Path, skip: Sequence[Path]) -> Iterator[Path]:
    """All files below a folder, in a fixed order."""
    for folder, folders, files in os.walk(root):
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
    """Photos that can be read, each once, and notes on the other pictures and videos."""
    shown = [file for file in files if not file.name.startswith(".")]
    hidden = [
        file for file in files if file.name.startswith(".") and file.suffix.lower() in PICTURES
    ]
    photos, heif, avif, raws = (
        _of_types(shown, types) for types in (PHOTOS, HEIF_SUFFIXES, AVIF_SUFFIXES, RAWS)
    )
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
    notes = [
        *_note(root, hidden, "hidden files: their names begin with a dot"),
        *_note(
            root, twins, "raw, HEIC or AVIF files beside a photo of the same name, which is taken"
        ),
        *_note(root, raws, "raw files without a JPEG: export them as JPEG to use them"),
        *_note(
            root, heif, "HEIC photos: pip install pillow-heif to use them, or export them as JPEG"
        ),
        *_note(
            root,
            avif,
            "AVIF photos: pip install --upgrade pillow to use them, or export them as JPEG",
        ),
        *_note(
            root,
            _of_types(shown, OTHER_PICTURES),
            "pictures of other types: export them as JPEG to use them",
        ),
        *_note(root, live, "videos beside a photo of the same name (Live Photos)"),
        *_note(
            root, [file for file in videos if file not in live], "videos: give a video by itself"
        ),
    ]
    return photos, notes


def _of_types(files: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    return [file for file in files if file.suffix.lower() in suffixes]


def _stem(file: Path) -> tuple[Path, str]:
    """A key that a photo shares with its raw file and its video."""
    return file.parent, file.stem.lower()


def _note(root: Path, files: Sequence[Path], what: str) -> list[str]:
    """One line on files that are left out; none where there are none."""
    if not files:
        return []
    names = ", ".join(file.relative_to(root).as_posix() for file in files[:MAX_EXAMPLES])
    return [
        f"left out: {len(files)} {what} ({names}{', ...' if len(files) > MAX_EXAMPLES else ''})"
    ]


def _check(file: Path, shown: str) -> Problem | None:
    """Return what is wrong with a photo; None for a sound one."""
    problem = check_image(file, shown)[2]
    if problem is None and is_deep(file) and _look(file)[1]:
        return Problem(
            shown, "", "16 bits a channel, and stored on its side", "export it as 8-bit PNG or JPEG"
        )
    return problem


def _look(file: Path) -> tuple[bool, bool]:
    """Return whether a photo is a panorama and whether its pixels must be turned."""
    with open_image(file) as image:
        return is_panorama(image), is_turned(image)


def _without_copies(photos: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The photos, each content once, and those that are copies of an earlier one."""
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
    """One line for a folder with too few photos: what is in it instead, and what to do."""
    videos = [file for file in _of_types(files, VIDEOS) if not file.name.startswith(".")]
    if not photos and videos:
        return f"{root}: no photos in it, but {len(videos)} videos: give one of them instead of the folder: {videos[0]}"
    found = f"{root}: {len(photos)} photos in it: give {MIN_PHOTOS} or more ({', '.join((*PHOTOS, *CODED))})"
    return "; ".join([found, *notes])
