"""Fine-tune splats until their pictures are those of the field, by gradient descent.

Everything about a splat changes: its place in units of its own size, its sizes, its rotation,
opacity and colour. No splats are added or split, as they begin on the surfaces already.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from nerf.cameras.cameras import Cameras
from nerf.foundation.progress import Meter
from nerf.splats.blending import TILE
from nerf.splats.rasterizer import MAX_TILES, Tiles, find_tiles, render_tiles
from nerf.splats.splats import Splats
from nerf.splats.targets import View

# Adam's learning rates. Places are in units of each splat's size, sizes are logarithms, and
# opacities are logits.
RATES = {"place": 0.06, "size": 0.04, "turn": 0.01, "opacity": 0.1, "base": 0.04, "rest": 0.008}
BETAS = (0.9, 0.99)
CONSTANT = 0.3  # fraction of the steps during which the rates are constant; then they fall to 0
STEPS = 1000  # each on up to MAX_TILES tiles of a picture
MAX_SECONDS = 75.0  # on slow computers, which take fewer steps
OPACITIES = (0.01, 0.99)  # limits of the opacities at the start


def fine_tune(
    splats: Splats,
    views: Sequence[View],
    background: Float[np.ndarray, "3"],
    rng: np.random.Generator,
) -> Splats:
    """Return splats that show pictures better than the given ones.

    Args:
      splats: where to begin.
      views: pictures and their cameras, in the world of the splats.
      background: sRGB behind the splats.
      rng: chooses the order of the views.
    """
    begin = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), splats)
    size = jnp.sqrt(begin.scales[:, :1] * begin.scales[:, 1:2])
    free = to_free(begin)
    state = OPTIMIZER.init(free)
    start = time.monotonic()
    colour = jnp.asarray(background, jnp.float32)
    with Meter("fine-tuning", "step", STEPS) as meter:
        while meter.done < STEPS:
            view = views[int(rng.integers(len(views)))]
            current = jax.device_get(from_free(free, begin.means, size))
            camera = jax.tree.map(jnp.asarray, view.camera)
            for tiles in find_tiles(current, view.camera):
                # A slow computer takes fewer steps, whose rates fall as they do over all steps.
                done = max(meter.done / STEPS, (time.monotonic() - start) / MAX_SECONDS)
                rate = jnp.float32(min(1.0, (1.0 - done) / (1.0 - CONSTANT)))
                if rate <= 0.0:
                    meter.add(STEPS - meter.done)
                    break
                target, weight = _cut(view.picture, tiles)
                arrays = (tiles, target, weight, colour, rate)
                free, state = _step(free, state, begin.means, size, camera, *arrays)
                if not meter.done:
                    start = time.monotonic()  # the first step compiles
                meter.add()
    return jax.device_get(from_free(free, begin.means, size))


def to_free(splats: Splats) -> dict[str, Array]:
    """Return the numbers that gradient descent changes, which may have any values."""
    opacity = jnp.clip(splats.opacities, *OPACITIES)
    harmonics = jnp.asarray(splats.harmonics)
    return {
        "place": jnp.zeros_like(splats.means),
        "size": jnp.log(splats.scales),
        "turn": jnp.asarray(splats.quaternions),
        "opacity": jnp.log(opacity / (1.0 - opacity)),
        "base": harmonics[:, :1],
        "rest": harmonics[:, 1:],
    }


def from_free(
    free: dict[str, Array], means: Float[Array, "n 3"], size: Float[Array, "n 1"]
) -> Splats:
    """Return the splats of `to_free`'s numbers.

    Args:
      free: the numbers.
      means: centres at the start.
      size: unit of the change of the centre of each splat.
    """
    length = jnp.linalg.norm(free["turn"], axis=-1, keepdims=True)
    return Splats(
        means + size * free["place"],
        jnp.exp(free["size"]),
        free["turn"] / jnp.maximum(length, 1e-12),
        jax.nn.sigmoid(free["opacity"]),
        jnp.concatenate([free["base"], free["rest"]], 1),
    )


def _optimizer() -> optax.GradientTransformation:
    adam = {name: optax.adam(rate, *BETAS, eps=1e-15) for name, rate in RATES.items()}
    return optax.multi_transform(adam, {name: name for name in RATES})


OPTIMIZER = _optimizer()


@partial(jax.jit, donate_argnums=(0, 1))
def _step(
    free: dict[str, Array],
    state: PyTree,
    means: Float[Array, "n 3"],
    size: Float[Array, "n 1"],
    camera: Cameras,
    tiles: Tiles,
    target: Float[Array, "t s s 3"],
    weight: Float[Array, "t s s"],
    background: Float[Array, "3"],
    rate: Float[Array, ""],
) -> tuple[dict[str, Array], Any]:
    """Take a step towards a smaller squared error of some tiles.

    Splats outside of the tiles keep their places and their moments: by its momentum Adam would move
    them for several steps more, and each is in a few of a hundred tiles only.
    """

    def loss(free: dict[str, Array]) -> Float[Array, ""]:
        shown = render_tiles(from_free(free, means, size), camera, tiles, background)
        error = (jnp.square(shown - target) * weight[..., None]).sum()
        return error / (MAX_TILES * TILE * TILE)

    slope = jax.grad(loss)(free)
    updates, after = OPTIMIZER.update(slope, state)
    seen = jnp.any(jnp.stack([jnp.any(x, axis=tuple(range(1, x.ndim))) for x in slope.values()]), 0)

    def where_seen(new: Array, old: Array | float) -> Array:
        if not new.ndim:
            return new  # the number of steps
        return jnp.where(seen.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    free = jax.tree.map(lambda x, change: where_seen(x + rate * change, x), free, updates)
    return free, jax.tree.map(where_seen, after, state)


def _cut(
    picture: Float[np.ndarray, "h w 3"], tiles: Tiles
) -> tuple[Float[np.ndarray, "t s s 3"], Float[np.ndarray, "t s s"]]:
    """Cut tiles out of a picture, and return which of their pixels lie in it."""
    height, width = picture.shape[:2]
    rows = tiles.corners[:, 1, None, None] + np.arange(TILE)[None, :, None]
    columns = tiles.corners[:, 0, None, None] + np.arange(TILE)[None, None, :]
    covered = np.asarray(tiles.used.any(-1))
    inside = (rows < height) & (columns < width) & covered[:, None, None]
    cut = picture[np.minimum(rows, height - 1), np.minimum(columns, width - 1)]
    return cut.astype(np.float32), inside.astype(np.float32)
