"""Find the frames of a video that show regions which no photo shows, and measure scene distance.

A point that a video frame shows is known if a training view contains it and sees it from a similar
side. A frame is unknown if most of its points are unknown, if it shows no surface at all, or if its
camera is inside an object.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from nerf.cameras.cameras import Cameras, pixels_to_rays, project

# Renders one camera, see `nerf.rendering.images.make_render_image`.
RenderView = Callable[[Cameras], dict[str, np.ndarray]]

MAX_TESTED_FRAMES = 24  # of a video
MAX_SEARCHED_VIEWS = 150  # training views in which the points of a frame are searched
GRID_SIZE = 6  # points tested along each side of a frame
MAX_DISTANCE_VIEWS = 8  # training views from which the usual distance is measured
CENTRE_FRACTION = 0.5  # fraction of their sides, around the middle, that is measured
MIN_COSINE = 0.5  # between two directions that see a point from a similar side: 60 degrees
MIN_KNOWN = 0.5  # fraction of a frame's points that must be known
# Fraction of the usual distance. If most surfaces are nearer, the camera is inside an object.
MIN_RELATIVE_DISTANCE = 0.1


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spaced integers from 0 to `count` - 1."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)).tolist()


def usual_distance(train: Cameras, render_image: RenderView) -> float | None:
    """Return the median distance from the training cameras to the surface in their image centres.

    Args:
      train: the training cameras.
      render_image: renders one camera, returning "opacity" and "depth".

    Returns:
      A length in the normalised world, or None if the views show no surface.
    """
    views = [train[i] for i in evenly(len(train), MAX_DISTANCE_VIEWS)]
    distances = np.stack(
        [_distances(_sparse(view, CENTRE_FRACTION), render_image) for view in views]
    )
    seen = distances[np.isfinite(distances)]
    return float(np.median(seen)) if len(seen) else None


def unknown_frames(
    cameras: Cameras, train: Cameras, render_image: RenderView, distance: float
) -> tuple[list[int], Bool[np.ndarray, " f"]]:
    """Find the frames of a video that show regions which no photo shows.

    Args:
      cameras: the cameras of the video.
      train: the training cameras.
      render_image: renders one camera, returning "opacity" and "depth".
      distance: the usual distance to the surface, see `usual_distance`.

    Returns:
      The indices of the tested frames, and whether each of them is unknown.
    """
    # Cast a coarse grid of rays from each tested frame: hits have shape (frames, GRID_SIZE^2).
    numbers = evenly(len(cameras), MAX_TESTED_FRAMES)
    sparse = [_sparse(cameras[i]) for i in numbers]
    hits = np.stack([_distances(camera, render_image) for camera in sparse])
    rays = [_rays(jax.tree.map(jnp.asarray, camera)) for camera in sparse]
    origins, directions = (np.stack([np.asarray(ray[k]) for ray in rays]) for k in (0, 1))
    # Rays that hit no surface get a placeholder distance and are masked below.
    there = np.isfinite(hits)
    points = origins + np.where(there, hits, 1.0)[..., None] * directions
    known = _known(points.reshape(-1, 3), directions.reshape(-1, 3), train).reshape(hits.shape)
    count = there.sum(-1)
    unknown = (known & there).sum(-1) < MIN_KNOWN * count
    too_near = (hits < MIN_RELATIVE_DISTANCE * distance).sum(-1) > MIN_KNOWN * hits.shape[-1]
    return numbers, unknown | too_near | (count == 0)


def _sparse(camera: Cameras, fraction: float = 1.0) -> Cameras:
    """Return a camera with GRID_SIZE^2 pixels that sees the central `fraction` of the sides."""
    # Shift the principal point to the corner of the cropped picture, then scale its pixels.
    size = np.asarray(camera.size, np.float64)
    shrink = GRID_SIZE / (fraction * size)
    K = np.array(camera.K, np.float64)
    K[:2, 2] -= 0.5 * (1.0 - fraction) * size
    K = np.diag([*shrink, 1.0]) @ K
    return dataclasses.replace(camera, K=K.astype(np.float32), size=np.full(2, GRID_SIZE, np.int32))


def _distances(camera: Cameras, render_image: RenderView) -> Float[np.ndarray, " g"]:
    """Return the distance to the surface along each pixel's ray; infinite for empty pixels."""
    picture = render_image(camera)
    return np.where(picture["opacity"] > 0.5, picture["depth"], np.inf).reshape(-1)


@jax.jit
def _rays(camera: Cameras) -> tuple[Float[jax.Array, "g 3"], Float[jax.Array, "g 3"]]:
    """Return origins and directions of all pixels' rays, in the order of `_distances`."""
    y, x = np.mgrid[:GRID_SIZE, :GRID_SIZE].reshape(2, -1) + 0.5
    each = jax.tree.map(lambda a: jnp.broadcast_to(a, (len(x), *a.shape)), camera)
    rays = pixels_to_rays(each, jnp.asarray(np.stack([x, y], -1), jnp.float32))
    return rays.origins, rays.directions


def _known(
    points: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"], train: Cameras
) -> Bool[np.ndarray, " n"]:
    """Return which points a training view sees from a similar side.

    Args:
      points: positions in the normalised world.
      directions: unit directions in which the video sees the points.
      train: the training cameras.
    """
    known = np.zeros(len(points), bool)
    placed = jnp.asarray(points, jnp.float32)
    for i in evenly(len(train), MAX_SEARCHED_VIEWS):
        # Occlusion is not tested: a point inside the view's image counts as seen.
        inside = np.asarray(_inside(jax.tree.map(jnp.asarray, train[i]), placed))
        towards = points - np.asarray(train.c2w)[i, :, 3]
        towards /= np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-9)
        known |= inside & ((towards * directions).sum(-1) > MIN_COSINE)
    return known


@jax.jit
def _inside(camera: Cameras, points: Float[jax.Array, "n 3"]) -> Bool[jax.Array, " n"]:
    each = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(points), *x.shape)), camera)
    return project(each, points)[1]
