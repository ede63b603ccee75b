"""Score single objects: find them, and match them with the true ones."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt16
from scipy.optimize import linear_sum_assignment

from nerf.cameras.cameras import Cameras, pixels_to_rays
from nerf.evaluation.matrix_nms import matrix_nms
from nerf.rendering.model import Model, last_field
from nerf.scenes import Scene

Counts = Mapping[tuple[int, int], int]  # pixels by the numbers of the true and the shown object

PER_VIEW = {
    "instance_iou": (
        "intersection over union of each true object of the view with the shown object that is "
        "matched with it in this view, mean over true objects, mean over images; pixels of unknown "
        "object do not count"
    )
}
OF_ALL_VIEWS = {
    "instances": (
        "iou from the pixels of all images together, with one matching for all of them, which "
        "supposes that an object has the same true number in all of them; objects are those that "
        "Matrix NMS (2003.10152) leaves, with the mean of their masks"
    )
}
NONE = 0  # number of pixels without an object
FOUND = 0.5  # least score of an object that counts as found
SPOTS, CHUNK = 2**14, 2**12  # pixels in which masks are compared, and of one call


def count_pixels(shown: UInt16[np.ndarray, "h w"], scene: Scene, view: int) -> Counts | None:
    """Count the pixels of each true object that show each object.

    Args:
      shown: 1 + the number of the object in each pixel.
      scene: its instance maps are the truth; pixels outside of its masks do not count.
      view: number of the view.

    Returns:
      The counts; None if the scene has no instance maps.
    """
    if "instances" not in scene.maps:
        return None
    true = scene.maps["instances"][view]
    known = scene.counted(true > 0, view)
    pairs = np.stack([true[known], shown[known]], -1).astype(int) - 1
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    return {(int(t), int(s)): int(n) for (t, s), n in zip(found, counts, strict=True)}


def matched(counts: Counts) -> dict[int, float]:
    """Return the intersection over union of each true object with the shown one matched with it.

    The matching has the largest sum. A true object without a match has 0.
    """
    true = sorted({t for t, _ in counts} - {NONE})
    shown = sorted({s for _, s in counts} - {NONE})
    table = np.zeros((len(true), len(shown)))
    of_true = {t: sum(n for (a, _), n in counts.items() if a == t) for t in true}
    of_shown = {s: sum(n for (_, b), n in counts.items() if b == s) for s in shown}
    for i, t in enumerate(true):
        for j, s in enumerate(shown):
            both = counts.get((t, s), 0)
            table[i, j] = both / (of_true[t] + of_shown[s] - both)
    found = dict.fromkeys(true, 0.0)
    for i, j in zip(*linear_sum_assignment(-table), strict=True):
        found[true[i]] = float(table[i, j])
    return found


def mean_iou(counts: Counts) -> float | None:
    """Return the mean intersection over union, None without a true object."""
    return float(np.mean(list(found.values()))) if (found := matched(counts)) else None


def summary(counts: Sequence[Counts], objects: Mapping[int, float]) -> dict[str, Any]:
    """Return the scores of all views together.

    Args:
      counts: of each view.
      objects: score of each object that was found, by its number.

    Returns:
      "iou", None where nothing is known; "true", the number of true objects; and "objects", as
      given.
    """
    total: dict[tuple[int, int], int] = {}
    for one in counts:
        for pair, n in one.items():
            total[pair] = total.get(pair, 0) + n
    return {
        "iou": mean_iou(total),
        "true": len({t for t, _ in total} - {NONE}),
        "objects": {str(number): round(score, 3) for number, score in objects.items()},
    }


def find_objects(model: Model, cameras: Cameras) -> dict[int, float]:
    """Return the objects that a model shows, with their scores after Matrix NMS.

    Masks are compared in random pixels of all views. The score of a mask is its mean where it is
    above 1/2 (2003.10152, section 3.3).

    Args:
      model: its last field is `nerf.fields.instances:Instances`.
      cameras: the views.
    """
    graph, state = nnx.split(model)
    chunks = jax.random.split(jax.random.key(0), SPOTS // CHUNK)
    seen = [_masks(graph, state, cameras, key) for key in chunks]
    masks = np.concatenate(seen).astype(np.float64).T
    inside = masks > 0.5
    means = (masks * inside).sum(1) / np.maximum(inside.sum(1), 1)
    kept = matrix_nms(inside, means)
    return {1 + int(i): float(kept[i]) for i in np.flatnonzero(kept >= FOUND)}


@partial(jax.jit, static_argnums=0)
def _masks(
    graph: nnx.GraphDef, state: PyTree, cameras: Cameras, key: PRNGKeyArray
) -> Float[Array, "n k"]:
    """Return the masks in random pixels of random views."""
    model: Any = nnx.merge(graph, state)
    of_view, of_pixel = jax.random.split(key)
    view = jax.random.randint(of_view, (CHUNK,), 0, cameras.size.shape[0])
    mine = cameras[view]
    rays = pixels_to_rays(mine, jax.random.uniform(of_pixel, (CHUNK, 2)) * mine.size)
    rendering = model(rays, jnp.zeros((CHUNK, 3)))[-1]
    scores = last_field(model).of_ray(rendering.extras["objects"], rendering.opacity)
    return jax.nn.sigmoid(scores[:, 1:])
