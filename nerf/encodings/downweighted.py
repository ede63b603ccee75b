"""Down-weighted levels of a hash grid (Zip-NeRF, Barron et al., 2304.06706, section 2).

Cells that are finer than a pixel's cone fade out, so that distant or small pictures do not shimmer.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.cones import Gaussians, Points, mean_of
from nerf.encodings.hash_grid import HashGrid
from nerf.foundation.instantiate import ConfigError

NARROWEST = 1e-6  # smallest footprint in cells; there the weights are 1
LEAST_VARIANCE = 1e-20  # the gradient of the square root of 0 is infinite


class Downweighted(nnx.Module):
    """Features of a hash grid whose levels fade where their cells are smaller than the footprint.

    Equation:
      f_l <- w_l f_l
      w_l = erf(1 / sqrt(8 sigma^2 n_l^2))

    n_l is the number of cells of level l along an axis, and sigma the standard deviation of the
    cone across its ray, as a fraction of the side of the box: w_l is the share of a normal
    distribution with this deviation that lies inside of one cell around its centre. Where the
    footprint is n cells wide, so that n^2 of them should be averaged, the level adds little.

    The paper averages six such points, which are spread over each conical frustum; here its mean is
    the only point, and sigma is that of the complete cone. A point is treated as a cone without
    width. The features of scale of the paper's section 2 are omitted.

    Args:
      grid: a `HashGrid`.
    """

    takes_gaussians = True

    def __init__(self, grid: Any):
        if not isinstance(grid, HashGrid):
            raise ConfigError(
                f"Downweighted: {type(grid).__name__} has no levels: "
                "choose nerf.encodings.hash_grid:HashGrid"
            )
        self.grid = grid
        self.num_dims, self.num_features = grid.num_dims, grid.num_features

    @property
    def bands(self) -> tuple[int, ...]:
        """Return the level of each feature."""
        return self.grid.bands

    def __call__(self, points: Points) -> Float[Array, "*b f"]:
        features = self.grid(mean_of(points))
        if not isinstance(points, Gaussians):
            return features
        # The box is 2 wide.
        sigma = 0.5 * jnp.sqrt(jnp.maximum(points.across, LEAST_VARIANCE))[..., None]
        cells = np.array(self.grid.resolutions, np.float32)[list(self.bands)]
        wide = jnp.maximum(sigma * cells.reshape(*[1] * (sigma.ndim - 1), -1), NARROWEST)
        return features * jax.lax.erf(1.0 / (np.sqrt(8.0) * wide))
