"""Anti-aliased interlevel loss of proposals (Zip-NeRF, Barron et al., 2304.06706, section 3)."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context
from nerf.losses.interlevel import Histogram, histograms

EPSILON = 1e-5  # added to the proposal's weights that divide
MIN_HALF_LENGTH = 1e-6  # shortest half interval that is not widened, in units of s


@dataclasses.dataclass(frozen=True)
class AntialiasedInterlevel:
    """Blurred final weights above those of each proposal (2304.06706, equations 10 to 12).

    Equation:
      L = lambda sum_p sum_j 1/hat(w)_(p,j) max(0, v_(p,j) - hat(w)_(p,j))^2
      v_(p,j) = C_p(hat(s)_(p,j+1)) - C_p(hat(s)_(p,j))   blurred final weight in interval j
      C_p(x) = (D(x + r_p) - D(x - r_p)) / (2 r_p)   D: the integral of the weights' cumulative sum
      s = (g(t) - g(t_near)) / (g(t_far) - g(t_near)) with g(t) = t / (1 + t)

    w_i are the weights of the last stage and hat(w)_(p,j) those of the proposal p, which is any
    stage before the last. The step function of the last stage is convolved with a box of half width
    r_p and resampled into the intervals of the proposal. Unlike the bound of
    `nerf.losses.interlevel`, it changes smoothly when a surface moves past the edge of an interval,
    so that pictures do not jump when the camera moves towards it. No gradient flows into the last
    stage.

    The result depends on the unit of the blur. That is the normalised distance s of mip-NeRF 360
    (2111.12077, equation 11) from the first to the last edge of a ray, here with the g of
    `nerf.losses.distortion`, which every space allows.

    Attributes:
      radii: r_p, half width of the blur for each proposal, in units of s.
      weight: lambda, factor on the loss.
    """

    radii: Sequence[float] = (0.03, 0.003)
    weight: float = 1.0

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its last rendering trains the ones before.

        Returns:
          The weighted loss, (*b).

        Raises:
          ConfigError: the number of radii is not that of the proposals.
        """
        proposals, (edges, weights) = histograms(context)
        if len(self.radii) != len(proposals):
            reason = f"radii={tuple(self.radii)}: the model has {len(proposals)} proposal stages"
            raise ConfigError(f"losses.interlevel.{reason}: give one radius for each")
        near, far = edges[..., :1], edges[..., -1:]
        final = normalise(edges, near, far), weights
        total = jnp.zeros(weights.shape[:-1])
        for radius, (other, proposed) in zip(self.radii, proposals, strict=True):
            cdf = blurred_cdf(normalise(other, near, far), final, radius)
            excess = jnp.maximum(jnp.diff(cdf, axis=-1) - proposed, 0.0)
            total = total + (jnp.square(excess) / (proposed + EPSILON)).sum(-1)
        return self.weight * total


def normalise(
    t: Float[Array, "*b n"], near: Float[Array, "*b 1"], far: Float[Array, "*b 1"]
) -> Float[Array, "*b n"]:
    """Map distances to s in [0, 1], see `AntialiasedInterlevel`.

    Args:
      t: distances in world units.
      near: distance where s = 0.
      far: distance where s = 1; if it equals `near`, s is 0.

    Returns:
      Normalised distances.
    """
    x, start, end = (value / (1.0 + value) for value in (t, near, far))
    return (x - start) / jnp.maximum(end - start, 1e-9)


def blurred_cdf(
    x: Float[Array, "*b k"], histogram: Histogram, radius: float
) -> Float[Array, "*b k"]:
    """Return the cumulative weight up to x of a histogram that is convolved with a box.

    Args:
      x: positions, in the units of the histogram's edges.
      histogram: edges and weights; inside of an interval its weight is spread evenly.
      radius: half width of the box, in the same units.

    Returns:
      The sum of the weights whose blurred place lies before each position.
    """
    edges, weights = histogram
    # The box of an interval convolved with that of the blur is a trapezoid of area 1: it rises over
    # a length 2 `slope`, is flat over 2 `flat` at the height 1 / (2 wide), and falls. Its area
    # before x is a sum of three parts without cancellation.
    middle = 0.5 * (edges[..., 1:] + edges[..., :-1])
    half = jnp.maximum(0.5 * jnp.diff(edges, axis=-1), MIN_HALF_LENGTH)
    slope, wide = jnp.minimum(half, radius), jnp.maximum(half, radius)
    middle, slope, wide = (value[..., None, :] for value in (middle, slope, wide))
    flat = wide - slope
    y = x[..., None] - middle
    rise = jnp.clip(y + wide + slope, 0.0, 2.0 * slope)
    level = jnp.clip(y + flat, 0.0, 2.0 * flat)
    fall = jnp.clip(y - flat, 0.0, 2.0 * slope)
    ramps = (jnp.square(rise) + fall * (4.0 * slope - fall)) / (4.0 * slope)
    before = (ramps + level) / (2.0 * wide)
    return (before * weights[..., None, :]).sum(-1)
