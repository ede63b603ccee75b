"""Close surfaces where no view sees them, by diffusion (Davis et al., Filling Holes, 2002).

Rays train a field where they pass and where they end. Behind that its level is arbitrary: it has
pockets, and parts that no photo shows. Depth images of the training views say where the level can
be trusted, and everything else becomes as smooth as it can be.

Equation:
  m(x) = l(x)   in and beside the cells that the surface crosses and several views see
  m(x) = min(l(x), -h)   where the views look through, on average
  laplace(m) = 0   elsewhere
  m(x) < 0   at the sides of a box that was found; a given one cuts the surface open
h is the side of a cell. A harmonic function has no extrema, so that it makes no parts and no
pockets of its own, and ends a surface halfway between what is known to be inside and outside.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.ndimage import binary_opening, map_coordinates
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg

from nerf.meshes.isosurface import (
    EmptySurfaceError,
    Lattice,
    Level,
    any_corner,
    points_of,
    widened,
)
from nerf.meshes.levels import DepthImages, count_points, fused_level

MIN_PIXELS = 3  # of a view that sees a cell: fewer may look through a hole that is no larger
PIXELS_PER_CELL = 4  # along a side of a cell that faces the camera, at least
CELLS_PER_CELL = 2  # of the mesh along each side of a cell, at least
MIN_VIEWS = 3  # that see a cell; of few views, at least one in `VIEWS_PER_SIGHTING`
VIEWS_PER_SIGHTING = 8
TRUNCATION = 2.0  # of the depth images, in cells
FREE = -0.25  # mean distance from the surface, in cells, of which more is free space
STEEP = 4.0  # factor on the level: its sign counts, its slope hardly
LIMIT = 2.0  # of the level, in cells
TOLERANCE = 1e-4  # of the solution, relative to the largest level


def close_unseen(level: Level, images: DepthImages, fine: Lattice, cut: bool = False) -> Level:
    """Return a level without the surfaces that the views do not see, closed behind the others.

    Args:
      level: of the trained model, positive inside.
      images: its depth, seen from the training views.
      fine: the lattice of the mesh.
      cut: whether the sides of the lattice cut the surface open; otherwise it is closed there.

    Returns:
      The level, closed. Near the surface that the views see, it is the given one.

    Raises:
      EmptySurfaceError: there is no surface, or the views see none of it.
    """
    cell = float(np.linalg.norm(fine.steps[0]))
    factor = max(CELLS_PER_CELL, math.ceil(PIXELS_PER_CELL * images.pixel_width / cell))
    x, y, z = (math.ceil(n / factor) for n in fine.cells)
    lattice, width = Lattice(fine.origin, factor * fine.steps, (x, y, z)), factor * cell
    index = np.indices([n + 1 for n in lattice.cells]).reshape(3, -1).T
    points = lattice.points(index).astype(np.float32)
    shape = tuple(n + 1 for n in lattice.cells)
    values = level(points).reshape(shape) / width
    ahead = fused_level(images, TRUNCATION * width, width)(points).reshape(shape) / width
    trusted = points_of(_trusted_cells(values > 0.0, images, lattice), 1)
    # Pixels that look through a hole no larger than themselves see lines of free space behind it.
    free = ~trusted & binary_opening(ahead < FREE, np.ones((3, 3, 3)))
    steep = np.clip(STEEP * np.where(free, np.minimum(values, -1.0), values), -LIMIT, LIMIT)
    smooth = harmonic(steep, trusted | free, None if cut else -LIMIT) * width
    inverse, ends = np.linalg.inv(lattice.steps), np.array(fine.cells) / factor

    def closed(points: Float32[np.ndarray, "m 3"]) -> Float32[np.ndarray, " m"]:
        place = (points - lattice.origin) @ inverse
        near = interpolate(trusted.astype(np.float32), place) > 1.0 - 1e-4
        found = interpolate(smooth, place).astype(np.float32)
        found[near] = level(points[near])
        if not cut:
            at_side = np.minimum(place, ends - place).min(-1) < 0.5 / factor
            found[at_side] = np.minimum(found[at_side], -cell)
        return found

    return closed


def _trusted_cells(
    inside: Bool[np.ndarray, "x y z"], images: DepthImages, lattice: Lattice
) -> Bool[np.ndarray, "..."]:
    """Return the cells that the surface crosses and enough views see, and those around them."""
    views = len(images.depth)
    enough = min(MIN_VIEWS, max(1, views // VIEWS_PER_SIGHTING))
    seen = sum(count_points(lattice, images.points_of(i)) >= MIN_PIXELS for i in range(views))
    crossed = any_corner(inside) & any_corner(~inside)
    found = (seen >= enough) & crossed
    if not found.any():
        unseen = "the training views see none of it"
        why = unseen if crossed.any() else "the level is nowhere zero"
        reason = f"the surface is empty: {why} in the box"
        raise EmptySurfaceError(f"mesh: {reason}: train longer, or give another box with --crop")
    return widened(found)


def harmonic(
    values: Float[np.ndarray, "x y z"], known: Bool[np.ndarray, "x y z"], outside: float | None
) -> Float[np.ndarray, "x y z"]:
    """Return the values with those that are not known replaced by the means of their neighbours.

    Args:
      values: at the points of a lattice.
      known: which of them are kept.
      outside: value around the lattice; with None, there are no neighbours.
    """
    index = np.argwhere(~known)
    number = np.full([n + 2 for n in values.shape], -1)
    number[tuple((index + 1).T)] = np.arange(len(index))
    padded = np.pad(values, 1, constant_values=0.0 if outside is None else outside)
    exists = np.pad(np.ones(values.shape, bool), 1, constant_values=outside is not None)
    total, count, pairs = np.zeros(len(index)), np.zeros(len(index)), []
    for step in [*np.eye(3, dtype=int), *-np.eye(3, dtype=int)]:
        there = tuple((index + 1 + step).T)
        neighbour = number[there]
        unknown = neighbour >= 0
        total += np.where(unknown, 0.0, padded[there])
        count += exists[there]
        pairs.append(np.stack([np.flatnonzero(unknown), neighbour[unknown]]))
    row, column = np.concatenate(pairs, 1)
    beside = coo_matrix((np.ones(len(row)), (row, column)), 2 * (len(index),)).tocsr()
    # neighbours * m(x) - sum of the unknown ones = sum of the known ones
    solution, _ = cg(diags(count) - beside, total, rtol=TOLERANCE)
    found = values.copy()
    found[tuple(index.T)] = solution
    return found


def interpolate(
    values: Float[np.ndarray, "x y z"], place: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, " m"]:
    """Interpolate values at the points of a lattice linearly.

    Args:
      values: at the points of the lattice.
      place: indices, not necessarily whole; those outside of the lattice get its nearest value.
    """
    return map_coordinates(values, place.T, order=1, mode="nearest")
