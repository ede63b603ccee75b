"""Cameras and rays: pixels to rays, points to pixels.

Contract. World and camera axes are OpenGL: +x right, +y up, a camera looks along -z; `c2w`: camera to world.
Pixel coordinates are (x, y) from the top left corner of the image, so that the centre of the first pixel is
(0.5, 0.5). Directions are unit length, so a distance `t` along a ray is in world units.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nerf.pytrees import pytree


@pytree
class Cameras:
    """One or many pinhole cameras with OpenCV distortion, `*n` leading axes.

    Attributes:
      c2w: camera-to-world, OpenGL axes; the rotation is orthonormal.
      K: intrinsics in pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
      distortion: OpenCV's k1, k2, p1, p2 (two radial, two tangential); zeros for a pure pinhole.
      size: width and height in pixels.
    """

    c2w: Float[Array | np.ndarray, "*n 3 4"]
    K: Float[Array | np.ndarray, "*n 3 3"]
    distortion: Float[Array | np.ndarray, "*n 4"]
    size: Int[Array | np.ndarray, "*n 2"]

    def __getitem__(self, index) -> "Cameras":
        """Index the leading axes of every array."""
        return jax.tree.map(lambda x: x[index], self)

    def __len__(self) -> int:
        return self.size.shape[0]

    @property
    def position(self) -> Float[Array | np.ndarray, "*n 3"]:
        """Camera centres in world units."""
        return self.c2w[..., 3]


@pytree
class Rays:
    """Rays with unit `directions`; `viewdirs` is what a field's colour may depend on (equal if unwarped)."""

    origins: Float[Array, "*b 3"]
    directions: Float[Array, "*b 3"]
    viewdirs: Float[Array, "*b 3"]


def intrinsics(fx, fy, cx, cy) -> np.ndarray:
    """K from focal lengths and principal point in pixels. Shapes: broadcast `*n` -> (*n, 3, 3)."""
    fx, fy, cx, cy = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (fx, fy, cx, cy)))
    zero, one = np.zeros_like(fx), np.ones_like(fx)
    rows = [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def distort(
    xy: Float[Array, "*b 2"], distortion: Float[Array, "*b 4"]
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
    """OpenCV's radial-tangential distortion of normalised coordinates, and its Jacobian.

    With r2 = x^2 + y^2 (OpenCV camera calibration, "Detailed description"):
      x' = x (1 + k1 r2 + k2 r2^2) + 2 p1 x y + p2 (r2 + 2 x^2)
      y' = y (1 + k1 r2 + k2 r2^2) + 2 p2 x y + p1 (r2 + 2 y^2)
    """
    x, y = xy[..., 0], xy[..., 1]
    k1, k2, p1, p2 = (distortion[..., i] for i in range(4))
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * k2)
    slope = 2.0 * (k1 + 2.0 * k2 * r2)  # d radial / dx = slope * x
    distorted = jnp.stack(
        [
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + 2.0 * p2 * x * y + p1 * (r2 + 2.0 * y * y),
        ],
        -1,
    )
    cross = slope * x * y + 2.0 * (p1 * x + p2 * y)
    rows = [
        [radial + slope * x * x + 2.0 * p1 * y + 6.0 * p2 * x, cross],
        [cross, radial + slope * y * y + 2.0 * p2 * x + 6.0 * p1 * y],
    ]
    return distorted, jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def undistort(
    distorted: Float[Array, "*b 2"], distortion: Float[Array, "*b 4"], iterations: int = 8
) -> Float[Array, "*b 2"]:
    """The inverse of `distort` by Newton's method, quadratic wherever the distortion is one-to-one."""

    def newton(xy, _):
        value, jacobian = distort(xy, distortion)
        (a, b), (c, d) = (jnp.moveaxis(row, -1, 0) for row in jnp.moveaxis(jacobian, -2, 0))
        ex, ey = jnp.moveaxis(value - distorted, -1, 0)
        determinant = a * d - b * c
        step = jnp.stack([d * ex - b * ey, a * ey - c * ex], -1) / determinant[..., None]
        return xy - step, None

    return jax.lax.scan(newton, distorted, length=iterations)[0]


def pixels_to_rays(cameras: Cameras, pixels: Float[Array, "*b 2"]) -> Rays:
    """Rays through pixel positions. `cameras` and `pixels` share the leading axes `*b`."""
    focal = jnp.stack([cameras.K[..., 0, 0], cameras.K[..., 1, 1]], -1)
    image_plane = (pixels - cameras.K[..., :2, 2]) / focal
    x, y = jnp.moveaxis(undistort(image_plane, jnp.asarray(cameras.distortion)), -1, 0)
    local = jnp.stack([x, -y, -jnp.ones_like(x)], -1)  # OpenCV's y down, z forward -> OpenGL
    world = jnp.einsum("...ij,...j->...i", cameras.c2w[..., :3], local, precision="highest")
    directions = world / jnp.linalg.norm(world, axis=-1, keepdims=True)
    return Rays(jnp.broadcast_to(cameras.position, directions.shape), directions, directions)


def project(cameras: Cameras, points: Float[Array, "*b 3"]) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    """World points to pixel positions, and whether each is in front of the camera and inside the image."""
    local = jnp.einsum("...ji,...j->...i", cameras.c2w[..., :3], points - cameras.position, precision="highest")
    depth = -local[..., 2]
    ahead = depth > 1e-6
    safe = jnp.where(ahead, depth, 1.0)
    xy = jnp.stack([local[..., 0] / safe, -local[..., 1] / safe], -1)
    focal = jnp.stack([cameras.K[..., 0, 0], cameras.K[..., 1, 1]], -1)
    pixels = distort(xy, jnp.asarray(cameras.distortion))[0] * focal + cameras.K[..., :2, 2]
    inside = jnp.all((pixels >= 0) & (pixels <= cameras.size), axis=-1)
    return pixels, ahead & inside
