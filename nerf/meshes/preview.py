"""Draw a mesh from all around, to see at a glance whether it is good."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS
from nerf.foundation.png import to_bytes
from nerf.meshes.mesh import Mesh, components, select_faces
from nerf.meshes.rasterizer import draw_colours, draw_normals, draw_shaded, rasterize
from nerf.paths.paths import look_at

SIDE = 320  # pixels of a picture
TURNTABLE_SIDE = 200  # pixels of a picture beside those of other meshes
SAMPLES = 2  # along each side of a pixel
ELEVATION = math.radians(25.0)
FOCAL = 2.0  # in widths of a picture
WHITE = np.ones(3)


def turntable(points: Float[np.ndarray, "n 3"], count: int, side: int) -> list[Cameras]:
    """Return cameras on a circle around points that see all of them, with +z up.

    Args:
      points: with +z up.
      count: number of cameras.
      side: width and height of the pictures in pixels.
    """
    centre = 0.5 * (points.min(0) + points.max(0))
    # A sphere of the radius r is completely visible from a distance of r / sin(half the angle).
    reach = max(float(np.linalg.norm(points - centre, axis=-1).max()), 1e-12)
    distance = 1.05 * reach / math.sin(math.atan(0.5 / FOCAL))
    azimuth = 2.0 * math.pi * np.arange(count) / count
    flat = math.cos(ELEVATION)
    height = np.full(count, math.sin(ELEVATION))
    back = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], -1)
    poses = look_at(centre + distance * back, centre, np.array([0.0, 0.0, 1.0]))
    K = intrinsics(FOCAL * side, FOCAL * side, side / 2, side / 2)
    return [Cameras(c2w, K, np.zeros(COEFFICIENTS), np.array([side, side])) for c2w in poses]


def draw_preview(mesh: Mesh, count: int = 4) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a mesh from all around: its colours in the first row, and its normals below.

    Args:
      mesh: with +z up, and with a texture or colours.
      count: number of views.
    """
    columns = []
    for camera in turntable(mesh.vertices, count, SAMPLES * SIDE):
        raster = rasterize(mesh, camera)
        colours = _reduced(draw_colours(mesh, raster, WHITE))
        normals = _reduced(draw_normals(mesh, raster))
        columns.append(np.concatenate([colours, normals]))
    return to_bytes(np.concatenate(columns, 1))


def draw_turntables(meshes: Sequence[Mesh], count: int = 8) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Draw meshes, shaded, from the same cameras all around: a row of pictures for each mesh.

    The cameras see the largest component of every mesh; smaller ones may lie outside.

    Args:
      meshes: with +z up, in one world.
      count: number of views.
    """
    largest = [select_faces(mesh, components(mesh) == 0).vertices for mesh in meshes]
    cameras = turntable(np.concatenate(largest), count, SAMPLES * TURNTABLE_SIDE)
    rows = []
    for mesh in meshes:
        shaded = [draw_shaded(mesh, rasterize(mesh, camera), camera) for camera in cameras]
        rows.append(to_bytes(np.concatenate([_reduced(picture) for picture in shaded], 1)))
    return rows


def _reduced(samples: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w 3"]:
    """Return the means of the samples of each pixel."""
    height, width = samples.shape[0] // SAMPLES, samples.shape[1] // SAMPLES
    return samples.reshape(height, SAMPLES, width, SAMPLES, 3).mean((1, 3))
