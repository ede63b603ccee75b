"""Meshes of surfaces without an inside: dual contouring of an unsigned distance.

An unsigned distance f has no sign to contour. Across its surface the derivative along the normal
changes sign instead (MeshUDF, Guillard et al., 2111.14549, section 3.1). The normal n of a point of
the lattice, up to its sign, is the direction in which f varies most around it, so that which side
of the surface the point is on depends on the point only, and the mesh has no cracks. Edges far from
the surface are not crossed, so that the mesh ends where the surface does. Vertices are those of
dual contouring (Ju et al. 2002): one in each cell with a crossed edge.

Equation:
  n(x) = argmax_n sum_y (n * nabla f(y))^2   |n| = 1, over the points y around x
  s(x) = sign(n(x) * nabla f(x))
  s(x) s(y) sign(n(x) * n(y)) < 0   for the ends x and y of an edge that crosses the surface
  p <- p - h nabla_h f(p)   moves a vertex onto the surface
nabla_h are central differences over 2 h. Near a plane |f(p + h n)| - |f(p - h n)| = 2 d for
|d| <= h, so that the step of a vertex is exact there even if f is too large by a constant.
"""

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from nerf.foundation.errors import UserError
from nerf.meshes.isosurface import (
    Isosurface,
    Lattice,
    LatticeSamples,
    Level,
    any_corner,
    check_memory,
    points_of,
)
from nerf.meshes.mesh import Mesh, components, face_vectors

# Largest distance at a crossing, in sides of a cell. On a plane it is found as at most 1/2, since
# it is interpolated between both ends.
NEAR = 0.75
BAND = 1.25  # more than that, in sides of a cell: distance below which a point is on a side
STEPS = 2  # that move vertices onto the surface


def extract_open(
    distance: Level, lattice: Lattice, halvings: int = 3, smoothing: float = 0.0
) -> Isosurface:
    """Extract the surface of an unsigned distance, with its boundaries.

    Triangles of a connected part face the same side, away from its middle.

    Args:
      distance: points (m, 3) -> unsigned distances (m,); they may be approximate.
      lattice: the finest lattice, whose numbers of cells are multiples of 2^halvings.
      halvings: how often the spacing is halved; 0 evaluates the complete lattice.
      smoothing: half of the side of the cube over which distances are averaged, in sides of a cell,
        so that folds of a learned distance that are thinner do not become sheets.

    Raises:
      UserError: the lattice does not fit the memory, or nothing is near the surface.
    """
    check_memory(lattice)
    side = float(np.linalg.norm(lattice.steps[0]))
    smooth = _smoothed(distance, smoothing * side)
    # The mean over a cube is at most as much larger as half of its side, on an aligned plane.
    near = NEAR + smoothing
    samples = LatticeSamples(smooth, lattice, 2**halvings)
    samples.evaluate(np.ones(samples.view(samples.known).shape, bool))
    for _ in range(halvings):
        # No point of a cell is farther than its diagonal, sqrt(3), from the nearest corner. At the
        # finest spacing, differences around points of the band need one more cell.
        reach = (near + BAND) * side * samples.stride
        cells = any_corner(samples.view(samples.values) < reach)
        samples.halve()
        samples.evaluate(points_of(cells, 2))
    start, axis, point = _crossings(samples.values / side, near)
    if not len(start):
        reason = "the surface is empty: the distance is nowhere zero in the box"
        raise UserError(f"mesh: {reason}: train longer, or give another box with --crop")
    vertices, quads = _contour(start, axis, point, lattice.cells)
    vertices = lattice.points(vertices)
    for _ in range(STEPS):
        vertices = vertices - 0.5 * side * _differences(smooth, vertices, 0.5 * side)
    mesh = _outwards(Mesh(vertices, _triangles(vertices, _aligned(quads))))
    evaluations = samples.evaluations + 6 * STEPS * len(vertices)
    return Isosurface(mesh, evaluations, samples.values.size)


def _smoothed(distance: Level, reach: float) -> Level:
    """Return the mean of a distance over the corners and the middle of a cube around each point."""
    if reach == 0.0:
        return distance
    signs = np.stack(np.meshgrid(*3 * [[-1.0, 1.0]]), -1).reshape(-1, 3)
    offsets = (reach * np.concatenate([signs, np.zeros((1, 3))])).astype(np.float32)

    def smooth(points: Float32[np.ndarray, "m 3"]) -> Float32[np.ndarray, " m"]:
        total = np.zeros(len(points), np.float32)
        for offset in offsets:
            total += distance(points + offset)
        return total / np.float32(len(offsets))

    return smooth


def _crossings(
    values: Float[np.ndarray, "x y z"], near: float
) -> tuple[Int[np.ndarray, "e 3"], Int[np.ndarray, " e"], Float[np.ndarray, "e 3"]]:
    """Find the edges of the lattice that cross the surface.

    Args:
      values: unsigned distances, in sides of a cell.
      near: largest distance at a crossing, in sides of a cell.

    Returns:
      The point at which each edge starts, its axis, and where it crosses the surface, as indices.
    """
    index = np.argwhere(values < near + BAND)
    after = _neighbours(index, values.shape)
    padded = np.pad(values, 1, mode="edge")
    unit = np.eye(3, dtype=int)
    ahead = [padded[tuple((index + 1 + axis).T)] for axis in unit]
    behind = [padded[tuple((index + 1 - axis).T)] for axis in unit]
    gradient = 0.5 * np.stack([a - b for a, b in zip(ahead, behind, strict=True)], -1)
    normal = _normals(gradient, after)
    slope = (gradient * normal).sum(-1)
    side = np.where(slope < 0.0, -1, 1)
    found = []
    for axis in range(3):
        start = np.flatnonzero(after[axis] >= 0)
        end = after[axis][start]
        same = np.where((normal[start] * normal[end]).sum(-1) < 0.0, -1, 1)
        crossed = side[start] * side[end] * same < 0
        start, end = start[crossed], end[crossed]
        # The slope along the normal is linear in the distance from the surface.
        size, other = np.abs(slope[start]), np.abs(slope[end])
        t = (size + 1e-12) / (size + other + 2e-12)
        first, second = values[tuple(index[start].T)], values[tuple(index[end].T)]
        close = (1.0 - t) * first + t * second < near
        start, t = start[close], t[close]
        found.append(
            (index[start], np.full(len(start), axis), index[start] + t[:, None] * unit[axis])
        )
    starts, axes, points = zip(*found, strict=True)
    return np.concatenate(starts), np.concatenate(axes), np.concatenate(points)


def _neighbours(index: Int[np.ndarray, "m 3"], shape: tuple[int, ...]) -> Int[np.ndarray, "3 m"]:
    """Return the number of the next point along each axis, -1 if it is not among the points."""
    number = np.full([n + 1 for n in shape], -1)
    number[tuple(index.T)] = np.arange(len(index))
    return np.stack([number[tuple((index + axis).T)] for axis in np.eye(3, dtype=int)])


def _normals(
    gradient: Float[np.ndarray, "m 3"], after: Int[np.ndarray, "3 m"]
) -> Float[np.ndarray, "m 3"]:
    """Return unit normals of points, without a meaning of their signs.

    Args:
      gradient: of the distance at points of the lattice.
      after: number of the next point along each axis, -1 for none.
    """
    total = gradient[:, :, None] * gradient[:, None, :]
    # Sum over the 3 x 3 x 3 points around each, one axis after the other.
    for following in after:
        start = np.flatnonzero(following >= 0)
        end = following[start]
        row = total.copy()
        row[start] += total[end]
        row[end] += total[start]
        total = row
    return np.linalg.eigh(total)[1][..., -1]


def _contour(
    start: Int[np.ndarray, "e 3"],
    axis: Int[np.ndarray, " e"],
    point: Float[np.ndarray, "e 3"],
    cells: tuple[int, int, int],
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "q 4"]]:
    """Make a vertex of each cell with a crossed edge, and a quadrilateral of each crossed edge.

    Args:
      start: points at which the edges begin.
      axis: their axes.
      point: where they cross the surface.
      cells: number of cells along each axis.

    Returns:
      Vertices, as indices of the lattice, and the four vertices around each edge.
    """
    # The cells around an edge begin where it does, or one before along one or both other axes.
    second, third = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
    around = np.stack([start - second - third, start - third, start, start - second], 1)
    inside = ((around >= 0) & (around < cells)).all((1, 2))
    around, point = around[inside], point[inside]
    number = np.ravel_multi_index(tuple(np.moveaxis(around, -1, 0)), cells)
    used, quads = np.unique(number, return_inverse=True)
    quads = quads.reshape(-1, 4)
    total = [np.bincount(quads.reshape(-1), np.repeat(x, 4), len(used)) for x in point.T]
    return np.stack(total, -1) / np.bincount(quads.reshape(-1))[:, None], quads


def _differences(
    distance: Level, points: Float[np.ndarray, "v 3"], reach: float
) -> Float[np.ndarray, "v 3"]:
    """Return central differences of a distance over `reach` on both sides."""
    ahead = [distance((points + reach * axis).astype(np.float32)) for axis in np.eye(3)]
    behind = [distance((points - reach * axis).astype(np.float32)) for axis in np.eye(3)]
    return (np.stack(ahead, -1).astype(np.float64) - np.stack(behind, -1)) / (2.0 * reach)


def _aligned(quads: Int[np.ndarray, "q 4"]) -> Int[np.ndarray, "q 4"]:
    """Turn quadrilaterals over so that all of a connected part face the same side.

    Each has two nodes in a graph, one as it is and one turned over, which are connected to those of
    its neighbours that face the same side. The graph of a part that has two sides falls into two.
    """
    count = len(quads)
    edges = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    order = np.lexsort(np.sort(edges, -1).T)
    ordered = np.sort(edges, -1)[order]
    # Only edges of exactly two have two sides.
    same = (ordered[1:] == ordered[:-1]).all(-1)
    lonely = np.concatenate([[False], same]) ^ np.concatenate([same, [False]])
    pair = np.flatnonzero(same & lonely[1:] & lonely[:-1])
    first, second = order[pair], order[pair + 1]
    turned = edges[first, 0] == edges[second, 0]  # both run along the edge in the same direction
    a, b = first // 4, second // 4
    rows = np.concatenate([a, a + count])
    columns = np.concatenate([b + count * turned, b + count * ~turned])
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), (2 * count, 2 * count))
    part = connected_components(graph, directed=False)[1]
    # Of both halves, keep the one with the smaller number.
    flip = part[:count] > part[count:]
    return np.where(flip[:, None], quads[:, ::-1], quads)


def _triangles(
    vertices: Float[np.ndarray, "v 3"], quads: Int[np.ndarray, "q 4"]
) -> Int[np.ndarray, "f 3"]:
    """Split quadrilaterals along their shorter diagonals."""
    a, b, c, d = np.moveaxis(vertices[quads], 1, 0)
    short = np.linalg.norm(c - a, axis=-1) <= np.linalg.norm(d - b, axis=-1)
    turned = np.where(short[:, None], quads, np.roll(quads, -1, 1))
    return np.concatenate([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]]).astype(np.int32)


def _outwards(mesh: Mesh) -> Mesh:
    """Turn each connected part so that most of its area faces away from its middle."""
    part = components(mesh)
    vectors, centres = face_vectors(mesh), mesh.corners.mean(1)
    area = np.linalg.norm(vectors, axis=-1)
    total = np.bincount(part, area)
    middle = (
        np.stack([np.bincount(part, area * x) for x in centres.T], -1)
        / np.maximum(total, 1e-300)[:, None]
    )
    facing = np.bincount(part, (vectors * (centres - middle[part])).sum(-1))
    turned = np.where((facing < 0.0)[part, None], mesh.faces[:, ::-1], mesh.faces)
    return Mesh(mesh.vertices, turned)
