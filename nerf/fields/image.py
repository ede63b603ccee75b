"""An image as a function of pixel position, for the image task."""

import jax
from flax import nnx
from jaxtyping import Array

from nerf.encodings import Encoding
from nerf.fields import Samples
from nerf.networks import Network, connect


class ImageField(nnx.Module):
    """Points of [-1, 1]^2 -> encoding -> network -> sRGB.

    Equation:
      rgb = sigmoid(network(gamma(x)))

    It returns no density and ignores view directions.

    Args:
      encoding: gamma, the encoding of points (*b, 2).
      network: specification of the network, see `nerf.networks`.
      rngs: source of the initial parameters.
    """

    def __init__(self, encoding: Encoding, network: Network, *, rngs: nnx.Rngs):
        self.encoding = encoding
        self.network = connect(encoding, network, 3, 2, rngs=rngs)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        return {"rgb": jax.nn.sigmoid(self.network(self.encoding(samples.points)))}
