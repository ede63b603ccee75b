"""Sample points on learned surfaces, with normals and colours.

A point is the place at which a ray through a pixel of a training view meets a surface
(`nerf.rendering.surface_depth`). Rays that are stopped in several places are skipped. With the
weights w_i of a ray's intervals (`nerf.rendering.compositing`) and x_i their positions in the box,

  opacity         o = sum_i w_i
  position        m = sum_i w_i x_i / o
  spread          s^2 = sum_i w_i |x_i|^2 / o - |m|^2

Normals are those of the planes through each point's neighbours (Hoppe et al. 1992) and face the
camera: the gradient of a density made of grids is too rough.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt8
from scipy.spatial import cKDTree

from nerf.cameras.cameras import Cameras, pixels_to_rays
from nerf.fields import Samples
from nerf.foundation.png import to_bytes
from nerf.foundation.progress import Phases
from nerf.rendering.images import rays_per_chunk
from nerf.rendering.model import Model, Stage, last_field
from nerf.rendering.surface_depth import surface_depth
from nerf.runs.read import Run

NORMAL_NEIGHBOURS = 16  # points that a plane is fitted to, the point itself included
MAX_SPREAD = 0.05  # standard deviation of the position of a solid point, in half sides of the box
MIN_OPACITY = 0.8  # opacity of a ray that is stopped
MAX_EMPTY_OPACITY = 0.1  # opacity of a ray that hit nothing
MAX_COORDINATE = 10.0  # in units of the normalised world; farther points are sky
MAX_CHUNK = 16_384  # rays rendered at once
MAX_TRIES = 20  # rays tried for each requested point
MIN_TRIES = 100_000  # rays after which a run that yields hardly any points is given up
MIN_YIELD = 0.001  # points per ray below which that happens


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Points in the file's world, and statistics of the rays.

    Attributes:
      points: positions.
      normals: unit vectors that face the cameras.
      colours: sRGB.
      rays: number of rays that were tried.
      empty: fraction of the rays that hit nothing.
      foggy: fraction of the rays that hit something, but not in one place.
    """

    points: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    colours: UInt8[np.ndarray, "m 3"]
    rays: int
    empty: float
    foggy: float


class Surveyed(nnx.Module):
    """A field that also returns its position and squared norm."""

    def __init__(self, field: Callable):
        self.field = field
        # The encoding tells the model whether the field takes points or Gaussians.
        self.encoding = getattr(field, "encoding", None)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        place = samples.means
        return {**self.field(samples), "place": place, "square": jnp.square(place).sum(-1)}


class Stops(NamedTuple):
    """Places at which rays are stopped, in the normalised world, and statistics of all rays.

    Attributes:
      points: positions.
      origins: start points of the rays.
      rgb: sRGB of the rays, without a background.
      rays: number of rays that were tried.
      empty: fraction of the rays that hit nothing.
      foggy: fraction of the rays that hit something, but not in one place.
    """

    points: Float[np.ndarray, "m 3"]
    origins: Float[np.ndarray, "m 3"]
    rgb: Float[np.ndarray, "m 3"]
    rays: int
    empty: float
    foggy: float


def survey(run: Run, count: int) -> Cloud:
    """Sample points on the surfaces that the training views see.

    Args:
      run: the trained run.
      count: number of points; there are fewer if few rays are stopped in one place.
    """
    stops = find_stops(run, count)
    points = run.transform.points_back(stops.points.astype(np.float64))
    cameras_at = run.transform.points_back(stops.origins.astype(np.float64))
    normals = normals_of(points, cameras_at - points)
    return Cloud(points, normals, to_bytes(stops.rgb), stops.rays, stops.empty, stops.foggy)


def find_stops(
    run: Run, count: int, farthest: float = MAX_COORDINATE, spread: float = MAX_SPREAD
) -> Stops:
    """Find where random rays of the training views are stopped, in one place each.

    Args:
      run: the trained run.
      count: number of rays to find; there are fewer if few are stopped in one place.
      farthest: largest coordinate of a place in the normalised world.
      spread: largest standard deviation of a place, in half sides of the box.
    """
    # Only the last stage is composited into points, so its field is the one to wrap.
    model = nnx.clone(run.model)
    model.stages[-1] = Stage(model.stages[-1].sampler, Surveyed(last_field(model)))
    graph, state = nnx.split(model)
    cameras = jax.tree.map(jnp.asarray, run.cameras["train"])
    chunk = min(rays_per_chunk(run.model, run.config["chunk"]), MAX_CHUNK)
    found: list[dict[str, np.ndarray]] = []
    kept, tried, fates = 0, 0, np.zeros(2)
    with Phases() as phases:
        while kept < count and tried < MAX_TRIES * count + chunk:
            # The number of rays tried so far is the seed, so that the points are reproducible.
            key = jax.random.key(tried)
            seen = jax.device_get(_stopped(graph, chunk, state, cameras, key, jnp.float32(spread)))
            near = np.abs(seen["points"]).max(-1) < farthest
            mine = seen["kept"] & near
            found.append({name: seen[name][mine] for name in ("points", "origins", "rgb")})
            fates += [seen["empty"], seen["foggy"]]
            kept, tried = kept + int(mine.sum()), tried + chunk
            phases.report("points", "point", min(kept, count), count)
            if tried >= MIN_TRIES and kept < MIN_YIELD * tried:
                break
    places = {name: np.concatenate([part[name] for part in found])[:count] for name in found[0]}
    empty, foggy = (fates * chunk / tried).tolist()
    return Stops(**places, rays=tried, empty=empty, foggy=foggy)


def normals_of(
    points: Float[np.ndarray, "m 3"], towards: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "m 3"]:
    """Fit unit normals to each point and its nearest neighbours.

    Args:
      points: positions.
      towards: vectors to the side that each normal faces.
    """
    if not len(points):
        return np.zeros((0, 3))
    _, nearest = cKDTree(points).query(points, k=min(NORMAL_NEIGHBOURS, len(points)), workers=-1)
    around = points[nearest.reshape(len(points), -1)]
    around = around - around.mean(1, keepdims=True)
    # The normal is the eigenvector of the covariance with the smallest eigenvalue.
    normals = np.linalg.eigh(np.einsum("mki,mkj->mij", around, around))[1][..., 0]
    return np.where((normals * towards).sum(-1, keepdims=True) < 0, -normals, normals)


@partial(jax.jit, static_argnums=(0, 1))
def _stopped(
    graph: nnx.GraphDef,
    chunk: int,
    state: PyTree,
    cameras: Cameras,
    key: PRNGKeyArray,
    most: Float[Array, ""],
) -> dict[str, Array]:
    """Render rays through random pixels; `most` is the largest spread of one place.

    Returns: for each ray its origin, the point at which it is stopped, the colour there and whether
      to keep it; for all rays together the fractions that are empty and foggy.
    """
    model: Model = nnx.merge(graph, state)
    keys = jax.random.split(key, 2)
    # A random pixel position in a random training view.
    image = jax.random.randint(keys[0], (chunk,), 0, cameras.size.shape[0])
    mine = cameras[image]
    rays = pixels_to_rays(mine, jax.random.uniform(keys[1], (chunk, 2)) * mine.size)
    seen = model(rays, jnp.zeros((chunk, 3)))[-1]
    assert seen.rgb is not None  # of the last stage
    # Position m and spread s, see the top of this module.
    opacity = jnp.maximum(seen.opacity, 1e-8)
    place = seen.extras["place"] / opacity[:, None]
    spread = jnp.sqrt(jnp.maximum(seen.extras["square"] / opacity - jnp.square(place).sum(-1), 0.0))
    # The mean m lies in the air between two places, in front of what other views see there.
    depth = surface_depth(model, rays)
    points = rays.origins + depth[:, None] * rays.directions
    # Keep rays that are stopped in one place.
    solid = (seen.opacity > MIN_OPACITY) & (spread < most) & (depth > 0.0)
    empty = seen.opacity < MAX_EMPTY_OPACITY
    fates = {"empty": empty.mean(), "foggy": jnp.logical_not(solid | empty).mean()}
    return {
        "points": points,
        "origins": rays.origins,
        "rgb": seen.rgb / opacity[:, None],
        "kept": solid,
        **fates,
    }
