"""Export a trained run as points and cameras for other programs.

Everything is in the units and axes of the scene's file. The points are those of
`nerf.output.point_cloud`.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerf.cameras.cameras import Cameras, join_cameras
from nerf.cameras.lenses import ORTHOGRAPHIC
from nerf.foundation.errors import UserError
from nerf.foundation.files import replacing, write_json
from nerf.foundation.progress import track
from nerf.output.point_cloud import Cloud, survey
from nerf.runs.read import Run
from nerf.scenes import Similarity
from nerf.scenes.base import SceneError
from nerf.scenes.formats.colmap import to_model
from nerf.scenes.formats.colmap_model import write_text
from nerf.scenes.formats.lens_keys import cameras_to_frames
from nerf.scenes.images import check_image
from nerf.scenes.ply import write_points

# Suffixes that are tried for a view named without one.
IMAGE_SUFFIXES = ("", ".png", ".jpg", ".jpeg")
# Keys of transforms.json for the maps of a scene.
_MAP_KEYS = {
    "mask": "mask_path",
    "depth": "depth_file_path",
    "labels": "semantics_path",
    "instances": "instances_path",
}


class Exported(NamedTuple):
    """The result of an export.

    Attributes:
      written: files and folders that were written.
      notes: notes for the user, one line each.
    """

    written: list[Path]
    notes: list[str]


def export(run: Run, out: Path, count: int, root: str | Path | None = None) -> Exported:
    """Write points, cameras, images and COLMAP's text files of a run.

    The cameras are those of all views of the run. COLMAP's files, in the folder sparse, are skipped
    if COLMAP has no model for one of the lenses.

    Args:
      run: the trained run.
      out: the folder; it is created if it is missing.
      count: approximate number of points.
      root: the scene's folder, which contains the images; default: the one the run was trained on.

    Raises:
      UserError: if `out` is the scene's own folder.
    """
    known = json.loads((run.folder / "scene.json").read_text())["root"] if root is None else root
    if known is not None and out.resolve() == Path(known).resolve():
        reason = "the scene's own folder, whose files would be replaced"
        raise UserError(f"--out={out}: {reason}: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    cloud = survey(run, count)
    write_points(out / "points.ply", cloud.points, cloud.normals, cloud.colours)
    cameras = {split: to_file(cameras, run.transform) for split, cameras in run.cameras.items()}
    images = _find_images(run, None if known is None else Path(known))
    names = {
        split: [_stored_name(name, images) for name in own] for split, own in run.names.items()
    }
    cameras = {
        split: _full_size(some, [images.get(name) for name in run.names[split]])
        for split, some in cameras.items()
    }
    write_json(out / "transforms.json", _transforms(cameras, names))
    written = [out / "points.ply", out / "transforms.json", *_copy_images(images, names, run, out)]
    notes = [_about_points(cloud, count, run.step), *_about_images(run, images, known)]
    try:
        all_names = [name for split in cameras for name in names[split]]
        model = to_model(join_cameras(list(cameras.values())), all_names)
    except SceneError:
        note = "sparse: not written: COLMAP has no such lenses; transforms.json has them all"
        return Exported(written, [*notes, note])
    ids = np.arange(1, len(cloud.points) + 1)
    model = dataclasses.replace(model, ids=ids, xyz=cloud.points, rgb=cloud.colours)
    write_text(out / "sparse", model)
    return Exported([*written, out / "sparse"], notes)


def _find_images(run: Run, root: Path | None) -> dict[str, Path]:
    """Return the views' images by name; some formats omit the file's suffix from a name."""
    found: dict[str, Path] = {}
    for name in sorted({name for names in run.names.values() for name in names}):
        files = [] if root is None else [root / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
        if there := [file for file in files if file.is_file()]:
            found[name] = there[0]
    return found


def _stored_name(name: str, images: dict[str, Path]) -> str:
    """Return the name of a view with the suffix of its image."""
    return name if name not in images else Path(name).with_name(images[name].name).as_posix()


def _full_size(cameras: Cameras, images: Sequence[Path | None]) -> Cameras:
    """Return cameras at the full size of their images."""
    K, size = np.array(cameras.K, np.float64), np.array(cameras.size)
    for i, path in enumerate(images):
        full = (0, 0) if path is None else check_image(path, path.name)[0]
        # The run reduced images by an integer factor and dropped the remainder.
        factor = full[0] // size[i, 0]
        if factor >= 1 and (np.array(full) // factor == size[i]).all():
            K[i, :2] *= factor
            size[i] = full
    return dataclasses.replace(cameras, K=K, size=size)


def _copy_images(
    images: dict[str, Path], names: dict[str, list[str]], run: Run, out: Path
) -> list[Path]:
    """Copy the images into the export and return their folders."""
    copies: dict[Path, Path] = {}
    for split, stored in names.items():
        for name, stored_name in zip(run.names[split], stored, strict=True):
            if name in images:
                copies[out / stored_name] = images[name]
    for target, file in track(list(copies.items()), "images", "image", len(copies)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            shutil.copyfile(file, temporary)
    return sorted({target.parent for target in copies} - {out})


def _about_images(run: Run, images: dict[str, Path], root: str | Path | None) -> list[str]:
    """Return notes on missing images, and on maps, which are not copied."""
    total = len({name for names in run.names.values() for name in names})
    notes = []
    if missing := total - len(images):
        where = (
            "are missing, as the run knows no scene folder"
            if root is None
            else f"are not in {root}"
        )
        fix = "give the scene's folder with --scene, otherwise the export cannot be trained on"
        notes.append(f"images: {missing} of {total} {where}: {fix}")
    for name in run.maps if images else ():
        key = _MAP_KEYS.get(name)
        add = "" if key is None else f" and add {key} to the frames in transforms.json"
        fix = f"to train on the export, copy them{add}"
        notes.append(f"{name} maps: not exported: {fix}")
    return notes


def _about_points(cloud: Cloud, count: int, step: int) -> str:
    """Return a note on the number of points, with reason and fix if few."""
    line = f"points: {len(cloud.points)}"
    if len(cloud.points) >= count:
        return line
    empty, foggy = 100 * cloud.empty, 100 * cloud.foggy
    why = f"of {cloud.rays} rays {empty:.0f} % met nothing and {foggy:.0f} % only fog"
    if cloud.empty > cloud.foggy:
        return f"{line} of {count}: {why}: little of the pictures shows anything solid"
    return (
        f"{line} of {count}: {why}: train longer than these {step} steps until surfaces are sharp"
    )


def to_file(cameras: Cameras, transform: Similarity) -> Cameras:
    """Return cameras in the file's world, in double precision."""
    K = np.array(cameras.K, np.float64)
    K[np.asarray(cameras.model) == ORTHOGRAPHIC, :2, :2] *= transform.scale  # pixels per unit
    c2w = transform.poses_back(np.asarray(cameras.c2w, np.float64))
    # Replace each rotation by the nearest exact one: float32 leaves errors of about 1e-8 in the
    # entries, which programs that divide by them enlarge.
    u, _, v = np.linalg.svd(c2w[..., :3])
    return dataclasses.replace(cameras, K=K, c2w=np.concatenate([u @ v, c2w[..., 3:]], -1))


def _transforms(cameras: dict[str, Cameras], names: dict[str, list[str]]) -> dict[str, Any]:
    """Return the contents of transforms.json."""
    frames: dict[str, dict[str, Any]] = {}
    for split, some in cameras.items():
        frames |= {frame["file_path"]: frame for frame in cameras_to_frames(some, names[split])}
    splits = {f"{split}_filenames": list(names[split]) for split in cameras}
    return {"ply_file_path": "points.ply", **splits, "frames": list(frames.values())}
