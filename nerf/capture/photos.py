"""A folder of photos, or a video, to a scene's folder: pictures, transforms.json (nerfstudio's format), sparse points.

Photos are copied; those stored on their side are turned upright. `transforms.json` is written last and at once, so a
folder that has it is complete.
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

WORK = ".poses"  # folder of what COLMAP computes, in the scene's; kept for the next attempt where one is stopped
LENS_TAGS = (
    (271, 272),
    (37386, 41989),
)  # EXIF: make and model of the camera; focal length, and as of 35 mm film
MANY_PAIRS = 20_000  # of photos that take an hour to compare
MAX_NAMED = 20  # images that a message names
NAMES = {
    "f": "fl_x",
    "fx": "fl_x",
    "fy": "fl_y",
    "k": "k1",
}  # COLMAP's parameters that nerfstudio calls otherwise


@dataclasses.dataclass(frozen=True)
class Captured:
    """A scene that was made: images in it, images that are not (with the reason), and notes for the user."""

    registered: Sequence[str]
    others: dict[str, str]
    notes: Sequence[str]


def make_scene(
    source: Path,
    out: Path,
    frames: int,
    min_registered: float,
    options: Options,
    should_stop: Callable[[], bool] = lambda: False,
    child: Sequence[str] = CHILD,
    tell: Callable[[str], None] = print,
    report: Report = lambda *_: None,
) -> Captured | None:
    """Make the scene folder `out` of photos or a video; None where a stop was asked for. Raises CaptureError.

    Args:
      source: a folder of photos, or a video.
      out: made where it is not there; must not hold a scene.
      frames: how many frames to pick from a video.
      min_registered: the fraction of images that must be registered.
      options: how poses are estimated.
      should_stop: asked several times a second.
      child: the command that estimates poses.
      tell: called with each note for the user, as soon as it is known.
      report: called with how far the work is, see `Report`.
    """
    refuse_scene(out)
    _refuse_source(source)
    if child == CHILD:
        require_pycolmap()
    with _working_in(out) as work:
        names = gather(source, out / "images", frames, tell, report)
        pairs = len(names) * (len(names) - 1) // 2
        if options.matching == "exhaustive" and pairs > MANY_PAIRS:
            tell(
                f"{pairs} pairs of photos to compare: --matching=sequential is faster if photos are in order"
            )
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
    """Raise CaptureError where a folder holds a scene of any format."""
    if found := [
        name for name, module in all_formats().items() if out.is_dir() and module.detect(out)
    ]:
        raise CaptureError(
            f"{out}: holds a scene already ({', '.join(found)}): choose another --out"
        )


@contextlib.contextmanager
def _working_in(out: Path) -> Iterator[Path]:
    """The work folder in a scene's folder, for this process alone; removed where another attempt could not use it."""
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
                out.rmdir()  # unless something is in it
            raise


def gather(
    source: Path,
    images: Path,
    frames: int,
    tell: Callable[[str], None] = print,
    report: Report = lambda *_: None,
) -> list[str]:
    """Copy photos, or the frames picked from a video, into a folder. Raises CaptureError before anything is copied.

    Args:
      source: a folder of photos, searched with its subfolders, or a video.
      images: the folder; photos in it that were copied before are not copied again.
      frames: how many frames to pick from a video.
      tell: called with each note for the user.
      report: called with how far the work is.

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
        raise CaptureError(
            f"{source}: {reason}: move this folder out of the scene's, or give another --out"
        )
    for note in (_summary(found), *found.notes):
        tell(note)
    for done, (file, name) in enumerate(names.items()):
        report("copying", "photo", done, len(names))
        if not here:
            _copy(file, images / name)
    return sorted(names.values())


def _refuse_source(source: Path) -> None:
    """Raise CaptureError for what is neither a folder nor a video, by its name."""
    if source.is_file() and source.suffix.lower() not in VIDEOS:
        kinds = ", ".join(VIDEOS)
        raise CaptureError(
            f"{source}: not a video ({kinds}): give a video, or the folder that the photos are in"
        )
    if not source.exists():
        raise CaptureError(f"{source}: no such file or folder: give a folder of photos, or a video")


def _made_by_us(source: Path, images: Path) -> list[Path]:
    """Folders below the source that this program writes: those of the scene, or all of it."""
    out = images.parent
    return [images, out / WORK] if out.resolve() == source.resolve() else [out]


def _copy(file: Path, target: Path) -> None:
    try:
        copy_upright(file, target)
    except OSError as error:
        if isinstance(error, UserError) or error.strerror:
            raise  # of a file that cannot be written or read, which says so itself
        raise CaptureError(
            f"{file}: cannot be decoded ({error}): remove it, or export it again as JPEG"
        ) from error
    except (ValueError, SyntaxError, KeyError, TypeError) as error:  # of damaged pixels or EXIF
        raise CaptureError(
            f"{file}: cannot be decoded or turned upright ({error}): export it as JPEG"
        ) from error


def _summary(found: Sources) -> str:
    """One line on the photos that are taken."""
    folders = sorted({file.parent.relative_to(found.root).as_posix() for file in found.photos})
    line = f"photos: {len(found.photos)}"
    if folders != ["."]:
        shown = ["the folder itself" if name == "." else name for name in folders[:MAX_NAMED]]
        shown += ["..."] if len(folders) > MAX_NAMED else []
        line += f" in {len(folders)} folder{'s' * (len(folders) > 1)} ({', '.join(shown)})"
    return line + (
        f", {found.turned} of them turned upright as their EXIF says" if found.turned else ""
    )


def lens_groups(images: Path, names: Sequence[str]) -> list[list[str]]:
    """Group images by lens: equal size and, where their EXIF says so, camera and focal length.

    A photo held upright is as high as another is wide, and gets a lens of its own with the same camera.
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
    """Write the scene of what was found, or say why there is none."""
    others = {name: _why_not(name, found) for name in names if name not in found.names}
    if len(found.names) < max(MIN_PHOTOS, min_registered * len(names)):
        advice = "; ".join(what_to_try(names, found, options))
        raise Unfinished(
            f"pose estimation: only {len(found.names)} of {len(names)} images registered, too few (--min_registered="
            f"{min_registered:g}): {advice}\nleft out: {_listing(others)}"
        )
    level = level_rotation(found.c2w)
    if found.points.exists():
        _write_level(found.points, level, out / "sparse_pc.ply")
    c2w = Similarity(rotation=level).poses(found.c2w)
    write_json(out / "transforms.json", transforms(dataclasses.replace(found, c2w=c2w)))
    notes = [f"{len(found.names)} of {len(names)} images registered"]
    if others:
        notes += [f"left out: {_listing(others)}", *what_to_try(names, found, options)]
    return Captured(found.names, others, notes)


def level_rotation(c2w: Float[np.ndarray, "n 3 4"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation of the world that turns up to +z, given that photos are upright.

    Up is the mean of the cameras' up axes. Where these cancel out and all cameras look the same way, as from a drone
    that turns on its way, they look down. Otherwise nothing says which way is up, and the world stays as it is.
    """
    up = up_or_against_view(c2w[:, :, 1].mean(0), -c2w[:, :, 2].mean(0))
    return rotation_to_z(up) if np.linalg.norm(up) >= MIN_COMMON_UP else np.eye(3)


def _write_level(points: Path, level: Float[np.ndarray, "3 3"], target: Path) -> None:
    """Write the sparse points of a PLY file, turned."""
    places, colours = read_points(points, points.name)
    write_points(target, places @ level.T, None, colours)


def transforms(found: Estimate) -> dict[str, Any]:
    """Return the scene in nerfstudio's format: what all images share at the top, otherwise in each frame."""
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
    parameters = {NAMES.get(key, key): value for key, value in lens["params"].items()}
    return {"camera_model": lens["model"], "w": lens["width"], "h": lens["height"], **parameters}


def _why_not(name: str, found: Estimate) -> str:
    features, matches = found.features.get(name, 0), found.matches.get(name, 0)
    if features < 200:
        return f"{features} features: blurred, dark or blank"
    if matches < 30:
        return f"{matches} matches with its best partner: no other photo shows the same from nearby"
    return f"{matches} matches with its best partner, but no place that fits the others"


def _listing(others: dict[str, str]) -> str:
    shown = [f"{name} ({why})" for name, why in list(others.items())[:MAX_NAMED]]
    return ", ".join(shown) + (
        f", and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
    )


def what_to_try(names: Sequence[str], found: Estimate, options: Options) -> list[str]:
    """What may bring more images in, by what was found; the likeliest first."""
    poor = [name for name in names if found.features.get(name, 0) < 200]
    lonely = [name for name in names if name not in poor and found.matches.get(name, 0) < 30]
    advice = []
    if len(found.models) > 1:
        sizes = ", ".join(str(size) for size in found.models[:5])
        other = ", or --mapper=global" if options.mapper == "incremental" else ""
        advice.append(
            f"the photos fall apart into groups of {sizes}: take photos between these{other}"
        )
    if len(poor) * 4 > len(names):
        advice.append(
            "many photos have few features: more light, sharper photos, or something patterned in view"
        )
    if len(lonely) * 4 > len(names):
        advice.append(
            "many photos match no other: take them closer together, two thirds of each in the next"
        )
    if options.matching == "sequential":
        advice.append("--matching=exhaustive compares all photos, not only neighbours")
    if not advice or not found.names:
        other = "global" if options.mapper == "incremental" else "incremental"
        advice.append(f"try --mapper={other}, or take more photos with more overlap")
    return advice
