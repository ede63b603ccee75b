"""The small two-part network behind a grid encoding (instant-ngp, 2201.05989, section 5.4)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.encodings.cones import Points
from nerf.networks.layers import MLP, truncated_exp


class NGPField(nnx.Module):
    """Encoded points -> one hidden layer -> (log density, features); features and encoded directions -> colour.

    Args:
      encoding: of points.
      direction_encoding: of unit directions.
      width: of the hidden layers.
      colour_depth: hidden layers of the colour network.
      features: numbers handed from the first part to the second.
      density_bias: log of the density, per unit of the box, that training begins with everywhere.
      dtype: see `MLP`.
    """

    def __init__(
        self,
        encoding: Encoding,
        direction_encoding: Encoding,
        width: int = 64,
        colour_depth: int = 2,
        features: int = 15,
        density_bias: float = 0.0,
        dtype: str = "float32",
        *,
        rngs: nnx.Rngs,
    ):
        self.encoding, self.direction_encoding, self.density_bias = (
            encoding,
            direction_encoding,
            density_bias,
        )
        self.base = MLP([encoding.num_features, width, 1 + features], dtype=dtype, rngs=rngs)
        colour_in = features + direction_encoding.num_features
        self.colour = MLP([colour_in] + [width] * colour_depth + [3], dtype=dtype, rngs=rngs)

    def density(self, points: Points) -> Float[Array, "*b"]:
        return truncated_exp(self.base(self.encoding(points))[..., 0] + self.density_bias)

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        base = self.base(self.encoding(points))
        seen = jnp.concatenate([base[..., 1:], self.direction_encoding(viewdirs)], -1)
        return {
            "density": truncated_exp(base[..., 0] + self.density_bias),
            "rgb": jax.nn.sigmoid(self.colour(seen)),
        }
