"""A field composed of any encoding and any network."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.fields import Samples
from nerf.networks import Network, connect
from nerf.networks.coordx import SplitNetwork, split_axes
from nerf.networks.layers import truncated_exp
from nerf.networks.relu import ReLU

# Default specification of the colour network.
COLOUR = ReLU(width=32, depth=1)


class Composed(nnx.Module):
    """Points -> encoding -> network -> (log density, features) -> colour network -> sRGB.

    The colour network gets the features and the encoded view direction, and with `code_features`
    the latent code of the sample (NeRF in the Wild, 2008.02268, section 4.1). The density does not
    depend on the code.

    Equation:
      (s, h) = network(gamma(x))
      density = exp(min(s + density_bias, 15))
      rgb = sigmoid(colour(h, gamma_d(viewdir)))
      rgb = sigmoid(colour(h, gamma_d(viewdir), l))   with a code l

    With a hash grid and ReLU networks of one and two hidden layers this is the field of instant-ngp
    (2201.05989, section 5.4).

    Args:
      encoding: gamma, the encoding of points.
      direction_encoding: gamma_d, the encoding of unit directions.
      network: specification of the density network, see `nerf.networks`.
      colour: specification of the colour network.
      features: number of features h passed from the first network to the second.
      density_bias: log of the density around which training starts, per unit of the box.
      code_features: length of the codes of the model, see `nerf.rendering.codes`; 0 reads none.
      rngs: source of the initial parameters.
    """

    def __init__(
        self,
        encoding: Encoding,
        direction_encoding: Encoding,
        network: Network,
        colour: Network = COLOUR,
        features: int = 15,
        density_bias: float = 0.0,
        code_features: int = 0,
        *,
        rngs: nnx.Rngs,
    ):
        self.encoding, self.direction_encoding = encoding, direction_encoding
        self.density_bias, self.code_features = density_bias, code_features
        self.network = connect(encoding, network, 1 + features, 3, rngs=rngs)
        inputs = features + direction_encoding.num_features + code_features
        self.colour = colour(inputs, 3, rngs=rngs)

    @property
    def prefers_lattice(self) -> bool:
        """Report whether a lattice is evaluated faster than as many points anywhere."""
        return isinstance(self.network, SplitNetwork)

    def on_lattice(self, axes: Sequence[Float[Array, " _"]]) -> dict[str, Float[Array, "x y z"]]:
        """Return the density at all points of a lattice, as a quantity.

        `axes` has the coordinates (n_k,) along each axis. A network that is split by axis evaluates
        its first layers once per coordinate instead of once per point.
        """
        if not isinstance(self.network, SplitNetwork):
            points = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)
            return {"density": self._density(self.network(self.encoding(points)))}
        # Encode points whose coordinates are all equal, (n_k, 3), and keep the features of axis k,
        # which depend on coordinate k alone.
        diagonals = [
            jnp.broadcast_to(places[:, None], (places.shape[0], len(axes))) for places in axes
        ]
        features = [
            split_axes(self.encoding(points), len(axes))[k] for k, points in enumerate(diagonals)
        ]
        return {"density": self._density(self.network.on_lattice(features))}

    def _density(self, outputs: Float[Array, "*b o"]) -> Float[Array, "*b"]:
        return truncated_exp(outputs[..., 0] + self.density_bias)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        outputs = self.network(self.encoding(samples.points))
        # Colour depends on the features h (all outputs but the first) and on the view direction.
        directions = self.direction_encoding(samples.viewdirs)
        parts = [outputs[..., 1:], directions]
        if self.code_features:
            assert samples.code is not None, "a model checks that it has codes"
            parts.append(samples.code)
        inputs = jnp.concatenate(parts, -1)
        return {"density": self._density(outputs), "rgb": jax.nn.sigmoid(self.colour(inputs))}
