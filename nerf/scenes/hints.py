"""Say what a path is that is no scene, and what to do instead."""

import shlex
from collections.abc import Callable
from pathlib import Path

from nerf.scenes.base import Problem
from nerf.scenes.lookup import PHOTOS

VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".insv")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2")
RESULTS = (".ply", ".splat", ".ksplat", ".spz", ".sog", ".obj", ".glb")
RAW = (".dng", ".nef", ".cr2", ".cr3", ".arw", ".tif", ".tiff")
MAX_FOLDERS = 200  # that are looked into for a scene
MAX_SHOWN = 3
CAPTURE = "capture.py finds where each was taken: python capture.py"

Recognise = Callable[[Path], bool]


def explain_file(path: Path) -> Problem:
    """Return what is wrong with a file that is given as a scene."""
    ending = path.suffix.lower()
    shown = str(path)
    if ending == ".json":
        return Problem(
            shown,
            "",
            "a file, not a folder",
            f"give the folder that it is in: --scene={_word(path.parent)}",
        )
    if ending in (*PHOTOS, *RAW, ".exr"):
        fix = "train on it with --task=image, or give a folder of photos with their poses"
        return Problem(shown, "", "one picture, not a scene", fix)
    if ending in VIDEOS:
        fix = (
            f"make a scene of it: python capture.py {_word(path)} --out=FOLDER, then --scene=FOLDER"
        )
        return Problem(shown, "", "a video, not a scene", fix)
    if ending in ARCHIVES:
        return Problem(shown, "", "an archive, not a folder", "unpack it, and give the folder")
    if ending in RESULTS:
        fix = "give the folder of the photos with their poses that it was made from"
        return Problem(shown, "", "points or a finished model, not photos", fix)
    return Problem(shown, "", "a file, not a folder", "give the folder of a scene with --scene")


def explain_folder(root: Path, detect: Recognise, formats: str) -> Problem:
    """Return what a folder is that holds no scene.

    Args:
      root: the folder.
      detect: whether a folder holds a scene.
      formats: the names of the formats that there are, for a folder that is nothing known.
    """
    shown = str(root)
    above = root.resolve().parent
    if detect(above):
        return Problem(
            shown, "", "a folder within a scene", f"give the scene: --scene={_word(above)}"
        )
    if below := _scenes_below(root, detect):
        more = f" ({len(below)} scenes are below it)" if len(below) > 1 else ""
        return Problem(
            shown,
            "",
            f"no scene in it, but in a folder below{more}",
            f"give --scene={_word(below[0])}",
        )
    files = _files(root)
    endings = [path.suffix.lower() for path in files]
    if (root / "config.json").is_file() and (root / "scene.json").is_file():
        return Problem(
            shown,
            "",
            "a run's folder, not a scene",
            "give the folder of the photos; runs go to --workdir",
        )
    if others := [
        path.name for path in files if path.name.startswith("transforms") and path.suffix == ".json"
    ]:
        names = ", ".join(others[:MAX_SHOWN])
        return Problem(
            shown,
            "",
            f"{names} alone is no scene",
            "name it transforms.json, or add transforms_train.json",
        )
    if {"cameras.bin", "cameras.txt", "database.db"} & {path.name for path in files}:
        fix = "export the model again: a folder sparse/0 with cameras and images, beside the folder images"
        return Problem(shown, "", "a part of a COLMAP project, without a whole model", fix)
    if count := sum(ending in (*PHOTOS, *RAW) for ending in endings) or _photos_below(root):
        fix = f"{CAPTURE} {_word(root)} --out=FOLDER, then --scene=FOLDER"
        return Problem(shown, "", f"{count} photos without poses", fix)
    for endings_of, problem in (
        (VIDEOS, "a video"),
        (ARCHIVES, "an archive"),
        (RESULTS, "a finished model"),
    ):
        if found := [path for path in files if path.suffix.lower() in endings_of]:
            return Problem(
                shown, "", f"{problem} in it, and no photos with poses", explain_file(found[0]).fix
            )
    if not files and not any(root.iterdir()):
        return Problem(
            shown, "", "no scene in it, it is empty", "give the folder of a scene with --scene"
        )
    expected = "transforms.json, a COLMAP model, poses_bounds.npy, ..."
    return Problem(shown, "", f"no scene in it ({expected})", f"known: {formats}")


def _word(path: Path) -> str:
    """Return a path as a word of a command line."""
    return shlex.quote(str(path))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
        )
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except OSError:
        return []


def _scenes_below(root: Path, detect: Recognise) -> list[Path]:
    """Return the scenes in the folders of a folder, or in theirs where there are none."""
    children = _folders(root)[:MAX_FOLDERS]
    if found := [path for path in children if detect(path)]:
        return found
    return [path for child in children for path in _folders(child)[:MAX_FOLDERS] if detect(path)]


def _photos_below(root: Path) -> int:
    """Return the number of photos in the folders of a folder."""
    return sum(
        path.suffix.lower() in (*PHOTOS, *RAW)
        for child in _folders(root)[:MAX_FOLDERS]
        for path in _files(child)
    )
