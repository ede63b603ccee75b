"""Whole images from a trained model, in chunks of bounded memory."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from nerf.cameras.cameras import Cameras, pixels_to_rays
from nerf.foundation.errors import UserError
from nerf.rendering.model import Model

T = TypeVar("T")
IN_FLIGHT = 4  # chunks that are computed or wait to be
POLL = 0.002  # seconds between looks at whether a chunk is done


class RenderingError(UserError, RuntimeError):
    """A picture that is not a picture; the message is one line."""


class RenderingStopped(Exception):
    """Rendering was asked to stop in the middle of a picture."""


def make_render_image(
    model: Model,
    background: Sequence[float],
    chunk: int = 4096,
    should_stop: Callable[[], bool] = lambda: False,
) -> Callable[[Cameras], dict[str, np.ndarray]]:
    """Make a function from one camera (no leading axes) to its picture.

    The picture is a dict of float32 arrays: `rgb` (h, w, 3), `opacity` (h, w), `depth` (h, w) in units of the
    normalised world, 0 where nothing is hit, and every extra quantity of the field. The function raises RenderingError
    where a colour is not finite, and RenderingStopped soon after `should_stop` is true.

    Args:
      model: with its trained values.
      background: sRGB behind what is transparent.
      chunk: rays rendered at once; the memory for rendering does not depend on the size of the image.
      should_stop: asked while a picture is rendered.
    """
    graph, state = nnx.split(model)
    colour = jnp.asarray(background, jnp.float32)

    def render_image(camera: Cameras) -> dict[str, np.ndarray]:
        width, height = (int(n) for n in camera.size)
        camera = jax.tree.map(jnp.asarray, camera)
        starts = range(0, width * height, chunk)
        parts, waiting = [], deque[dict[str, jax.Array]]()
        # A few chunks are in flight, so that the device never waits for Python, and no more, so that a stop need not
        # wait for the whole picture.
        for start in starts:
            waiting.append(_render_chunk(graph, chunk, state, colour, camera, start))
            if len(waiting) == IN_FLIGHT:
                parts.append(fetch(waiting.popleft(), should_stop))
        parts += [fetch(one, should_stop) for one in waiting]
        whole = jax.tree.map(lambda *x: np.concatenate(x)[: width * height], *parts)
        if not np.isfinite(whole["rgb"]).all():
            raise RenderingError(
                "a rendered colour is not finite: the parameters are broken: render an earlier checkpoint with --step"
            )
        return jax.tree.map(lambda x: x.reshape(height, width, *x.shape[1:]), whole)

    return render_image


def fetch(tree: T, should_stop: Callable[[], bool]) -> T:
    """Return arrays that are being computed as numpy arrays. Raises RenderingStopped when a stop is asked for."""
    while True:
        if should_stop():
            raise RenderingStopped
        if all(leaf.is_ready() for leaf in jax.tree.leaves(tree)):
            return jax.device_get(tree)
        time.sleep(POLL)


@partial(jax.jit, static_argnums=(0, 1))
def _render_chunk(
    graph: nnx.GraphDef, chunk: int, state, colour, camera: Cameras, start
) -> dict[str, Any]:
    width = camera.size[0]
    index = start + jnp.arange(chunk)
    pixels = jnp.stack([index % width, index // width], -1) + 0.5
    cameras = jax.tree.map(lambda x: jnp.broadcast_to(x, (chunk, *x.shape)), camera)
    background = jnp.broadcast_to(colour, (chunk, 3))
    rendering = nnx.merge(graph, state)(pixels_to_rays(cameras, pixels), background)[-1]
    return {
        "rgb": rendering.rgb,
        "opacity": rendering.opacity,
        "depth": rendering.depth,
        **rendering.extras,
    }


def colour_depth(
    depth: Float[np.ndarray, "h w"],
    opacity: Float[np.ndarray, "h w"],
    limits: tuple[float, float] | None = None,
) -> Float[np.ndarray, "h w 3"]:
    """Depth as colour: near is bright, far is dark, black where there is nothing (opacity under 1/2).

    Between `limits`, by default the 2nd and 98th percentile of what is there.
    """
    import matplotlib

    there = opacity > 0.5
    if limits is None:
        limits = tuple(np.percentile(depth[there], [2, 98])) if there.any() else (0.0, 1.0)
    scaled = (depth - limits[0]) / max(limits[1] - limits[0], 1e-9)
    colours = matplotlib.colormaps["inferno"](0.95 - 0.85 * np.clip(scaled, 0.0, 1.0))[..., :3]
    return np.where(there[..., None], colours, 0.0)
