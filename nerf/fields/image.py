"""A picture as a function of the place in it, for the image task."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.encodings.cones import Points
from nerf.networks import Network, connect


class ImageField(nnx.Module):
    """Encoded points of [-1, 1]^2 -> network -> sRGB. There is no density, and directions mean nothing.

    Args:
      encoding: of points (*b, 2).
      network: see `nerf.networks`.
    """

    def __init__(self, encoding: Encoding, network: Network, *, rngs: nnx.Rngs):
        self.encoding = encoding
        self.network = connect(encoding, network, 3, 2, rngs=rngs)

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        return {"rgb": jax.nn.sigmoid(self.network(self.encoding(points)))}
