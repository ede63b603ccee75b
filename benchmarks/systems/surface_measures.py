"""Metrics of surfaces: functions (model, config, test scene) -> named numbers.

The scene must be made by a module with the exact `distance` to its surface and with `trace`, the
first intersections of rays, such as `nerf.scenes.toybox`.
"""

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy.spatial import cKDTree

from benchmarks.systems.measures import Config
from nerf.cameras.cameras import pixel_centres, pixels_to_rays, repeat_camera
from nerf.evaluation import metrics
from nerf.evaluation.surfaces import rendered_normals
from nerf.fields import Samples
from nerf.geometry.projection import sample_surface
from nerf.meshes.chamfer import (
    TRUE_POINTS,
    Distance,
    box_diagonal,
    chamfer_distance,
    in_normalised_world,
    relative_chamfer,
    sample_true_surface,
)
from nerf.meshes.export import colour_surface
from nerf.meshes.extraction import HALVINGS, REFINEMENTS, Surface, extract_surface
from nerf.meshes.isosurface import Bounds, EmptySurfaceError, extract, lattice_in
from nerf.meshes.levels import surface_level
from nerf.meshes.mesh import Mesh, area_outside_largest
from nerf.meshes.rasterizer import draw_colours, rasterize
from nerf.rendering.images import make_render_image
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import Model, last_field
from nerf.scenes import Scene, open_surfaces
from nerf.scenes.images import on_background

RESOLUTION = 128  # cells of a mesh
LEVEL_RESOLUTION = 96  # cells of the lattice that is extracted twice
CLOUD_POINTS = 20_000  # of a surface that is sampled by projection
NEAR = 0.02  # remaining distance up to which a projected point counts as one of the surface
BORDER = 0.1  # of the bowl's opening, in the box, where points may belong to the bowl itself
SPOT = 0.05  # horizontal distance up to which a point is over a spot of the opening
RANDOM_POINTS = 8192  # where a field is asked
CERTAIN = 0.1  # an occupancy is certain if it is nearer than this to 0 or to 1
TEXTURED_TRIANGLES = 50_000
MAX_VIEWS = 4  # held-out views of which pictures are compared


def mesh(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compare the extracted mesh with the true surface.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views, for the transform of the world.

    Returns:
      "chamfer" (fraction of the diagonal of the true surface's box), "outside_largest" (fraction of
      the area outside of the largest connected part). Both are 1 if there is no surface at all.
    """
    found = _surface(model, config)
    if found is None:
        return {"chamfer": 1.0, "outside_largest": 1.0}
    return {
        "chamfer": relative_chamfer(found.iso.mesh, _true_distance(config, scene)),
        "outside_largest": area_outside_largest(found.iso.mesh),
    }


def textured(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the PSNR of the drawn mesh, with its texture, against the model's own pictures.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views.

    Returns:
      "mesh_psnr" in dB, the mean of some views; that of pictures without anything if there is no
      surface at all.
    """
    background = np.asarray(config["background"])
    found = _surface(model, config)
    kept = None if found is None else colour_surface(model, found, TEXTURED_TRIANGLES, True)
    render = make_render_image(model, config["background"], config["chunk"])
    scores = []
    for i in range(min(len(scene), MAX_VIEWS)):
        mine = render(scene.cameras[i])["rgb"]
        drawn = np.broadcast_to(background, mine.shape)
        if kept is not None:
            drawn = draw_colours(kept, rasterize(kept, scene.cameras[i]), background)
        scores.append(metrics.psnr(drawn, mine))
    return {"mesh_psnr": float(np.mean(scores))}


def level(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compare multiresolution isosurface extraction with that of the complete lattice.

    Args:
      model: the trained model, whose geometry has a level.
      config: its config; not used.
      scene: the test views; not used.

    Returns:
      "evaluated" (evaluations as a fraction of the lattice's points), "different_triangles" (of
      the complete extraction's, those that the other lacks, as a fraction), and "refined" (median
      |level| of the vertices after their refinement, as a fraction of that before).
    """
    function = surface_level(model)
    assert function is not None, "the geometry has no level"
    box = Bounds(np.eye(3), np.full(3, -1.0), np.full(3, 1.0))
    lattice = lattice_in(box, LEVEL_RESOLUTION, 2**HALVINGS)
    complete = extract(function, lattice, 0)
    partial = extract(function, lattice, HALVINGS)
    refined = extract(function, lattice, HALVINGS, refinements=REFINEMENTS)
    missing = len(_triangles(complete.mesh) - _triangles(partial.mesh))
    before, after = (
        np.median(np.abs(function(one.mesh.vertices.astype(np.float32))))
        for one in (partial, refined)
    )
    return {
        "evaluated": partial.evaluations / partial.lattice_points,
        "different_triangles": missing / len(complete.mesh.faces),
        "refined": float(after / before),
    }


def views(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compare normals, depth and colour with the truth where all of a pixel is on a surface.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views, with alpha.

    Returns:
      "view_normal_degrees" (median angle to the true normal; 90 where nothing is rendered),
      "depth_rmse" (where anything is rendered, as a fraction of the diagonal of the true surface's
      box) and "psnr_inside".
    """
    render = make_render_image(model, config["background"], config["chunk"])
    angles, distances, squares = [], [], []
    for i, image in enumerate(scene.images):
        picture, camera = render(scene.cameras[i]), scene.cameras[i]
        true_depth, true_normals = _truth(config, scene, i)
        inside = (image[..., 3] == 255) & np.isfinite(true_depth)
        normals, _ = rendered_normals(picture, camera)
        cosine = np.clip((normals * true_normals).sum(-1), -1.0, 1.0)[inside]
        angles.append(np.degrees(np.arccos(cosine)))
        seen = inside & (picture["opacity"] > 0.5)
        distances.append((picture["depth"] - true_depth)[seen])
        wrong = picture["rgb"] - on_background(image, config["background"])
        squares.append(np.square(wrong)[inside].mean())
    rng = np.random.default_rng(0)
    true = sample_true_surface(_true_distance(config, scene), TRUE_POINTS, rng)
    diagonal = box_diagonal(true)
    return {
        "view_normal_degrees": float(np.median(np.concatenate(angles))),
        "depth_rmse": float(np.sqrt(np.square(np.concatenate(distances)).mean())) / diagonal,
        "psnr_inside": float(np.mean([-10.0 * np.log10(value) for value in squares])),
    }


def certain(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the fraction of the box in which an occupancy is near 0 or near 1.

    Args:
      model: the trained model, with an occupancy.
      config: its config; not used.
      scene: the test views; not used.
    """
    logit = _values(model, _random_points())["logit"]
    occupancy = np.asarray(jax.nn.sigmoid(logit))
    return {"certain": float((np.minimum(occupancy, 1.0 - occupancy) < CERTAIN).mean())}


def slopes(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute how much the gradient of a distance differs in length from 1, on average.

    Args:
      model: the trained model, with a distance.
      config: its config; not used.
      scene: the test views; not used.
    """
    gradient = np.asarray(_values(model, _random_points())["gradient"])
    return {"slope_error": float(np.abs(np.linalg.norm(gradient, axis=-1) - 1.0).mean())}


def cloud(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compare points of a distance's zeros with the open surfaces (NDF, 2010.13938).

    Points in cells that the occupancy grid skips do not count: nothing has trained them.

    Args:
      model: the trained model, with a distance.
      config: its config; not used.
      scene: the test views; not used.

    Returns:
      "cloud_chamfer" (in units of the box), "lid" (fraction of the bowl's opening that points are
      over) and "left" (median distance that is left after the projection).
    """
    quantity = last_field(model).quantity
    graph, state = nnx.split(model)

    @jax.jit
    def sample(state: nnx.State, key: Array) -> tuple[Array, Array]:
        def distance(points: Float[Array, "n 3"]) -> Float[Array, " n"]:
            model = nnx.merge(graph, state)
            return evaluate_field(model, last_field(model), Samples(points, points))[quantity]

        return sample_surface(distance, key, CLOUD_POINTS, near=NEAR)

    found, left = sample(state, jax.random.key(0))
    found = found[left < NEAR]
    assert model.occupancy is not None
    points = np.asarray(found[model.occupancy.is_occupied(found, training=False)], np.float64)
    rng = np.random.default_rng(0)
    surfaces = open_surfaces.SURFACES
    true = np.concatenate([one.sample(CLOUD_POINTS // len(surfaces), rng) for one in surfaces])
    return {
        "cloud_chamfer": chamfer_distance(points, true, open_surfaces.distance).mean,
        "lid": _closed(points),
        "left": float(jnp.median(left)),
    }


def _closed(points: Float[np.ndarray, "n 3"]) -> float:
    """Return the fraction of the bowl's opening, apart from its border, that points are over."""
    bowl = open_surfaces.BOWL
    over = points[bowl.is_over_opening(points, BORDER)] - bowl.centre
    if not len(over):
        return 0.0
    rng = np.random.default_rng(0)
    # The radii make the spots uniform over the disc.
    radius = (bowl.rim_radius - BORDER) * np.sqrt(rng.uniform(size=CLOUD_POINTS))
    angle = rng.uniform(0.0, 2.0 * np.pi, CLOUD_POINTS)
    spots = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return float((cKDTree(over[:, :2]).query(spots)[0] < SPOT).mean())


def _module(config: Config) -> Any:
    """Return the module that makes the scene of a config."""
    return import_module(config["scene"]["name"].partition(":")[0])


def _true_distance(config: Config, scene: Scene) -> Distance:
    """Return the exact distance to the true surface in the normalised world."""
    return in_normalised_world(_module(config).distance, scene.transform)


def _surface(model: Model, config: Config) -> Surface | None:
    """Extract the surface of a model, None if there is none."""
    train = _module(config).load(None, "train", **_options(config))
    try:
        return extract_surface(model, train.cameras, RESOLUTION)
    except EmptySurfaceError:
        return None


def _options(config: Config) -> dict[str, Any]:
    """Return the arguments of the function that makes the scene of a config."""
    return {key: value for key, value in config["scene"].items() if key != "name"}


def _triangles(mesh: Mesh) -> set[bytes]:
    """Return the triangles of a mesh, each as the bytes of its corners in a fixed order."""
    corners = np.round(mesh.corners, 9)
    # Roll the least corner to the front: the orientation counts, the first corner does not.
    order = np.lexsort(np.moveaxis(corners, -1, 0)[::-1], axis=-1)[:, 0]
    turned = (np.arange(3) + order[:, None]) % 3
    return {one.tobytes() for one in np.take_along_axis(corners, turned[..., None], 1)}


def _truth(
    config: Config, scene: Scene, view: int
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w 3"]]:
    """Return the true depth of each pixel of a view, inf for a miss, and its true normal.

    Args:
      config: the config of the scene.
      scene: the test views.
      view: number of the view.
    """
    camera, world = scene.cameras[view], scene.transform
    height, width = scene.images[view].shape[:2]
    count = height * width
    rays = pixels_to_rays(repeat_camera(camera, count), pixel_centres(camera, 0, count))
    origins = world.points_back(np.asarray(rays.origins, np.float64))
    directions = np.asarray(rays.directions, np.float64) @ world.rotation
    hits = _module(config).trace(origins, directions)
    normals = hits.normal @ world.rotation.T
    return world.scale * hits.t.reshape(height, width), normals.reshape(height, width, 3)


def _random_points() -> Float[np.ndarray, "n 3"]:
    """Return random points of the box."""
    return np.random.default_rng(0).uniform(-1.0, 1.0, (RANDOM_POINTS, 3))


def _values(model: Model, points: Float[np.ndarray, "n 3"]) -> dict[str, Array]:
    """Return the quantities of a model's field at points of the box."""
    graph, state = nnx.split(model)
    where = jnp.asarray(points, jnp.float32)
    ahead = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), where.shape)

    @jax.jit
    def evaluate(state: nnx.State) -> dict[str, Array]:
        model = nnx.merge(graph, state)
        return evaluate_field(model, last_field(model), Samples(where, ahead))

    return evaluate(state)
