"""Level functions of trained models, positive inside: where their surface is."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int, PyTree

from nerf.cameras.cameras import (
    Cameras,
    pixel_centres,
    pixels_to_rays,
    points_at_depth,
    project,
    repeat_camera,
)
from nerf.cameras.lenses import ORTHOGRAPHIC
from nerf.encodings.cones import Gaussians, takes_gaussians
from nerf.fields import Samples
from nerf.foundation.errors import UserError
from nerf.foundation.progress import track
from nerf.geometry import WithSheets, WithSurface
from nerf.meshes.chunks import in_chunks
from nerf.meshes.isosurface import Lattice, Level
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import Model, last_field
from nerf.rendering.surface_depth import surface_depth

RAYS = 2**14  # rays rendered at once


def surface_level(model: Model) -> Level | None:
    """Return the level of the model's geometry, or None if it has no surface.

    Args:
      model: the trained model.
    """
    return _level_of(model) if isinstance(model.geometry, WithSurface) else None


def sheet_distance(model: Model) -> Level | None:
    """Return the unsigned distance of the model's geometry, or None if it has none.

    Args:
      model: the trained model.
    """
    return _level_of(model) if isinstance(model.geometry, WithSheets) else None


def _level_of(model: Model) -> Level:
    graph, state = nnx.split(model)

    def level(points: Float32[np.ndarray, "m 3"]) -> Float32[np.ndarray, " m"]:
        values = in_chunks(functools.partial(_level, graph, state), points)
        if not np.isfinite(values).all():
            raise UserError(
                "mesh: the level of the surface is not finite: the parameters are broken: "
                "export an earlier checkpoint with --step"
            )
        return values

    return level


@functools.partial(jax.jit, static_argnums=0)
def _level(graph: nnx.GraphDef, state: PyTree, points: Float[Array, "m 3"]) -> Float[Array, " m"]:
    model: Model = nnx.merge(graph, state)
    field = last_field(model)
    ahead = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), points.shape)
    warped = model.space.warp(points)
    no_width = jnp.zeros(warped.shape[:-1])
    means = (
        Gaussians(warped, jnp.zeros_like(warped), no_width) if takes_gaussians(field) else warped
    )
    quantities = evaluate_field(model, field, Samples(means, ahead))
    if isinstance(model.geometry, WithSheets):
        return model.geometry.distance(quantities)
    assert isinstance(model.geometry, WithSurface)
    return model.geometry.level(quantities)


def evaluated_points(model: Model, points: Float[np.ndarray, "m 3"]) -> Bool[np.ndarray, " m"]:
    """Return which points are in cells that rays evaluate; elsewhere nothing was trained.

    Args:
      model: the trained model.
      points: in the normalised world.
    """
    if model.occupancy is None:
        return np.ones(len(points), bool)
    graph, state = nnx.split(model)
    return in_chunks(functools.partial(_evaluated, graph, state), points.astype(np.float32))


@functools.partial(jax.jit, static_argnums=0)
def _evaluated(
    graph: nnx.GraphDef, state: PyTree, points: Float[Array, "m 3"]
) -> Bool[Array, " m"]:
    model: Model = nnx.merge(graph, state)
    assert model.occupancy is not None
    return model.occupancy.is_occupied(model.space.warp(points))


@dataclasses.dataclass(frozen=True)
class DepthImages:
    """Depth of the surface of a model, seen from cameras.

    Attributes:
      cameras: one per image.
      depth: distance along the ray of each pixel, inf where nothing is hit; the images are as large
        as the largest.
    """

    cameras: Cameras
    depth: Float32[np.ndarray, "n h w"]

    @functools.cached_property
    def points(self) -> Float[np.ndarray, "m 3"]:
        """The points that the pixels see, in the normalised world; computed once."""
        return np.concatenate([self.points_of(i) for i in range(len(self.depth))])

    def points_of(self, view: int) -> Float[np.ndarray, "m 3"]:
        """Return the points that the pixels of a view see, in the normalised world."""
        # Images are as large as the largest, which may not be that of this camera.
        width, height = (int(n) for n in self.cameras.size[view])
        depth = self.depth[view, :height, :width]
        known = np.isfinite(depth)
        return points_at_depth(self.cameras[view], np.where(known, depth, 0.0))[known]

    @property
    def pixel_width(self) -> float:
        """The median size, in the normalised world, of what a pixel sees; 0 if nothing is seen."""
        scale = np.where(self.cameras.model[:, None, None] == ORTHOGRAPHIC, 1.0, self.depth)
        size = scale / self.cameras.K[:, 0, 0, None, None]
        known = np.isfinite(self.depth)
        return float(np.median(size[known])) if known.any() else 0.0


def render_depth(model: Model, cameras: Cameras) -> DepthImages:
    """Render the depth of the surface of a model.

    Args:
      model: the trained model.
      cameras: in the normalised world; they may have different sizes.
    """
    graph, state = nnx.split(model)
    width, height = (int(n) for n in np.asarray(cameras.size).max(0))
    images = np.full((len(cameras), height, width), np.inf, np.float32)
    for i in track(range(len(cameras)), "depth", "view", len(cameras)):
        camera = jax.tree.map(jnp.asarray, cameras[i])
        columns, rows = (int(n) for n in cameras.size[i])
        starts = range(0, columns * rows, RAYS)
        parts = [_surface_depth(graph, RAYS, state, camera, start) for start in starts]
        depth = np.concatenate(jax.device_get(parts))[: columns * rows].reshape(rows, columns)
        images[i, :rows, :columns] = np.where(depth > 0.0, depth, np.inf)
    return DepthImages(cameras, images)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _surface_depth(
    graph: nnx.GraphDef, count: int, state: PyTree, camera: Cameras, start: Int[Array, ""]
) -> Float[Array, " r"]:
    """Return the surface depth of `count` pixels of a camera from `start` on, row by row."""
    rays = pixels_to_rays(repeat_camera(camera, count), pixel_centres(camera, start, count))
    return surface_depth(nnx.merge(graph, state), rays)


def fused_level(images: DepthImages, truncation: float, limit: float) -> Level:
    """Fuse depth images into a truncated signed distance (Curless and Levoy 1996).

    Equation:
      d_i(x) = depth_i(pixel of x) - distance of x along the ray   positive in front of the surface
      l(x) = -mean_i min(max(d_i(x), -limit), limit)   over the views with d_i(x) > -truncation

    Where no view sees a point, the level is NaN.

    Args:
      images: depth images of the model.
      truncation: distance behind a surface beyond which a view says nothing.
      limit: largest distance that counts, so that a view that is wrong has one vote and not more.
    """
    cameras = jax.tree.map(jnp.asarray, images.cameras)
    depth = jnp.asarray(images.depth)

    def level(points: Float32[np.ndarray, "m 3"]) -> Float32[np.ndarray, " m"]:
        return in_chunks(lambda x: _fuse(cameras, depth, truncation, limit, x), points)

    return level


@jax.jit
def _fuse(
    cameras: Cameras,
    depth: Float[Array, "n h w"],
    truncation: Float[Array, ""],
    limit: Float[Array, ""],
    points: Float[Array, "m 3"],
) -> Float[Array, " m"]:
    def view(sums: tuple[Array, Array], one: tuple[Cameras, Array]) -> tuple[tuple, None]:
        camera, image = one
        ahead, known = _distance_ahead(camera, image, points, truncation)
        known = known & (ahead > -truncation)
        value = jnp.where(known, jnp.clip(ahead, -limit, limit), 0.0)
        return (sums[0] + value, sums[1] + known), None

    zero = jnp.zeros(points.shape[0])
    (total, count), _ = jax.lax.scan(view, (zero, zero), (cameras, depth))
    return jnp.where(count > 0.0, -total / jnp.maximum(count, 1.0), jnp.nan)


def _distance_ahead(
    camera: Cameras,
    image: Float[Array, "h w"],
    points: Float[Array, "m 3"],
    truncation: Float[Array, ""],
) -> tuple[Float[Array, " m"], Bool[Array, " m"]]:
    """Return how far the surface is behind points, along their rays, and whether that is known."""
    pixels, seen = project(repeat_camera(camera, len(points)), points)
    offset = points - camera.position[None]
    # All rays of a camera start in one point, but those of an orthographic one are parallel.
    distance = jnp.where(
        camera.model == ORTHOGRAPHIC,
        -(offset * camera.c2w[None, :, 2]).sum(-1),
        jnp.linalg.norm(offset, axis=-1),
    )
    # Interpolate between the four nearest pixels if they see one surface; otherwise take the
    # nearest, since depth between two surfaces is that of neither.
    corner = pixels - 0.5
    low = jnp.clip(jnp.floor(corner), 0, camera.size[None] - 2).astype(jnp.int32)
    part = jnp.clip(corner - low, 0.0, 1.0)
    x, y = low[:, 0], low[:, 1]
    four = jnp.stack([image[y, x], image[y, x + 1], image[y + 1, x], image[y + 1, x + 1]])
    u, v = part[:, 0], part[:, 1]
    weights = jnp.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
    smooth = four.max(0) - four.min(0) < truncation
    between = (weights * jnp.where(smooth[None], four, 0.0)).sum(0)
    nearest = jnp.take_along_axis(four, weights.argmax(0)[None], 0)[0]
    return jnp.where(smooth, between, nearest) - distance, seen


def count_points(lattice: Lattice, points: Float[np.ndarray, "m 3"]) -> Int[np.ndarray, "x y z"]:
    """Return the number of points in each cell of a lattice; points outside of it are ignored."""
    index = np.floor((points - lattice.origin) @ np.linalg.inv(lattice.steps)).astype(int)
    index = index[((index >= 0) & (index < lattice.cells)).all(-1)]
    flat = np.ravel_multi_index(tuple(index.T), lattice.cells)
    return np.bincount(flat, minlength=int(np.prod(lattice.cells))).reshape(lattice.cells)
