"""Metrics in addition to PSNR: functions (model, config, test scene) -> named numbers."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from PIL import Image

from nerf.cameras.cameras import Cameras
from nerf.evaluation import metrics
from nerf.fields import Samples
from nerf.foundation.instantiate import build
from nerf.output.video_rendering import resized
from nerf.rendering.images import make_render_image
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import Model, last_field
from nerf.scenes import Scene, toybox
from nerf.scenes.images import on_background

Config = Mapping[str, Any]
ENLARGEMENT = 4  # size of an enlarged picture, in sizes of the original
MAX_VIEWS = 4  # held-out views used by expensive metrics


def _renderer(model: Model, config: Config) -> Callable[[Cameras], dict[str, np.ndarray]]:
    return make_render_image(model, config["background"], config["chunk"])


def by_size(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the mean PSNR of the views of each size, as "psnr_16" and so on.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views, of several sizes.
    """
    render = _renderer(model, config)
    found: dict[str, list[float]] = {}
    for i, image in enumerate(scene.images):
        score = metrics.psnr(
            render(scene.cameras[i])["rgb"], on_background(image, config["background"])
        )
        found.setdefault(f"psnr_{image.shape[0]}", []).append(score)
    return {name: float(np.mean(scores)) for name, scores in found.items()}


def other_sizes(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the change in PSNR at 32 and 128 pixels per side against 64.

    Args:
      model: the trained model.
      config: its config, whose scene can be built at other sizes.
      scene: the test views; not used.
    """
    section = {**config["scene"], "sizes": (32, 64, 128), "held_out": MAX_VIEWS}
    found = by_size(model, config, build(section, root=None, split="test"))
    return {f"psnr_{size}_less_64": found[f"psnr_{size}"] - found["psnr_64"] for size in (32, 128)}


def silhouette(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the intersection over union of rendered and true silhouettes.

    A pixel is inside if its opacity, or its true alpha, is above 1/2.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views, with alpha.
    """
    render = _renderer(model, config)
    found = []
    for i, image in enumerate(scene.images[:MAX_VIEWS]):
        mine, true = render(scene.cameras[i])["opacity"] > 0.5, image[..., 3] > 127
        found.append((mine & true).sum() / max((mine | true).sum(), 1))
    return {"silhouette_iou": float(np.mean(found))}


def normals(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the median angle between density gradient and true normal on the toybox's ball.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views, for the transform of the world.

    Returns: "normal_degrees".
    """
    # Random points on the ball, without those close to other solids or below the cameras' view.
    field = last_field(model)
    spots = np.random.default_rng(0).normal(size=(2000, 3))
    spots /= np.linalg.norm(spots, axis=-1, keepdims=True)
    ball = toybox.BALL
    points = ball.centre + ball.radius * spots
    others = np.min([solid.distance(points) for solid in toybox.SOLIDS[1:]], 0)
    kept = (others > 0.1) & (spots[:, 2] > -0.3)
    # The gradient of the density points inwards. Rotate it from the box to the file's world.
    where = jnp.asarray(scene.transform.points(points[kept]), jnp.float32)

    def log_density(point: Float[Array, "3"]) -> Float[Array, ""]:
        quantities = evaluate_field(model, field, Samples(point[None], jnp.eye(3)[2:]))
        return jnp.log(model.geometry.density(quantities)[0] + 1e-6)

    gradient = jax.jit(jax.vmap(jax.grad(log_density)))(where)
    outward = -np.asarray(gradient) @ scene.transform.rotation
    cosine = (outward * spots[kept]).sum(-1) / np.maximum(np.linalg.norm(outward, axis=-1), 1e-12)
    return {"normal_degrees": float(np.median(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))))}


def fine_error(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the energy of the error at high frequencies, relative to that of the pictures.

    High frequencies are those above a quarter of the Nyquist frequency.

    Args:
      model: the trained model.
      config: its config.
      scene: the test views.
    """
    render = _renderer(model, config)
    wrong, whole = 0.0, 0.0
    for i, image in enumerate(scene.images[:MAX_VIEWS]):
        true = on_background(image, config["background"])
        for picture, add in ((render(scene.cameras[i])["rgb"] - true, True), (true, False)):
            # Spectral power of the picture, summed over frequencies above 1/8 cycle per pixel.
            power = np.abs(np.fft.fft2(picture, axes=(0, 1))) ** 2
            y, x = np.meshgrid(*(np.fft.fftfreq(n) for n in picture.shape[:2]), indexing="ij")
            high = power[np.hypot(x, y) > 0.125].sum()
            wrong, whole = (wrong + high, whole) if add else (wrong, whole + high)
    return {"fine_error": float(wrong / whole)}


def enlarged(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Compute the PSNR of a picture rendered four times as large, and of bicubic enlargement.

    The bicubic enlargement uses the training pixels. The ground truth is the drawing at the large
    size. The outermost pixels, for which bicubic interpolation lacks neighbours, are excluded.

    Args:
      model: the trained model.
      config: its config, with the drawing as the source of its scene.
      scene: the test pixels; not used.

    Returns: "psnr_enlarged", "psnr_bicubic" and their difference "enlarged_over_bicubic".
    """
    section = dict(config["scene"])
    source = dict(section["source"])
    large = build({**source, "size": source["size"] * ENLARGEMENT}) / 255.0
    train = build(section, root=None, split="train")
    mine = _renderer(model, config)(resized(train.cameras[0], float(ENLARGEMENT)))["rgb"]
    known = Image.fromarray(np.ascontiguousarray(train.images[0][::2, ::2]))
    # Each known pixel is the first of a pair: its centre is 1/4 of a pair before the pair's middle.
    side = known.width
    box = (0.25, 0.25, side, side)
    factor = 2 * ENLARGEMENT
    wide = round((side - 0.25) * factor)
    bicubic = np.asarray(known.resize((wide, wide), Image.Resampling.BICUBIC, box)) / 255.0
    # Leave out two known pixels at each border.
    inner = slice(2 * factor, wide - 2 * factor)
    ours, theirs = (
        metrics.psnr(picture[inner, inner], large[inner, inner]) for picture in (mine, bicubic)
    )
    return {"psnr_enlarged": ours, "psnr_bicubic": theirs, "enlarged_over_bicubic": ours - theirs}


def lattice(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Time the densities of all points of lattices of 64^3 and 128^3, in milliseconds.

    Args:
      model: the trained model.
      config: its config; not used.
      scene: the test views; not used.

    Returns: the shortest time of several, "lattice_64_ms" and "lattice_128_ms".
    """
    field: Any = model.stages[-1].field
    graph, state = nnx.split(field)
    found = {}
    for side, calls in ((64, 5), (128, 2)):
        axes = [jnp.linspace(-1.0, 1.0, side)] * 3
        evaluate = jax.jit(lambda state, axes: nnx.merge(graph, state).on_lattice(axes)["density"])
        jax.block_until_ready(evaluate(state, axes))  # compile before timing
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            jax.block_until_ready(evaluate(state, axes))
            times.append(time.perf_counter() - began)
        found[f"lattice_{side}_ms"] = 1e3 * min(times)
    return found
