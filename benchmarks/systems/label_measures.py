"""Metrics of rendered classes and objects: functions (model, config, test scene) -> named numbers.

They are intersections over unions, mean over the classes, from the pixels of all views together.
The scene is `LABELLED`, with `nerf.scenes.weak_labels` for classes and with
`nerf.scenes.permuted_instances` for objects.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, UInt16
from scipy.ndimage import gaussian_filter

from benchmarks.systems.claims import ROOT
from benchmarks.systems.measures import Config
from nerf.evaluation import instances, labels
from nerf.foundation.instantiate import build
from nerf.networks.relu import ReLU
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model
from nerf.scenes import Scene, to_unit

LABELLED = "data/tabletop"
TRUE = {"views": None, "clicks": None, "noise": 0.0, "coarse": 1}
BLURS = (2.0, 8.0)  # standard deviations in pixels of the blurred colours that the labeller reads
LABELLER = ReLU(width=64, depth=3)
BATCH, STEPS, RATE = 4096, 3000, 3e-3
PIXELS_AT_ONCE = 2**14


def classes(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Score the rendered classes.

    Args:
      model: the trained model, with a field of `nerf.fields.labelled`.
      config: its config.
      scene: the test views.

    Returns: "miou".
    """
    render = make_render_image(model, config["background"], config["chunk"])
    shown = [render(scene.cameras[i])["labels"] for i in range(len(scene))]
    return {"miou": _miou(shown, scene)}


def objects(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Score the rendered objects, with one matching with the true ones for all views.

    Args:
      model: the trained model, with a field of `nerf.fields.instances`.
      config: its config.
      scene: the test views.

    Returns: "objects_iou", and "objects_missing", the number of true objects less that of found
    ones.
    """
    render = make_render_image(model, config["background"], config["chunk"])
    shown = [render(scene.cameras[i])["instances"] for i in range(len(scene))]
    counts = [instances.count_pixels(picture, scene, i) for i, picture in enumerate(shown)]
    found = instances.summary(
        [x for x in counts if x is not None], instances.find_objects(model, scene.cameras)
    )
    return {"objects_iou": found["iou"], "objects_missing": found["true"] - len(found["objects"])}


def classes_over_given(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Score the weak labels of the training views as if they were rendered, and the gain over them.

    Args:
      model: the trained model, with a field of `nerf.fields.labelled`.
      config: its config.
      scene: the test views.

    Returns: "miou_given", of the pixels that have labels, and "miou_gain", that of the rendered
    classes of the test views less this.
    """
    weak, true = _training_views(config), _training_views(config, TRUE)
    given = weak.maps["labels"]
    pairs = zip(given, true.maps["labels"], strict=True)
    where_given = [np.where(mine > 0, theirs, 0).astype(np.uint16) for mine, theirs in pairs]
    own = _miou(given, dataclasses.replace(true, maps={**true.maps, "labels": where_given}))
    return {"miou_given": own, "miou_gain": classes(model, config, scene)["miou"] - own}


def classes_in_2d(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Score a labeller that learns from the same labels and knows no geometry.

    It classifies each pixel from its colour, the blurred colours around it and its position.

    Args:
      model: not used.
      config: its config.
      scene: the test views.

    Returns: "miou_2d".
    """
    training = _training_views(config)
    known = [given > 0 for given in training.maps["labels"]]
    inputs = np.concatenate([_seen(x)[k] for x, k in zip(training.images, known, strict=True)])
    numbers = np.array([each.number + 1 for each in training.classes], np.uint16)
    given = [x[k] for x, k in zip(training.maps["labels"], known, strict=True)]
    indices = np.searchsorted(numbers, np.concatenate(given))
    classify = _fit(inputs, indices, len(numbers))
    shown = []
    for image in scene.images:
        pixels = _seen(image)
        rows = pixels.reshape(-1, pixels.shape[-1])
        parts = [rows[i : i + PIXELS_AT_ONCE] for i in range(0, len(rows), PIXELS_AT_ONCE)]
        found = np.concatenate([np.asarray(classify(jnp.asarray(part))) for part in parts])
        shown.append(numbers[found].reshape(image.shape[:2]))
    return {"miou_2d": _miou(shown, scene)}


def _training_views(config: Config, changes: Config | None = None) -> Scene:
    """Return the training views, whose labels may be weakened in another way."""
    return build({**config["scene"], **(changes or {})}, root=ROOT / LABELLED, split="train")


def _miou(shown: Sequence[UInt16[np.ndarray, "h w"]], scene: Scene) -> float:
    """Return the mean intersection over union of all views together."""
    counts = [labels.confusion(picture, scene, i) for i, picture in enumerate(shown)]
    score = labels.summary([x for x in counts if x is not None], scene.classes)["miou"]
    return float("nan") if score is None else score


def _seen(image: Any) -> Float32[np.ndarray, "h w i"]:
    """Return what the labeller reads of each pixel: colours, blurred colours and position."""
    colour = to_unit(image)
    height, width = colour.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    blurred = [gaussian_filter(colour, (sigma, sigma, 0)) for sigma in BLURS]
    return np.concatenate([colour, *blurred, x[..., None], y[..., None]], -1).astype(np.float32)


def _fit(
    inputs: Float32[np.ndarray, "n i"], classes: Int[np.ndarray, " n"], count: int
) -> Callable[[Float[Array, "m i"]], Int[Array, " m"]]:
    """Return a classifier that is trained on pixels.

    Args:
      inputs: what it reads of each pixel.
      classes: index of the class of each pixel.
      count: number of classes.
    """
    graph, params = nnx.split(LABELLER(inputs.shape[-1], count, rngs=nnx.Rngs(0)))
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))
    given, wanted = jnp.asarray(inputs), jnp.asarray(classes)

    def step(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], None]:
        params, moments = carry
        rows = jax.random.randint(key, (BATCH,), 0, len(given))

        def loss(params: Any) -> Array:
            logits = nnx.merge(graph, params)(given[rows])
            return optax.softmax_cross_entropy_with_integer_labels(logits, wanted[rows]).mean()

        update, moments = optimizer.update(jax.grad(loss)(params), moments, params)
        return (optax.apply_updates(params, update), moments), None

    start = params, optimizer.init(params)
    keys = jax.random.split(jax.random.key(0), STEPS)
    (params, _), _ = jax.jit(lambda start: jax.lax.scan(step, start, keys))(start)
    network = nnx.merge(graph, params)
    return jax.jit(lambda pixels: jnp.argmax(network(pixels), -1))
