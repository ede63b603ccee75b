"""Gaussians that approximate conical frustums along pixel cones (mip-NeRF, 2103.13415).

A ray o + t d has |d| = 1; r is the radius of its cone at unit distance. t_mu is the middle and t_d
half the length of an interval (equations 7 and 8; points are uniform in the frustum's volume).

Equation:
  mu_t = t_mu + (2 t_mu t_d^2) / (3 t_mu^2 + t_d^2)   mean distance
  sigma_t^2 = t_d^2 / 3 - (4 t_d^4 (12 t_mu^2 - t_d^2)) / (15 (3 t_mu^2 + t_d^2)^2)   along the ray
  sigma_r^2 = r^2 (t_mu^2 / 4 + (5 t_d^2) / 12 - (4 t_d^4) / (15 (3 t_mu^2 + t_d^2)))   across
  mu = o + mu_t d   mean
  Sigma = sigma_t^2 d d^T + sigma_r^2 (I - d d^T)   covariance
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.pytrees import pytree


@pytree
class Gaussians:
    """Gaussians with diagonal covariance.

    Attributes:
      mean: (*b, d) means.
      variance: (*b, d) variance of each coordinate, the diagonal of the covariance.
      across: (*b,) variance across the ray, the mean of the coordinates; 0 without a ray.
    """

    mean: Float[Array, "*b d"]
    variance: Float[Array, "*b d"]
    across: Float[Array, "*b"]


Points = Float[Array, "*b d"] | Gaussians


def mean_of(points: Points) -> Float[Array, "*b d"]:
    """Return the means of Gaussians, and points unchanged."""
    return points.mean if isinstance(points, Gaussians) else points


def takes_gaussians(field: Callable) -> bool:
    """Return whether the field's `encoding` takes Gaussians instead of points."""
    return getattr(getattr(field, "encoding", None), "takes_gaussians", False)


def along_cone(
    radius: Float[Array, "*#b"], t_start: Float[Array, "*b"], t_end: Float[Array, "*b"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"], Float[Array, "*b"]]:
    """Return the mean distance and the variances of conical frustums.

    Args:
      radius: (*#b,) radius r of each cone at unit distance.
      t_start: (*b,) distance at which the frustum starts.
      t_end: (*b,) distance at which the frustum ends.

    Returns:
      mu_t, sigma_t^2 and sigma_r^2, each (*b,): the mean distance and the variance along and across
      the ray (equation 7).
    """
    mu, d = 0.5 * (t_start + t_end), 0.5 * (t_end - t_start)
    # The floor avoids 0 / 0. Gradients divide by its square, which float32 can still represent.
    sum_of_squares = jnp.maximum(3.0 * mu**2 + d**2, 1e-12)
    # Equation 7.
    mean = mu + 2.0 * mu * d**2 / sum_of_squares
    along = d**2 / 3.0 - (4.0 / 15.0) * (d**2 / sum_of_squares) ** 2 * (12.0 * mu**2 - d**2)
    across = radius**2 * (mu**2 / 4.0 + (5.0 / 12.0) * d**2 - (4.0 / 15.0) * d**4 / sum_of_squares)
    return mean, along, across


def cone_gaussians(
    origins: Float[Array, "*#b 3"],
    directions: Float[Array, "*#b 3"],
    radius: Float[Array, "*#b"],
    t_start: Float[Array, "*b"],
    t_end: Float[Array, "*b"],
    warp: Callable[[Float[Array, "*b 3"]], Float[Array, "*b 3"]],
) -> Gaussians:
    """Return warped Gaussians of cone intervals (mip-NeRF 360, 2111.12077, eq. 9).

    Args:
      origins: (*#b, 3) ray origins o.
      directions: (*#b, 3) unit ray directions d.
      radius: (*#b,) cone radius at unit distance.
      t_start: (*b,) start of each interval.
      t_end: (*b,) end of each interval.
      warp: pointwise map of space; it is linearised at the mean of each Gaussian.

    Returns:
      Gaussians (*b, 3) in warped space, with the diagonal of their covariance, and the variance
      that a ball as wide as the cone would have there.
    """
    mean, along, across = along_cone(radius, t_start, t_end)
    points = origins + mean[..., None] * directions
    # `move(v)` is J v, the product of the warp's Jacobian J at each mean with a vector.
    warped, move = jax.linearize(warp, points)
    # diag(J Sigma J^T) = sigma_r^2 diag(J J^T) + (sigma_t^2 - sigma_r^2) (J d)^2, elementwise.
    # diag(J J^T) is the sum of the squared columns of J, the images of the three axes.
    axes = [move(jnp.broadcast_to(axis, points.shape)) for axis in jnp.eye(3)]
    isotropic = jnp.square(jnp.stack(axes)).sum(0)
    along_ray = jnp.square(move(jnp.broadcast_to(directions, points.shape)))
    variance = across[..., None] * isotropic + (along - across)[..., None] * along_ray
    return Gaussians(warped, variance, across * isotropic.mean(-1))
