"""A folder of photos, or a video, to a scene's folder: pictures, transforms.json (nerfstudio's format), sparse points.

Photos are copied, not changed. `transforms.json` is written last and at once, so a folder that has it is whole.
"""

import dataclasses
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from nerf.capture.mapping import CHILD, CaptureError, Estimate, Options, estimate, require_pycolmap
from nerf.capture.video import extract_frames
from nerf.files import write_bytes, write_json
from nerf.scenes.decode import FORMATS
from nerf.scenes.images import check_image

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
UNREADABLE = (".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".tif", ".tiff", ".avif")
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
LENS_TAGS = (271, 272), (37386, 41989)  # EXIF: make and model of the camera; focal length, and as of 35 mm film
FEWEST = 3  # registered images that may be called a scene
NAMED = 20  # images that a message names
NAMES = {"f": "fl_x", "fx": "fl_x", "fy": "fl_y", "k": "k1"}  # COLMAP's parameters that nerfstudio calls otherwise


@dataclasses.dataclass(frozen=True)
class Captured:
    """A scene that was made: images in it, images that are not (with the reason), and what to tell."""

    registered: Sequence[str]
    others: dict[str, str]
    notes: Sequence[str]


def make_scene(
    source: Path,
    out: Path,
    frames: int,
    fewest: float,
    options: Options,
    should_stop: Callable[[], bool] = lambda: False,
    child: Sequence[str] = CHILD,
) -> Captured | None:
    """Photos or a video to the scene folder `out`; None where a stop was asked for. Raises CaptureError.

    Args:
      source: a folder of photos, or a video.
      out: made where it is not there; must not hold a scene.
      frames: how many frames to pick from a video.
      fewest: the fraction of images that must be registered.
      options: how poses are estimated.
      should_stop: asked several times a second.
      child: the command that estimates poses.
    """
    if (out / "transforms.json").exists():
        raise CaptureError(f"{out}: holds a scene already: choose another --out, or remove its transforms.json")
    if child == CHILD:
        require_pycolmap()
    names = gather(source, out / "images", frames)
    groups = lens_groups(out / "images", names)
    with tempfile.TemporaryDirectory(dir=out, prefix=".poses.") as work:
        found = estimate(Path(work), out / "images", groups, options, out / "poses.log", should_stop, child)
        if found is None:
            return None
        return _finish(out, names, found, fewest, options)


def gather(source: Path, images: Path, frames: int) -> list[str]:
    """Copy photos, or the frames picked from a video, into the folder `images`; their names, sorted."""
    if source.is_file() and source.suffix.lower() in VIDEOS:
        return extract_frames(source, images, frames)
    if not source.is_dir():
        kinds = ", ".join(VIDEOS)
        raise CaptureError(f"{source}: neither a folder of photos nor a video: give one ({kinds})")
    files = sorted(file for file in source.iterdir() if file.suffix.lower() in PHOTOS)
    unreadable = [file for file in source.iterdir() if file.suffix.lower() in UNREADABLE]
    if unreadable:
        raise CaptureError(f"{unreadable[0]}: {len(unreadable)} files of this kind: export them as JPEG or 8-bit PNG")
    if len(files) < FEWEST:
        raise CaptureError(f"{source}: {len(files)} photos in it: give {FEWEST} or more ({', '.join(PHOTOS)})")
    problems = [problem for file in files if (problem := check_image(file, str(file))[2])]
    if problems:
        raise CaptureError("\n".join(str(problem) for problem in problems[:NAMED]))
    images.mkdir(parents=True, exist_ok=True)
    for file in files:
        if file.resolve() != (images / file.name).resolve():
            shutil.copyfile(file, images / file.name)
    return [file.name for file in files]


def lens_groups(images: Path, names: Sequence[str]) -> list[list[str]]:
    """Images by the lens they were taken with: equal size and, where their EXIF says so, camera and focal length."""
    groups: dict[tuple, list[str]] = defaultdict(list)
    for name in names:
        with Image.open(images / name, formats=FORMATS) as image:
            exif = image.getexif()
            body = tuple(str(exif.get(tag, "")) for tag in LENS_TAGS[0])
            lens = tuple(str(exif.get_ifd(34665).get(tag, "")) for tag in LENS_TAGS[1])
            groups[(*image.size, *body, *lens)].append(name)
    return list(groups.values())


def _finish(out: Path, names: Sequence[str], found: Estimate, fewest: float, options: Options) -> Captured:
    """Write the scene of what was found, or say why there is none."""
    others = {name: _why_not(name, found) for name in names if name not in found.names}
    if len(found.names) < max(FEWEST, fewest * len(names)):
        advice = "; ".join(what_to_try(names, found, options))
        raise CaptureError(
            f"pose estimation: only {len(found.names)} of {len(names)} images registered, too few (--min_registered="
            f"{fewest:g}): {advice}\nleft out: {_listing(others)}"
        )
    if found.points.exists():
        write_bytes(out / "sparse_pc.ply", found.points.read_bytes())
    write_json(out / "transforms.json", transforms(found))
    notes = [f"{len(found.names)} of {len(names)} images registered"]
    if others:
        notes += [f"left out: {_listing(others)}", *what_to_try(names, found, options)]
    return Captured(found.names, others, notes)


def transforms(found: Estimate) -> dict[str, Any]:
    """The scene in nerfstudio's format: what all images share at the top, else in each frame."""
    lenses = [_lens(lens) for lens in found.lenses]
    shared = lenses[0] if all(lens == lenses[0] for lens in lenses) else {}
    frames = []
    for name, c2w, lens in zip(found.names, found.c2w, lenses, strict=True):
        matrix = [*c2w.tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append({"file_path": f"images/{name}", **({} if shared else lens), "transform_matrix": matrix})
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
    shown = [f"{name} ({why})" for name, why in list(others.items())[:NAMED]]
    return ", ".join(shown) + (f", and {len(others) - NAMED} more" if len(others) > NAMED else "")


def what_to_try(names: Sequence[str], found: Estimate, options: Options) -> list[str]:
    """What may bring more images in, by what was found; the likeliest first."""
    poor = [name for name in names if found.features.get(name, 0) < 200]
    lonely = [name for name in names if name not in poor and found.matches.get(name, 0) < 30]
    advice = []
    if len(found.models) > 1:
        sizes = ", ".join(str(size) for size in found.models[:5])
        advice.append(f"the photos fall apart into groups of {sizes}: take photos between these, or --mapper=global")
    if len(poor) * 4 > len(names):
        advice.append("many photos have few features: more light, sharper photos, or something patterned in view")
    if len(lonely) * 4 > len(names):
        advice.append("many photos match no other: take them closer together, two thirds of each in the next")
    if options.matching == "sequential":
        advice.append("--matching=exhaustive compares all photos, not only neighbours")
    if not advice or not found.names:
        other = "global" if options.mapper == "incremental" else "incremental"
        advice.append(f"try --mapper={other}, or take more photos with more overlap")
    return advice
