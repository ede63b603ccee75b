"""A trained run as points and cameras that other programs read, in the units and axes of the scene's file.

A point is where a ray through a pixel of a training view is stopped. Everything comes from the volume renderer, which
composites whatever a field predicts: with the weights w_i of a ray's intervals (`nerf.rendering.compositing`) and x_i
their places in the box,

  opacity         o = sum_i w_i
  place           m = sum_i w_i x_i / o
  spread          s^2 = sum_i w_i |x_i|^2 / o - |m|^2

A ray that grazes an edge is stopped in two places, and their mean is in the air between them: its spread tells. Normals
are of the planes through each point's neighbours (Hoppe et al. 1992) and face the camera that saw it: the gradient of a
density that is made of grids is too rough.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8
from scipy.spatial import cKDTree

from nerf.cameras.cameras import Cameras, join_cameras, pixels_to_rays
from nerf.cameras.lenses import ORTHOGRAPHIC
from nerf.encodings.cones import Points, mean_of
from nerf.foundation.errors import UserError
from nerf.foundation.files import replacing, write_json
from nerf.foundation.png import to_bytes
from nerf.foundation.progress import Phases, track
from nerf.rendering.model import Model, Stage
from nerf.runs.runs import Trained
from nerf.scenes import Similarity
from nerf.scenes.base import SceneError
from nerf.scenes.formats.colmap import to_model
from nerf.scenes.formats.colmap_model import write_text
from nerf.scenes.formats.lens_keys import cameras_to_frames
from nerf.scenes.images import check_image
from nerf.scenes.ply import write_points

NORMAL_NEIGHBOURS = 16  # with the point itself, that say which way a surface faces
MAX_SPREAD = 0.05  # of what stops a ray, in half sides of the box
MIN_OPACITY = 0.8
MAX_EMPTY_OPACITY = 0.1  # of a ray that met nothing, at most
MAX_COORDINATE = 10.0  # in units of the normalised world: sky is no point
MAX_CHUNK = 16_384
MAX_TRIES = 20  # rays tried for each point asked for, at most
MIN_TRIES = 100_000  # rays after which a run that gives hardly any point is given up
MIN_YIELD = 0.001  # points a ray
IMAGE_SUFFIXES = ("", ".png", ".jpg", ".jpeg")
_MAP_KEYS = {"masks": "mask_path", "depths": "depth_file_path"}


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Points in the file's world, and what became of the rays that were tried.

    Attributes:
      points: positions.
      normals: unit vectors that face the cameras.
      colours: sRGB.
      rays: how many rays were tried.
      empty: the fraction of them that met nothing.
      foggy: the fraction that met something, but not in one place.
    """

    points: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    colours: UInt8[np.ndarray, "m 3"]
    rays: int
    empty: float
    foggy: float


class Exported(NamedTuple):
    """Files and folders that were written, and notes for the user, one line each."""

    written: list[Path]
    notes: list[str]


class Surveyed(nnx.Module):
    """A field that says besides where it was asked."""

    def __init__(self, field: Callable):
        self.field = field
        self.encoding = getattr(field, "encoding", None)  # which says what the field is to be given

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        place = mean_of(points)
        return {**self.field(points, viewdirs), "place": place, "square": jnp.square(place).sum(-1)}


def export(run: Trained, out: Path, count: int, root: str | Path | None = None) -> Exported:
    """Write points.ply, transforms.json, the images and COLMAP's text files of a run into a folder.

    Cameras are of all views of the run. COLMAP has no lens for orthographic pictures: where there are
    any, its files are left out. Raises UserError for a folder that holds the scene itself.

    Args:
      run: the trained run.
      out: the folder, made where there is none.
      count: about how many points.
      root: the scene's folder, where the images are; by default the one that the run was trained on.
    """
    known = json.loads((run.folder / "scene.json").read_text())["root"] if root is None else root
    if known is not None and out.resolve() == Path(known).resolve():
        raise UserError(
            f"--out={out}: the scene's own folder, whose files would be replaced: choose another folder"
        )
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
        model = to_model(
            join_cameras(list(cameras.values())),
            [name for split in cameras for name in names[split]],
        )
    except SceneError:
        return Exported(
            written,
            [*notes, "sparse: left out: COLMAP has no such lenses; transforms.json has them all"],
        )
    ids = np.arange(1, len(cloud.points) + 1)
    write_text(
        out / "sparse", dataclasses.replace(model, ids=ids, xyz=cloud.points, rgb=cloud.colours)
    )
    return Exported([*written, out / "sparse"], notes)


def _find_images(run: Trained, root: Path | None) -> dict[str, Path]:
    """The views' images in the scene's folder, by name; formats may leave the ending out of a name."""
    found: dict[str, Path] = {}
    for name in sorted({name for names in run.names.values() for name in names}):
        files = [] if root is None else [root / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
        if there := [file for file in files if file.is_file()]:
            found[name] = there[0]
    return found


def _stored_name(name: str, images: dict[str, Path]) -> str:
    """The name of a view with the ending of its image."""
    return name if name not in images else Path(name).with_name(images[name].name).as_posix()


def _full_size(cameras: Cameras, images: Sequence[Path | None]) -> Cameras:
    """Cameras of the images as they are stored, where the run saw them reduced by an integer factor."""
    K, size = np.array(cameras.K, np.float64), np.array(cameras.size)
    for i, path in enumerate(images):
        full = (0, 0) if path is None else check_image(path, path.name)[0]
        factor = full[0] // size[i, 0]
        if factor >= 1 and (np.array(full) // factor == size[i]).all():
            K[i, :2] *= factor
            size[i] = full
    return dataclasses.replace(cameras, K=K, size=size)


def _copy_images(
    images: dict[str, Path], names: dict[str, list[str]], run: Trained, out: Path
) -> list[Path]:
    """Copy the images into the folder; the folders that they are in."""
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


def _about_images(run: Trained, images: dict[str, Path], root: str | Path | None) -> list[str]:
    """Return notes on images that are missing, and on masks and depths, which are not copied."""
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
        fix = f"to train on the export, copy them and add {_MAP_KEYS[name]} to the frames in transforms.json"
        notes.append(f"{name}: not exported: {fix}")
    return notes


def _about_points(cloud: Cloud, count: int, step: int) -> str:
    """How many points there are and, if they are few, why and what to do."""
    line = f"points: {len(cloud.points)}"
    if len(cloud.points) >= count:
        return line
    why = f"of {cloud.rays} rays {100 * cloud.empty:.0f} % met nothing and {100 * cloud.foggy:.0f} % only fog"
    if cloud.empty > cloud.foggy:
        return f"{line} of {count}: {why}: little of the pictures shows anything solid"
    return (
        f"{line} of {count}: {why}: train longer than these {step} steps until surfaces are sharp"
    )


def to_file(cameras: Cameras, transform: Similarity) -> Cameras:
    """Cameras of the normalised world in that of the file, in double precision."""
    K = np.array(cameras.K, np.float64)
    K[np.asarray(cameras.model) == ORTHOGRAPHIC, :2, :2] *= transform.scale  # pixels per unit
    c2w = transform.poses_back(np.asarray(cameras.c2w, np.float64))
    # The nearest rotation: float32 leaves each entry off by some 1e-8, which programs that divide by it enlarge.
    u, _, v = np.linalg.svd(c2w[..., :3])
    return dataclasses.replace(cameras, K=K, c2w=np.concatenate([u @ v, c2w[..., 3:]], -1))


def _transforms(cameras: dict[str, Cameras], names: dict[str, list[str]]) -> dict[str, Any]:
    frames: dict[str, dict[str, Any]] = {}
    for split, some in cameras.items():
        frames |= {frame["file_path"]: frame for frame in cameras_to_frames(some, names[split])}
    splits = {f"{split}_filenames": list(names[split]) for split in cameras}
    return {"ply_file_path": "points.ply", **splits, "frames": list(frames.values())}


def survey(run: Trained, count: int) -> Cloud:
    """About `count` points on what the training views see; fewer where few rays are stopped in one place."""
    model = nnx.clone(run.model)
    field = [stage.field for stage in model.stages if stage.field is not None][-1]
    model.stages[-1] = Stage(model.stages[-1].sampler, Surveyed(field))
    graph, state = nnx.split(model)
    cameras = jax.tree.map(jnp.asarray, run.cameras["train"])
    chunk = min(run.config["chunk"], MAX_CHUNK)
    found: list[dict[str, np.ndarray]] = []
    kept, tried, fates = 0, 0, np.zeros(2)
    with Phases() as phases:
        while kept < count and tried < MAX_TRIES * count + chunk:
            seen = jax.device_get(_stopped(graph, chunk, state, cameras, jax.random.key(tried)))
            found.append(
                {name: values[seen["kept"]] for name, values in seen.items() if values.ndim}
            )
            fates += [seen["empty"], seen["foggy"]]
            kept, tried = kept + len(found[-1]["kept"]), tried + chunk
            phases.report("points", "point", min(kept, count), count)
            if tried >= MIN_TRIES and kept < MIN_YIELD * tried:
                break
    clouds = {name: np.concatenate([part[name] for part in found])[:count] for name in found[0]}
    points = run.transform.points_back(clouds["points"].astype(np.float64))
    cameras_at = run.transform.points_back(clouds["origins"].astype(np.float64))
    normals = normals_of(points, cameras_at - points)
    empty, foggy = (fates * chunk / tried).tolist()
    return Cloud(points, normals, to_bytes(clouds["rgb"]), tried, empty, foggy)


def normals_of(
    points: Float[np.ndarray, "m 3"], towards: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "m 3"]:
    """Unit normals of the planes that fit each point and its nearest neighbours best, on the side of `towards`."""
    if not len(points):
        return np.zeros((0, 3))
    _, nearest = cKDTree(points).query(points, k=min(NORMAL_NEIGHBOURS, len(points)), workers=-1)
    around = points[nearest.reshape(len(points), -1)]
    around = around - around.mean(1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("mki,mkj->mij", around, around))[1][
        ..., 0
    ]  # of the least eigenvalue
    return np.where((normals * towards).sum(-1, keepdims=True) < 0, -normals, normals)


@partial(jax.jit, static_argnums=(0, 1))
def _stopped(graph: nnx.GraphDef, chunk: int, state, cameras: Cameras, key) -> dict[str, Array]:
    """Where rays through random pixels begin and are stopped, the colour there, and whether it is one place."""
    model: Model = nnx.merge(graph, state)
    keys = jax.random.split(key, 2)
    image = jax.random.randint(keys[0], (chunk,), 0, cameras.size.shape[0])
    mine = cameras[image]
    rays = pixels_to_rays(mine, jax.random.uniform(keys[1], (chunk, 2)) * mine.size)
    seen = model(rays, jnp.zeros((chunk, 3)))[-1]
    opacity = jnp.maximum(seen.opacity, 1e-8)
    place = seen.extras["place"] / opacity[:, None]
    spread = jnp.sqrt(jnp.maximum(seen.extras["square"] / opacity - jnp.square(place).sum(-1), 0.0))
    points = rays.origins + seen.depth[:, None] * rays.directions
    solid = (seen.opacity > MIN_OPACITY) & (spread < MAX_SPREAD)
    kept = solid & (jnp.abs(points).max(-1) < MAX_COORDINATE)
    empty = seen.opacity < MAX_EMPTY_OPACITY
    fates = {"empty": empty.mean(), "foggy": jnp.logical_not(solid | empty).mean()}
    return {
        "points": points,
        "origins": rays.origins,
        "rgb": seen.rgb / opacity[:, None],
        "kept": kept,
        **fates,
    }
