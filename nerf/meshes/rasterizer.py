"""Draw meshes into the pictures of cameras, with a z-buffer in numpy."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nerf.cameras.cameras import Cameras, intrinsics, project, repeat_camera
from nerf.cameras.lenses import COEFFICIENTS, ORTHOGRAPHIC, PERSPECTIVE
from nerf.meshes.chunks import in_chunks
from nerf.meshes.mesh import Mesh, face_vectors
from nerf.paths.paths import look_at

MAX_CANDIDATES = 2**21  # pairs of a triangle and a pixel that are tested at once
NEAR = 1e-3  # of the diagonal of the mesh; triangles that come closer are skipped
OUTSIDE = np.array([0.8, 0.8, 0.82])  # sRGB of the outer side of shaded triangles
INSIDE = np.array([0.8, 0.45, 0.4])  # and of their inner side
AMBIENT = 0.25  # brightness of shaded triangles that are seen edge-on
GOLDEN = math.pi * (3.0 - math.sqrt(5.0))  # golden angle in radians


class Raster(NamedTuple):
    """The visible triangle of each pixel of a picture.

    Attributes:
      face: number of the triangle, -1 for none.
      weights: barycentric coordinates of the point on it; zeros for none.
      front: whether its outer side is seen.
    """

    face: Int[np.ndarray, "h w"]
    weights: Float[np.ndarray, "h w 3"]
    front: Bool[np.ndarray, "h w"]


def rasterize(mesh: Mesh, camera: Cameras) -> Raster:
    """Find the triangle that the centre of each pixel sees.

    Edges are straight lines in the picture, also where the lens bends them, so triangles must be
    small for lenses with a strong distortion.

    Args:
      mesh: in the world of the camera.
      camera: without leading axes.
    """
    width, height = (int(n) for n in camera.size)
    corners, depth = _in_picture(mesh, camera)
    face = np.full(width * height, -1, np.int64)
    weights = np.zeros((width * height, 3))
    nearest = np.full(width * height, np.inf)
    for faces, pixels in _candidates(corners, depth > NEAR * mesh.diagonal, width, height):
        centre = np.stack([pixels % width, pixels // width], -1) + 0.5
        part = _barycentric(corners[faces], centre)
        inside = np.flatnonzero((part >= 0.0).all(-1))
        faces, pixels, part = faces[inside], pixels[inside], part[inside]
        if int(camera.model) == PERSPECTIVE:
            # 1 / z, and barycentric coordinates over z, are linear in the picture.
            part = part / depth[faces]
            part = part / part.sum(-1, keepdims=True)
        z = (part * depth[faces]).sum(-1)
        # Keep the nearest triangle of each pixel.
        order = np.lexsort((z, pixels))
        first = order[np.flatnonzero(np.diff(pixels[order], prepend=-1))]
        first = first[z[first] < nearest[pixels[first]]]
        there = pixels[first]
        face[there], weights[there], nearest[there] = faces[first], part[first], z[first]
    shape = (height, width)
    return Raster(face.reshape(shape), weights.reshape(*shape, 3), _is_front(mesh, camera, face))


def _in_picture(
    mesh: Mesh, camera: Cameras
) -> tuple[Float[np.ndarray, "f 3 2"], Float[np.ndarray, "f 3"]]:
    """Return the corners of triangles in pixels, and their depth."""
    moved = jax.tree.map(jnp.asarray, camera)
    pixels = in_chunks(lambda x: _project(moved, x), mesh.vertices.astype(np.float32))
    c2w = np.asarray(camera.c2w, np.float64)
    offset = mesh.vertices - c2w[:, 3]
    if int(camera.model) in (PERSPECTIVE, ORTHOGRAPHIC):
        depth = np.matmul(-offset, c2w[:, 2])
    else:
        depth = np.linalg.norm(offset, axis=-1)
    return np.asarray(pixels, np.float64)[mesh.faces], depth[mesh.faces]


@jax.jit
def _project(camera: Cameras, points: Float[Array, "m 3"]) -> Float[Array, "m 2"]:
    return project(repeat_camera(camera, len(points)), points)[0]


def _candidates(
    corners: Float[np.ndarray, "f 3 2"], ahead: Bool[np.ndarray, "f 3"], width: int, height: int
) -> Iterator[tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]]:
    """Yield (triangle, pixel) for all pixel centres in the bounding boxes of triangles."""
    limit = np.array([width, height])
    bounded = np.nan_to_num(np.clip(corners, -1.0, limit + 1.0))
    low = np.clip(np.ceil(bounded.min(1) - 0.5), 0, limit).astype(np.int64)
    high = np.clip(np.floor(bounded.max(1) - 0.5) + 1, 0, limit).astype(np.int64)
    extent = np.maximum(high - low, 0)
    count = extent.prod(-1) * ahead.all(-1)
    usable = np.flatnonzero(count)
    groups = np.searchsorted(
        np.cumsum(count[usable]), np.arange(0, count.sum(), MAX_CANDIDATES)[1:], side="right"
    )
    for faces in np.split(usable, groups):
        if not len(faces):
            continue
        each = count[faces]
        repeated = np.repeat(faces, each)
        # The number of a candidate within its triangle's bounding box, row by row.
        within = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        columns = extent[repeated, 0]
        x = low[repeated, 0] + within % columns
        y = low[repeated, 1] + within // columns
        yield repeated, y * width + x


def _barycentric(
    corners: Float[np.ndarray, "m 3 2"], points: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, "m 3"]:
    """Return barycentric coordinates; NaN for triangles without area."""

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    a, b, c = np.moveaxis(corners, 1, 0)
    parts = np.stack(
        [cross(c - b, points - b), cross(a - c, points - c), cross(b - a, points - a)], -1
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return parts / cross(b - a, c - a)[:, None]


def _is_front(mesh: Mesh, camera: Cameras, face: Int[np.ndarray, " p"]) -> Bool[np.ndarray, "h w"]:
    """Return whether each pixel sees the outer side of its triangle."""
    c2w = np.asarray(camera.c2w, np.float64)
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces[face]], 1, 0)
    outwards = np.cross(b - a, c - a)
    if int(camera.model) == ORTHOGRAPHIC:
        towards = np.broadcast_to(c2w[:, 2], outwards.shape)
    else:
        # Any point of the triangle's plane tells on which side the camera is.
        towards = c2w[:, 3] - a
    front = ((outwards * towards).sum(-1) > 0.0) & (face >= 0)
    return front.reshape(int(camera.size[1]), int(camera.size[0]))


def draw_normals(mesh: Mesh, raster: Raster) -> Float[np.ndarray, "h w 3"]:
    """Colour pixels by the normals of their triangles, (n + 1) / 2; white where there is none.

    Args:
      mesh: the mesh.
      raster: what each pixel sees of it.
    """
    normals = _seen_normals(mesh, raster)
    return np.where((raster.face >= 0)[..., None], 0.5 * (normals + 1.0), 1.0)


def draw_shaded(mesh: Mesh, raster: Raster, camera: Cameras) -> Float[np.ndarray, "h w 3"]:
    """Shade pixels by a light in the direction of the camera; white where there is nothing.

    Equation:
      colour = albedo (AMBIENT + (1 - AMBIENT) |n * v|)   v: the optical axis (Lambert)

    The outer side of triangles is grey and the inner one is red, so that holes can be seen.

    Args:
      mesh: the mesh.
      raster: what each pixel sees of it.
      camera: the camera of the raster, without leading axes.
    """
    axis = np.asarray(camera.c2w, np.float64)[:, 2]
    facing = np.abs(_seen_normals(mesh, raster) @ axis)
    albedo = np.where(raster.front[..., None], OUTSIDE, INSIDE)
    colour = albedo * (AMBIENT + (1.0 - AMBIENT) * facing)[..., None]
    return np.where((raster.face >= 0)[..., None], colour, 1.0)


def _seen_normals(mesh: Mesh, raster: Raster) -> Float[np.ndarray, "h w 3"]:
    """Return the unit normals of the visible triangles, towards the camera."""
    vectors = face_vectors(mesh)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)
    return np.where(raster.front[..., None], unit[raster.face], -unit[raster.face])


def draw_colours(
    mesh: Mesh, raster: Raster, background: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "h w 3"]:
    """Colour pixels by the texture of a mesh, or by the colours of its vertices.

    Args:
      mesh: with a texture or colours.
      raster: what each pixel sees of it.
      background: sRGB of pixels that see nothing.
    """
    if mesh.uv is not None and mesh.texture is not None:
        uv = (mesh.uv[raster.face] * raster.weights[..., None]).sum(-2)
        colour = _lookup(mesh.texture, uv)
    else:
        assert mesh.colours is not None
        each = mesh.colours[mesh.faces[raster.face]] / 255.0
        colour = (each * raster.weights[..., None]).sum(-2)
    return np.where((raster.face >= 0)[..., None], colour, background)


def _lookup(texture: np.ndarray, uv: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
    """Interpolate a texture bilinearly at positions whose origin is the lower left corner."""
    rows, columns = texture.shape[:2]
    x = np.clip(uv[..., 0] * columns - 0.5, 0.0, columns - 1.0)
    y = np.clip((1.0 - uv[..., 1]) * rows - 0.5, 0.0, rows - 1.0)
    left = np.minimum(np.floor(x).astype(int), columns - 2)
    top = np.minimum(np.floor(y).astype(int), rows - 2)
    u, v = (x - left)[..., None], (y - top)[..., None]
    upper = (1.0 - u) * texture[top, left] + u * texture[top, left + 1]
    lower = (1.0 - u) * texture[top + 1, left] + u * texture[top + 1, left + 1]
    return ((1.0 - v) * upper + v * lower) / 255.0


def outside_cameras(mesh: Mesh, directions: int, side: int) -> list[Cameras]:
    """Return orthographic cameras that see all of a mesh, evenly distributed around it.

    Args:
      mesh: the mesh.
      directions: number of cameras.
      side: width and height of the pictures in pixels.
    """
    centre = 0.5 * (mesh.vertices.min(0) + mesh.vertices.max(0))
    reach = max(np.linalg.norm(mesh.vertices - centre, axis=-1).max(), 1e-12) * 1.05
    cameras = []
    for i in range(directions):
        # Points of a Fibonacci sphere.
        z = 1.0 - (2.0 * i + 1.0) / directions
        flat = math.sqrt(1.0 - z * z)
        back = np.array([flat * math.cos(GOLDEN * i), flat * math.sin(GOLDEN * i), z])
        up = np.array([0.0, 0.0, 1.0]) if abs(z) < 0.9 else np.array([0.0, 1.0, 0.0])
        c2w = look_at(centre + 2.0 * reach * back[None], centre, up)[0]
        focal = side / (2.0 * reach)
        cameras.append(
            Cameras(
                c2w=c2w,
                K=intrinsics(focal, focal, side / 2, side / 2),
                distortion=np.zeros(COEFFICIENTS),
                size=np.array([side, side]),
                model=np.array(ORTHOGRAPHIC),
            )
        )
    return cameras
