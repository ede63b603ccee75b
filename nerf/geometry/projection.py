"""Points of a surface from a distance, signed or not, by projection along its gradient (NDF).

Reference: Chibane et al., Neural Unsigned Distance Fields, 2010.13938, section 3.2.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

Distance = Callable[[Float[Array, "n 3"]], Float[Array, " n"]]


def project(distance: Distance, points: Float[Array, "n 3"], steps: int = 10) -> Array:
    """Move points to the surface along the gradient of a distance (NDF, 2010.13938, equation 3).

    Equation:
      p <- p - f(p) nabla f(p) / |nabla f(p)|   as often as `steps`

    One step is exact where f is the exact distance. A learned one is not, so that steps are
    repeated. A point on the surface, or with a gradient of zero, stays.

    Args:
      distance: f, points (n, 3) -> signed or unsigned distances (n,).
      points: points in the box.
      steps: number of steps.

    Returns:
      The moved points, (n, 3).
    """

    def step(_: Int[Array, ""] | int, points: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        values, pull = jax.vjp(distance, points)
        (gradient,) = pull(jnp.ones_like(values))
        squared = jnp.square(gradient).sum(-1, keepdims=True)
        # Without a gradient there is no direction, and 0 * rsqrt(1e-12) is no step.
        moved = points - values[:, None] * gradient * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
        # On the surface an unsigned distance has no gradient, which may be NaN.
        return jnp.where((values == 0.0)[:, None], points, moved)

    return jax.lax.fori_loop(0, steps, step, points)


def sample_surface(
    distance: Distance, key: PRNGKeyArray, count: int, steps: int = 10, near: float = 0.02
) -> tuple[Float[Array, "n 3"], Float[Array, " n"]]:
    """Sample a dense point cloud of a surface (NDF, 2010.13938, algorithm 1).

    Random points of the box are projected. Those that end near the surface are drawn again, moved
    by normal deviates of a third of `near`, and projected again, so that they spread over it.

    Args:
      distance: f, points (n, 3) in the box [-1, 1]^3 -> signed or unsigned distances (n,).
      key: random key.
      count: number of points n.
      steps: number of steps of both projections.
      near: distance below which a point counts as one of the surface; delta in the paper.

    Returns:
      Points (n, 3) and their remaining distances |f| (n,), NaN if no point ended near the surface.
    """
    first, drawn, moved = jax.random.split(key, 3)
    seeds = jax.random.uniform(first, (count, 3), minval=-1.0, maxval=1.0)
    ends = project(distance, seeds, steps)
    # A point that left the box was moved by distances that nothing has trained.
    good = (jnp.abs(distance(ends)) < near) & (jnp.abs(ends) <= 1.0).all(-1)
    chance = good / good.sum()
    again = jax.random.choice(drawn, ends, (count,), p=chance)
    again = again + near / 3.0 * jax.random.normal(moved, again.shape)
    points = project(distance, jnp.where(good.any(), again, jnp.nan), steps)
    return points, jnp.abs(distance(points))
