"""A trained run as points and cameras that other programs read, in the units and axes of the scene's file.

A point is where a ray through a pixel of a training view is stopped. Everything comes from the volume renderer, which
composites whatever a field predicts: with the weights w_i of a ray's intervals (see `nerf.rendering`) and x_i their
places in the box,

  opacity         o = sum_i w_i
  place           m = sum_i w_i x_i / o
  spread          s^2 = sum_i w_i |x_i|^2 / o - |m|^2

A ray that grazes an edge is stopped in two places, and their mean is in the air between them: its spread tells. Normals
are of the planes through each point's neighbours (Hoppe et al. 1992) and face the camera that saw it: the gradient of a
density that is made of grids is too rough.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8
from scipy.spatial import cKDTree
from tqdm import tqdm

from nerf.cameras import Cameras, pixels_to_rays
from nerf.files import write_json
from nerf.gaussians import Points, mean_of
from nerf.lenses import ORTHOGRAPHIC
from nerf.metrics import to_bytes
from nerf.model import Model, Stage
from nerf.runs import Trained
from nerf.scenes import Similarity
from nerf.scenes.base import SceneError
from nerf.scenes.colmap import to_model
from nerf.scenes.colmap_model import write_text
from nerf.scenes.lens_keys import cameras_to_frames
from nerf.scenes.ply import write_points

NEIGHBOURS = 16  # with the point itself, that say which way a surface faces
MOST_SPREAD = 0.05  # of what stops a ray, in half sides of the box
LEAST_OPACITY = 0.8
FARTHEST = 10.0  # in units of the normalised world: sky is no point
RAYS = 16_384
FRUITLESS = 20  # times as many rays as points are tried


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Points in the file's world, unit normals that face the cameras, and sRGB."""

    points: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    colours: UInt8[np.ndarray, "m 3"]


class Surveyed(nnx.Module):
    """A field that says besides where it was asked."""

    def __init__(self, field: Callable):
        self.field = field
        self.encoding = getattr(field, "encoding", None)  # which says what the field is to be given

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        place = mean_of(points)
        return {**self.field(points, viewdirs), "place": place, "square": jnp.square(place).sum(-1)}


def export(run: Trained, out: Path, count: int) -> list[Path]:
    """Write points.ply (of about `count` points), transforms.json and COLMAP's text files of a run into a folder.

    Cameras are of all views that the run knows of, at the size at which they were seen; COLMAP has no lens for
    orthographic pictures, and its files are left out where there are any.
    """
    out.mkdir(parents=True, exist_ok=True)
    cloud = survey(run, count)
    write_points(out / "points.ply", cloud.points, cloud.normals, cloud.colours)
    cameras = {split: to_file(cameras, run.transform) for split, cameras in run.cameras.items()}
    write_json(out / "transforms.json", _transforms(cameras, run.names))
    written = [out / "points.ply", out / "transforms.json"]
    try:
        model = to_model(_joined(cameras), [name for split in cameras for name in run.names[split]])
    except SceneError:
        return written
    ids = np.arange(1, len(cloud.points) + 1)
    write_text(out / "sparse", dataclasses.replace(model, ids=ids, xyz=cloud.points, rgb=cloud.colours))
    return [*written, out / "sparse"]


def to_file(cameras: Cameras, transform: Similarity) -> Cameras:
    """Cameras of the normalised world in that of the file, in double precision."""
    K = np.array(cameras.K, np.float64)
    K[np.asarray(cameras.model) == ORTHOGRAPHIC, :2, :2] *= transform.scale  # pixels per unit
    c2w = transform.poses_back(np.asarray(cameras.c2w, np.float64))
    # The nearest rotation: float32 leaves each entry off by some 1e-8, which programs that divide by it enlarge.
    u, _, v = np.linalg.svd(c2w[..., :3])
    return dataclasses.replace(cameras, K=K, c2w=np.concatenate([u @ v, c2w[..., 3:]], -1))


def _joined(cameras: dict[str, Cameras]) -> Cameras:
    """All in one; not by a map over the tree, since lenses may differ."""

    def of(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(some, name)) for some in cameras.values()])

    return Cameras(of("c2w"), of("K"), of("distortion"), of("size"), of("model"))


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
    chunk = min(run.config["chunk"], RAYS)
    found: list[dict[str, np.ndarray]] = []
    kept, tried = 0, 0
    with tqdm(total=count, desc="points", unit="point", disable=None) as bar:
        while kept < count and tried < FRUITLESS * count + chunk:
            seen = jax.device_get(_stopped(graph, chunk, state, cameras, jax.random.key(tried)))
            found.append({name: values[seen["kept"]] for name, values in seen.items()})
            kept, tried = kept + len(found[-1]["kept"]), tried + chunk
            bar.update(len(found[-1]["kept"]))
    whole = {name: np.concatenate([part[name] for part in found])[:count] for name in found[0]}
    points = run.transform.points_back(whole["points"].astype(np.float64))
    cameras_at = run.transform.points_back(whole["origins"].astype(np.float64))
    return Cloud(points, normals_of(points, cameras_at - points), to_bytes(whole["rgb"]))


def normals_of(points: Float[np.ndarray, "m 3"], towards: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
    """Unit normals of the planes that fit each point and its nearest neighbours best, on the side of `towards`."""
    if not len(points):
        return np.zeros((0, 3))
    _, nearest = cKDTree(points).query(points, k=min(NEIGHBOURS, len(points)), workers=-1)
    around = points[nearest.reshape(len(points), -1)]
    around = around - around.mean(1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("mki,mkj->mij", around, around))[1][..., 0]  # of the least eigenvalue
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
    kept = (seen.opacity > LEAST_OPACITY) & (spread < MOST_SPREAD) & (jnp.abs(points).max(-1) < FARTHEST)
    return {"points": points, "origins": rays.origins, "rgb": seen.rgb / opacity[:, None], "kept": kept}
