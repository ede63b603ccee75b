"""The pixels of a scene on the device, and picking rays among them inside the jitted step."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from nerf.cameras import Cameras, Rays, pixels_to_rays
from nerf.pytrees import pytree
from nerf.scenes import Problem, Scene, SceneError


@pytree
class Pixels:
    """All pixels of a scene, flat on the device, so that images of different sizes need no padding.

    Attributes:
      values: sRGB, and straight alpha where the scene has it, as stored.
      starts: index of each image's first pixel.
      pool: indices of the pixels worth picking.
      cameras: one an image.
    """

    values: UInt8[Array, "p c"]
    starts: Int[Array, " n"]
    pool: Int[Array, " k"]
    cameras: Cameras


def to_device(scene: Scene, margin: int = 4) -> Pixels:
    """Put a scene's pixels on the device; the pool leaves out what is transparent and over `margin` from matter.

    Such pixels are background in every view and say nothing that the pixels near silhouettes do not.
    """
    values = np.concatenate([image.reshape(-1, image.shape[-1]) for image in scene.images])
    sizes = [image.shape[0] * image.shape[1] for image in scene.images]
    if len(values) >= 2**31:
        raise SceneError([Problem("scene", "", f"{len(values)} pixels", "lower --config.scene.max_side")])
    if scene.has_alpha:
        near = np.concatenate([_dilate(image[..., 3] > 0, margin).reshape(-1) for image in scene.images])
        pool = np.flatnonzero(near).astype(np.int32)
    else:
        pool = np.arange(len(values), dtype=np.int32)
    starts = np.cumsum([0, *sizes[:-1]]).astype(np.int32)
    cameras = jax.tree.map(jnp.asarray, scene.cameras)
    return Pixels(jnp.asarray(values), jnp.asarray(starts), jnp.asarray(pool), cameras)


def _dilate(mask: Bool[np.ndarray, "h w"], margin: int) -> Bool[np.ndarray, "h w"]:
    """True within `margin` pixels (in each axis) of a True pixel."""
    for axis in (0, 1):
        padded = np.pad(mask, [(margin, margin) if a == axis else (0, 0) for a in (0, 1)])
        total = np.cumsum(np.insert(padded, 0, False, axis), axis)
        n = mask.shape[axis]
        mask = np.take(total, range(2 * margin + 1, 2 * margin + 1 + n), axis) > np.take(total, range(n), axis)
    return mask


def pick(pixels: Pixels, key: PRNGKeyArray, count: int) -> tuple[Rays, Float[Array, "b c"]]:
    """Rays through `count` pixels drawn evenly from the pool, and their colours in [0, 1]."""
    chosen = pixels.pool[jax.random.randint(key, (count,), 0, pixels.pool.shape[0])]
    image = jnp.searchsorted(pixels.starts, chosen, side="right") - 1
    cameras = pixels.cameras[image]
    offset = chosen - pixels.starts[image]
    width = cameras.size[..., 0]
    centres = jnp.stack([offset % width, offset // width], -1) + 0.5
    return pixels_to_rays(cameras, centres), pixels.values[chosen] / 255.0


def over(
    rgba: Float[Array | np.ndarray, "*b c"], background: Float[Array | np.ndarray, "*#b 3"]
) -> Float[Array | np.ndarray, "*b 3"]:
    """Straight-alpha sRGB over a background, composited in sRGB as a rendering is; opaque colours as they are."""
    if rgba.shape[-1] == 3:
        return rgba
    return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:]) * background
