"""The original NeRF network (Mildenhall et al., 2003.08934, appendix A)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from nerf.encodings import Encoding
from nerf.fields import Samples
from nerf.networks.layers import MLP


class NeRFField(nnx.Module):
    """Points -> encoding -> 8 ReLU layers with a skip connection -> density, and colour.

    The trunk's features give the density directly, and the colour after a linear bottleneck and one
    more hidden layer that also gets the encoded view direction.

    Equation:
      h = trunk(gamma(x))
      density = log(1 + exp(head(h) - 1))
      rgb = sigmoid(colour(bottleneck(h), gamma_d(viewdir)))

    The shifted softplus replaces the paper's ReLU, whose gradient may be zero at the start
    (mip-NeRF, 2103.13415, appendix A).

    Args:
      encoding: gamma, the encoding of points.
      direction_encoding: gamma_d, the encoding of unit directions.
      width: width of the trunk; the hidden layer of the colour branch has half of it.
      depth: number of layers of the trunk.
      skip: index of the trunk layer that gets the encoded point again.
      dtype: "float32", or "bfloat16" to multiply in bfloat16 and accumulate in float32.
      rngs: source of the initial parameters.
    """

    def __init__(
        self,
        encoding: Encoding,
        direction_encoding: Encoding,
        width: int = 256,
        depth: int = 8,
        skip: int = 5,
        dtype: str = "float32",
        *,
        rngs: nnx.Rngs,
    ):
        self.encoding, self.direction_encoding = encoding, direction_encoding
        trunk = [encoding.num_features] + [width] * depth
        self.trunk = MLP(trunk, dtype=dtype, skip=(skip,), rngs=rngs)
        self.density_head = MLP([width, 1], dtype=dtype, rngs=rngs)
        self.bottleneck = MLP([width, width], dtype=dtype, rngs=rngs)
        colour_in = width + direction_encoding.num_features
        self.colour = MLP([colour_in, width // 2, 3], dtype=dtype, rngs=rngs)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        # An MLP ends without an activation, so the trunk's last ReLU is applied here.
        features = jax.nn.relu(self.trunk(self.encoding(samples.points)))
        density = jax.nn.softplus(self.density_head(features)[..., 0] - 1.0)
        # Only the colour branch sees the view direction: density is the same from all sides.
        directions = self.direction_encoding(samples.viewdirs)
        inputs = jnp.concatenate([self.bottleneck(features), directions], -1)
        return {"density": density, "rgb": jax.nn.sigmoid(self.colour(inputs))}
