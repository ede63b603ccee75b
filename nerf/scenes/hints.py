"""Explain why a path is not a scene, and what to do instead."""

import shlex
from collections.abc import Callable
from pathlib import Path

from nerf.scenes.base import Problem
from nerf.scenes.lookup import PHOTOS

VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".insv")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2")
RESULTS = (".ply", ".splat", ".ksplat", ".spz", ".sog", ".obj", ".glb")
RAW = (".dng", ".nef", ".cr2", ".cr3", ".arw", ".tif", ".tiff")
MAX_FOLDERS = 200  # number of folders that are searched for scenes or photos
MAX_SHOWN = 3  # number of files that a message names
CAPTURE = "estimate their poses first: nerf capture"

Detect = Callable[[Path], bool]  # returns whether a folder is a scene


def explain_file(path: Path) -> Problem:
    """Return the problem of a file that is given as a scene."""
    ending = path.suffix.lower()
    shown = str(path)
    if ending == ".json":
        fix = f"give the folder that contains it: --scene={_word(path.parent)}"
        return Problem(shown, "", "a file, not a folder", fix)
    if ending in (*PHOTOS, *RAW, ".exr"):
        fix = "train on it with --task=image, or give a folder of photos with their poses"
        return Problem(shown, "", "one picture, not a scene", fix)
    if ending in VIDEOS:
        command = f"nerf capture {_word(path)} --out=FOLDER"
        fix = f"make a scene of it: {command}, then --scene=FOLDER"
        return Problem(shown, "", "a video, not a scene", fix)
    if ending in ARCHIVES:
        return Problem(shown, "", "an archive, not a folder", "unpack it, and give the folder")
    if ending in RESULTS:
        fix = "give the folder with the photos and poses that it was made from"
        return Problem(shown, "", "points or a finished model, not photos", fix)
    return Problem(shown, "", "a file, not a folder", "give the folder of a scene with --scene")


def explain_folder(root: Path, detect: Detect, formats: str) -> Problem:
    """Return the problem of a folder that is not a scene.

    Args:
      root: the folder.
      detect: returns whether a folder is a scene.
      formats: names of the supported formats, for a folder of unknown content.

    Returns:
      The problem of the first kind of content that is recognised.
    """
    shown = str(root)
    # The scene may be one level above, or below.
    above = root.resolve().parent
    if detect(above):
        fix = f"give the scene: --scene={_word(above)}"
        return Problem(shown, "", "a folder within a scene", fix)
    if below := _scenes_below(root, detect):
        more = f" ({len(below)} scenes are below it)" if len(below) > 1 else ""
        reason = f"no scene in it, but in a folder below{more}"
        return Problem(shown, "", reason, f"give --scene={_word(below[0])}")
    # The folder may contain output of this program, or an incomplete scene, or the input of a
    # capture, or a file that is not a scene.
    files = _files(root)
    found = _explain_cameras(root, files) or _explain_pictures(root, files)
    if found is not None:
        return Problem(shown, "", *found)
    if not files and not any(root.iterdir()):
        fix = "give the folder of a scene with --scene"
        return Problem(shown, "", "no scene in it, it is empty", fix)
    expected = "transforms.json, a COLMAP model, poses_bounds.npy, ..."
    return Problem(shown, "", f"no scene in it ({expected})", f"known: {formats}")


def _explain_cameras(root: Path, files: list[Path]) -> tuple[str, str] | None:
    """Return reason and fix for a run of this program, or for a scene with incomplete cameras."""
    names = [path.name for path in files]
    if {"config.json", "scene.json"} <= set(names):
        return "a run's folder, not a scene", "give the folder of the photos; runs go to --workdir"
    others = [path.name for path in files if path.suffix == ".json"]
    if others := [name for name in others if name.startswith("transforms")]:
        reason = f"{', '.join(others[:MAX_SHOWN])} alone is not a scene"
        return reason, "name it transforms.json, or add transforms_train.json"
    if {"cameras.bin", "cameras.txt", "database.db"} & set(names):
        fix = (
            "export the model again: a folder sparse/0 with cameras and images,"
            " beside the folder images"
        )
        return "part of a COLMAP project, without a complete model", fix
    return None


def _explain_pictures(root: Path, files: list[Path]) -> tuple[str, str] | None:
    """Return reason and fix for photos without poses, or for other files than photos."""
    count = sum(path.suffix.lower() in (*PHOTOS, *RAW) for path in files)
    if count := count or _photos_below(root):
        fix = f"{CAPTURE} {_word(root)} --out=FOLDER, then --scene=FOLDER"
        return f"{count} photos without poses", fix
    for endings, content in (
        (VIDEOS, "a video"),
        (ARCHIVES, "an archive"),
        (RESULTS, "a finished model"),
    ):
        for path in files:
            if path.suffix.lower() in endings:
                return f"{content} in it, and no photos with poses", explain_file(path).fix
    return None


def _word(path: Path) -> str:
    """Quote a path for a command line."""
    return shlex.quote(str(path))


def _files(folder: Path) -> list[Path]:
    """Return the visible files of a folder; none if it is not readable."""
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
        )
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    """Return the visible folders of a folder; none if it is not readable."""
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except OSError:
        return []


def _scenes_below(root: Path, detect: Detect) -> list[Path]:
    """Return the scenes one level below a folder, or otherwise two levels."""
    children = _folders(root)[:MAX_FOLDERS]
    if found := [path for path in children if detect(path)]:
        return found
    return [path for child in children for path in _folders(child)[:MAX_FOLDERS] if detect(path)]


def _photos_below(root: Path) -> int:
    """Return the number of photos one level below a folder."""
    return sum(
        path.suffix.lower() in (*PHOTOS, *RAW)
        for child in _folders(root)[:MAX_FOLDERS]
        for path in _files(child)
    )
