"""Turn a trained field into flat Gaussians on the surfaces that its training views see.

Rays of the training views are thinned to one point for each cell of a grid in the box, where an
unbounded scene is contracted: what is far away gets fewer and larger splats. A splat lies in the
plane of its neighbours, is as wide as they are apart, and has the colours of the field towards the
cameras in front of it.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from nerf.foundation.errors import UserError
from nerf.foundation.progress import track
from nerf.output.point_cloud import MAX_SPREAD, Stops, find_stops, normals_of
from nerf.pages.baking import evaluate, solve_ridge
from nerf.rendering.model import Model
from nerf.runs.read import Run
from nerf.splats.splats import Splats, harmonics_basis

POINTS_PER_SPLAT = 3  # of which the grid keeps one in each of its cells
SEARCHES = 24  # halvings of the range of the grid's cell
NEIGHBOURS = 4  # whose mean distance is the spacing of splats
SIZE = 0.55  # standard deviation in the plane, in spacings
MAX_SIZE = 1.5  # the same, in cells of the grid
THICKNESS = 0.15  # standard deviation along the normal, of that in the plane
OPACITY = 0.95
VIEWS_PER_SPLAT = 12  # training cameras from which the colour of a splat is evaluated
TRIED_VIEWS = 3  # random cameras for each of these, to find some in front of the surface
RIDGE = 0.005  # of the regression of colours on harmonics, per direction
SPLATS_AT_ONCE = 2**14  # whose colours are fitted together


def fit_splats(run: Run, count: int, degree: int, rng: np.random.Generator) -> Splats:
    """Return splats that look like the field of a run, in the normalised world.

    Args:
      run: the trained run; `nerf.output.video_rendering.cropped` restricts it to a box.
      count: number of splats, approximately; there are fewer if few rays are stopped in one place.
      degree: of the harmonics of their colours.
      rng: chooses points and cameras.

    Raises:
      UserError: the training views see no surface.
    """
    # What is far away in an unbounded scene is seen from few sides, and therefore mostly fog.
    spread = np.inf if run.unbounded else MAX_SPREAD
    stops = find_stops(run, POINTS_PER_SPLAT * count, np.inf, spread)
    if len(stops.points) <= NEIGHBOURS:
        reason = (
            f"of {stops.rays} rays {stops.empty:.0%} met nothing and {stops.foggy:.0%} only fog"
        )
        raise UserError(f"{run.folder}: no surface for splats: {reason}: train longer")
    order = rng.permutation(len(stops.points))
    boxed = np.asarray(run.model.space.warp(jnp.asarray(stops.points[order])))
    kept, cell = thin(boxed, count)
    chosen = order[kept]
    points = stops.points[chosen].astype(np.float64)
    # A cell of the box in the world, across the line of sight from the centre.
    length = np.linalg.norm(boxed[kept], axis=-1)
    cells = cell * np.linalg.norm(points, axis=-1) / np.maximum(length, 1e-9)
    distances, _ = cKDTree(points).query(points, k=NEIGHBOURS + 1, workers=-1)
    size = np.minimum(SIZE * distances[:, 1:].mean(-1), MAX_SIZE * cells)
    normals = normals_of(points, stops.origins[chosen] - points)
    eyes = np.asarray(run.cameras["train"].position)
    harmonics = fit_colours(run.model, stops, chosen, normals, eyes, degree, rng)
    return Splats(
        means=points.astype(np.float32),
        scales=np.stack([size, size, THICKNESS * size], -1).astype(np.float32),
        quaternions=turn_to(normals).astype(np.float32),
        opacities=np.full(len(points), OPACITY, np.float32),
        harmonics=harmonics,
    )


def thin(points: Float[np.ndarray, "m 3"], count: int) -> tuple[Int[np.ndarray, " k"], float]:
    """Keep the first point in each cell of a grid of about `count` occupied cells.

    Returns:
      The indices of the points, and the side of the cells.
    """
    small, large = 0.0, float(np.ptp(points, axis=0).max()) + 1e-6
    if len(points) <= count:
        # Every point is kept, and a cell is as large as their mean distance on a surface.
        return np.arange(len(points)), large / max(len(points), 1) ** 0.5
    for _ in range(SEARCHES):
        cell = 0.5 * (small + large)
        if len(_first_of_each(points, cell)) > count:
            small = cell
        else:
            large = cell
    return np.sort(_first_of_each(points, large)), large


def _first_of_each(points: Float[np.ndarray, "m 3"], cell: float) -> Int[np.ndarray, " k"]:
    """Return the index of the first point in each occupied cell of a grid."""
    index = ((points - points.min(0)) / cell).astype(np.int64)
    number = np.ravel_multi_index(index.T, index.max(0) + 1)
    return np.unique(number, return_index=True)[1]


def turn_to(normals: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 4"]:
    """Return the shortest rotations that turn +z to unit normals, as quaternions w, x, y, z."""
    zero = np.zeros(len(normals))
    quaternions = np.stack([1.0 + normals[:, 2], -normals[:, 1], normals[:, 0], zero], -1)
    # Half a turn about any axis across leads to -z.
    quaternions[quaternions[:, 0] < 1e-9] = [0.0, 1.0, 0.0, 0.0]
    return quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)


def fit_colours(
    model: Model,
    stops: Stops,
    chosen: Int[np.ndarray, " m"],
    normals: Float[np.ndarray, "m 3"],
    eyes: Float[np.ndarray, "n 3"],
    degree: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "m k 3"]:
    """Fit harmonics to the field's colours towards cameras in front of each splat.

    Args:
      model: the trained model.
      stops: rays that were stopped; their own colours count too.
      chosen: those of them that become splats.
      normals: of these, towards the cameras.
      eyes: positions of the training cameras.
      degree: of the harmonics.
      rng: chooses cameras for each splat.
    """
    ridge = np.full((degree + 1) ** 2, RIDGE * VIEWS_PER_SPLAT)
    ridge[0] = 1e-4  # the constant harmonic is not shrunk
    parts = []
    blocks = range(0, len(chosen), SPLATS_AT_ONCE)
    for start in track(blocks, "colours", "block", len(blocks)):
        block = chosen[start : start + SPLATS_AT_ONCE]
        points = stops.points[block]
        tried = eyes[rng.integers(len(eyes), size=(len(block), TRIED_VIEWS * VIEWS_PER_SPLAT))]
        away = points[:, None] - tried
        away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
        facing = np.einsum("mvi,mi->mv", away, normals[start : start + SPLATS_AT_ONCE]) < 0.0
        # The first cameras in front of the surface; the others do not count.
        order = np.argsort(~facing, axis=1, kind="stable")[:, :VIEWS_PER_SPLAT]
        away = np.take_along_axis(away, order[..., None], 1)
        counts = np.take_along_axis(facing, order, 1)[..., None]
        boxed = np.asarray(model.space.warp(jnp.asarray(points)))
        repeated = np.repeat(boxed, VIEWS_PER_SPLAT, axis=0)
        rgb = evaluate(model, repeated, away.reshape(-1, 3))["rgb"].reshape(away.shape)
        own = points - stops.origins[block]
        own /= np.maximum(np.linalg.norm(own, axis=-1, keepdims=True), 1e-9)
        directions = np.concatenate([own[:, None], away], 1)
        basis = np.array(harmonics_basis(jnp.asarray(directions, jnp.float32), degree))
        basis[:, 1:] *= counts
        above = np.concatenate([stops.rgb[block][:, None], rgb], 1) - 0.5
        above[:, 1:] *= counts
        parts.append(solve_ridge(basis, above, ridge))
    return np.concatenate(parts).astype(np.float32)
