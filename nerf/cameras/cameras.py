"""Cameras and rays: map pixels to rays, and points to pixels.

Conventions:
  World and camera axes are OpenGL: +x right, +y up, a camera looks along -z. `c2w` is
  camera-to-world.
  Pixel coordinates are (x, y) from the top left corner of the image; the centre of the first pixel
  is (0.5, 0.5).
  Directions are unit length, so a distance `t` along a ray is in world units.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from nerf.cameras.lenses import LENSES, ORTHOGRAPHIC, PERSPECTIVE
from nerf.foundation.pytrees import pytree

Scalars = int | float | np.number | np.ndarray
RIM_SAMPLES = 64  # pixels on each side of an image that `sees_whole_picture` tests


@pytree
class Cameras:
    """One or many cameras with leading axes `*n`; their lenses may differ.

    Attributes:
      c2w: camera-to-world matrices, OpenGL axes; the rotation is orthonormal.
      K: intrinsics in pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]. The focal lengths of an
        equirectangular camera are in pixels per radian, and (cx, cy) looks along -z. Those of an
        orthographic camera are in pixels per world unit.
      distortion: eight coefficients whose meaning depends on the lens (`nerf.cameras.lenses`);
        zeros for no distortion. PERSPECTIVE: OpenCV's k1 k2 p1 p2 k3 k4 k5 k6.
        FISHEYE: k1 k2 k3 k4 p1 p2 sx1 sy1.
      size: width and height in pixels.
      model: the lens of each camera: PERSPECTIVE (the default), FISHEYE, EQUIRECTANGULAR or
        ORTHOGRAPHIC of `nerf.cameras.lenses`.
      lenses: the values that `model` may contain; only these lenses are compiled. Derived from
        `model` unless that is traced.
    """

    c2w: Float[Array | np.ndarray, "*n 3 4"]
    K: Float[Array | np.ndarray, "*n 3 3"]
    distortion: Float[Array | np.ndarray, "*n 8"]
    size: Int[Array | np.ndarray, "*n 2"]
    model: Int[Array | np.ndarray, "*n"] = dataclasses.field(default=cast(Any, None))
    lenses: tuple[int, ...] = dataclasses.field(default=(), metadata={"static": True})

    def __post_init__(self) -> None:
        model = self.model
        if model is None:
            model = np.full(np.shape(self.size)[:-1], PERSPECTIVE, np.int32)
        lenses = self.lenses or tuple(range(len(LENSES)))
        # The values of a traced array are unknown: keep the lenses that were found before tracing.
        if not isinstance(model, jax.core.Tracer):
            lenses = tuple(int(lens) for lens in np.unique(np.asarray(model)))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "lenses", lenses)

    def __getitem__(self, index: Any) -> "Cameras":
        """Index the leading axes of every array."""
        return jax.tree.map(
            lambda x: x[index] if isinstance(x, jax.Array) else np.asarray(x[index]), self
        )

    def __len__(self) -> int:
        return self.size.shape[0]

    @property
    def position(self) -> Float[Array | np.ndarray, "*n 3"]:
        """Return the camera centres in world units."""
        return self.c2w[..., 3]


@pytree
class Rays:
    """Rays with unit `directions` and leading axes `*b`.

    Attributes:
      origins: start points, in world units.
      directions: unit directions along which samples are placed.
      viewdirs: unit directions that a field's colour may depend on; equal to `directions` unless
        the rays are warped.
      image: index of the training view of each ray; -1, the default, for any other camera.
      radius: radius of the pixel's cone at unit distance, in world units; 0, the default, for a
        ray without width.
    """

    origins: Float[Array, "*b 3"]
    directions: Float[Array, "*b 3"]
    viewdirs: Float[Array, "*b 3"]
    image: Int[Array, "*b"] = dataclasses.field(default=cast(Any, None))
    radius: Float[Array, "*b"] = dataclasses.field(default=cast(Any, None))

    def __post_init__(self) -> None:
        if self.image is None:
            object.__setattr__(self, "image", jnp.full(self.origins.shape[:-1], -1, jnp.int32))
        if self.radius is None:
            object.__setattr__(self, "radius", jnp.zeros(self.origins.shape[:-1]))


def join_cameras(parts: Sequence[Cameras]) -> Cameras:
    """Concatenate cameras along their leading axis; their lenses may differ."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(cameras, name)) for cameras in parts])

    # `jax.tree.map` fails here: `lenses` is static, so cameras with other lenses are other trees.
    return Cameras(
        joined("c2w"), joined("K"), joined("distortion"), joined("size"), joined("model")
    )


def intrinsics(fx: Scalars, fy: Scalars, cx: Scalars, cy: Scalars) -> Float[np.ndarray, "*n 3 3"]:
    """Build intrinsic matrices K.

    Args:
      fx: horizontal focal length in pixels.
      fy: vertical focal length in pixels.
      cx: x of the principal point in pixels.
      cy: y of the principal point in pixels.

    Returns:
      Matrices of shape (*n, 3, 3), float64, where `*n` is the broadcast shape of the arguments.
    """
    fx, fy, cx, cy = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (fx, fy, cx, cy)))
    zero, one = np.zeros_like(fx), np.ones_like(fx)
    rows = [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _each_lens(cameras: Cameras, function: str, values: Float[Array, "*b c"]) -> PyTree[Array]:
    """Apply a function of each camera's own lens to `values`.

    Args:
      cameras: cameras with the leading axes `*b`.
      function: "direction" or "image", see `nerf.cameras.lenses.Lens`.
      values: the function's first argument.

    Returns:
      The function's result. Lenses that no camera has are not computed.
    """
    distortion = jnp.asarray(cameras.distortion)
    if len(cameras.lenses) == 1:
        return getattr(LENSES[cameras.lenses[0]], function)(values, distortion)
    chosen = None
    for lens in cameras.lenses:
        is_lens = jnp.asarray(cameras.model) == lens
        # Coefficients of another lens can be extreme for this one. They are set to zero because a
        # NaN in the branch that `where` discards would still reach the gradients.
        own_distortion = jnp.where(is_lens[..., None], distortion, 0.0)
        result = getattr(LENSES[lens], function)(values, own_distortion)
        # Overwrite the entries of the cameras with this lens; the result may be a tuple of arrays.
        chosen = (
            result if chosen is None else jax.tree.map(partial(_where, is_lens), result, chosen)
        )
    return chosen


def _where(mask: Bool[Array, "*b"], a: Array, b: Array) -> Array:
    """Select from `a` or `b` by a mask over their leading axes."""
    return jnp.where(mask.reshape(*mask.shape, *[1] * (a.ndim - mask.ndim)), a, b)


def _focal(cameras: Cameras) -> Float[Array, "*n 2"]:
    return jnp.stack([cameras.K[..., 0, 0], cameras.K[..., 1, 1]], -1)


def _to_world(cameras: Cameras, local: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    """Rotate vectors from camera axes to world axes."""
    return jnp.einsum("...ij,...j->...i", cameras.c2w[..., :3], local, precision="highest")


def pixels_to_rays(
    cameras: Cameras,
    pixels: Float[Array, "*b 2"] | Float[np.ndarray, "*b 2"],
    image: Int[Array, "*b"] | None = None,
) -> Rays:
    """Compute the rays through pixel positions.

    The radius is 2 / sqrt(12) times the width of an undistorted pixel at unit distance, so that its
    disc has the variance of a square pixel (mip-NeRF, 2103.13415, section 3.1). It is 0 for an
    orthographic camera, whose pixels see parallel lines, not cones.

    Args:
      cameras: one camera for each pixel, leading axes `*b`.
      pixels: positions (x, y) in pixels.
      image: index of the training view of each ray, see `Rays`; default -1.

    Returns:
      Rays in world units.
    """
    # Pixels -> picture plane (in focal lengths) -> camera axes -> world axes.
    plane = (jnp.asarray(pixels) - cameras.K[..., :2, 2]) / _focal(cameras)
    world = _to_world(cameras, _each_lens(cameras, "direction", plane))
    norm = jnp.linalg.norm(world, axis=-1)
    directions = world / norm[..., None]
    origins = jnp.broadcast_to(cameras.position, directions.shape)
    # A pixel is 1 / focal wide at the tip of the vector `world`, which is `norm` away.
    radius = 2.0 / 12.0**0.5 / (jnp.sqrt(_focal(cameras).prod(-1)) * norm)
    if ORTHOGRAPHIC in cameras.lenses:
        # Orthographic rays start beside the camera centre, in the plane of the picture.
        beside = jnp.stack([plane[..., 0], -plane[..., 1], jnp.zeros_like(plane[..., 0])], -1)
        flat = (jnp.asarray(cameras.model) == ORTHOGRAPHIC)[..., None]
        origins = origins + jnp.where(flat, _to_world(cameras, beside), 0.0)
        radius = jnp.where(flat[..., 0], 0.0, radius)
    image = jnp.full(norm.shape, -1, jnp.int32) if image is None else image
    return Rays(origins, directions, directions, image, radius)


def project(
    cameras: Cameras, points: Float[Array, "*b 3"]
) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    """Project world points to pixel positions.

    Args:
      cameras: one camera for each point, leading axes `*b`.
      points: positions in world units.

    Returns:
      Pixel positions (x, y); and whether the lens can see each point and it is inside the image.
    """
    # World -> camera axes with the transposed rotation, then -> picture plane -> pixels.
    offset = points - cameras.position
    local = jnp.einsum("...ji,...j->...i", cameras.c2w[..., :3], offset, precision="highest")
    plane, seen = _each_lens(cameras, "image", local)
    pixels = plane * _focal(cameras) + cameras.K[..., :2, 2]
    inside = jnp.all((pixels >= 0) & (pixels <= cameras.size), axis=-1)
    return pixels, seen & inside


def axis_cosines(camera: Cameras) -> Float[np.ndarray, "h w"]:
    """Compute cosines between all pixels' rays and the optical axis of one camera.

    `camera` has no leading axes.
    """
    return _each_pixel(_cosine, camera)


def points_at_depth(camera: Cameras, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Compute the points that the pixels of one camera see.

    Args:
      camera: without leading axes.
      depth: finite distance along the ray of each pixel, in world units.

    Returns:
      Points in the world of the camera.
    """
    origins, directions = _each_pixel(_lines, camera)
    return origins + depth[..., None] * directions


def seen_pixels(camera: Cameras) -> Bool[np.ndarray, "h w"]:
    """Return the mask of the pixels of one camera that correspond to a direction.

    Pixels outside the image circle of a fisheye do not, nor do corners that a strong distortion
    cannot reach. `camera` has no leading axes.
    """
    return _each_pixel(_comes_back, camera)


def sees_whole_picture(cameras: Cameras) -> Bool[np.ndarray, " n"]:
    """Return for each camera whether all pixels at the image border correspond to a direction.

    Then all pixels do: the region that a lens cannot reach lies outside the region that it can.
    """
    along = (np.linspace(0.0, 1.0, RIM_SAMPLES), np.linspace(0.0, 1.0, RIM_SAMPLES))
    zero, one = np.zeros(RIM_SAMPLES), np.ones(RIM_SAMPLES)
    rim = [(along[0], zero), (along[0], one), (zero, along[1]), (one, along[1])]
    places = np.concatenate([np.stack(side, -1) for side in rim])
    # Most scenes have few distinct lenses, so each distinct lens is tested once. All tests have the
    # same shapes, so there is one compilation however many lenses there are.
    arrays = (cameras.K, cameras.distortion, cameras.size, cameras.model)
    parameters = np.concatenate([np.reshape(x, (len(cameras), -1)) for x in arrays], -1)
    _, firsts, lens = np.unique(parameters, axis=0, return_index=True, return_inverse=True)
    pixels = [0.5 + places * (np.asarray(cameras.size[first]) - 1) for first in firsts]
    seen = [
        _all_come_back(cameras[first], np.float32(own))
        for first, own in zip(firsts, pixels, strict=True)
    ]
    return np.asarray(seen)[lens.reshape(-1)]


def _each_pixel(function: Callable[[Cameras, Array], PyTree], camera: Cameras) -> Any:
    """Evaluate a function for every pixel of one camera.

    Pixels are padded to chunks of a power of two, so that images of many sizes share few compiled
    functions.
    """
    width, height = (int(n) for n in camera.size)
    chunk = min(2 ** (width * height).bit_length(), 2**16)
    camera = jax.tree.map(jnp.asarray, camera)
    starts = range(0, width * height, chunk)
    parts = jax.device_get([_chunk_of_pixels(function, chunk, camera, start) for start in starts])

    def joined(*arrays: np.ndarray) -> np.ndarray:
        whole = np.concatenate(arrays)[: width * height]
        return whole.reshape(height, width, *whole.shape[1:])

    return jax.tree.map(joined, *parts)


@partial(jax.jit, static_argnums=(0, 1))
def _chunk_of_pixels(
    function: Callable[[Cameras, Array], PyTree], chunk: int, camera: Cameras, start: Int[Array, ""]
) -> PyTree:
    """Evaluate a function for `chunk` pixels in row-major order from the pixel `start`."""
    return function(repeat_camera(camera, chunk), pixel_centres(camera, start, chunk))


def pixel_centres(
    camera: Cameras, start: int | Int[Array, ""], count: int
) -> Float[Array, "count 2"]:
    """Return the centres (x, y) of `count` pixels in row-major order from the pixel `start`.

    Args:
      camera: without leading axes; only its size is used.
      start: number of the first pixel.
      count: number of pixels; those past the last one continue below the image.
    """
    index = start + jnp.arange(count)
    return jnp.stack([index % camera.size[0], index // camera.size[0]], -1) + 0.5


def repeat_camera(camera: Cameras, count: int) -> Cameras:
    """Return `count` copies of a camera without leading axes, one for each of as many pixels."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), camera)


def _lines(
    cameras: Cameras, pixels: Float[Array, "*b 2"]
) -> tuple[Float[Array, "*b 3"], Float[Array, "*b 3"]]:
    """Return the origins and directions of the rays of pixels."""
    rays = pixels_to_rays(cameras, pixels)
    return rays.origins, rays.directions


def _cosine(cameras: Cameras, pixels: Float[Array, "*b 2"]) -> Float[Array, "*b"]:
    return -(pixels_to_rays(cameras, pixels).directions * cameras.c2w[..., 2]).sum(-1)


def _comes_back(cameras: Cameras, pixels: Float[Array, "*b 2"]) -> Bool[Array, "*b"]:
    """Return whether the ray of each pixel projects to that pixel again."""
    rays = pixels_to_rays(cameras, pixels)
    back, seen = project(cameras, rays.origins + rays.directions)
    return seen & (jnp.abs(back - pixels).max(-1) < 0.5)


@jax.jit
def _all_come_back(camera: Cameras, pixels: Float[Array, "n 2"]) -> Bool[Array, ""]:
    return _comes_back(repeat_camera(camera, len(pixels)), pixels).all()
