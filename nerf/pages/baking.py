"""Bake a trained field into bricks: choose which to store, and evaluate the field at vertices.

A brick is stored if the field's own occupancy grid, or its density at random points, allows matter
there, and if rays of the training views see it, or a neighbour, with a rendering weight above
`MIN_WEIGHT`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from scipy.ndimage import binary_dilation

from nerf.cameras.cameras import Cameras, Rays, pixels_to_rays
from nerf.encodings.interpolation import corners_of_cell, dense_row
from nerf.fields import Samples
from nerf.foundation.errors import UserError
from nerf.foundation.progress import track
from nerf.meshes.chunks import in_chunks
from nerf.pages.bricks import (
    BRICK,
    FEATURES,
    HARMONICS,
    LOG_DENSITY,
    Bricks,
    render_bricks,
)
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import Model, Stage, last_field
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.spaces import Contracted, Cropped
from nerf.sampling.stratified import UniformSteps

SAMPLES_PER_RAY = 20  # slots of the training buffer, in stored intervals per ray on average
EARLY_STOP = 1e-3  # transmittance at which a ray ends, in the page as here
MAX_RESOLUTION = 320  # cells along each axis of a bounded box; fewer if the bricks do not fit
GROWTH = 2.5  # power of the resolution with which bricks grow, between a surface's and a volume's
VERTICES_AT_ONCE = 2**15  # whose colours are fitted together
TRIES = 8  # random points of a brick at which a field without an occupancy grid is evaluated
MIN_DENSITY = 2.0  # per unit of the box; bricks whose density stays below are empty
MIN_WEIGHT = 0.01  # rendering weight below which no ray sees a brick
SEEN_RAYS = 80_000  # rays of the training views that look for bricks
CHUNK = 4096  # rays at once
VIEWS_PER_VERTEX = 16  # training cameras from which the colour of a vertex is evaluated
RIDGE = 0.02  # of the regression of colours on harmonics, per direction
MIN_DENSE = 0.5  # u of the density of vertices that decide the basis
CLIPPED_AT = 0.999  # quantile of the features that becomes 1


def bake(model: Model, cameras: Cameras, steps: int, max_bricks: int, seed: int = 0) -> Model:
    """Bake a field into bricks.

    Args:
      model: the trained model; what lies outside of a cropped space is empty.
      cameras: the training cameras, in the normalised world.
      steps: intervals of a ray.
      max_bricks: largest number of bricks that are stored.
      seed: of the random rays and views.

    Returns:
      The model that renders the bricks.

    Raises:
      UserError: the training views see no matter.
    """
    rng = np.random.default_rng(seed)
    # What is not contracted fills half of the box of an unbounded scene.
    resolution = MAX_RESOLUTION * (2 if isinstance(_uncropped(model.space), Contracted) else 1)
    stored = find_stored(model, cameras, resolution // BRICK, steps, rng)
    while stored.sum() > max_bricks:
        # The number of bricks grows like a power of the resolution; aim a little below the limit.
        wanted = resolution * (0.95 * max_bricks / stored.sum()) ** (1.0 / GROWTH)
        resolution = int(wanted) // BRICK * BRICK
        stored = find_stored(model, cameras, resolution // BRICK, steps, rng)
    if not stored.any():
        raise UserError("the training views see no matter: train longer before you export a page")
    seen = make_model(stored, model.space, steps)
    fill_density(last_field(seen), model)
    fill_colour(last_field(seen), model, np.asarray(cameras.position), rng)
    return seen


def find_stored(
    model: Model, cameras: Cameras, n: int, steps: int, rng: np.random.Generator
) -> Bool[np.ndarray, "n n n"]:
    """Return which of n^3 bricks to store.

    Args:
      model: the trained model.
      cameras: the training cameras.
      n: number of bricks along each axis of the box.
      steps: intervals of a ray.
      rng: source of random points and rays.
    """
    candidates = find_candidates(model, n, rng)
    baked = make_model(candidates, model.space, steps)
    fill_density(last_field(baked), model)
    seen = largest_weights(baked, cameras, SEEN_RAYS, rng) > MIN_WEIGHT
    # Random rays miss a few bricks that views see; they have neighbours that are seen.
    return candidates & binary_dilation(seen, np.ones((3, 3, 3), bool))


def make_model(stored: Bool[np.ndarray, "n n n"], space: Any, steps: int) -> Model:
    """Build the model of empty bricks.

    Args:
      stored: which bricks of the box to store.
      space: the space of the trained model, which may be cropped.
      steps: intervals of a ray.
    """
    field = Bricks(stored)
    grid = OccupancyGrid(resolution=stored.shape[0], update_every=1)
    grid.restrict(stored)
    return Model(
        {"baked": Stage(UniformSteps(steps), field)},
        ("baked",),
        _uncropped(space),
        grid,
        max_samples_per_ray=SAMPLES_PER_RAY,
        early_stop_transmittance=EARLY_STOP,
        renderer=render_bricks,
    )


def _uncropped(space: Any) -> Any:
    return space.space if isinstance(space, Cropped) else space


def find_candidates(model: Model, n: int, rng: np.random.Generator) -> Bool[np.ndarray, "n n n"]:
    """Return which of n^3 bricks may hold matter, and can be in front of a camera.

    Args:
      model: the trained model.
      n: number of bricks along each axis of the box.
      rng: source of the random points of a field without an occupancy grid.
    """
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    most = np.zeros(len(index), np.float32)
    for _ in range(TRIES):
        points = (index + rng.uniform(size=index.shape)) * (2.0 / n) - 1.0
        if model.occupancy is None:
            found = evaluate(model, points, np.zeros_like(points))["density"] / MIN_DENSITY
        else:
            places = jnp.asarray(points, jnp.float32)
            found = np.asarray(model.occupancy.is_occupied(places) & _is_shown(model, places))
        most = np.maximum(most, found)
    return (most >= 1.0).reshape(n, n, n)


@partial(jax.jit, static_argnums=0)
def _evaluate(graph: nnx.GraphDef, state: PyTree, given: tuple[Array, Array]) -> dict[str, Array]:
    model = nnx.merge(graph, state)
    quantities = evaluate_field(model, last_field(model), Samples(*given))
    density = model.geometry.density(quantities)
    return {
        "density": jnp.where(_is_shown(model, given[0]), density, 0.0),
        "rgb": quantities["rgb"],
    }


def _is_shown(model: Model, points: Float[Array, "m 3"]) -> Bool[Array, "..."]:
    """Return which points of the box a crop does not cut off."""
    space = model.space
    return space.contains(space.unwarp(points)) if isinstance(space, Cropped) else jnp.array(True)


def evaluate(
    model: Model, points: Float[np.ndarray, "m 3"], viewdirs: Float[np.ndarray, "m 3"]
) -> dict[str, np.ndarray]:
    """Evaluate the field of a model.

    Args:
      model: the trained model.
      points: places in the box.
      viewdirs: unit view directions; zeros if only the density is wanted.

    Returns:
      "density" (m,), the optical depth per unit of length in the box, and "rgb" (m, 3).
    """
    graph, state = nnx.split(model)
    arrays = (np.asarray(points, np.float32), np.asarray(viewdirs, np.float32))
    return in_chunks(partial(_evaluate, graph, state), arrays)


def fill_density(field: Bricks, model: Model) -> None:
    """Store the density of a model's field at the vertices."""
    points = field.vertices()
    density = evaluate(model, points, np.zeros_like(points))["density"]
    low, high = LOG_DENSITY
    u = (np.log(np.maximum(density, np.exp(low))) - low) / (high - low)
    field.values[...] = field.values[...].at[BRICK**3 :, 0].set(np.minimum(u, 1.0))


def fill_colour(
    field: Bricks, model: Model, eyes: Float[np.ndarray, "n 3"], rng: np.random.Generator
) -> None:
    """Store the colours of the field at the vertices, as seen from random cameras.

    The colours of a vertex from several directions are fitted by spherical harmonics. The constant
    one is the diffuse colour. Of the others, the principal components over all vertices are the
    basis of the view dependence, and a vertex's coordinates in them are its features.

    Args:
      field: the bricks, with their density.
      model: the trained model.
      eyes: positions of the training cameras.
      rng: chooses cameras for each vertex.
    """
    diffuse, rest = fit_harmonics(field, model, eyes, rng)
    # Dense vertices count in the components; those of the air are hardly seen.
    dense = np.asarray(field.values[...])[BRICK**3 :, 0] > MIN_DENSE
    covariance = np.einsum("vi,vj->ij", rest[dense], rest[dense])
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :FEATURES].T  # (k, 24), largest first
    features = np.matmul(rest, axes.T)
    # The features fill [-1, 1], but for a few large ones, which are clipped.
    largest = np.maximum(np.quantile(np.abs(features[dense]), CLIPPED_AT, axis=0), 1e-6)
    u = np.clip(0.5 + 0.5 * features / largest, 0.0, 1.0)
    basis = (axes * largest[:, None]).reshape(FEATURES, -1, 3)
    field.basis[...] = jnp.asarray(np.pad(basis, ((0, 0), (1, 0), (0, 0))), jnp.float32)
    values = field.values[...].at[BRICK**3 :, 1:4].set(np.clip(diffuse, 0.0, 1.0))
    field.values[...] = values.at[BRICK**3 :, 4:].set(u)


def fit_harmonics(
    field: Bricks, model: Model, eyes: Float[np.ndarray, "n 3"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m c"]]:
    """Fit spherical harmonics to the field's colours at the vertices, by ridge regression.

    The constant harmonic is replaced by 1, so that its coefficient is a colour.

    Args:
      field: the bricks.
      model: the trained model.
      eyes: positions of the training cameras.
      rng: chooses cameras for each vertex.

    Returns:
      The constant part of each vertex's colour, and the coefficients of the other harmonics.
    """
    points = field.vertices()
    ridge = np.full(HARMONICS.num_features, RIDGE * VIEWS_PER_VERTEX, np.float32)
    ridge[0] = 1e-4  # the constant part is not shrunk
    parts = []
    blocks = range(0, len(points), VERTICES_AT_ONCE)
    for start in track(blocks, "colours", "block", len(blocks)):
        block = points[start : start + VERTICES_AT_ONCE]
        # Directions from random cameras, whether or not something is between.
        places = np.asarray(model.space.unwarp(jnp.asarray(block)))[:, None]
        towards = places - eyes[rng.integers(len(eyes), size=(len(block), VIEWS_PER_VERTEX))]
        towards /= np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-9)
        repeated = np.repeat(block, VIEWS_PER_VERTEX, axis=0)
        rgb = evaluate(model, repeated, towards.reshape(-1, 3))["rgb"].reshape(towards.shape)
        y = np.array(HARMONICS(jnp.asarray(towards, jnp.float32)))
        y[..., 0] = 1.0
        parts.append(solve_ridge(y, rgb, ridge))
    coefficients = np.concatenate(parts)
    return coefficients[:, 0], coefficients[:, 1:].reshape(len(points), -1)


def solve_ridge(
    basis: Float[np.ndarray, "m v k"],
    colours: Float[np.ndarray, "m v c"],
    ridge: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "m k c"]:
    """Fit the coefficients of a basis to colours, by ridge regression.

    Equation:
      (sum_i y_i y_i^T + diag(ridge)) a = sum_i y_i c_i   for colours c_i where the basis is y_i

    Args:
      basis: values of the basis functions, at v places of each of m fits.
      colours: the colours there.
      ridge: penalty of the square of each coefficient.
    """
    transposed = basis.transpose(0, 2, 1)
    return np.linalg.solve(transposed @ basis + np.diag(ridge), transposed @ colours)


def random_rays(cameras: Cameras, count: int, key: PRNGKeyArray) -> Rays:
    """Return rays through random places of the pictures of random cameras.

    Args:
      cameras: (n) cameras.
      count: number of rays.
      key: random key.
    """
    keys = jax.random.split(key, 2)
    image = jax.random.randint(keys[0], (count,), 0, len(cameras))
    mine = cameras[image]
    return pixels_to_rays(mine, jax.random.uniform(keys[1], (count, 2)) * mine.size)


def largest_weights(
    model: Model, cameras: Cameras, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n n n"]:
    """Return the largest rendering weight with which rays see each brick.

    Args:
      model: the model of the bricks.
      cameras: the training cameras.
      count: number of random rays.
      rng: source of the rays.
    """
    graph, state = nnx.split(model)
    cameras = jax.tree.map(jnp.asarray, cameras)
    n = last_field(model).bricks
    first = jax.random.key(int(rng.integers(2**31)))
    best = jnp.zeros(n**3)
    batches = -(-count // CHUNK)
    for i in track(range(batches), "visible bricks", "round", batches):
        key = jax.random.fold_in(first, i)
        best = jnp.maximum(best, _largest_weights(graph, state, cameras, key))
    return np.asarray(best).reshape(n, n, n)


@partial(jax.jit, static_argnums=0)
def _largest_weights(
    graph: nnx.GraphDef, state: PyTree, cameras: Cameras, key: PRNGKeyArray
) -> Float[Array, " m"]:
    """Return the largest rendering weight of each brick in a batch of random rays."""
    model = nnx.merge(graph, state)
    rays = random_rays(cameras, CHUNK, key)
    intervals = model(rays, jnp.zeros((CHUNK, 3)), jax.random.split(key, CHUNK))[-1].intervals
    n = last_field(model).bricks
    # All eight vertices around a sample interpolate there, and may belong to several bricks.
    cell = jnp.floor((intervals.samples.means * 0.5 + 0.5) * (n * BRICK)).astype(jnp.int32)
    weights = jnp.zeros(n**3)
    for corner in corners_of_cell(3):
        brick = jnp.clip((cell + corner[None]) // BRICK, 0, n - 1)
        weights = weights.at[dense_row(brick.T, n)].max(intervals.weights)
    return weights
