"""Regions of space as Gaussians: what an encoding sees of a pixel's cone instead of a point (mip-NeRF, 2103.13415).

With t_mu and t_d the middle and half the length of an interval along a ray o + t d, |d| = 1, and r the radius of the
cone at unit distance (equations 7 and 8; the mean is that of the cone's volume, hence its t^2):

  mean along the ray      mu_t      = t_mu + 2 t_mu t_d^2 / (3 t_mu^2 + t_d^2)
  variance along it       sigma_t^2 = t_d^2 / 3 - (4 / 15) t_d^4 (12 t_mu^2 - t_d^2) / (3 t_mu^2 + t_d^2)^2
  variance across it      sigma_r^2 = r^2 (t_mu^2 / 4 + (5 / 12) t_d^2 - (4 / 15) t_d^4 / (3 t_mu^2 + t_d^2))
  mean                    mu        = o + mu_t d
  covariance              Sigma     = sigma_t^2 d d^T + sigma_r^2 (I - d d^T)
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.pytrees import pytree


@pytree
class Gaussians:
    """Gaussians by their mean and the variance of each coordinate, the diagonal of their covariance."""

    mean: Float[Array, "*b d"]
    variance: Float[Array, "*b d"]


Points = Float[Array, "*b d"] | Gaussians


def mean_of(points: Points) -> Float[Array, "*b d"]:
    """Points as they are, Gaussians by their mean."""
    return points.mean if isinstance(points, Gaussians) else points


def takes_gaussians(field: Callable) -> bool:
    """Whether the encoding of a field's points asks for Gaussians, by `takes_gaussians = True`, rather than points."""
    return getattr(getattr(field, "encoding", None), "takes_gaussians", False)


def along_cone(
    radius: Float[Array, "*#b"], t_start: Float[Array, "*b"], t_end: Float[Array, "*b"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"], Float[Array, "*b"]]:
    """mu_t, sigma_t^2 and sigma_r^2 of the frustum between two distances along cones of a radius at unit distance."""
    mu, d = 0.5 * (t_start + t_end), 0.5 * (t_end - t_start)
    sum_of_squares = jnp.maximum(3.0 * mu**2 + d**2, 1e-12)  # whose square is a float32 still
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
    """Gaussians of intervals of cones, after a map of space that is linearised at the mean (mip-NeRF 360, eq. 9)."""
    mean, along, across = along_cone(radius, t_start, t_end)
    points = origins + mean[..., None] * directions
    warped, move = jax.linearize(warp, points)
    # With J the map's Jacobian, the diagonal of J Sigma J^T = sigma_r^2 J J^T + (sigma_t^2 - sigma_r^2) (J d)(J d)^T.
    axes = [move(jnp.broadcast_to(axis, points.shape)) for axis in jnp.eye(3)]
    of_sphere = sum(jnp.square(column) for column in axes)
    of_line = jnp.square(move(jnp.broadcast_to(directions, points.shape)))
    return Gaussians(warped, across[..., None] * of_sphere + (along - across)[..., None] * of_line)
