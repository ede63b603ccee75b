"""Lens models: map picture-plane coordinates to directions in camera axes, and back.

A `Lens` has two functions with leading axes `*b`. Each takes eight distortion coefficients, whose
meaning depends on the lens:

    direction(plane, distortion) -> (*b 3)        direction in camera axes (OpenGL), of any length
    image(local, distortion) -> (*b 2), (*b)      picture of a point in camera axes, and whether
                                                  the lens can see it

`plane` is (pixel - principal point) / focal length: x right, y down. All rays of an orthographic
camera are parallel and start in the plane itself. All functions are finite and have finite
gradients everywhere.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

PERSPECTIVE, FISHEYE, EQUIRECTANGULAR, ORTHOGRAPHIC = range(4)
COEFFICIENTS = 8  # distortion coefficients of every lens
# Newton steps that invert a distortion. Ordinary lenses need 4, corners of strongly distorted
# images need all 20. They end when every position is exact to the last two bits.
ITERATIONS = 20
EXACT = 2.4e-7


class Lens(NamedTuple):
    """The two maps of a lens.

    Attributes:
      direction: maps (plane, distortion) to a direction in camera axes.
      image: maps (local, distortion) to plane coordinates and whether the point is visible.
    """

    direction: Callable[[Array, Array], Array]
    image: Callable[[Array, Array], tuple[Array, Array]]


# The three functions below take arrays of JAX and numpy, and keep their type and precision.
Numbers = Float[Array | np.ndarray, "*b"]


def rational_radial(
    r2: Numbers, distortion: Float[Array | np.ndarray, "*#b 8"]
) -> tuple[Numbers, Numbers]:
    """Return numerator and denominator of the radial factor of a perspective lens, see `distort`.

    r2 is the squared distance from the axis.
    """
    k1, k2, _, _, k3, k4, k5, k6 = (distortion[..., i] for i in range(COEFFICIENTS))
    denominator = 1.0 + r2 * (k4 + r2 * (k5 + r2 * k6))
    return 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3)), denominator


def fisheye_radial(r2: Numbers, distortion: Float[Array | np.ndarray, "*#b 8"]) -> Numbers:
    """Return the radial factor of a fisheye lens, see `distort_fisheye`; r2 is theta^2."""
    k1, k2, k3, k4 = (distortion[..., i] for i in range(4))
    return 1.0 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))


def bend(
    x: Numbers, y: Numbers, radial: Numbers, p1: Numbers | float, p2: Numbers | float
) -> tuple[Numbers, Numbers]:
    """Apply radial and tangential distortion.

    Args:
      x: horizontal coordinates from the axis, in focal lengths.
      y: vertical coordinates.
      radial: the radial factor there.
      p1: first tangential coefficient.
      p2: second tangential coefficient.

    Returns:
      The distorted coordinates x', y'.
    """
    r2 = x * x + y * y
    return (
        x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
        y * radial + 2.0 * p2 * x * y + p1 * (r2 + 2.0 * y * y),
    )


def _bend_with_jacobian(
    xy: Float[Array, "*b 2"],
    radial: Float[Array, "*b"],
    slope: Float[Array, "*b"],
    p1: Float[Array, "*b"],
    p2: Float[Array, "*b"],
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
    """Apply radial and tangential distortion, and differentiate it.

    Args:
      xy: undistorted coordinates, shape (*b, 2).
      radial: radial factor at `xy`.
      slope: its derivative divided by the radius: d radial / dx = slope x, d radial / dy = slope y.
      p1: first tangential coefficient.
      p2: second tangential coefficient.

    Returns:
      The distorted coordinates, shape (*b, 2), and their Jacobian, shape (*b, 2, 2).
    """
    x, y = xy[..., 0], xy[..., 1]
    bent = jnp.stack(bend(x, y, radial, p1, p2), -1)
    # The Jacobian is symmetric: both mixed derivatives are the same.
    cross = slope * x * y + 2.0 * (p1 * x + p2 * y)
    rows = [
        [radial + slope * x * x + 2.0 * p1 * y + 6.0 * p2 * x, cross],
        [cross, radial + slope * y * y + 2.0 * p2 * x + 6.0 * p1 * y],
    ]
    return bent, jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def distort(
    xy: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
    """Apply OpenCV's rational distortion to normalised coordinates.

    With r2 = x^2 + y^2 (OpenCV camera calibration, "Detailed description"):
      radial = (1 + k1 r2 + k2 r2^2 + k3 r2^3) / (1 + k4 r2 + k5 r2^2 + k6 r2^3)
      x' = x radial + 2 p1 x y + p2 (r2 + 2 x^2)
      y' = y radial + 2 p2 x y + p1 (r2 + 2 y^2)

    Args:
      xy: coordinates x, y in focal lengths from the principal point.
      distortion: k1 k2 p1 p2 k3 k4 k5 k6.

    Returns:
      The distorted coordinates x', y' and their Jacobian.
    """
    k1, k2, p1, p2, k3, k4, k5, k6 = (distortion[..., i] for i in range(COEFFICIENTS))
    r2 = xy[..., 0] * xy[..., 0] + xy[..., 1] * xy[..., 1]
    numerator, denominator = rational_radial(r2, distortion)
    radial = jnp.asarray(numerator / denominator)
    # Quotient rule for d radial / d r2. The factor 2 is d r2 / dx = 2 x without the x.
    d_denominator = k4 + r2 * (2.0 * k5 + 3.0 * r2 * k6)
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + 3.0 * r2 * k3) - radial * d_denominator) / denominator
    return _bend_with_jacobian(xy, radial, slope, p1, p2)


def distort_fisheye(
    xy: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
    """Apply COLMAP's THIN_PRISM_FISHEYE distortion.

    With r2 = x^2 + y^2 = theta^2 (Kannala & Brandt 2006; COLMAP's `models.h`):
      x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3 + k4 r2^4) + 2 p1 x y + p2 (r2 + 2 x^2) + sx1 r2
    and y' likewise, with p1 and p2 exchanged, and sy1. If p and s are zero this is OpenCV's
    fisheye lens: theta' = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8).

    Args:
      xy: coordinates x, y whose length is theta, the angle to the optical axis in radians.
      distortion: k1 k2 k3 k4 p1 p2 sx1 sy1.

    Returns:
      The distorted coordinates x', y' and their Jacobian.
    """
    k1, k2, k3, k4, p1, p2 = (distortion[..., i] for i in range(6))
    r2 = xy[..., 0] * xy[..., 0] + xy[..., 1] * xy[..., 1]
    radial = jnp.asarray(fisheye_radial(r2, distortion))
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * (3.0 * k3 + 4.0 * r2 * k4)))
    bent, jacobian = _bend_with_jacobian(xy, radial, slope, p1, p2)
    # The thin prism adds s r2, with the derivative s 2 (x, y).
    prism = distortion[..., 6:]
    return bent + r2[..., None] * prism, jacobian + 2.0 * prism[..., :, None] * xy[..., None, :]


def undistort(
    distorted: Float[Array, "*b 2"],
    distortion: Float[Array, "*b 8"],
    iterations: int = ITERATIONS,
    forward: Callable = distort,
    limit: float = jnp.inf,
) -> Float[Array, "*b 2"]:
    """Invert a distortion by Newton's method with damping.

    The iteration starts on the optical axis, where no lens folds the picture. It accepts only steps
    that reduce the error and do not cross the fold; a rejected step is tried again at half its
    length. The result is therefore the inverse on the near side of the fold, if that exists, with
    quadratic convergence. If it does not exist, the result lies before the fold, within `limit` of
    the axis, and is meaningless: `nerf.cameras.cameras.seen_pixels` finds such pixels.

    Args:
      distorted: positions in the picture, in focal lengths from the principal point.
      distortion: the lens's eight coefficients.
      iterations: number of Newton steps tried.
      forward: the distortion; it returns the distorted coordinates and their Jacobian.
      limit: largest absolute coordinate of the result.

    Returns:
      The undistorted positions.
    """

    def bent(xy: Float[Array, "*b 2"]) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2 2"]]:
        return forward(xy, distortion)

    newton = partial(_newton_step, bent, distorted, limit)

    def step(carry: NewtonState, _: None) -> tuple[NewtonState, None]:
        # Most lenses are inverted after a few steps, and a pinhole after the first.
        found = (
            jnp.abs(carry[1] - distorted) <= EXACT * jnp.maximum(1.0, jnp.abs(distorted))
        ).all()
        return jax.lax.cond(found, lambda carry: carry, newton, carry), None

    start = jnp.zeros_like(distorted)
    first = (start, *bent(start), jnp.ones(distorted.shape[:-1], distorted.dtype))
    # The last step is always done: the derivative of the result is that of one step from it.
    return newton(jax.lax.scan(step, first, length=iterations - 1)[0])[0]


# Positions, where they appear in the picture, the Jacobian there, and the damping.
NewtonState = tuple[
    Float[Array, "*b 2"], Float[Array, "*b 2"], Float[Array, "*b 2 2"], Float[Array, "*b"]
]


def _newton_step(
    forward: Callable, distorted: Float[Array, "*b 2"], limit: float, state: NewtonState
) -> NewtonState:
    """Take a damped Newton step towards forward(xy) = distorted, unless it leads astray.

    Args:
      forward: xy -> the distorted coordinates and their Jacobian.
      distorted: the coordinates to reach.
      limit: largest absolute coordinate of the result.
      state: before the step.

    Returns: the state after the step.
    """
    xy, value, jacobian, damping = state
    # The step solves J step = forward(xy) - distorted by Cramer's rule. The determinant is kept
    # away from zero, where the lens folds the picture.
    (a, b), (c, d) = (jnp.moveaxis(row, -1, 0) for row in jnp.moveaxis(jacobian, -2, 0))
    ex, ey = jnp.moveaxis(value - distorted, -1, 0)
    determinant = a * d - b * c
    determinant = jnp.where(jnp.abs(determinant) < 1e-6, 1e-6, determinant)
    step = jnp.stack([d * ex - b * ey, a * ey - c * ex], -1) / determinant[..., None]
    # Accept the damped step if it reduces the error on the near side of the fold.
    tried = jnp.clip(xy - damping[..., None] * step, -limit, limit)
    there, slope = forward(tried)
    nearer = jnp.square(there - distorted).sum(-1) <= jnp.square(value - distorted).sum(-1)
    good = nearer & _unfolded(tried, there, slope)
    damping = jnp.where(good, jnp.minimum(2.0 * damping, 1.0), 0.5 * damping)
    kept = (jnp.where(good[..., None], tried, xy), jnp.where(good[..., None], there, value))
    return (*kept, jnp.where(good[..., None, None], slope, jacobian), damping)


def _unfolded(
    xy: Float[Array, "*b 2"], bent: Float[Array, "*b 2"], jacobian: Float[Array, "*b 2 2"]
) -> Bool[Array, "*b"]:
    """Return whether positions lie on the near side of the fold of a distortion.

    Beyond the fold the distortion turns the picture over, so directions would be seen twice. On the
    near side the Jacobian's determinant is positive and no point moves across the axis.
    """
    determinant = (
        jacobian[..., 0, 0] * jacobian[..., 1, 1] - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    )
    return (determinant > 0) & ((xy * bent).sum(-1) >= 0)


def _perspective_direction(
    plane: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> Float[Array, "*b 3"]:
    x, y = jnp.moveaxis(undistort(plane, distortion), -1, 0)
    return jnp.stack([x, -y, -jnp.ones_like(x)], -1)


def _perspective_image(
    local: Float[Array, "*b 3"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    # Pinhole projection (x / depth, y / depth), with y down. Points behind the camera are not
    # visible; their depth is replaced by 1 so that they stay finite.
    depth = -local[..., 2]
    ahead = depth > 1e-6
    safe = jnp.where(ahead, depth, 1.0)
    xy = jnp.stack([local[..., 0] / safe, -local[..., 1] / safe], -1)
    bent, jacobian = distort(xy, distortion)
    return bent, ahead & _unfolded(xy, bent, jacobian)


def _length(
    x: Float[Array, "*b"], y: Float[Array, "*b"]
) -> tuple[Float[Array, "*b"], Bool[Array, "*b"]]:
    """Compute sqrt(x^2 + y^2), and whether it is too small to divide by.

    Where it is too small the length is replaced by 1, so that its gradient is finite.
    """
    square = x * x + y * y
    tiny = square < 1e-16
    return jnp.sqrt(jnp.where(tiny, 1.0, square)), tiny


def _fisheye_direction(
    plane: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> Float[Array, "*b 3"]:
    x, y = jnp.moveaxis(
        undistort(plane, distortion, forward=distort_fisheye, limit=2.0 * math.pi), -1, 0
    )
    # The direction is (sin(theta) x / theta, -sin(theta) y / theta, -cos(theta)).
    theta, tiny = _length(x, y)
    sinc = jnp.where(tiny, 1.0, jnp.sin(theta) / theta)
    return jnp.stack([x * sinc, -y * sinc, -jnp.where(tiny, 1.0, jnp.cos(theta))], -1)


def _fisheye_image(
    local: Float[Array, "*b 3"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    # Scale (x, y) to the length theta = atan2(rim, -z), then distort.
    x, y, z = jnp.moveaxis(local, -1, 0)
    rim, tiny = _length(x, y)
    ahead = jnp.where(z < 0, -z, 1.0)  # on the axis theta / rim is 1 / depth
    scale = jnp.where(tiny, 1.0 / jnp.maximum(ahead, 1e-6), jnp.arctan2(rim, -z) / rim)
    xy = jnp.stack([x * scale, -y * scale], -1)
    bent, jacobian = distort_fisheye(xy, distortion)
    return bent, (~tiny | (z < -1e-6)) & _unfolded(xy, bent, jacobian)


def _equirectangular_direction(
    plane: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> Float[Array, "*b 3"]:
    # x is the longitude to the right of -z, -y the latitude, both in radians.
    longitude, latitude = plane[..., 0], -plane[..., 1]
    flat = jnp.cos(latitude)
    return jnp.stack([jnp.sin(longitude) * flat, jnp.sin(latitude), -jnp.cos(longitude) * flat], -1)


def _equirectangular_image(
    local: Float[Array, "*b 3"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    # At the poles the longitude is undefined and set to 0. The origin has no direction at all.
    x, y, z = jnp.moveaxis(local, -1, 0)
    flat, pole = _length(x, z)
    longitude = jnp.where(pole, 0.0, jnp.arctan2(jnp.where(pole, 0.0, x), jnp.where(pole, 1.0, -z)))
    flat = jnp.where(pole, 0.0, flat)
    nowhere = pole & (jnp.abs(y) < 1e-8)
    latitude = jnp.arctan2(jnp.where(nowhere, 0.0, y), jnp.where(nowhere, 1.0, flat))
    return jnp.stack([longitude, -latitude], -1), ~nowhere


def _orthographic_direction(
    plane: Float[Array, "*b 2"], distortion: Float[Array, "*b 8"]
) -> Float[Array, "*b 3"]:
    # All rays look along -z; `pixels_to_rays` moves their origins instead.
    zero = jnp.zeros_like(plane[..., 0])
    return jnp.stack([zero, zero, zero - 1.0], -1)


def _orthographic_image(
    local: Float[Array, "*b 3"], distortion: Float[Array, "*b 8"]
) -> tuple[Float[Array, "*b 2"], Bool[Array, "*b"]]:
    return jnp.stack([local[..., 0], -local[..., 1]], -1), local[..., 2] < -1e-6


# Indexed by PERSPECTIVE, FISHEYE, EQUIRECTANGULAR and ORTHOGRAPHIC.
LENSES = (
    Lens(_perspective_direction, _perspective_image),
    Lens(_fisheye_direction, _fisheye_image),
    Lens(_equirectangular_direction, _equirectangular_image),
    Lens(_orthographic_direction, _orthographic_image),
)
