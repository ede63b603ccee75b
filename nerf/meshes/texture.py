"""Texture atlas of a mesh: a place for each triangle in one square picture, and its colours.

Each triangle gets half of a square whose side is a power of two of texels, according to its size,
so no parametrisation of the surface is needed and no triangle overlaps another.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerf.meshes.mesh import Mesh, vertex_normals

MARGIN = 1.0  # texels between the edge of a square and the corners of its triangles
MIN_SIDE, MAX_SIDE = 8, 1024  # texels of a square
TEXELS = 40  # of an average triangle, for the size of a texture
MAX_SIZE = 8192  # of a texture, which many programs limit

Points = Float[np.ndarray, "m 3"]
Paint = Callable[[Points, Points], UInt8[np.ndarray, "m 3"]]


class Atlas(NamedTuple):
    """Places of triangles in a texture.

    Attributes:
      place: lower left corner of the square of each triangle, in texels.
      side: side of the square in texels.
      upper: whether the triangle fills the upper right half of the square.
      size: side of the texture in texels.
    """

    place: Int[np.ndarray, "f 2"]
    side: Int[np.ndarray, " f"]
    upper: np.ndarray
    size: int


def texture_size(triangles: int) -> int:
    """Return a side for the texture of a mesh, a power of two."""
    wanted = 2 ** int(np.ceil(0.5 * np.log2(TEXELS * max(triangles, 1))))
    return min(max(wanted, 256), MAX_SIZE)


def make_atlas(mesh: Mesh, size: int) -> Atlas:
    """Give each triangle of a mesh half of a square.

    Args:
      mesh: the mesh.
      size: side of the texture in texels, a power of two.

    Raises:
      ValueError: the texture is too small for the smallest squares.
    """
    longest = np.linalg.norm(mesh.corners - np.roll(mesh.corners, 1, 1), axis=-1).max(-1)
    low, high = 0.0, 4.0 * size / max(longest.max(initial=0.0), 1e-300)
    if _needed(_sides(longest, low)) > size**2:
        raise ValueError(f"a texture of {size}x{size} has no room for {len(longest)} triangles")
    # Bisect for the largest number of texels per unit of length that fits.
    for _ in range(40):
        middle = 0.5 * (low + high)
        fits = _needed(_sides(longest, middle)) <= size**2
        low, high = (middle, high) if fits else (low, middle)
    side = _sides(longest, low)
    # Triangles of equal size share squares, in pairs. Squares are placed from the largest to the
    # smallest along a Morton curve, on which every square of a power of two is aligned.
    order = np.argsort(-side, kind="stable")
    ordered = side[order]
    within = np.arange(len(order)) - np.searchsorted(-ordered, -ordered, side="left")
    upper = within % 2 == 1
    area = np.where(upper, 0, (ordered // MIN_SIDE) ** 2)
    start = np.cumsum(area) - area
    start = np.where(upper, np.roll(start, 1), start)
    place = np.empty((len(side), 2), np.int64)
    place[order] = MIN_SIDE * _morton_decode(start)
    top = np.empty(len(side), bool)
    top[order] = upper
    return Atlas(place, side, top, size)


def _sides(longest: Float[np.ndarray, " f"], density: float) -> Int[np.ndarray, " f"]:
    """Return the sides of squares for triangles with these longest edges, powers of two."""
    wanted = np.clip(longest * density, MIN_SIDE, MAX_SIDE)
    return 2 ** np.ceil(np.log2(wanted) - 1e-9).astype(np.int64)


def _needed(side: Int[np.ndarray, " f"]) -> int:
    """Return the number of texels of the squares of triangles, two of which share one."""
    values, counts = np.unique(side, return_counts=True)
    return int((values**2 * ((counts + 1) // 2)).sum())


def _morton_decode(code: Int[np.ndarray, " m"]) -> Int[np.ndarray, "m 2"]:
    """Return the two coordinates whose bits alternate in Morton codes."""
    x, y = np.zeros_like(code), np.zeros_like(code)
    for bit in range(20):
        x |= ((code >> (2 * bit)) & 1) << bit
        y |= ((code >> (2 * bit + 1)) & 1) << bit
    return np.stack([x, y], -1)


def _corners_in_texture(atlas: Atlas) -> Float[np.ndarray, "f 3 2"]:
    """Return the corners of triangles in texels; the first is at the right angle."""
    near = MARGIN
    far = atlas.side - 4.0 * MARGIN  # leaves room for the margin of the other half
    zero = np.full(len(atlas.side), near)
    lower = np.stack(
        [np.stack([zero, zero], -1), np.stack([far, zero], -1), np.stack([zero, far], -1)], 1
    )
    side = atlas.side.astype(np.float64)[:, None, None]
    corners = np.where(atlas.upper[:, None, None], side - lower, lower)
    return atlas.place[:, None] + corners


def bake_texture(mesh: Mesh, size: int, paint: Paint) -> Mesh:
    """Return a mesh with a texture.

    Args:
      mesh: the mesh.
      size: side of the texture in texels, a power of two.
      paint: (points, unit normals) -> sRGB.
    """
    atlas = make_atlas(mesh, size)
    corners = _corners_in_texture(atlas)
    owner = _owners(atlas)
    rows, columns = np.nonzero(owner >= 0)
    face = owner[rows, columns]
    # Barycentric coordinates of texel centres; beyond an edge the triangle's plane is continued,
    # so that interpolation at the edge finds the right colours.
    a, b, c = np.moveaxis(corners[face], 1, 0)
    centre = np.stack([columns, rows], -1) + 0.5
    leg = (b - a)[:, 0]
    weights = np.zeros((len(face), 3))
    weights[:, 1] = (centre - a)[:, 0] / leg
    weights[:, 2] = (centre - a)[:, 1] / (c - a)[:, 1]
    weights[:, 0] = 1.0 - weights[:, 1] - weights[:, 2]
    points = (weights[..., None] * mesh.corners[face]).sum(1)
    normals = (weights[..., None] * vertex_normals(mesh)[mesh.faces[face]]).sum(1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    texture = np.zeros((size, size, 3), np.uint8)
    # Row 0 of a picture is its upper edge, and v = 0 the lower one.
    texture[size - 1 - rows, columns] = paint(points, normals)
    return dataclasses.replace(mesh, uv=corners / size, texture=texture)


def _owners(atlas: Atlas) -> Int[np.ndarray, "h w"]:
    """Return the triangle to which each texel belongs, -1 for none; row 0 is at the bottom."""
    owner = np.full((atlas.size, atlas.size), -1, np.int64)
    for side in np.unique(atlas.side):
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        for upper in (False, True):
            mine = np.flatnonzero((atlas.side == side) & (atlas.upper == upper))
            inside = (x + y >= side) if upper else (x + y < side)
            u, v = x[inside], y[inside]
            columns = atlas.place[mine, 0][:, None] + u
            rows = atlas.place[mine, 1][:, None] + v
            owner[rows, columns] = mine[:, None]
    return owner
