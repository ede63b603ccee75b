"""A field of any encoding and any network."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.encodings.cones import Points
from nerf.networks import Network, connect
from nerf.networks.coordx import SplitNetwork, split_axes
from nerf.networks.layers import truncated_exp
from nerf.networks.relu import ReLU

COLOUR = ReLU(width=32, depth=1)


class Composed(nnx.Module):
    """Encoded points -> network -> (log density, features); features and encoded directions -> another -> colour.

    Args:
      encoding: of points.
      direction_encoding: of unit directions.
      network: see `nerf.networks`.
      colour: the network after it.
      features: numbers handed from the first to the second.
      density_bias: log of the density, per unit of the box, that training begins around.
    """

    def __init__(
        self,
        encoding: Encoding,
        direction_encoding: Encoding,
        network: Network,
        colour: Network = COLOUR,
        features: int = 15,
        density_bias: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.encoding, self.direction_encoding, self.density_bias = (
            encoding,
            direction_encoding,
            density_bias,
        )
        self.network = connect(encoding, network, 1 + features, 3, rngs=rngs)
        self.colour = colour(features + direction_encoding.num_features, 3, rngs=rngs)

    def density(self, points: Points) -> Float[Array, "*b"]:
        return self._density(self.network(self.encoding(points)))

    def density_on_lattice(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "x y z"]:
        """`density` at all points whose coordinates are among the places along each axis; cheaper where it is split."""
        if not isinstance(self.network, SplitNetwork):
            return self.density(jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1))
        diagonals = [
            jnp.broadcast_to(places[:, None], (places.shape[0], len(axes))) for places in axes
        ]
        features = [
            split_axes(self.encoding(points), len(axes))[k] for k, points in enumerate(diagonals)
        ]
        return self._density(self.network.on_lattice(features))

    def _density(self, outputs: Float[Array, "*b o"]) -> Float[Array, "*b"]:
        return truncated_exp(outputs[..., 0] + self.density_bias)

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        outputs = self.network(self.encoding(points))
        seen = jnp.concatenate([outputs[..., 1:], self.direction_encoding(viewdirs)], -1)
        return {"density": self._density(outputs), "rgb": jax.nn.sigmoid(self.colour(seen))}
