"""Chamfer distance between points of a surface and a true surface with a known distance."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from nerf.foundation.errors import UserError
from nerf.meshes.mesh import Mesh, sample_points
from nerf.scenes.base import Similarity
from nerf.scenes.solids import normals

Distance = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]

MESH_POINTS = 500_000  # sampled on a mesh: half of their mean spacing is the smallest Chamfer
TRUE_POINTS = 50_000  # sampled on the true surface
SHELL = 0.02  # distance from the true surface of the points that are moved onto it
BATCH = 2**17  # random points of the box at once
MAX_BATCHES = 200
STEPS = 2  # of the projection; one is exact if the distance is


class Chamfer(NamedTuple):
    """Mean distances between two surfaces.

    Attributes:
      accuracy: from the surface to the true one.
      completeness: from the true surface to the other.
    """

    accuracy: float
    completeness: float

    @property
    def mean(self) -> float:
        """Return the mean of both directions."""
        return 0.5 * (self.accuracy + self.completeness)


def chamfer_distance(
    points: Float[np.ndarray, "m 3"], true_points: Float[np.ndarray, "n 3"], distance: Distance
) -> Chamfer:
    """Compute the Chamfer distance to a true surface, in both directions (Fan et al., 1612.00603).

    Equation:
      accuracy = 1 / m sum_(i=1)^m |f(p_i)|   f: exact distance to the true surface
      completeness = 1 / n sum_(j=1)^n min_i |q_j - p_i|
      C = (accuracy + completeness) / 2

    Distances are not squared. The points p must be dense: between equal surfaces, completeness is
    half of their mean spacing and not 0.

    Args:
      points: p, uniformly distributed over the surface.
      true_points: q, uniformly distributed over the true surface.
      distance: f, points -> signed or unsigned distances.

    Returns:
      Both directions, in the units of the points.
    """
    nearest = cKDTree(points).query(true_points, workers=-1)[0]
    return Chamfer(float(np.abs(distance(points)).mean()), float(nearest.mean()))


def in_normalised_world(distance: Distance, world: Similarity) -> Distance:
    """Return the distances of points of the normalised world, in its units.

    Args:
      distance: points of the file's world -> distances in its units.
      world: from the file's world to the normalised one.
    """
    return lambda points: world.scale * distance(world.points_back(points))


def relative_chamfer(mesh: Mesh, distance: Distance) -> float:
    """Compute the Chamfer distance of a mesh as a fraction of the size of the true surface.

    Args:
      mesh: the mesh.
      distance: exact distance of points to the true surface, in the world of the mesh.

    Returns:
      The mean of both directions, divided by the diagonal of the true surface's box.

    Raises:
      UserError: the box [-1, 1]^3 has hardly any of the true surface.
    """
    rng = np.random.default_rng(0)
    true = sample_true_surface(distance, TRUE_POINTS, rng)
    points = sample_points(mesh, MESH_POINTS, rng)
    return chamfer_distance(points, true, distance).mean / box_diagonal(true)


def box_diagonal(points: Float[np.ndarray, "n 3"]) -> float:
    """Return the diagonal of the smallest box around points, along the axes."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def sample_true_surface(
    distance: Distance, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n 3"]:
    """Sample points uniformly on the zeros of an exact distance in the box [-1, 1]^3.

    Random points of a thin shell around the surface are moved onto it. A shell has the same volume
    over each unit of area, up to its thickness times the curvature.

    Args:
      distance: points -> signed or unsigned distances.
      count: number of points.
      rng: source of randomness.

    Raises:
      UserError: the box has hardly any of the surface.
    """
    found: list[np.ndarray] = []
    for _ in range(MAX_BATCHES):
        points = rng.uniform(-1.0, 1.0, (BATCH, 3))
        points = points[np.abs(distance(points)) < SHELL]
        for _ in range(STEPS):
            points = points - distance(points)[:, None] * normals(distance, points)
        found.append(points)
        if sum(map(len, found)) >= count:
            return np.concatenate(found)[:count]
    reason = "hardly any of the true surface is in the box [-1, 1]^3 of the normalised world"
    raise UserError(f"distance: {reason}: check the function `distance` of the scene's module")
