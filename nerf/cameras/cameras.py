"""Cameras and rays: pixels to rays, points to pixels.

Contract. World and camera axes are OpenGL: +x right, +y up, a camera looks along -z; `c2w`: camera to world.
Pixel coordinates are (x, y) from the top left corner of the image, so that the centre of the first pixel is
(0.5, 0.5). Directions are unit length, so a distance `t` along a ray is in world units.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nerf.cameras.lenses import LENSES, ORTHOGRAPHIC, PERSPECTIVE
from nerf.foundation.pytrees import pytree

RIM_SAMPLES = 64  # pixels of each side of a picture by which `sees_whole_picture` judges


@pytree
class Cameras:
    """One or many cameras, `*n` leading axes, perhaps with different lenses.

    Attributes:
      c2w: camera-to-world, OpenGL axes; the rotation is orthonormal.
      K: intrinsics in pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]. The focal lengths of an equirectangular camera are
        in pixels per radian, and (cx, cy) looks along -z; those of an orthographic one in pixels per world unit.
      distortion: eight numbers whose meaning depends on the lens (`nerf.cameras.lenses`); zeros for none. PERSPECTIVE:
        OpenCV's k1 k2 p1 p2 k3 k4 k5 k6. FISHEYE: k1 k2 k3 k4 p1 p2 sx1 sy1.
      size: width and height in pixels.
      model: PERSPECTIVE, FISHEYE, EQUIRECTANGULAR or ORTHOGRAPHIC of `nerf.cameras.lenses`; by default the first.
      lenses: those that may be among `model`, which alone are compiled; found out by itself.
    """

    c2w: Float[Array | np.ndarray, "*n 3 4"]
    K: Float[Array | np.ndarray, "*n 3 3"]
    distortion: Float[Array | np.ndarray, "*n 8"]
    size: Int[Array | np.ndarray, "*n 2"]
    model: Int[Array | np.ndarray, "*n"] = dataclasses.field(default=cast(Any, None))
    lenses: tuple[int, ...] = dataclasses.field(default=(), metadata={"static": True})

    def __post_init__(self):
        model = (
            np.full(np.shape(self.size)[:-1], PERSPECTIVE, np.int32)
            if self.model is None
            else self.model
        )
        lenses = self.lenses or tuple(range(len(LENSES)))
        if not isinstance(model, jax.core.Tracer):  # else it is not known yet, but may have been
            lenses = tuple(int(lens) for lens in np.unique(np.asarray(model)))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "lenses", lenses)

    def __getitem__(self, index) -> "Cameras":
        """Index the leading axes of every array."""
        return jax.tree.map(
            lambda x: x[index] if isinstance(x, jax.Array) else np.asarray(x[index]), self
        )

    def __len__(self) -> int:
        return self.size.shape[0]

    @property
    def position(self) -> Float[Array | np.ndarray, "*n 3"]:
        """Camera centres in world units."""
        return self.c2w[..., 3]


@pytree
class Rays:
    """Rays with unit `directions`.

    Attributes:
      origins, directions: in world units.
      viewdirs: what a field's colour may depend on (equal to `directions` if unwarped).
      image: index of the training view each ray belongs to; -1, the default, for any other camera.
      radius: at unit distance, of the cone that a pixel sees; 0, the default, for a line.
    """

    origins: Float[Array, "*b 3"]
    directions: Float[Array, "*b 3"]
    viewdirs: Float[Array, "*b 3"]
    image: Int[Array, "*b"] = dataclasses.field(default=cast(Any, None))
    radius: Float[Array, "*b"] = dataclasses.field(default=cast(Any, None))

    def __post_init__(self):
        if self.image is None:
            object.__setattr__(self, "image", jnp.full(self.origins.shape[:-1], -1, jnp.int32))
        if self.radius is None:
            object.__setattr__(self, "radius", jnp.zeros(self.origins.shape[:-1]))


def join_cameras(some: Sequence[Cameras]) -> Cameras:
    """Return all cameras in one, in their order; their lenses may differ."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(cameras, name)) for cameras in some])

    # Not by a map over the trees: which lenses there are is part of their structure.
    return Cameras(
        joined("c2w"), joined("K"), joined("distortion"), joined("size"), joined("model")
    )


def intrinsics(fx, fy, cx, cy) -> np.ndarray:
    """K from focal lengths and principal point in pixels. Shapes: broadcast `*n` -> (*n, 3, 3)."""
    fx, fy, cx, cy = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (fx, fy, cx, cy)))
    zero, one = np.zeros_like(fx), np.ones_like(fx)
    rows = [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _each_lens(cameras: Cameras, function: str, where: Float[Array, "*b c"]):
    """What each camera's own lens makes of `where`. Lenses that no camera has are not computed."""
    distortion = jnp.asarray(cameras.distortion)
    if len(cameras.lenses) == 1:
        return getattr(LENSES[cameras.lenses[0]], function)(where, distortion)
    chosen = None
    for lens in cameras.lenses:
        mine = jnp.asarray(cameras.model) == lens
        # The numbers of another lens may be anything in this one, and would spoil the gradients from where they are.
        own = getattr(LENSES[lens], function)(where, jnp.where(mine[..., None], distortion, 0.0))
        chosen = own if chosen is None else jax.tree.map(partial(_where, mine), own, chosen)
    return chosen


def _where(mask: Bool[Array, "*b"], a: Array, b: Array) -> Array:
    return jnp.where(mask.reshape(*mask.shape, *[1] * (a.ndim - mask.ndim)), a, b)


def _focal(cameras: Cameras) -> Float[Array, "*n 2"]:
    return jnp.stack([cameras.K[..., 0, 0], cameras.K[..., 1, 1]], -1)


def _to_world(cameras: Cameras, local: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    return jnp.einsum("...ij,...j->...i", cameras.c2w[..., :3], local, precision="highest")


def pixels_to_rays(
    cameras: Cameras, pixels: Float[Array, "*b 2"], image: Int[Array, "*b"] | None = None
) -> Rays:
    """Rays through pixel positions. `cameras` and `pixels` share the leading axes `*b`; `image`: see `Rays`.

    The radius is 2 / sqrt(12) times a pixel's width, as undistorted, at unit distance, so that its disc has the
    variance of a square (mip-NeRF, 2103.13415, section 3.1). Pixels of an orthographic camera see no cones but lines.
    """
    plane = (pixels - cameras.K[..., :2, 2]) / _focal(cameras)
    world = _to_world(cameras, _each_lens(cameras, "direction", plane))
    norm = jnp.linalg.norm(world, axis=-1)
    directions = world / norm[..., None]
    origins = jnp.broadcast_to(cameras.position, directions.shape)
    radius = 2.0 / 12.0**0.5 / (jnp.sqrt(_focal(cameras).prod(-1)) * norm)
    if ORTHOGRAPHIC in cameras.lenses:
        beside = jnp.stack([plane[..., 0], -plane[..., 1], jnp.zeros_like(plane[..., 0])], -1)
        flat = (jnp.asarray(cameras.model) == ORTHOGRAPHIC)[..., None]
        origins = origins + jnp.where(flat, _to_world(cameras, beside), 0.0)
        radius = jnp.where(flat[..., 0], 0.0, radius)
    image = jnp.full(norm.shape, -1, jnp.int32) if image is None else image
    return Rays(origins, directions, directions, image, radius)


def project(
    cameras: Cameras, points: Float[Array, "*b 3"]
) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    """World points to pixel positions, and whether each is where the lens looks and inside the image."""
    local = jnp.einsum(
        "...ji,...j->...i", cameras.c2w[..., :3], points - cameras.position, precision="highest"
    )
    plane, seen = _each_lens(cameras, "image", local)
    pixels = plane * _focal(cameras) + cameras.K[..., :2, 2]
    inside = jnp.all((pixels >= 0) & (pixels <= cameras.size), axis=-1)
    return pixels, seen & inside


def axis_cosines(camera: Cameras) -> Float[np.ndarray, "h w"]:
    """Cosines of the angles between the rays of all pixels and the optical axis, of one camera (no leading axes)."""
    return _each_pixel(_cosine, camera)


def seen_pixels(camera: Cameras) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of one camera come from a direction.

    Those around the circle of a fisheye's picture do not, nor corners that a strong distortion
    cannot reach.
    """
    return _each_pixel(_comes_back, camera)


def sees_whole_picture(cameras: Cameras) -> Bool[np.ndarray, " n"]:
    """Return for each camera whether all pixels at the rim of its picture come from a direction.

    Then all of them do: what a lens cannot reach lies outside of what it can.
    """
    along = (np.linspace(0.0, 1.0, RIM_SAMPLES), np.linspace(0.0, 1.0, RIM_SAMPLES))
    zero, one = np.zeros(RIM_SAMPLES), np.ones(RIM_SAMPLES)
    rim = [(along[0], zero), (along[0], one), (zero, along[1]), (one, along[1])]
    places = np.concatenate([np.stack(side, -1) for side in rim])
    # Views mostly share few lenses, and one at a time, any number of them takes one compilation.
    numbers = (
        np.reshape(x, (len(cameras), -1))
        for x in (cameras.K, cameras.distortion, cameras.size, cameras.model)
    )
    _, firsts, lens = np.unique(
        np.concatenate([*numbers], -1), axis=0, return_index=True, return_inverse=True
    )
    pixels = [0.5 + places * (np.asarray(cameras.size[first]) - 1) for first in firsts]
    seen = [
        _all_come_back(cameras[first], np.float32(own))
        for first, own in zip(firsts, pixels, strict=True)
    ]
    return np.asarray(seen)[lens.reshape(-1)]


def _each_pixel(function: Callable[[Cameras, Array], Array], camera: Cameras) -> np.ndarray:
    """One number for every pixel of a camera; images of many sizes share few compiled functions."""
    width, height = (int(n) for n in camera.size)
    chunk = min(2 ** (width * height).bit_length(), 2**16)
    camera = jax.tree.map(jnp.asarray, camera)
    parts = [
        _chunk_of_pixels(function, chunk, camera, start)
        for start in range(0, width * height, chunk)
    ]
    return np.concatenate(jax.device_get(parts))[: width * height].reshape(height, width)


@partial(jax.jit, static_argnums=(0, 1))
def _chunk_of_pixels(function, chunk: int, camera: Cameras, start: Int[Array, ""]) -> Array:
    index = start + jnp.arange(chunk)
    pixels = jnp.stack([index % camera.size[0], index // camera.size[0]], -1) + 0.5
    return function(_repeat(camera, chunk), pixels)


def _repeat(camera: Cameras, count: int) -> Cameras:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), camera)


def _cosine(cameras: Cameras, pixels: Float[Array, "*b 2"]) -> Float[Array, "*b"]:
    return -(pixels_to_rays(cameras, pixels).directions * cameras.c2w[..., 2]).sum(-1)


def _comes_back(cameras: Cameras, pixels: Float[Array, "*b 2"]) -> Bool[Array, "*b"]:
    rays = pixels_to_rays(cameras, pixels)
    back, seen = project(cameras, rays.origins + rays.directions)
    return seen & (jnp.abs(back - pixels).max(-1) < 0.5)


@jax.jit
def _all_come_back(camera: Cameras, pixels: Float[Array, "n 2"]) -> Bool[Array, ""]:
    return _comes_back(_repeat(camera, len(pixels)), pixels).all()
