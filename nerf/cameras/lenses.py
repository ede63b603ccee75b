"""What a lens does: directions in camera axes to the plane of its picture, and back.

Contract. A lens has two functions of `*b` leading axes, and 8 distortion numbers whose meaning is its own:

    direction(plane, distortion) -> (*b 3)                 in camera axes (OpenGL); of any length
    image(local, distortion) -> (*b 2), (*b)               of a point in camera axes, and whether it can be seen there

`plane` is (pixel - principal point) / focal length: x right, y down. An orthographic camera looks one way from
everywhere: its rays begin in the plane itself. All functions are finite with finite gradients everywhere.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

PERSPECTIVE, FISHEYE, EQUIRECTANGULAR, ORTHOGRAPHIC = range(4)
COEFFICIENTS = 8  # of distortion, whatever the lens
ITERATIONS = (
    20  # of the inverse of a distortion; ordinary lenses need four, corners of strong ones all
)


class Lens(NamedTuple):
    """The two maps of a lens; see the module."""

    direction: Callable[[Array, Array], Array]
    image: Callable[[Array, Array], tuple[Array, Array]]


def _bend(xy, radial, slope, p1, p2) -> tuple[Array, Array]:
    """xy radial + tangential terms, and the Jacobian; d radial / dx = slope x, and so for y."""
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    bent = jnp.stack(
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
    return bent, jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def distort(
    xy: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
    """OpenCV's rational distortion k1 k2 p1 p2 k3 k4 k5 k6 of normalised coordinates, and its Jacobian.

    With r2 = x^2 + y^2 (OpenCV camera calibration, "Detailed description"):
      radial = (1 + k1 r2 + k2 r2^2 + k3 r2^3) / (1 + k4 r2 + k5 r2^2 + k6 r2^3)
      x' = x radial + 2 p1 x y + p2 (r2 + 2 x^2)
      y' = y radial + 2 p2 x y + p1 (r2 + 2 y^2)
    """
    k1, k2, p1, p2, k3, k4, k5, k6 = (distortion[..., i] for i in range(COEFFICIENTS))
    r2 = xy[..., 0] * xy[..., 0] + xy[..., 1] * xy[..., 1]
    below = 1.0 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = (1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))) / below
    fall = k4 + r2 * (2.0 * k5 + 3.0 * r2 * k6)
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + 3.0 * r2 * k3) - radial * fall) / below
    return _bend(xy, radial, slope, p1, p2)


def distort_fisheye(
    xy: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
    """COLMAP's THIN_PRISM_FISHEYE distortion k1 k2 k3 k4 p1 p2 sx1 sy1, and its Jacobian.

    Of coordinates whose length is the angle theta to the optical axis: with r2 = theta^2 (Kannala & Brandt 2006;
    COLMAP's `models.h`),
      x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3 + k4 r2^4) + 2 p1 x y + p2 (r2 + 2 x^2) + sx1 r2
    and y' likewise, with p1 and p2 exchanged and sy1. Without p and s that is OpenCV's fisheye lens:
    theta' = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8).
    """
    k1, k2, k3, k4, p1, p2 = (distortion[..., i] for i in range(6))
    r2 = xy[..., 0] * xy[..., 0] + xy[..., 1] * xy[..., 1]
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * (3.0 * k3 + 4.0 * r2 * k4)))
    bent, jacobian = _bend(xy, radial, slope, p1, p2)
    prism = distortion[..., 6:]
    return bent + r2[..., None] * prism, jacobian + 2.0 * prism[..., :, None] * xy[..., None, :]


def undistort(
    distorted: Float[Array, "*b 2"],
    distortion: Float[Array, "*b 8"],
    iterations: int = ITERATIONS,
    forward: Callable = distort,
    limit: float = jnp.inf,
) -> Float[Array, "*b 2"]:
    """Invert `forward` by Newton's method with damping.

    It starts on the axis, where no lens folds the picture, and takes only steps that come nearer
    and do not cross the fold; a step that fails is tried again at half its length. So the result is
    the inverse on the near side of the fold wherever there is one, and quadratically accurate.
    Where there is none it lies before the fold, within `limit` of the axis, and means nothing:
    `nerf.cameras.cameras.seen_pixels` finds such pixels.

    Args:
      distorted: positions in the picture, in focal lengths from the principal point.
      distortion: the lens's eight numbers.
      iterations: how many steps are tried.
      forward: the distortion, which returns its Jacobian too.
      limit: largest coordinate of a result.

    Returns: the undistorted positions.
    """

    def newton(carry, _):
        xy, value, jacobian, damping = carry
        (a, b), (c, d) = (jnp.moveaxis(row, -1, 0) for row in jnp.moveaxis(jacobian, -2, 0))
        ex, ey = jnp.moveaxis(value - distorted, -1, 0)
        determinant = a * d - b * c
        determinant = jnp.where(jnp.abs(determinant) < 1e-6, 1e-6, determinant)
        step = jnp.stack([d * ex - b * ey, a * ey - c * ex], -1) / determinant[..., None]
        tried = jnp.clip(xy - damping[..., None] * step, -limit, limit)
        there, slope = forward(tried, distortion)
        nearer = jnp.square(there - distorted).sum(-1) <= jnp.square(value - distorted).sum(-1)
        good = nearer & _unfolded(tried, there, slope)
        damping = jnp.where(good, jnp.minimum(2.0 * damping, 1.0), 0.5 * damping)
        kept = (jnp.where(good[..., None], tried, xy), jnp.where(good[..., None], there, value))
        return (*kept, jnp.where(good[..., None, None], slope, jacobian), damping), None

    start = jnp.zeros_like(distorted)
    first = (start, *forward(start, distortion), jnp.ones(distorted.shape[:-1], distorted.dtype))
    return jax.lax.scan(newton, first, length=iterations)[0][0]


def _unfolded(xy, bent, jacobian) -> Bool[Array, "*b"]:
    """Whether a distortion has not yet turned the picture over: what is beyond the fold would be seen twice."""
    determinant = (
        jacobian[..., 0, 0] * jacobian[..., 1, 1] - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    )
    return (determinant > 0) & ((xy * bent).sum(-1) >= 0)


def _perspective_direction(plane, distortion):
    x, y = jnp.moveaxis(undistort(plane, distortion), -1, 0)
    return jnp.stack([x, -y, -jnp.ones_like(x)], -1)


def _perspective_image(local, distortion):
    depth = -local[..., 2]
    ahead = depth > 1e-6
    safe = jnp.where(ahead, depth, 1.0)
    xy = jnp.stack([local[..., 0] / safe, -local[..., 1] / safe], -1)
    bent, jacobian = distort(xy, distortion)
    return bent, ahead & _unfolded(xy, bent, jacobian)


def _length(
    x: Float[Array, "*b"], y: Float[Array, "*b"]
) -> tuple[Float[Array, "*b"], Bool[Array, "*b"]]:
    """sqrt(x^2 + y^2), and where that is too small to be divided by: it is 1 there, so that gradients are finite."""
    square = x * x + y * y
    tiny = square < 1e-16
    return jnp.sqrt(jnp.where(tiny, 1.0, square)), tiny


def _fisheye_direction(plane, distortion):
    x, y = jnp.moveaxis(
        undistort(plane, distortion, forward=distort_fisheye, limit=2.0 * math.pi), -1, 0
    )
    theta, tiny = _length(x, y)
    sinc = jnp.where(tiny, 1.0, jnp.sin(theta) / theta)
    return jnp.stack([x * sinc, -y * sinc, -jnp.where(tiny, 1.0, jnp.cos(theta))], -1)


def _fisheye_image(local, distortion):
    x, y, z = jnp.moveaxis(local, -1, 0)
    rim, tiny = _length(x, y)
    ahead = jnp.where(z < 0, -z, 1.0)  # on the axis theta / rim is 1 / depth
    scale = jnp.where(tiny, 1.0 / jnp.maximum(ahead, 1e-6), jnp.arctan2(rim, -z) / rim)
    xy = jnp.stack([x * scale, -y * scale], -1)
    bent, jacobian = distort_fisheye(xy, distortion)
    return bent, (~tiny | (z < -1e-6)) & _unfolded(xy, bent, jacobian)


def _equirectangular_direction(plane, distortion):
    """x is the longitude, right of -z, and -y the latitude, in radians."""
    longitude, latitude = plane[..., 0], -plane[..., 1]
    flat = jnp.cos(latitude)
    return jnp.stack([jnp.sin(longitude) * flat, jnp.sin(latitude), -jnp.cos(longitude) * flat], -1)


def _equirectangular_image(local, distortion):
    x, y, z = jnp.moveaxis(local, -1, 0)
    flat, pole = _length(x, z)
    longitude = jnp.where(pole, 0.0, jnp.arctan2(jnp.where(pole, 0.0, x), jnp.where(pole, 1.0, -z)))
    flat = jnp.where(pole, 0.0, flat)
    nowhere = pole & (jnp.abs(y) < 1e-8)
    latitude = jnp.arctan2(jnp.where(nowhere, 0.0, y), jnp.where(nowhere, 1.0, flat))
    return jnp.stack([longitude, -latitude], -1), ~nowhere


def _orthographic_direction(plane, distortion):
    nothing = jnp.zeros_like(plane[..., 0])
    return jnp.stack([nothing, nothing, nothing - 1.0], -1)


def _orthographic_image(local, distortion):
    return jnp.stack([local[..., 0], -local[..., 1]], -1), local[..., 2] < -1e-6


LENSES = (
    Lens(_perspective_direction, _perspective_image),
    Lens(_fisheye_direction, _fisheye_image),
    Lens(_equirectangular_direction, _equirectangular_image),
    Lens(_orthographic_direction, _orthographic_image),
)
