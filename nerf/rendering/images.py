"""Whole images from a trained model, in chunks of bounded memory."""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from nerf.cameras.cameras import Cameras, pixel_centres, pixels_to_rays, repeat_camera
from nerf.foundation.devices import data_mesh, sizes_of
from nerf.foundation.errors import UserError
from nerf.rendering.antialiasing import AVERAGED, smooth_edges
from nerf.rendering.compositing import Rendering
from nerf.rendering.model import Model, last_field

MAX_IN_FLIGHT = 4  # chunks submitted to the device and not fetched yet
POLL_SECONDS = 0.002  # between two checks of whether a chunk is done
MAX_PADDING = 0.1  # part of an image's rays that may be added to fill its last chunk
MIN_CHUNK = 2**11  # rays; smaller chunks of small images are not worth a call
DENSE_CHUNK = 2**12  # rays of a model that evaluates its field at every sample


class RenderingError(UserError, RuntimeError):
    """A rendered image is not valid; the message is one line."""


class RenderingStopped(Exception):
    """Rendering was stopped in the middle of an image."""


def make_render_image(
    model: Model,
    background: Sequence[float],
    chunk: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_share: Callable[[float], None] = lambda share: None,
) -> Callable[[Cameras], dict[str, np.ndarray]]:
    """Build `render_image(camera)`, which renders the image of one camera.

    `camera` has no leading axes. The image is a dict of float32 arrays: `rgb` (h, w, 3), `opacity`
    (h, w), `depth` (h, w) in units of the normalised world, 0 where nothing is hit, and every extra
    quantity of the field. `render_image` raises RenderingError if a colour is not finite, and
    RenderingStopped soon after `should_stop` returns True.

    Args:
      model: the trained model.
      background: sRGB behind transparent rays, three numbers in [0, 1].
      chunk: largest number of rays rendered at once on each of this process's devices, see
        `rays_per_chunk`; memory does not depend on the size of the image.
      should_stop: polled while an image is rendered.
      on_share: called after each chunk with the share of the image that is rendered, in (0, 1].

    Returns:
      `render_image`.
    """
    graph, state = nnx.split(model)
    colour = jnp.asarray(background, jnp.float32)
    mesh, rays = data_mesh(jax.local_devices()), rays_per_chunk(model, chunk)
    if mesh.size > 1:
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    return _Renderer(graph, mesh, state, colour, rays, model.edge_rays, should_stop, on_share)


def rays_per_chunk(model: Model, chunk: int | None) -> int:
    """Return the largest number of rays to render at once on a device.

    Args:
      model: the trained model.
      chunk: this number as a config has it; None: by the device.
    """
    return chunk or (DENSE_CHUNK if model.occupancy is None else sizes_of().chunk)


@dataclasses.dataclass(frozen=True)
class _Renderer:
    """Renders images in chunks; see `make_render_image`, which explains the attributes."""

    graph: nnx.GraphDef
    mesh: Mesh
    state: PyTree
    colour: Float[Array, "3"]
    chunk: int
    edge_rays: int
    should_stop: Callable[[], bool]
    on_share: Callable[[float], None]

    def __call__(self, camera: Cameras) -> dict[str, np.ndarray]:
        width, height = (int(n) for n in camera.size)
        camera = jax.tree.map(jnp.asarray, camera)
        chunk = fitting_chunk(-(-width * height // self.mesh.size), self.chunk) * self.mesh.size
        starts = range(0, width * height, chunk)
        submitted = (
            _render_chunk(self.graph, self.mesh, chunk, self.state, self.colour, camera, start)
            for start in starts
        )
        # The last chunk extends past the image: cut it off.
        flat = {
            name: values[: width * height]
            for name, values in self._joined(submitted, len(starts), 0).items()
        }
        image = {name: x.reshape(height, width, *x.shape[1:]) for name, x in flat.items()}
        if self.edge_rays > 1:
            image = smooth_edges(image, self.edge_rays, partial(self._render_places, camera))
        check_colours(image["rgb"])
        return image

    def _render_places(
        self, camera: Cameras, places: Float[np.ndarray, "m 2"]
    ) -> dict[str, np.ndarray]:
        """Return the colour and the opacity at image positions, as the second half of an image."""
        # All chunks have one size, so that they are compiled once; there may be no positions.
        chunk = self.chunk * self.mesh.size
        starts = range(0, max(len(places), 1), chunk)
        padded = np.zeros((len(starts) * chunk, 2), np.float32)
        padded[: len(places)] = places
        submitted = (
            _render_edges(
                self.graph, self.mesh, self.state, self.colour, camera, padded[i : i + chunk]
            )
            for i in starts
        )
        joined = self._joined(submitted, len(starts), 1)
        return {name: values[: len(places)] for name, values in joined.items()}

    def _joined(
        self, submitted: Iterable[dict[str, Any]], chunks: int, half: int
    ) -> dict[str, np.ndarray]:
        """Fetch and join chunks.

        Args:
          submitted: the chunks.
          chunks: their number.
          half: with antialiasing, 0 for the first half of an image and 1 for the second.
        """
        parts = []
        for part in _fetch_in_order(submitted, self.should_stop):
            parts.append(_flat(part, self.mesh))
            share = len(parts) / chunks
            self.on_share(0.5 * (half + share) if self.edge_rays > 1 else share)
        return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def fitting_chunk(rays: int, chunk: int) -> int:
    """Return the largest size of chunks that pads an image by little.

    There are few sizes, so that images of many sizes share the compiled programs.

    Args:
      rays: number of rays of the image.
      chunk: the largest size, which is halved at most down to `MIN_CHUNK`.
    """
    size = chunk
    while size % 2 == 0 and size > MIN_CHUNK and -rays % size > MAX_PADDING * rays:
        size //= 2
    return size


def check_colours(rgb: Float[np.ndarray, "h w 3"]) -> None:
    """Raise RenderingError if a rendered colour is not finite."""
    if not np.isfinite(rgb).all():
        raise RenderingError(
            "a rendered colour is not finite: the parameters are broken: "
            "render an earlier checkpoint with --step"
        )


def _fetch_in_order(
    chunks: Iterable[dict[str, Any]], should_stop: Callable[[], bool]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield chunks of an image as numpy arrays, while the device computes the next ones.

    Several chunks are in flight, so that the device never waits for Python. Their number is
    limited, so that a stop does not wait for the complete image.
    """
    waiting = deque[dict[str, Any]]()
    for chunk in chunks:
        waiting.append(chunk)
        if len(waiting) == MAX_IN_FLIGHT:
            yield fetch(waiting.popleft(), should_stop)
    while waiting:
        yield fetch(waiting.popleft(), should_stop)


def fetch(tree: PyTree, should_stop: Callable[[], bool]) -> Any:
    """Wait for device arrays and return them as numpy arrays.

    Raises:
      RenderingStopped: if `should_stop` returns True before all arrays are ready.
    """
    while True:
        if should_stop():
            raise RenderingStopped
        if all(leaf.is_ready() for leaf in jax.tree.leaves(tree)):
            return jax.device_get(tree)
        time.sleep(POLL_SECONDS)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _render_chunk(
    graph: nnx.GraphDef,
    mesh: Mesh,
    chunk: int,
    state: PyTree,
    colour: Float[Array, "3"],
    camera: Cameras,
    start: int | Int[Array, ""],
) -> dict[str, Any]:
    """Render pixels `start` to `start + chunk` (row-major) of one camera; see `_render_shares`."""
    places = pixel_centres(camera, start, chunk)
    return _render_shares(graph, mesh, state, colour, camera, places)


@partial(jax.jit, static_argnums=(0, 1))
def _render_edges(
    graph: nnx.GraphDef,
    mesh: Mesh,
    state: PyTree,
    colour: Float[Array, "3"],
    camera: Cameras,
    places: Float[Array, "m 2"],
) -> dict[str, Any]:
    """Render the colour and the opacity at image positions (x, y) of one camera."""
    rendered = _render_shares(graph, mesh, state, colour, camera, places)
    return {name: rendered[name] for name in AVERAGED}


def _render_shares(
    graph: nnx.GraphDef,
    mesh: Mesh,
    state: PyTree,
    colour: Float[Array, "3"],
    camera: Cameras,
    places: Float[Array, "m 2"],
) -> dict[str, Any]:
    """Render image positions on n devices, which take turns position by position.

    Neighbours cost about the same, so no device waits long for the others.

    Returns:
      Arrays (m / n, n, ...), which `_flat` brings into the order of the positions on the host; of
      one device (m, ...).
    """
    if mesh.size == 1:
        return render_places(graph, state, colour, camera, places)
    same, split = PartitionSpec(), PartitionSpec(None, "data")

    def share(
        state: PyTree, colour: Float[Array, "3"], camera: Cameras, places: Float[Array, "k 1 2"]
    ) -> dict[str, Any]:
        rendered = render_places(graph, state, colour, camera, places[:, 0])
        return jax.tree.map(lambda x: x[:, None], rendered)

    render = jax.shard_map(
        share, mesh=mesh, in_specs=(same, same, same, split), out_specs=split, check_vma=False
    )
    return render(state, colour, camera, places.reshape(-1, mesh.size, 2))


def _flat(part: dict[str, np.ndarray], mesh: Mesh) -> dict[str, np.ndarray]:
    """Return the arrays that `_render_shares` made, with the positions as their first axis."""
    if mesh.size == 1:
        return part
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in part.items()}


@partial(jax.jit, static_argnums=0)
def render_places(
    graph: nnx.GraphDef,
    state: PyTree,
    colour: Float[Array, "3"],
    camera: Cameras,
    places: Float[Array, "m 2"],
) -> dict[str, Any]:
    """Render image positions of one camera.

    Args:
      graph: the model's static part.
      state: the model's arrays.
      colour: sRGB behind transparent rays.
      camera: without leading axes.
      places: positions (x, y) in pixels.

    Returns:
      "rgb", "opacity", "depth" and every extra quantity of the field, with the leading axis m.
    """
    # One camera per ray, as `pixels_to_rays` expects.
    rays = pixels_to_rays(repeat_camera(camera, places.shape[0]), places)
    background = jnp.broadcast_to(colour, (places.shape[0], 3))
    model = nnx.merge(graph, state)
    rendering: Rendering = model(rays, background)[-1]
    picture = getattr(last_field(model), "picture", None)
    return {
        "rgb": rendering.rgb,
        "opacity": rendering.opacity,
        "depth": rendering.depth,
        **(picture(rendering.extras, rendering.opacity) if picture else rendering.extras),
    }


def colour_depth(
    depth: Float[np.ndarray, "h w"],
    opacity: Float[np.ndarray, "h w"],
    limits: tuple[float, float] | None = None,
) -> Float[np.ndarray, "h w 3"]:
    """Colour a depth image: near is bright, far is dark, empty pixels are black.

    Args:
      depth: distance along each pixel's ray.
      opacity: opacity of each pixel; pixels of at most 1/2 are empty.
      limits: depths of the brightest and the darkest colour; None takes the 2nd and the 98th
        percentile over the pixels that are not empty.

    Returns:
      sRGB in [0, 1].
    """
    import matplotlib

    there = opacity > 0.5
    if limits is None:
        limits = depth_limits(depth, opacity)
    scaled = (depth - limits[0]) / max(limits[1] - limits[0], 1e-9)
    colours = matplotlib.colormaps["inferno"](0.95 - 0.85 * np.clip(scaled, 0.0, 1.0))[..., :3]
    return np.where(there[..., None], colours, 0.0)


def depth_limits(
    depth: Float[np.ndarray, "h w"], opacity: Float[np.ndarray, "h w"]
) -> tuple[float, float]:
    """Return the 2nd and the 98th percentile of the depth of the pixels that are not empty."""
    there = depth[opacity > 0.5]
    if not there.size:
        return 0.0, 1.0
    near, far = np.percentile(there, [2, 98])
    return float(near), float(far)


def colour_normals(normals: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Colour unit normals as sRGB (n + 1) / 2; zeros, which are no normals, are black."""
    return np.where(np.abs(normals).max(-1, keepdims=True) > 0.0, 0.5 * (normals + 1.0), 0.0)
