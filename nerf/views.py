"""Whole images from a trained model, in chunks of bounded memory."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from nerf.cameras import Cameras, pixels_to_rays
from nerf.model import Model


def make_render_view(
    model: Model, background: Sequence[float], chunk: int = 4096
) -> Callable[[Cameras], dict[str, np.ndarray]]:
    """A function from one camera (no leading axes) to its picture.

    The picture is a dict of float32 arrays: `rgb` (h, w, 3), `opacity` (h, w), `depth` (h, w) in units of the
    normalised world, 0 where nothing is hit, and every extra quantity of the field. `chunk` rays are rendered at once,
    so memory does not depend on the size of the image.
    """
    graph, state = nnx.split(model)
    colour = jnp.broadcast_to(jnp.asarray(background, jnp.float32), (chunk, 3))

    @jax.jit
    def render_chunk(state, camera: Cameras, start) -> dict[str, jax.Array]:
        width = camera.size[0]
        index = start + jnp.arange(chunk)
        pixels = jnp.stack([index % width, index // width], -1) + 0.5
        cameras = jax.tree.map(lambda x: jnp.broadcast_to(x, (chunk, *x.shape)), camera)
        rendering = nnx.merge(graph, state)(pixels_to_rays(cameras, pixels), colour)[-1]
        return {"rgb": rendering.rgb, "opacity": rendering.opacity, "depth": rendering.depth, **rendering.extras}

    def render_view(camera: Cameras) -> dict[str, np.ndarray]:
        width, height = (int(n) for n in camera.size)
        camera = jax.tree.map(jnp.asarray, camera)
        parts = [jax.device_get(render_chunk(state, camera, i)) for i in range(0, width * height, chunk)]
        whole = jax.tree.map(lambda *x: np.concatenate(x)[: width * height], *parts)
        return jax.tree.map(lambda x: x.reshape(height, width, *x.shape[1:]), whole)

    return render_view


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
