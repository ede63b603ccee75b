"""Numbers besides PSNR: each a function (model, config, test scene) -> named numbers, which an arm may ask for."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from nerf.cameras.cameras import Cameras
from nerf.evaluation import metrics
from nerf.foundation.instantiate import build
from nerf.output.video_rendering import resized
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model
from nerf.scenes import Scene, to_unit, toybox
from nerf.scenes.images import over

Config = Mapping[str, Any]
ENLARGED = 4  # times, of a picture
VIEWS = 4  # of the held-out ones, where a few say enough


def _renderer(model: Model, config: Config) -> Callable[[Cameras], dict[str, np.ndarray]]:
    return make_render_image(model, config["background"], config["chunk"])


def _truth(image: np.ndarray, config: Config) -> np.ndarray:
    return np.asarray(over(np.asarray(to_unit(image)), np.asarray(config["background"], np.float32)))


def by_size(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Mean PSNR of the views of each size, "psnr_16" and so on."""
    render = _renderer(model, config)
    found: dict[str, list[float]] = {}
    for i, image in enumerate(scene.images):
        score = metrics.psnr(render(scene.cameras[i])["rgb"], _truth(image, config))
        found.setdefault(f"psnr_{image.shape[0]}", []).append(score)
    return {name: float(np.mean(scores)) for name, scores in found.items()}


def other_sizes(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """What PSNR changes by where the same model renders views of 32 and 128 pixels a side instead of 64."""
    section = {**config["scene"], "sizes": (32, 64, 128), "held_out": VIEWS}
    found = by_size(model, config, build(section, root=None, split="test"))
    return {f"psnr_{size}_less_64": found[f"psnr_{size}"] - found["psnr_64"] for size in (32, 128)}


def silhouette(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Intersection over union of rendered opacity above 1/2 with true coverage above 1/2."""
    render = _renderer(model, config)
    found = []
    for i, image in enumerate(scene.images[:VIEWS]):
        mine, true = render(scene.cameras[i])["opacity"] > 0.5, image[..., 3] > 127
        found.append((mine & true).sum() / max((mine | true).sum(), 1))
    return {"silhouette_iou": float(np.mean(found))}


def normals(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Median angle, in degrees, of the density's gradient on the toybox's ball to the true normal."""
    field: Any = model.stages[-1].field
    spots = np.random.default_rng(0).normal(size=(2000, 3))
    spots /= np.linalg.norm(spots, axis=-1, keepdims=True)
    ball = toybox.BALL
    points = ball.centre + ball.radius * spots
    others = np.min([solid.distance(points) for solid in toybox.SOLIDS[1:]], 0)
    kept = (others > 0.1) & (spots[:, 2] > -0.3)  # seen by the cameras
    where = jnp.asarray(scene.transform.points(points[kept]), jnp.float32)
    gradient = jax.jit(jax.vmap(jax.grad(lambda p: jnp.log(field.density(p[None])[0] + 1e-6))))(where)
    outward = -np.asarray(gradient) @ scene.transform.rotation
    cosine = (outward * spots[kept]).sum(-1) / np.maximum(np.linalg.norm(outward, axis=-1), 1e-12)
    return {"normal_degrees": float(np.median(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))))}


def fine_error(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Energy of the error above a quarter of the Nyquist frequency, as a part of the pictures' energy there."""
    render = _renderer(model, config)
    wrong, whole = 0.0, 0.0
    for i, image in enumerate(scene.images[:VIEWS]):
        true = _truth(image, config)
        for picture, add in ((render(scene.cameras[i])["rgb"] - true, True), (true, False)):
            power = np.abs(np.fft.fft2(picture, axes=(0, 1))) ** 2
            y, x = np.meshgrid(*(np.fft.fftfreq(n) for n in picture.shape[:2]), indexing="ij")
            high = power[np.hypot(x, y) > 0.125].sum()
            wrong, whole = (wrong + high, whole) if add else (wrong, whole + high)
    return {"fine_error": float(wrong / whole)}


def enlarged(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """PSNR of a picture rendered four times as large, and of the bicubic enlargement of the pixels it learned from.

    The true large picture is the drawing itself at that size; the outermost pixels, where bicubic has no neighbours,
    do not count.
    """
    section = dict(config["scene"])
    source = dict(section["source"])
    large = build({**source, "size": source["size"] * ENLARGED}) / 255.0
    train = build(section, root=None, split="train")
    mine = _renderer(model, config)(resized(train.cameras[0], float(ENLARGED)))["rgb"]
    known = Image.fromarray(np.ascontiguousarray(train.images[0][::2, ::2]))
    # A known pixel lies at the centre of the first of every two: a quarter of a pair before their middle.
    side = known.width
    box = (0.25, 0.25, side, side)
    factor = 2 * ENLARGED
    wide = round((side - 0.25) * factor)
    bicubic = np.asarray(known.resize((wide, wide), Image.Resampling.BICUBIC, box)) / 255.0
    inner = slice(2 * factor, wide - 2 * factor)
    ours, theirs = (metrics.psnr(picture[inner, inner], large[inner, inner]) for picture in (mine, bicubic))
    return {"psnr_enlarged": ours, "psnr_bicubic": theirs, "enlarged_over_bicubic": ours - theirs}


def lattice(model: Model, config: Config, scene: Scene) -> dict[str, float]:
    """Milliseconds for the densities of all points of a lattice of 64^3 and of 128^3, the best of several."""
    field: Any = model.stages[-1].field
    graph, state = nnx.split(field)
    found = {}
    for side, calls in ((64, 5), (128, 2)):
        axes = [jnp.linspace(-1.0, 1.0, side)] * 3
        evaluate = jax.jit(lambda state, axes: nnx.merge(graph, state).density_on_lattice(axes))
        jax.block_until_ready(evaluate(state, axes))
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            jax.block_until_ready(evaluate(state, axes))
            times.append(time.perf_counter() - began)
        found[f"lattice_{side}_ms"] = 1e3 * min(times)
    return found
