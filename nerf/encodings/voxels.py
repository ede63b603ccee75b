"""Dense voxel grid of feature vectors (as in DVGO, Sun et al., 2111.11215, eq. 4)."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.interpolation import interpolate


class Voxels(nnx.Module):
    """Multilinear interpolation of the vectors at the 2^d corners of the cell around x.

    Equation:
      f(x) = sum_(c in {0,1}^d) V_(v + c) prod_k (c_k u_k + (1 - c_k) (1 - u_k))
      v = floor(N (x + 1) / 2) with u = N (x + 1) / 2 - v   lowest corner, position in the cell

    V are the vectors, c the corners and N is `resolution`. The grid covers [-1, 1]^d: (*b, d) ->
    (*b, features).

    Args:
      resolution: number of cells along an axis.
      features: length of a feature vector.
      num_dims: d, the number of coordinates of a point.
      rngs: source of the initial values, uniform in +-1e-4, like those of `HashGrid`.
    """

    def __init__(
        self, resolution: int = 48, features: int = 4, num_dims: int = 3, *, rngs: nnx.Rngs
    ):
        self.num_dims, self.num_features = num_dims, features
        shape = ((resolution + 1) ** num_dims, features)
        self.table = nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-1e-4, maxval=1e-4))

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        features = interpolate(self.table[...], points.reshape(-1, self.num_dims))
        return features.reshape(*points.shape[:-1], self.num_features)
