"""Measure how far matter is from cameras, and find the frames of a film that show what no photo shows.

A point of a film's frame is known if some training view has it in its picture and looks at it from a similar side. A
frame is unknown if most of its points are not known, if it shows nothing at all, or if its camera is within matter.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from nerf.cameras.cameras import Cameras, pixels_to_rays, project

# From one camera to its picture: see `nerf.rendering.images.make_render_image`.
RenderView = Callable[[Cameras], dict[str, np.ndarray]]

MAX_FRAMES = 24  # of a film that are looked at
MAX_VIEWS = 150  # of the training views in which points are looked for
GRID = 6  # points across a frame
DEPTH_VIEWS, CENTRE = (
    8,
    0.5,
)  # training views, and the middle part of their sides, that say how far matter is
MIN_COSINE = 0.5  # between the directions from which a point is seen: 60 degrees
MIN_KNOWN = 0.5  # fraction of a frame's points
TOO_NEAR = 0.1  # of the usual distance: matter nearer than this is around the camera


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)).tolist()


def usual_distance(train: Cameras, render_image: RenderView) -> float | None:
    """Return the median distance from the training cameras to matter in the middle of their views.

    Args:
      train: the training cameras.
      render_image: from one camera to its picture.

    Returns: a length of the normalised world; None where the views show nothing.
    """
    distances = np.stack(
        [
            _distances(_sparse(train[i], CENTRE), render_image)
            for i in evenly(len(train), DEPTH_VIEWS)
        ]
    )
    seen = distances[np.isfinite(distances)]
    return float(np.median(seen)) if len(seen) else None


def unknown_frames(
    cameras: Cameras, train: Cameras, render_image: RenderView, distance: float
) -> tuple[list[int], Bool[np.ndarray, " f"]]:
    """Find the frames of a film that show what the photos did not.

    Args:
      cameras: of the film.
      train: the training cameras.
      render_image: from one camera to its picture.
      distance: see `usual_distance`.

    Returns: the numbers of the frames that were looked at, and whether each is unknown.
    """
    numbers = evenly(len(cameras), MAX_FRAMES)
    sparse = [_sparse(cameras[i]) for i in numbers]
    hits = np.stack([_distances(camera, render_image) for camera in sparse])
    rays = [_rays(jax.tree.map(jnp.asarray, camera)) for camera in sparse]
    origins, directions = (np.stack([np.asarray(ray[k]) for ray in rays]) for k in (0, 1))
    there = np.isfinite(hits)
    points = origins + np.where(there, hits, 1.0)[..., None] * directions
    known = _known(points.reshape(-1, 3), directions.reshape(-1, 3), train).reshape(hits.shape)
    count = there.sum(-1)
    unknown = (known & there).sum(-1) < MIN_KNOWN * count
    too_near = (hits < TOO_NEAR * distance).sum(-1) > MIN_KNOWN * hits.shape[-1]
    return numbers, unknown | too_near | (count == 0)


def _sparse(camera: Cameras, part: float = 1.0) -> Cameras:
    """Return a camera with few pixels that sees the middle `part` of the sides of another's picture."""
    size = np.asarray(camera.size, np.float64)
    shrink = GRID / (part * size)
    K = np.array(camera.K, np.float64)
    K[:2, 2] -= 0.5 * (1.0 - part) * size
    K = np.diag([*shrink, 1.0]) @ K
    return dataclasses.replace(camera, K=K.astype(np.float32), size=np.full(2, GRID, np.int32))


def _distances(camera: Cameras, render_image: RenderView) -> Float[np.ndarray, " g"]:
    """Return the distances to matter along all pixels' rays, infinite where there is none."""
    picture = render_image(camera)
    return np.where(picture["opacity"] > 0.5, picture["depth"], np.inf).reshape(-1)


@jax.jit
def _rays(camera: Cameras) -> tuple[Float[jax.Array, "g 3"], Float[jax.Array, "g 3"]]:
    """Return origins and directions of all pixels' rays, in the order of `_distances`."""
    y, x = np.mgrid[:GRID, :GRID].reshape(2, -1) + 0.5
    each = jax.tree.map(lambda a: jnp.broadcast_to(a, (len(x), *a.shape)), camera)
    rays = pixels_to_rays(each, jnp.asarray(np.stack([x, y], -1), jnp.float32))
    return rays.origins, rays.directions


def _known(
    points: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"], train: Cameras
) -> Bool[np.ndarray, " n"]:
    """Check which points a training view shows from the side from which they are seen along `directions`."""
    known = np.zeros(len(points), bool)
    placed = jnp.asarray(points, jnp.float32)
    for i in evenly(len(train), MAX_VIEWS):
        inside = np.asarray(_inside(jax.tree.map(jnp.asarray, train[i]), placed))
        towards = points - np.asarray(train.c2w)[i, :, 3]
        towards /= np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-9)
        known |= inside & ((towards * directions).sum(-1) > MIN_COSINE)
    return known


@jax.jit
def _inside(camera: Cameras, points: Float[jax.Array, "n 3"]) -> Bool[jax.Array, " n"]:
    each = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(points), *x.shape)), camera)
    return project(each, points)[1]
