"""A field of density alone, for proposal networks (mip-NeRF 360, Barron et al., 2111.12077)."""

from flax import nnx
from jaxtyping import Array

from nerf.encodings import Encoding
from nerf.fields import Samples
from nerf.networks import Network, connect
from nerf.networks.layers import truncated_exp


class DensityField(nnx.Module):
    """Points -> encoding -> network -> density.

    Equation:
      density = exp(min(network(gamma(x)) + density_bias, 15))

    It returns no colour, so a stage with this field only places the samples of the next stage. It
    is the proposal network of mip-NeRF 360 (2111.12077, section 3), with any encoding.

    Args:
      encoding: gamma, the encoding of points.
      network: specification of the network, see `nerf.networks`.
      density_bias: log of the density around which training starts, per unit of the box.
      rngs: source of the initial parameters.
    """

    def __init__(
        self, encoding: Encoding, network: Network, density_bias: float = 0.0, *, rngs: nnx.Rngs
    ):
        self.encoding, self.density_bias = encoding, density_bias
        self.network = connect(encoding, network, 1, 3, rngs=rngs)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        outputs = self.network(self.encoding(samples.points))
        return {"density": truncated_exp(outputs[..., 0] + self.density_bias)}
