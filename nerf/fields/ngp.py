"""The small density and colour networks after a grid (instant-ngp, 2201.05989, section 5.4)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.encodings.cones import Points
from nerf.networks.layers import MLP, truncated_exp


class NGPField(nnx.Module):
    """Points -> encoding -> one hidden layer -> (log density, features) -> colour MLP -> sRGB.

    The colour MLP gets the features and the encoded view direction.

    Equation:
      (s, h) = base(gamma(x))
      density = exp(min(s + density_bias, 15))
      rgb = sigmoid(colour(h, gamma_d(viewdir)))

    Args:
      encoding: gamma, the encoding of points.
      direction_encoding: gamma_d, the encoding of unit directions.
      width: width of the hidden layers.
      colour_depth: number of hidden layers of the colour MLP.
      features: number of features h passed from the first MLP to the second.
      density_bias: log of the density with which training starts, per unit of the box.
      dtype: "float32", or "bfloat16" to multiply in bfloat16 and accumulate in float32.
      rngs: source of the initial parameters.
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
        self.encoding, self.direction_encoding = encoding, direction_encoding
        self.density_bias = density_bias
        self.base = MLP([encoding.num_features, width, 1 + features], dtype=dtype, rngs=rngs)
        colour_in = features + direction_encoding.num_features
        self.colour = MLP([colour_in] + [width] * colour_depth + [3], dtype=dtype, rngs=rngs)

    def density(self, points: Points) -> Float[Array, "*b"]:
        """Return the density (*b,) alone, per unit of length in the box."""
        return truncated_exp(self.base(self.encoding(points))[..., 0] + self.density_bias)

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        base = self.base(self.encoding(points))
        # Colour depends on the features h (all outputs but the first) and on the view direction.
        inputs = jnp.concatenate([base[..., 1:], self.direction_encoding(viewdirs)], -1)
        density = truncated_exp(base[..., 0] + self.density_bias)
        return {"density": density, "rgb": jax.nn.sigmoid(self.colour(inputs))}
