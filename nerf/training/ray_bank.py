"""The pixels of a scene, on the device or in the host's memory, and picking rays among them."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Real

from nerf.cameras.cameras import Cameras, Rays, pixels_to_rays
from nerf.foundation.pytrees import pytree
from nerf.scenes import Problem, Scene, SceneError, to_unit
from nerf.scenes.storage import allocate
from nerf.training.memory import memory_of_device


@pytree
class RayBank:
    """All pixels of a scene, flat on the device, so that images of different sizes need no padding.

    Attributes:
      values: sRGB, and straight alpha where the scene has it, as stored.
      starts: index of each image's first pixel.
      pool: indices of the pixels worth picking.
      cameras: one an image.
      depth: distance along the ray in world units, 0 where it is not known; None where the scene has none.
    """

    values: Real[Array, "p c"]
    starts: Int[Array, " n"]
    pool: Int[Array, " k"]
    cameras: Cameras
    depth: Float[Array, " p"] | None = None

    def at_step(self, number: Int[Array, ""]) -> "RayBank":
        """What a step of a call picks from: all of them."""
        return self


def to_device(scene: Scene, margin: int = 4) -> RayBank:
    """Put a scene's pixels on the device; the pool leaves out what is masked, or transparent and far from matter.

    Transparent pixels over `margin` from matter say nothing that those near silhouettes do not.
    """
    values = np.concatenate([image.reshape(-1, image.shape[-1]) for image in scene.images])
    depth = (
        None
        if scene.depths is None
        else np.concatenate([depth.reshape(-1) for depth in scene.depths])
    )
    arrays = jax.tree.map(
        jnp.asarray, (values, _starts(scene), _pool(scene, margin), scene.cameras, depth)
    )
    return RayBank(*arrays)


def _starts(scene: Scene) -> Int[np.ndarray, " n"]:
    """Index of each image's first pixel."""
    sizes = [image.shape[0] * image.shape[1] for image in scene.images]
    if sum(sizes) >= 2**31:
        raise SceneError(
            [Problem("scene", "", f"{sum(sizes)} pixels", "lower --config.scene.max_side")]
        )
    return np.cumsum([0, *sizes[:-1]]).astype(np.int32)


def _pool(scene: Scene, margin: int) -> Int[np.ndarray, " k"]:
    """Indices of the pixels worth picking, kept where pixels are."""
    count = sum(image.shape[0] * image.shape[1] for image in scene.images)
    pool, filled = allocate(4 * count).view(np.int32), 0
    for i, (start, image) in enumerate(zip(_starts(scene), scene.images, strict=True)):
        near = (
            _dilate(image[..., 3] > 0, margin)
            if scene.has_alpha
            else np.ones(image.shape[:2], bool)
        )
        chosen = np.flatnonzero(near if scene.masks is None else near & scene.masks[i])
        pool[filled : filled + len(chosen)] = chosen + start
        filled += len(chosen)
    if not filled:
        raise SceneError(
            [Problem("scene", "", "no pixel to learn from", "check its masks and alpha channels")]
        )
    return pool[:filled]


def _dilate(mask: Bool[np.ndarray, "h w"], margin: int) -> Bool[np.ndarray, "h w"]:
    """True within `margin` pixels (in each axis) of a True pixel."""
    for axis in (0, 1):
        padded = np.pad(mask, [(margin, margin) if a == axis else (0, 0) for a in (0, 1)])
        total = np.cumsum(np.insert(padded, 0, False, axis), axis)
        n = mask.shape[axis]
        mask = np.take(total, range(2 * margin + 1, 2 * margin + 1 + n), axis) > np.take(
            total, range(n), axis
        )
    return mask


@pytree
class RayBatch:
    """RayBank that were picked: for a step (leading axis b) or for each step of a call (k b).

    Attributes:
      image: which image each is of.
      offset: which of its pixels, in row-major order.
      values, depth: as in `RayBank`.
      cameras: one an image, not one a pixel.
    """

    image: Int[Array | np.ndarray, "*k b"]
    offset: Int[Array | np.ndarray, "*k b"]
    values: Real[Array | np.ndarray, "*k b c"]
    cameras: Cameras
    depth: Float[Array | np.ndarray, "*k b"] | None = None

    def at_step(self, number: Int[Array, ""]) -> "RayBatch":
        """Those of one step of a call."""
        depth = None if self.depth is None else self.depth[number]
        return RayBatch(
            self.image[number], self.offset[number], self.values[number], self.cameras, depth
        )

    def rays(self) -> tuple[Rays, Float[Array, "b c"], Float[Array, " b"] | None]:
        """Rays through the pixels of a step, their colours in [0, 1], and depth."""
        cameras = self.cameras[self.image]
        width = cameras.size[..., 0]
        centres = jnp.stack([self.offset % width, self.offset // width], -1) + 0.5
        image, values, depth = jax.tree.map(jnp.asarray, (self.image, self.values, self.depth))
        return pixels_to_rays(cameras, centres, image), jnp.asarray(to_unit(values)), depth


def step_keys(seed: int | Int[Array, ""], step: Int[Array, ""]) -> Key[Array, "4"]:
    """Keys of a step: for picking pixels, backgrounds, jitter along rays, and the occupancy grid."""
    return jax.random.split(jax.random.fold_in(jax.random.key(seed), step), 4)


def _draw(key: PRNGKeyArray, count: int, size: int) -> Int[Array, " b"]:
    """Places in a pool of a size: a function of the key alone, wherever the pixels are."""
    return jax.random.randint(key, (count,), 0, size)


def sample_rays(
    pixels: RayBank | RayBatch, key: PRNGKeyArray, count: int
) -> tuple[Rays, Float[Array, "b c"], Float[Array, " b"] | None]:
    """Rays through `count` pixels drawn evenly from the pool, or through those drawn before: see `RayBatch.rays`."""
    picked = pixels if isinstance(pixels, RayBatch) else _pick(pixels, key, count)
    # Compiled alike wherever the pixels come from, so that the parameters do not depend on it.
    return jax.lax.optimization_barrier(picked).rays()


def _pick(pixels: RayBank, key: PRNGKeyArray, count: int) -> RayBatch:
    chosen = pixels.pool[_draw(key, count, pixels.pool.shape[0])]
    image = jnp.searchsorted(pixels.starts, chosen, side="right") - 1
    depth = None if pixels.depth is None else pixels.depth[chosen]
    return RayBatch(
        image, chosen - pixels.starts[image], pixels.values[chosen], pixels.cameras, depth
    )


def make_loader(
    scene: Scene,
    seed: int,
    batch_size: int,
    steps: int,
    device_memory: float | None,
    everywhere: Callable[[Any], Any],
) -> Callable[[int], RayBank | RayBatch]:
    """A function that gives what a call of so many steps, from a step on, is to be called with.

    That is the whole scene, if it takes at most half of the device's memory (None: what there is), and otherwise what
    was picked for these steps in the host's memory. The pixels are the same. `everywhere` puts arrays on the devices.
    """
    each = (
        4 * scene.images[0].itemsize + 4 + (0 if scene.depths is None else 4)
    )  # with the pool, rounded up
    needed = each * sum(image.shape[0] * image.shape[1] for image in scene.images)
    if needed <= 0.5 * (memory_of_device() if device_memory is None else device_memory):
        pixels = everywhere(to_device(scene))
        return lambda step: pixels
    host = HostRayBank(scene, seed, batch_size, steps)
    return lambda step: everywhere(host(step))


class HostRayBank:
    """RayBank that stay in the host's memory, or in its files: picked there, for a call of the step ahead of time.

    Called with the first step of a call, it returns the pixels that `sample_rays` would, for each step of the call.
    """

    def __init__(self, scene: Scene, seed: int, batch_size: int, steps: int, margin: int = 4):
        self.scene, self.steps = scene, steps
        self.starts, self.pool = _starts(scene), _pool(scene, margin)
        size = len(self.pool)
        self.draw = jax.jit(
            jax.vmap(lambda step: _draw(step_keys(seed, step)[0], batch_size, size))
        )
        self.worker = ThreadPoolExecutor(1, "pixels")
        self.ahead: dict[int, Future] = {}

    def __call__(self, step: int) -> RayBatch:
        now = self.ahead.pop(step, None) or self.worker.submit(self._pick, step)
        following = step + self.steps
        self.ahead = {following: self.worker.submit(self._pick, following)}
        return now.result()

    def _pick(self, step: int) -> RayBatch:
        chosen = self.pool[np.asarray(self.draw(step + np.arange(self.steps)))]
        image = np.searchsorted(self.starts, chosen, side="right") - 1
        offset = chosen - self.starts[image]
        order = np.argsort(image, axis=None, kind="stable")
        of_image = np.split(
            order, np.searchsorted(image.reshape(-1)[order], np.arange(1, len(self.starts)))
        )
        values = self._gather(self.scene.images, offset, of_image)
        depth = (
            None if self.scene.depths is None else self._gather(self.scene.depths, offset, of_image)
        )
        return RayBatch(
            image.astype(np.int32), offset.astype(np.int32), values, self.scene.cameras, depth
        )

    @staticmethod
    def _gather(
        images: Sequence[np.ndarray], offset: Int[np.ndarray, "k b"], of_image
    ) -> np.ndarray:
        """The picked pixels of images (or of depths); `of_image` holds the places of each image's."""
        values = np.empty((offset.size, *images[0].shape[2:]), images[0].dtype)
        for pixels, places in zip(images, of_image, strict=True):
            y, x = np.divmod(offset.reshape(-1)[places], pixels.shape[1])
            values[places] = pixels[y, x]
        return values.reshape(*offset.shape, *values.shape[1:])
