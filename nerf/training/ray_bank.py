"""Pixels of a scene, on the device or in the host's memory, and sampling rays among them.

Which pixels a step samples depends on the seed and the step alone, not on where the pixels are
stored.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Real

from nerf.cameras.cameras import Cameras, Rays, pixels_to_rays
from nerf.foundation.pytrees import pytree
from nerf.scenes import Problem, Scene, SceneError, to_unit
from nerf.scenes.storage import allocate
from nerf.training.memory import memory_of_device

EDGE = 16  # part of the shorter side of an image that is at an edge; wider than the grid's cells


@pytree
class RayBank:
    """All pixels of a scene on the device, flat, so that images of different sizes need no padding.

    Attributes:
      values: sRGB, and straight alpha if the scene has it, in the scene's number type, (p, c).
      starts: index of each image's first pixel, (n,).
      pool: indices of the pixels to sample from, (k,).
      cameras: one camera per image.
      maps: the scene's maps by name, (p) or (p, c), without "mask", which decides the pool.
    """

    values: Real[Array, "p c"]
    starts: Int[Array, " n"]
    pool: Int[Array, " k"]
    cameras: Cameras
    maps: dict[str, Array] = dataclasses.field(default_factory=dict)

    def at_step(self, number: Int[Array, ""]) -> "RayBank":
        """Return the pixels for one step of a call: all of them."""
        return self


def to_device(scene: Scene, margin: int = 4) -> RayBank:
    """Put a scene's pixels on the device.

    The pool excludes masked pixels, and transparent pixels more than `margin` pixels from matter.
    Those carry no information that transparent pixels near silhouettes do not, apart from those at
    the edges of an image that cuts the object off: cells beside it, of which the image shows a
    part, are in the visual hull, and no other pixel may say that they are empty.
    """
    maps = {name: _flat(arrays) for name, arrays in _supervision(scene).items()}
    arrays = (_flat(scene.images), _starts(scene), _pool(scene, margin), scene.cameras, maps)
    return RayBank(*jax.tree.map(jnp.asarray, arrays))


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the pixels of all views, (h, w, ...) each, in one array (p, ...)."""
    return np.concatenate([array.reshape(-1, *array.shape[2:]) for array in arrays])


def _supervision(scene: Scene) -> dict[str, Sequence[np.ndarray]]:
    """Return the maps that losses may use: all but the mask."""
    return {name: arrays for name, arrays in scene.maps.items() if name != "mask"}


def _starts(scene: Scene) -> Int[np.ndarray, " n"]:
    """Return the index of each image's first pixel in the flat array."""
    sizes = [image.shape[0] * image.shape[1] for image in scene.images]
    # Pixel indices are int32.
    if sum(sizes) >= 2**31:
        problem = Problem("scene", "", f"{sum(sizes)} pixels", "lower --config.scene.max_side")
        raise SceneError([problem])
    return np.cumsum([0, *sizes[:-1]]).astype(np.int32)


def _pool(scene: Scene, margin: int) -> Int[np.ndarray, " k"]:
    """Return the indices of the pixels to sample from, in memory or in a file as pixels are."""
    count = sum(image.shape[0] * image.shape[1] for image in scene.images)
    pool, filled = allocate(4 * count).view(np.int32), 0
    for i, (start, image) in enumerate(zip(_starts(scene), scene.images, strict=True)):
        usable = np.ones(image.shape[:2], bool)
        if scene.has_alpha:
            matter = image[..., 3] > 0
            usable = _dilate(matter, margin)
            if (matter & _edges(matter.shape, 1)).any():
                usable |= _edges(matter.shape, max(min(matter.shape) // EDGE, 1))
        if "mask" in scene.maps:
            usable = usable & scene.maps["mask"][i]
        chosen = np.flatnonzero(usable)
        pool[filled : filled + len(chosen)] = chosen + start
        filled += len(chosen)
    if not filled:
        fix = "check its masks and alpha channels"
        raise SceneError([Problem("scene", "", "no pixel to learn from", fix)])
    return pool[:filled]


def _edges(shape: tuple[int, int], width: int) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of an image are less than `width` pixels from an edge."""
    edges = np.ones(shape, bool)
    edges[width:-width, width:-width] = False
    return edges


def _dilate(mask: Bool[np.ndarray, "h w"], margin: int) -> Bool[np.ndarray, "h w"]:
    """Dilate a mask by `margin` pixels along each axis."""
    for axis in (0, 1):
        # A pixel is True if a window of 2 margin + 1 pixels around it contains a True pixel. The
        # number of these is a difference of cumulative sums.
        padded = np.pad(mask, [(margin, margin) if a == axis else (0, 0) for a in (0, 1)])
        total = np.cumsum(np.insert(padded, 0, False, axis), axis)
        n = mask.shape[axis]
        after = np.take(total, range(2 * margin + 1, 2 * margin + 1 + n), axis)
        mask = after > np.take(total, range(n), axis)
    return mask


@pytree
class RayBatch:
    """Sampled pixels: of one step (leading axis b) or of each step of a call (axes k b).

    Attributes:
      image: index of the image of each pixel.
      offset: index of the pixel in its image, row-major.
      values: sRGB and perhaps alpha, as in `RayBank`.
      cameras: one camera per image, not per pixel.
      maps: as in `RayBank`, of each pixel.
    """

    image: Int[Array | np.ndarray, "*k b"]
    offset: Int[Array | np.ndarray, "*k b"]
    values: Real[Array | np.ndarray, "*k b c"]
    cameras: Cameras
    maps: Mapping[str, Array | np.ndarray] = dataclasses.field(default_factory=dict)

    def at_step(self, number: Int[Array, ""]) -> "RayBatch":
        """Return the pixels of one step of a call."""
        maps = {name: values[number] for name, values in self.maps.items()}
        return RayBatch(
            self.image[number], self.offset[number], self.values[number], self.cameras, maps
        )

    def rays(self) -> tuple[Rays, Float[Array, "b c"], dict[str, Array]]:
        """Return the rays through a step's pixels, their colours in [0, 1], and their maps."""
        cameras = self.cameras[self.image]
        width = cameras.size[..., 0]
        # Pixel centres are at +0.5.
        centres = jnp.stack([self.offset % width, self.offset // width], -1) + 0.5
        image, values, maps = jax.tree.map(jnp.asarray, (self.image, self.values, self.maps))
        return pixels_to_rays(cameras, centres, image), jnp.asarray(to_unit(values)), maps


class StepKeys(NamedTuple):
    """The random keys of one training step, one for each purpose."""

    pixels: PRNGKeyArray
    background: PRNGKeyArray
    rays: PRNGKeyArray
    occupancy: PRNGKeyArray


def step_keys(seed: int | Int[Array, ""], step: Int[Array, ""]) -> StepKeys:
    """Return the random keys of a training step, from the run's seed and the number of the step."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step), len(StepKeys._fields))
    return StepKeys(*keys)


def _draw(
    key: PRNGKeyArray,
    count: int,
    size: int,
    views: int | None = None,
    firsts: Int[Array, " n"] | None = None,
) -> Int[Array, " b"]:
    """Draw `count` indices into a pool of `size` pixels.

    Args:
      key: random key.
      count: number of pixels b.
      size: number of pixels of the pool.
      views: number of images that they come from, at most, each drawn as often as it has pixels;
        the pixels of one draw are neighbours in the result. None: all images.
      firsts: with `views`, the index in the pool of each image's first pixel.
    """
    if views is None or firsts is None:
        return jax.random.randint(key, (count,), 0, size)
    of_views, of_pixels = jax.random.split(key)
    drawn = jax.random.randint(of_views, (views,), 0, size)
    image = jnp.searchsorted(firsts, drawn, side="right") - 1
    image = image[jnp.arange(count) * views // count]
    ends = jnp.append(firsts, size)[1:]
    return jax.random.randint(of_pixels, (count,), firsts[image], ends[image])


def sample_rays(
    pixels: RayBank | RayBatch, key: PRNGKeyArray, count: int, views: int | None = None
) -> tuple[Rays, Float[Array, "b c"], dict[str, Array]]:
    """Sample rays through pixels drawn uniformly from the pool.

    Args:
      pixels: all pixels, or a batch sampled before, which is used as it is.
      key: random key for the pixels.
      count: number of rays b.
      views: number of images that the rays of a step come from, at most; None: all.

    Returns:
      (rays, values, maps) as from `RayBatch.rays`.
    """
    batch = pixels if isinstance(pixels, RayBatch) else _pick(pixels, key, count, views)
    # The barrier makes the following code compile equally for both kinds of pixels, so that the
    # trained parameters do not depend on where the pixels are stored.
    return jax.lax.optimization_barrier(batch).rays()


def _pick(pixels: RayBank, key: PRNGKeyArray, count: int, views: int | None) -> RayBatch:
    """Draw pixels from the pool."""
    firsts = None if views is None else jnp.searchsorted(pixels.pool, pixels.starts)
    chosen = pixels.pool[_draw(key, count, pixels.pool.shape[0], views, firsts)]
    # The image of a pixel is the last one that starts at or before it.
    image = jnp.searchsorted(pixels.starts, chosen, side="right") - 1
    maps = {name: values[chosen] for name, values in pixels.maps.items()}
    offset = chosen - pixels.starts[image]
    return RayBatch(image, offset, pixels.values[chosen], pixels.cameras, maps)


def make_loader(
    scene: Scene,
    seed: int,
    batch_size: int,
    steps: int,
    device_memory: float | None,
    everywhere: Callable[[Any], Any],
    views: int | None = None,
) -> Callable[[int], RayBank | RayBatch]:
    """Build the data loader `pixels_at(step)`.

    It returns the pixel data of the training steps that begin at `step`: the complete scene if it
    takes at most half of the device's memory, and otherwise the pixels of these steps, sampled in
    the host's memory. The sampled pixels are the same.

    Args:
      scene: the training views.
      seed: seed of the run.
      batch_size: number of rays per step.
      steps: number of steps per call.
      device_memory: memory of the device in bytes; None asks the device.
      everywhere: puts arrays on the devices.
      views: see `sample_rays`.

    Returns:
      `pixels_at`.
    """
    # Bytes per pixel: four channels at most, an index in the pool, and maps.
    firsts = [arrays[0] for arrays in _supervision(scene).values()]
    of_maps = sum(x.itemsize * math.prod(x.shape[2:]) for x in firsts)
    each = 4 * scene.images[0].itemsize + 4 + of_maps
    needed = each * sum(image.shape[0] * image.shape[1] for image in scene.images)
    if needed <= 0.5 * (memory_of_device() if device_memory is None else device_memory):
        pixels = everywhere(to_device(scene))
        return lambda step: pixels
    host = HostRayBank(scene, seed, batch_size, steps, views=views)
    return lambda step: everywhere(host(step))


def _host_device() -> jax.Device | None:
    """Return a device of the host, where work does not queue behind a training step.

    It is None, which is JAX's default device, if JAX was told to use no CPU.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


class HostRayBank:
    """Pixels of a scene that stay in the host's memory or in its files.

    Called with the first step of a call, it returns the pixels that `sample_rays` would sample in
    each step of the call. A thread samples those of the next call ahead of time.

    Args:
      scene: the training views.
      seed: seed of the run.
      batch_size: number of rays per step.
      steps: number of steps per call.
      margin: see `to_device`.
      views: see `sample_rays`.
    """

    def __init__(
        self,
        scene: Scene,
        seed: int,
        batch_size: int,
        steps: int,
        margin: int = 4,
        views: int | None = None,
    ):
        self.scene, self.steps = scene, steps
        self.starts, self.pool = _starts(scene), _pool(scene, margin)
        firsts = jnp.asarray(np.searchsorted(self.pool, self.starts), jnp.int32)

        def draw(step: Int[Array, ""]) -> Int[Array, " b"]:
            key = step_keys(seed, step).pixels
            return _draw(key, batch_size, len(self.pool), views, firsts)

        self.draw, self.host = jax.jit(jax.vmap(draw)), _host_device()
        self.worker = ThreadPoolExecutor(1, "pixels")
        self.ahead: dict[int, Future] = {}

    def __call__(self, step: int) -> RayBatch:
        """Return the pixels of the call that begins at `step`, and start sampling the next ones."""
        now = self.ahead.pop(step, None) or self.worker.submit(self._pick, step)
        following = step + self.steps
        self.ahead = {following: self.worker.submit(self._pick, following)}
        return now.result()

    def _pick(self, step: int) -> RayBatch:
        """Sample the pixels of each step of a call, (k, b)."""
        with jax.default_device(self.host):
            drawn = np.asarray(self.draw(step + np.arange(self.steps)))
        chosen = self.pool[drawn]
        image = np.searchsorted(self.starts, chosen, side="right") - 1
        offset = chosen - self.starts[image]
        # Group the pixels by image, so that each image is read once.
        order = np.argsort(image, axis=None, kind="stable")
        ends = np.searchsorted(image.reshape(-1)[order], np.arange(1, len(self.starts)))
        of_image = np.split(order, ends)
        values = self._gather(self.scene.images, offset, of_image)
        maps = {
            name: self._gather(arrays, offset, of_image)
            for name, arrays in _supervision(self.scene).items()
        }
        image, offset = image.astype(np.int32), offset.astype(np.int32)
        return RayBatch(image, offset, values, self.scene.cameras, maps)

    @staticmethod
    def _gather(
        images: Sequence[np.ndarray], offset: Int[np.ndarray, "k b"], of_image: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Read the sampled pixels of images or of maps.

        Args:
          images: arrays (h, w, ...) of each image.
          offset: index of each pixel in its image, row-major.
          of_image: for each image, the positions of its pixels in the flattened `offset`.

        Returns:
          The values, (k, b, ...).
        """
        values = np.empty((offset.size, *images[0].shape[2:]), images[0].dtype)
        for pixels, places in zip(images, of_image, strict=True):
            y, x = np.divmod(offset.reshape(-1)[places], pixels.shape[1])
            values[places] = pixels[y, x]
        return values.reshape(*offset.shape, *values.shape[1:])
