"""Whole images from a trained model, in chunks of bounded memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from nerf.cameras import Cameras, pixels_to_rays
from nerf.errors import UserError
from nerf.model import Model


class RenderingError(UserError, RuntimeError):
    """A picture that is not a picture; the message is one line."""


def make_render_view(
    model: Model, background: Sequence[float], chunk: int = 4096
) -> Callable[[Cameras], dict[str, np.ndarray]]:
    """A function from one camera (no leading axes) to its picture.

    The picture is a dict of float32 arrays: `rgb` (h, w, 3), `opacity` (h, w), `depth` (h, w) in units of the
    normalised world, 0 where nothing is hit, and every extra quantity of the field. `chunk` rays are rendered at once,
    so the memory for rendering does not depend on the size of the image. Raises RenderingError where a colour is not
    finite.
    """
    graph, state = nnx.split(model)
    colour = jnp.asarray(background, jnp.float32)

    def render_view(camera: Cameras) -> dict[str, np.ndarray]:
        width, height = (int(n) for n in camera.size)
        camera = jax.tree.map(jnp.asarray, camera)
        starts = range(0, width * height, chunk)
        parts = jax.device_get([_render_chunk(graph, chunk, state, colour, camera, start) for start in starts])
        whole = jax.tree.map(lambda *x: np.concatenate(x)[: width * height], *parts)
        if not np.isfinite(whole["rgb"]).all():
            raise RenderingError(
                "a rendered colour is not finite: the parameters are broken, use an earlier checkpoint"
            )
        return jax.tree.map(lambda x: x.reshape(height, width, *x.shape[1:]), whole)

    return render_view


@partial(jax.jit, static_argnums=(0, 1))
def _render_chunk(graph: nnx.GraphDef, chunk: int, state, colour, camera: Cameras, start) -> dict[str, Any]:
    width = camera.size[0]
    index = start + jnp.arange(chunk)
    pixels = jnp.stack([index % width, index // width], -1) + 0.5
    cameras = jax.tree.map(lambda x: jnp.broadcast_to(x, (chunk, *x.shape)), camera)
    background = jnp.broadcast_to(colour, (chunk, 3))
    rendering = nnx.merge(graph, state)(pixels_to_rays(cameras, pixels), background)[-1]
    return {"rgb": rendering.rgb, "opacity": rendering.opacity, "depth": rendering.depth, **rendering.extras}


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
