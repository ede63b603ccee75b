"""Turn a folder of photos or a video into a scene folder.

The scene folder contains the images, `transforms.json` (nerfstudio's format) and sparse points.
Photos are copied; photos that are stored sideways are turned upright. `transforms.json` is written
last and atomically, so a folder that contains it is complete.
"""

import contextlib
import dataclasses
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from nerf.capture.mapping import (
    CHILD,
    CaptureError,
    Estimate,
    Options,
    Report,
    Unfinished,
    estimate,
    require_pycolmap,
)
from nerf.capture.sources import MIN_PHOTOS, VIDEOS, Sources, find_photos
from nerf.capture.upright import copy_upright, read_exif, upright_name
from nerf.capture.video import extract_frames
from nerf.foundation.errors import UserError
from nerf.foundation.files import remove_leftovers, write_json
from nerf.runs.lock import run_lock
from nerf.scenes import all_formats
from nerf.scenes.base import Similarity, rotation_to_z
from nerf.scenes.decode import FORMATS
from nerf.scenes.normalise import MIN_COMMON_UP, up_or_against_view
from nerf.scenes.ply import read_points, write_points

# Folder in the scene's folder for COLMAP's files; kept for the next attempt if one is stopped.
WORK = ".poses"
# EXIF tags: make and model of the camera; focal length, and its equivalent for 35 mm film.
LENS_TAGS = ((271, 272), (37386, 41989))
DEFAULTS = Options()
MAX_EXHAUSTIVE_PAIRS = 20_000  # more pairs of photos, which take an hour to compare, give a note
MAX_NAMED = 20  # images that a message names
MIN_FEATURES = 200  # images with fewer features are blurred, dark or blank
MIN_MATCHES = 30  # images with fewer matches in their best pair have no neighbour
# COLMAP's parameters that have other names in nerfstudio's format.
NERFSTUDIO_NAMES = {"f": "fl_x", "fx": "fl_x", "fy": "fl_y", "k": "k1"}


@dataclasses.dataclass(frozen=True)
class Captured:
    """A scene that was made.

    Attributes:
      registered: names of the images in the scene.
      others: names of the images that are not in it -> the reason.
      notes: lines for the user.
    """

    registered: Sequence[str]
    others: dict[str, str]
    notes: Sequence[str]


def make_scene(
    source: Path,
    out: Path,
    frames: int = 120,
    min_registered: float = 0.3,
    options: Options = DEFAULTS,
    should_stop: Callable[[], bool] = lambda: False,
    child: Sequence[str] = CHILD,
    tell: Callable[[str], None] = print,
    report: Report = lambda *_: None,
) -> Captured | None:
    """Make a scene folder from photos or a video.

    Args:
      source: a folder of photos, or a video.
      out: the scene folder; created if missing, must not contain a scene.
      frames: number of frames to extract from a video.
      min_registered: fraction of images that must be registered.
      options: options of the pose estimation.
      should_stop: returns whether to stop; called several times a second.
      child: the command that estimates poses.
      tell: called with each note for the user, as soon as it is known.
      report: called with the progress, see `Report` in `nerf.capture.mapping`.

    Returns:
      The scene, or None if `should_stop` returned True.

    Raises:
      CaptureError: no scene could be made.
    """
    refuse_scene(out)
    _refuse_source(source)
    if child == CHILD:
        require_pycolmap()
    with _working_in(out) as work:
        names = gather(source, out / "images", frames, tell, report)
        pairs = len(names) * (len(names) - 1) // 2
        if options.matching == "exhaustive" and pairs > MAX_EXHAUSTIVE_PAIRS:
            fix = "--matching=sequential is faster if photos are in order"
            tell(f"{pairs} pairs of photos to compare: {fix}")
        groups = lens_groups(out / "images", names)
        found = estimate(
            work, out / "images", groups, options, out / "poses.log", should_stop, child, report
        )
        if found is None:
            return None
        made = _finish(out, names, found, min_registered, options)
        shutil.rmtree(work, ignore_errors=True)
        return made


def refuse_scene(out: Path) -> None:
    """Raise CaptureError if a folder contains a scene of any format."""
    formats = all_formats().items()
    if found := [name for name, module in formats if out.is_dir() and module.detect(out)]:
        raise CaptureError(
            f"{out}: already contains a scene ({', '.join(found)}): choose another --out"
        )


@contextlib.contextmanager
def _working_in(out: Path) -> Iterator[Path]:
    """Lock and yield the work folder of a scene.

    It is removed after an error, unless the error is `Unfinished` and the next attempt can use it.
    """
    work = out / WORK
    with run_lock(work):
        remove_leftovers(out)
        try:
            yield work
        except Unfinished:
            raise
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            with contextlib.suppress(OSError):
                out.rmdir()  # fails unless the folder is empty
            raise


def gather(
    source: Path,
    images: Path,
    frames: int,
    tell: Callable[[str], None] = print,
    report: Report = lambda *_: None,
) -> list[str]:
    """Copy photos, or frames of a video, into a folder.

    Problems with the photos are found before anything is copied.

    Args:
      source: a folder of photos, searched with its subfolders, or a video.
      images: the folder; photos that were copied to it before are not copied again.
      frames: number of frames to extract from a video.
      tell: called with each note for the user.
      report: called with the progress, see `Report` in `nerf.capture.mapping`.

    Returns:
      Names of the images, relative to the folder, sorted.
    """
    _refuse_source(source)
    if source.is_file():
        return extract_frames(source, images, frames)
    here = source.resolve() == images.resolve()
    found = find_photos(source, skip=[] if here else _made_by_us(source, images))
    names = {file: upright_name(file.relative_to(source).as_posix()) for file in found.photos}
    changed = found.turned or any(
        file.relative_to(source).as_posix() != name for file, name in names.items()
    )
    if here and changed:
        reason = "photos in it must be turned or made JPEG, and originals are kept"
        fix = "move this folder out of the scene folder, or give another --out"
        raise CaptureError(f"{source}: {reason}: {fix}")
    for note in (_summary(found), *found.notes):
        tell(note)
    for done, (file, name) in enumerate(names.items()):
        report("copying", "photo", done, len(names))
        if not here:
            _copy(file, images / name)
    return sorted(names.values())


def _refuse_source(source: Path) -> None:
    """Raise CaptureError unless the source is a folder or has the name of a video."""
    if source.is_file() and source.suffix.lower() not in VIDEOS:
        kinds = ", ".join(VIDEOS)
        fix = "give a video, or the folder that the photos are in"
        raise CaptureError(f"{source}: not a video ({kinds}): {fix}")
    if not source.exists():
        raise CaptureError(f"{source}: no such file or folder: give a folder of photos, or a video")


def _made_by_us(source: Path, images: Path) -> list[Path]:
    """Return the folders below the source that this program writes.

    They are the complete scene folder, or folders in it if it is the source itself.
    """
    out = images.parent
    return [images, out / WORK] if out.resolve() == source.resolve() else [out]


def _copy(file: Path, target: Path) -> None:
    """Copy a photo upright; raise CaptureError if it cannot be decoded."""
    try:
        copy_upright(file, target)
    except OSError as error:
        if isinstance(error, UserError) or error.strerror:
            raise  # the file cannot be read or written, as the message says already
        raise CaptureError(
            f"{file}: cannot be decoded ({error}): remove it, or export it again as JPEG"
        ) from error
    except (ValueError, SyntaxError, KeyError, TypeError) as error:  # damaged pixels or EXIF
        raise CaptureError(
            f"{file}: cannot be decoded or turned upright ({error}): export it as JPEG"
        ) from error


def _summary(found: Sources) -> str:
    """Return a line on the photos that are used."""
    folders = sorted({file.parent.relative_to(found.root).as_posix() for file in found.photos})
    line = f"photos: {len(found.photos)}"
    if folders != ["."]:
        shown = ["the folder itself" if name == "." else name for name in folders[:MAX_NAMED]]
        shown += ["..."] if len(folders) > MAX_NAMED else []
        line += f" in {len(folders)} folder{'s' * (len(folders) > 1)} ({', '.join(shown)})"
    if found.turned:
        line += f", {found.turned} of them turned upright as their EXIF says"
    return line


def lens_groups(images: Path, names: Sequence[str]) -> list[list[str]]:
    """Group images by lens.

    Images of one lens have the same size and, in their EXIF, the same camera and focal length.
    Portrait and landscape photos of one camera are two groups, because their sizes differ.

    Args:
      images: the folder of the images.
      names: their names, relative to the folder.
    """
    groups: dict[tuple, list[str]] = defaultdict(list)
    for name in names:
        with Image.open(images / name, formats=FORMATS) as image:
            exif = read_exif(image)
            body = tuple(str(exif.get(tag, "")) for tag in LENS_TAGS[0])
            lens = tuple(str(exif.get_ifd(34665).get(tag, "")) for tag in LENS_TAGS[1])
            groups[(*image.size, *body, *lens)].append(name)
    return list(groups.values())


def _finish(
    out: Path, names: Sequence[str], found: Estimate, min_registered: float, options: Options
) -> Captured:
    """Write the scene, or raise Unfinished if too few images are registered.

    Args:
      out: the scene folder.
      names: the names of all images.
      found: the estimated poses.
      min_registered: fraction of images that must be registered.
      options: options of the pose estimation, for advice.
    """
    others = {name: _why_not(name, found) for name in names if name not in found.names}
    if len(found.names) < max(MIN_PHOTOS, min_registered * len(names)):
        advice = "; ".join(what_to_try(names, found, options))
        raise Unfinished(
            f"pose estimation: only {len(found.names)} of {len(names)} images registered, too few "
            f"(--min_registered={min_registered:g}): {advice}\nnot registered: {_listing(others)}"
        )
    level = level_rotation(found.c2w)
    if found.points.exists():
        _write_level(found.points, level, out / "sparse_pc.ply")
    c2w = Similarity(rotation=level).poses(found.c2w)
    write_json(out / "transforms.json", transforms(dataclasses.replace(found, c2w=c2w)))
    notes = [f"{len(found.names)} of {len(names)} images registered"]
    if others:
        notes += [f"not registered: {_listing(others)}", *what_to_try(names, found, options)]
    return Captured(found.names, others, notes)


def level_rotation(c2w: Float[np.ndarray, "n 3 4"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation of the world that turns "up" to +z.

    The photos are assumed to be upright, so "up" is the mean of the cameras' up axes. If these
    cancel out and all cameras look the same way, as from a drone that turns on its way, the cameras
    are assumed to look down. Otherwise "up" is unknown and the rotation is the identity.
    """
    up = up_or_against_view(c2w[:, :, 1].mean(0), -c2w[:, :, 2].mean(0))
    return rotation_to_z(up) if np.linalg.norm(up) >= MIN_COMMON_UP else np.eye(3)


def _write_level(points: Path, level: Float[np.ndarray, "3 3"], target: Path) -> None:
    """Write the sparse points of a PLY file, rotated by `level`.

    Args:
      points: the PLY file to read.
      level: the rotation.
      target: the PLY file to write.
    """
    places, colours = read_points(points, points.name)
    write_points(target, places @ level.T, None, colours)


def transforms(found: Estimate) -> dict[str, Any]:
    """Return the content of transforms.json in nerfstudio's format.

    The lens is stored once if all images share it, otherwise in each frame.
    """
    lenses = [_lens(lens) for lens in found.lenses]
    shared = lenses[0] if all(lens == lenses[0] for lens in lenses) else {}
    frames = []
    for name, c2w, lens in zip(found.names, found.c2w, lenses, strict=True):
        matrix = [*c2w.tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append(
            {"file_path": f"images/{name}", **({} if shared else lens), "transform_matrix": matrix}
        )
    points = {"ply_file_path": "sparse_pc.ply"} if found.points.exists() else {}
    return {**shared, **points, "frames": frames}


def _lens(lens: dict[str, Any]) -> dict[str, Any]:
    """Convert a lens from COLMAP's names to nerfstudio's."""
    parameters = {NERFSTUDIO_NAMES.get(key, key): value for key, value in lens["params"].items()}
    return {"camera_model": lens["model"], "w": lens["width"], "h": lens["height"], **parameters}


def _why_not(name: str, found: Estimate) -> str:
    """Return why an image was not registered."""
    features, matches = found.features.get(name, 0), found.matches.get(name, 0)
    if features < MIN_FEATURES:
        return f"{features} features: blurred, dark or blank"
    if matches < MIN_MATCHES:
        return f"{matches} matches in its best pair: no other photo shows the same from nearby"
    return f"{matches} matches in its best pair, but no pose that fits the others"


def _listing(others: dict[str, str]) -> str:
    """List images that are not registered, with the reasons."""
    shown = [f"{name} ({why})" for name, why in list(others.items())[:MAX_NAMED]]
    more = f", and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
    return ", ".join(shown) + more


def what_to_try(names: Sequence[str], found: Estimate, options: Options) -> list[str]:
    """List changes that may register more images, the most likely first.

    Args:
      names: the names of all images.
      found: the estimated poses.
      options: options of the pose estimation.
    """
    poor = [name for name in names if found.features.get(name, 0) < MIN_FEATURES]
    rest = [name for name in names if name not in poor]
    lonely = [name for name in rest if found.matches.get(name, 0) < MIN_MATCHES]
    advice = []
    if len(found.models) > 1:
        sizes = ", ".join(str(size) for size in found.models[:5])
        other = ", or --mapper=global" if options.mapper == "incremental" else ""
        reason = f"the photos fall apart into groups of {sizes}"
        advice.append(f"{reason}: take photos between these{other}")
    if len(poor) * 4 > len(names):
        reason = "many photos have few features"
        advice.append(f"{reason}: more light, sharper photos, or something patterned in view")
    if len(lonely) * 4 > len(names):
        reason = "many photos match no other"
        advice.append(f"{reason}: take them closer together, two thirds of each in the next")
    if options.matching == "sequential":
        advice.append("--matching=exhaustive compares all photos, not only neighbours")
    if not advice or not found.names:
        other = "global" if options.mapper == "incremental" else "incremental"
        advice.append(f"try --mapper={other}, or take more photos with more overlap")
    return advice
