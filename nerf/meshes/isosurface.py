"""Multiresolution isosurface extraction (Occupancy Networks, Mescheder et al., 1812.03828).

A level function is evaluated on a coarse lattice, and then only in cells that the surface crosses,
on lattices of half the spacing each (section 3.3 of the paper). The finest lattice goes to marching
cubes (Lorensen and Cline 1987; Lewiner et al. 2003), which is that of scikit-image.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Real

from nerf.foundation.errors import UserError
from nerf.meshes.mesh import Mesh, select_faces
from nerf.scenes.storage import free_memory

Level = Callable[[Float32[np.ndarray, "m 3"]], Float32[np.ndarray, " m"]]

BYTES_PER_POINT = 24  # of the finest lattice, at the peak
MISSING = "pip install 'nerf-compare[mesh]'"


class EmptySurfaceError(UserError):
    """The level has no zeros."""


@dataclasses.dataclass(frozen=True)
class Lattice:
    """Regular lattice of points.

    Attributes:
      origin: position of the point (0, 0, 0).
      steps: rows are the vectors from a point to the next along each of the lattice's axes; they
        are right-handed.
      cells: number of cells along each axis; there is one more point.
    """

    origin: Float[np.ndarray, "3"]
    steps: Float[np.ndarray, "3 3"]
    cells: tuple[int, int, int]

    def points(self, index: Real[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Return positions, given (fractional) indices of points."""
        return self.origin + index @ self.steps


class Bounds(NamedTuple):
    """A box.

    Attributes:
      axes: rows are the box's axes, right-handed unit vectors in the normalised world.
      low: smallest coordinates along the axes.
      high: largest coordinates.
    """

    axes: Float[np.ndarray, "3 3"]
    low: Float[np.ndarray, "3"]
    high: Float[np.ndarray, "3"]


def lattice_in(box: Bounds, resolution: int, multiple: int = 1) -> Lattice:
    """Return a lattice of cubic cells that covers a box.

    Args:
      box: the box.
      resolution: number of cells along its longest side.
      multiple: the number of cells along each axis is a multiple of this.
    """
    extent = box.high - box.low
    size = extent.max() / resolution
    cells = np.maximum(np.ceil(extent / (size * multiple) - 1e-6), 1).astype(int) * multiple
    # The lattice is as large as the box or larger; both have the same centre.
    first = 0.5 * (box.low + box.high) - 0.5 * size * cells
    return Lattice(first @ box.axes, size * box.axes, (int(cells[0]), int(cells[1]), int(cells[2])))


class Isosurface(NamedTuple):
    """An extracted surface.

    Attributes:
      mesh: its triangles, in the world of the lattice.
      evaluations: number of points at which the level was evaluated.
      lattice_points: number of points of the finest lattice.
    """

    mesh: Mesh
    evaluations: int
    lattice_points: int


class LatticeSamples:
    """The finest lattice, of which a part is evaluated.

    A point that is not evaluated has the sign of a coarse cell around it without a surface.
    """

    def __init__(self, level: Level, lattice: Lattice, stride: int):
        self.level, self.lattice, self.stride = level, lattice, stride
        shape = tuple(n + 1 for n in lattice.cells)
        self.values = np.full(shape, -1.0, np.float32)
        self.known = np.zeros(shape, bool)
        self.void = np.zeros(shape, bool)  # where the level is not defined
        self.evaluations = 0

    def view(self, array: np.ndarray) -> np.ndarray:
        """Return the points of the present lattice in an array of the finest one."""
        return array[:: self.stride, :: self.stride, :: self.stride]

    def evaluate(self, wanted: Bool[np.ndarray, "x y z"]) -> None:
        """Evaluate points of the present lattice that are not known yet."""
        known = self.view(self.known)
        index = np.argwhere(wanted & ~known)
        if not len(index):
            return
        values = self.level(self.lattice.points(self.stride * index).astype(np.float32))
        self.evaluations += len(index)
        where = tuple(index.T)
        void = np.isnan(values)
        # A point exactly on the surface would give triangles without area.
        values = np.where(values == 0.0, np.float32(1e-12), values)
        self.view(self.values)[where] = np.where(void, np.float32(1.0), values)
        self.view(self.void)[where] = void
        known[where] = True

    def crossed(self) -> Bool[np.ndarray, "x y z"]:
        """Return the cells of the present lattice whose corners have both signs."""
        inside, void = self.view(self.values) > 0.0, self.view(self.void)
        return any_corner(inside & ~void) & any_corner(~inside & ~void)

    def halve(self) -> None:
        """Go to half the spacing; new points get the sign of a neighbour before them."""
        coarse = self.view(self.values)
        filled = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[:-1, :-1, :-1]
        self.stride //= 2
        new, known = self.view(self.values), self.view(self.known)
        np.copyto(new, np.where(filled > 0.0, np.float32(1.0), np.float32(-1.0)), where=~known)


def any_corner(x: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "..."]:
    """Return for each cell whether any of its eight corners is set."""
    for axis in range(3):
        before = [slice(None)] * 3
        after = [slice(None)] * 3
        before[axis], after[axis] = slice(0, -1), slice(1, None)
        x = x[tuple(before)] | x[tuple(after)]
    return x


def _blocks(cells: Bool[np.ndarray, "x y z"], factor: int) -> Bool[np.ndarray, "..."]:
    """Return the cells of a lattice with `factor` times the spacing that contain a marked one."""
    x, y, z = (n // factor for n in cells.shape)
    return np.asarray(cells.reshape(x, factor, y, factor, z, factor).any((1, 3, 5)))


def points_of(cells: Bool[np.ndarray, "x y z"], factor: int) -> Bool[np.ndarray, "..."]:
    """Return the points of marked cells, on a lattice with 1 / factor of the spacing."""
    fine = cells
    for axis in range(3):
        fine = fine.repeat(factor, axis)
        pad = [(0, 0)] * 3
        pad[axis] = (0, 1)
        after = np.pad(fine, pad)
        pad[axis] = (1, 0)
        fine = after | np.pad(fine, pad)
    return fine


def widened(cells: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Return marked cells with all their neighbours."""
    wide = cells
    for axis in range(3):
        pad = [(0, 0)] * 3
        pad[axis] = (1, 1)
        padded = np.pad(wide, pad)
        before = [slice(None)] * 3
        after = [slice(None)] * 3
        before[axis], after[axis] = slice(0, -2), slice(2, None)
        wide = padded[tuple(before)] | padded[tuple(after)] | wide
    return wide


def extract(
    level: Level,
    lattice: Lattice,
    halvings: int = 3,
    seeds: Bool[np.ndarray, "x y z"] | None = None,
    refinements: int = 0,
) -> Isosurface:
    """Extract the zeros of a level as triangles.

    The surface is followed wherever it leaves the cells that were refined, so that each connected
    part is found completely if the coarsest lattice, or a seed, meets it. Other parts that are
    thinner than a coarse cell may be missed.

    Args:
      level: points (m, 3) -> levels (m,), positive inside; NaN where nothing is known, so that the
        surface has no triangles there.
      lattice: the finest lattice, whose numbers of cells are multiples of 2^halvings.
      halvings: how often the spacing is halved; 0 evaluates the complete lattice.
      seeds: cells of the finest lattice whose corners are evaluated in any case.
      refinements: number of steps of the Illinois method that move each vertex along its edge of
        the lattice to the zero of the level. Triangles stay in their cells, so they cannot begin to
        intersect.

    Raises:
      EmptySurfaceError: the level is nowhere zero.
      UserError: the lattice does not fit the memory.
    """
    check_memory(lattice)
    samples = LatticeSamples(level, lattice, 2**halvings)
    samples.evaluate(np.ones(samples.view(samples.known).shape, bool))
    active = widened(samples.crossed()) if halvings else samples.crossed()
    for _ in range(halvings):
        if seeds is not None:
            active = active | _blocks(seeds, samples.stride)
        samples.halve()
        active = _refine(samples, active)
    mesh = _march(samples, active)
    evaluations = samples.evaluations
    if refinements:
        moved, more = _onto_zero(samples, mesh.vertices, refinements)
        mesh, evaluations = dataclasses.replace(mesh, vertices=moved), evaluations + more
    mesh = dataclasses.replace(mesh, vertices=lattice.points(mesh.vertices))
    return Isosurface(mesh, evaluations, samples.values.size)


def check_memory(lattice: Lattice) -> None:
    """Raise a UserError if a lattice does not fit the memory."""
    needed = BYTES_PER_POINT * float(np.prod([n + 1.0 for n in lattice.cells]))
    if needed > free_memory():
        x, y, z = lattice.cells
        reason = f"{x}x{y}x{z} cells need {needed / 2**30:.1f} GiB of memory"
        there = f"{free_memory() / 2**30:.1f} GiB are free"
        raise UserError(f"mesh: {reason} and {there}: give a smaller --resolution")


def _refine(samples: LatticeSamples, active: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "..."]:
    """Evaluate the points in active cells of twice the spacing; return the crossed cells.

    Where a crossed cell touches a point that was not evaluated, the surface leaves the active
    cells: the cell that the point belongs to becomes active too.
    """
    while True:
        samples.evaluate(points_of(active, 2))
        crossed = samples.crossed()
        leaking = crossed & any_corner(~samples.view(samples.known))
        if not leaking.any():
            return crossed
        # Of the parents of these cells and their neighbours, those that have an unknown point.
        active = widened(_blocks(leaking, 2))


def load_marching_cubes() -> Callable[..., Any]:
    """Import marching cubes. Raises UserError if the library is not installed."""
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise UserError(f"mesh: scikit-image is missing: {MISSING}") from error
    return marching_cubes


def _march(samples: LatticeSamples, active: Bool[np.ndarray, "x y z"]) -> Mesh:
    """Run marching cubes; the vertices are indices of the lattice."""
    marching_cubes = load_marching_cubes()
    if not active.any():
        reason = "the surface is empty: the level is nowhere zero in the box"
        raise EmptySurfaceError(f"mesh: {reason}: train longer, or give another box with --crop")
    # Only the bounding box of the crossed cells matters.
    low, high = _bounds(active)
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    # The triangles face from higher to lower values, outwards.
    vertices, faces, _, _ = marching_cubes(samples.values[box], 0.0, gradient_direction="ascent")
    mesh = Mesh(vertices.astype(np.float64) + low, faces.astype(np.int32))
    if not samples.void.any():
        return mesh
    # Both points around a vertex must have a level; a vertex lies on an edge of the lattice.
    below, above = np.floor(mesh.vertices).astype(int), np.ceil(mesh.vertices).astype(int)
    bad = samples.void[tuple(below.T)] | samples.void[tuple(above.T)]
    return select_faces(mesh, ~bad[mesh.faces].any(-1))


def _bounds(cells: Bool[np.ndarray, "x y z"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first marked cell along each axis, and the one after the last."""
    found = [np.flatnonzero(cells.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([x[0] for x in found]), np.array([x[-1] + 1 for x in found])


def _onto_zero(
    samples: LatticeSamples, vertices: Float[np.ndarray, "v 3"], steps: int
) -> tuple[Float[np.ndarray, "v 3"], int]:
    """Move vertices along their edges of the lattice to the zero of the level.

    This is regula falsi with the Illinois rule (Dowell and Jarratt 1971), which keeps the zero
    between both ends.

    Args:
      samples: the lattice with its levels.
      vertices: indices of points, of which one coordinate is not an integer.
      steps: number of evaluations of each vertex.

    Returns:
      The moved vertices, and the number of evaluations.
    """
    low = np.floor(vertices).astype(int)
    # Vertices in the middle of cells, which close ambiguous cases, have no edge and stay.
    on_edge = np.flatnonzero((vertices != low).sum(-1) == 1)
    axis = np.argmax(vertices[on_edge] != low[on_edge], -1)
    start = low[on_edge]
    direction = np.eye(3, dtype=int)[axis]
    a, b = np.zeros(len(start)), np.ones(len(start))
    value_a = samples.values[tuple(start.T)].astype(np.float64)
    value_b = samples.values[tuple((start + direction).T)].astype(np.float64)
    side = np.zeros(len(start), int)
    for _ in range(steps):
        t = (a * value_b - b * value_a) / (value_b - value_a)
        points = samples.lattice.points(start + t[:, None] * direction)
        value = samples.level(points.astype(np.float32)).astype(np.float64)
        # A vertex that meets a point without a level stays there, as if it had found the zero.
        value = np.where(np.isnan(value), 0.0, value)
        at_a = (value > 0.0) == (value_a > 0.0)
        # If the same end moved twice, halve the other end's value.
        value_b = np.where(at_a & (side == 1), 0.5 * value_b, value_b)
        value_a = np.where(~at_a & (side == -1), 0.5 * value_a, value_a)
        a, value_a = np.where(at_a, t, a), np.where(at_a, value, value_a)
        b, value_b = np.where(at_a, b, t), np.where(at_a, value_b, value)
        side = np.where(at_a, 1, -1)
    t = (a * value_b - b * value_a) / (value_b - value_a)
    moved = vertices.copy()
    moved[on_edge] = start + t[:, None] * direction
    return moved, steps * len(start)
