"""From a trained model to the mesh of its surface."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float32

from nerf.cameras.cameras import Cameras
from nerf.cameras.resizing import resized
from nerf.foundation.errors import UserError
from nerf.meshes.cleaning import drop_parts, drop_small
from nerf.meshes.isosurface import (
    Bounds,
    EmptySurfaceError,
    Isosurface,
    Lattice,
    Level,
    extract,
    lattice_in,
)
from nerf.meshes.levels import (
    DepthImages,
    count_points,
    evaluated_points,
    fused_level,
    render_depth,
    sheet_distance,
    surface_level,
)
from nerf.meshes.mesh import Mesh
from nerf.meshes.open_surface import extract_open
from nerf.meshes.unseen import close_unseen
from nerf.rendering.model import Model
from nerf.sampling.spaces import Cropped

HALVINGS = 3  # of the spacing of the lattice
COARSE = 64  # cells along the box of the coarse mesh that finds the final box
PADDING = 0.03  # around the coarse mesh, in its longest side
TRUNCATION = 4.0  # of fused depth, in cells
LIMIT = 1.0  # of fused depth, in cells
# A learned unsigned distance folds near its zeros, within about a fiftieth of a scene. Cells of
# that size, and means over them, see one sheet there and not several.
MAX_SHEET_RESOLUTION = 64
SMOOTHING = 1.0  # half of the side of the cube of these means, in cells
# Least fraction of the area of a sheet in cells that rays evaluate: nothing has trained the others.
MIN_TRAINED = 0.5
REFINEMENTS = 3  # evaluations for each vertex
SIDE = 400  # most pixels of the longer side of a depth image
PIXELS_PER_CELL = 2  # of a depth image that shows the whole box
MAX_VIEWS = 64  # depth images

Extract = Callable[[Bounds, int], tuple[Isosurface, float]]


@dataclasses.dataclass(frozen=True)
class Surface:
    """The extracted surface of a model.

    Attributes:
      iso: its clean mesh in the normalised world, and the cost.
      cell: side of a cell of the finest lattice, in units of the normalised world.
      fused: whether it was fused from depth images, since the geometry has no level.
      box: the box that was searched.
      views: cameras of training views.
    """

    iso: Isosurface
    cell: float
    fused: bool
    box: Bounds
    views: Cameras


def extract_surface(
    model: Model, cameras: Cameras, resolution: int, sheets: bool = False
) -> Surface:
    """Extract the surface of a trained model.

    A geometry with a level (occupancy or signed distance) is extracted at its zeros, and closed
    where no view sees it. A density has no natural level, so depth images of the training views
    are fused. So they are for an unsigned distance, both sides of whose sheets are walls then; with
    `sheets` it is extracted as open sheets. The box is that of `Cropped`, which cuts the surface
    open, or is found by a coarse mesh.

    Args:
      model: the trained model.
      cameras: of the training views, from which depth is rendered.
      resolution: number of cells along the longest side of the box; of sheets, at most
        `MAX_SHEET_RESOLUTION` are used.
      sheets: whether to extract an unsigned distance as open sheets.

    Raises:
      EmptySurfaceError: the surface is empty.
      UserError: the lattice does not fit the memory, there is no unsigned distance for sheets, or
        the model is of a picture.
    """
    if model.space.num_dims != 3:
        raise UserError("mesh: a picture has no surface: export a run on a scene")
    views = depth_cameras(cameras, resolution)
    extract_in, fused = _method(model, views, sheets)
    box = given_box(model)
    if box is None:
        box = _find_box(extract_in)
    iso, cell = _not_empty(extract_in(box, resolution))
    return Surface(iso, cell, fused, box, views)


def _not_empty(found: tuple[Isosurface, float]) -> tuple[Isosurface, float]:
    """Return what was extracted; raise EmptySurfaceError if no triangle is left of it."""
    if not len(found[0].mesh.faces):
        reason = "the surface is empty: it has no part with an area"
        raise EmptySurfaceError(f"mesh: {reason}: train longer, or give another box with --crop")
    return found


def _method(model: Model, views: Cameras, sheets: bool) -> tuple[Extract, bool]:
    """Return how the surface of a model is extracted, and whether depth images are fused."""
    if sheets:
        distance = sheet_distance(model)
        if distance is None:
            raise UserError(
                "mesh: the run has no unsigned distance, which --sheets needs: export without it, "
                "or train a config such as configs/systems/udf.py"
            )
        return partial(_extract_sheets, model, distance), False
    images = render_depth(model, views)
    level = surface_level(model)
    if level is not None:
        return partial(_extract_level, level, images, given_box(model) is not None), False
    return partial(_extract_fused, images), True


def given_box(model: Model) -> Bounds | None:
    """Return the box that a model is cropped to, or None."""
    if not isinstance(model.space, Cropped):
        return None
    matrix, shift = np.array(model.space.axes), np.array(model.space.shift)
    half = 1.0 / np.linalg.norm(matrix, axis=-1)
    # The box is -1 <= matrix x + shift <= 1, and matrix = axes / half.
    return Bounds(half[:, None] * matrix, half * (-1.0 - shift), half * (1.0 - shift))


def depth_cameras(cameras: Cameras, resolution: int) -> Cameras:
    """Return the cameras of depth images: some of the given ones, with pictures of another size.

    Args:
      cameras: of the training views.
      resolution: number of cells along the longest side of the box; few cells need few pixels.
    """
    chosen = np.unique(np.linspace(0, len(cameras) - 1, MAX_VIEWS).round().astype(int))
    cameras = cameras[chosen]
    side = min(SIDE, PIXELS_PER_CELL * resolution)
    return resized(cameras, side / int(np.asarray(cameras.size).max()))


def _find_box(extract_in: Extract) -> Bounds:
    """Return the bounds of a coarse mesh of the normalised box, with some room."""
    everything = Bounds(np.eye(3), np.full(3, -1.0), np.full(3, 1.0))
    mesh = _not_empty(extract_in(everything, COARSE))[0].mesh
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    # A vertex of the coarse mesh is within a cell of the surface.
    room = PADDING * (high - low).max() + 2.0 / COARSE
    return Bounds(np.eye(3), np.maximum(low - room, -1.0), np.minimum(high + room, 1.0))


def _lattice(box: Bounds, resolution: int) -> tuple[Lattice, float]:
    """Return a lattice in a box, and the side of a cell."""
    lattice = lattice_in(box, resolution, 2**HALVINGS)
    return lattice, float(np.linalg.norm(lattice.steps[0]))


def _extract_level(
    level: Level, images: DepthImages, cut: bool, box: Bounds, resolution: int
) -> tuple[Isosurface, float]:
    """Return the clean surface of a level in a box, and the side of a cell."""
    lattice, cell = _lattice(box, resolution)
    counted = _Counted(level)
    closed = close_unseen(counted, images, lattice, cut)
    iso = extract(closed, lattice, HALVINGS, refinements=REFINEMENTS)
    return iso._replace(mesh=drop_small(iso.mesh), evaluations=counted.evaluations), cell


class _Counted:
    """A level that counts the points at which it was evaluated."""

    def __init__(self, level: Level):
        self.level, self.evaluations = level, 0

    def __call__(self, points: Float32[np.ndarray, "m 3"]) -> Float32[np.ndarray, " m"]:
        self.evaluations += len(points)
        return self.level(points)


def _extract_fused(images: DepthImages, box: Bounds, resolution: int) -> tuple[Isosurface, float]:
    """Return the clean surface that depth images show in a box, and the side of a cell."""
    lattice, cell = _lattice(box, resolution)
    level = fused_level(images, TRUNCATION * cell, LIMIT * cell)
    # Fused depth is linear near the surface, so marching cubes finds its zeros.
    iso = extract(level, lattice, HALVINGS, count_points(lattice, images.points) > 0)
    return iso._replace(mesh=drop_small(iso.mesh)), cell


def _extract_sheets(
    model: Model, distance: Level, box: Bounds, resolution: int
) -> tuple[Isosurface, float]:
    """Return the clean sheets of an unsigned distance in a box, and the side of a cell."""
    lattice, cell = _lattice(box, min(resolution, MAX_SHEET_RESOLUTION))
    iso = extract_open(distance, lattice, HALVINGS, SMOOTHING)
    return iso._replace(mesh=drop_small(_trained(model, iso.mesh))), cell


def _trained(model: Model, mesh: Mesh) -> Mesh:
    """Drop the parts of a mesh that are mostly in cells that no ray evaluates."""
    kept = drop_parts(mesh, evaluated_points(model, mesh.corners.mean(1)), MIN_TRAINED)
    if not len(kept.faces):
        reason = "the surface is empty: no ray has trained any of it"
        raise EmptySurfaceError(f"mesh: {reason}: train longer, or give another box with --crop")
    return kept
