"""The network of NeRF (Mildenhall et al., 2003.08934, appendix A)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.encodings.cones import Points
from nerf.networks.layers import MLP


class NeRFField(nnx.Module):
    """Encoded points -> 8 ReLU layers with a skip -> density; with encoded directions -> one more layer -> colour.

    Density is softplus(x - 1), not the paper's ReLU, which may start with no gradient at all (mip-NeRF, 2103.13415, A).

    Args:
      encoding: of points.
      direction_encoding: of unit directions.
      width: of the trunk; the view branch has half of it.
      depth: layers of the trunk.
      skip: the encoded point enters again at this layer.
      dtype: see `MLP`.
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
        self.trunk = MLP(
            [encoding.num_features] + [width] * depth, dtype=dtype, skip=(skip,), rngs=rngs
        )
        self.density_head = MLP([width, 1], dtype=dtype, rngs=rngs)
        self.bottleneck = MLP([width, width], dtype=dtype, rngs=rngs)
        self.colour = MLP(
            [width + direction_encoding.num_features, width // 2, 3], dtype=dtype, rngs=rngs
        )

    def density(self, points: Points) -> Float[Array, "*b"]:
        return self._density(jax.nn.relu(self.trunk(self.encoding(points))))

    def _density(self, features: Float[Array, "*b f"]) -> Float[Array, "*b"]:
        return jax.nn.softplus(self.density_head(features)[..., 0] - 1.0)

    def __call__(self, points: Points, viewdirs: Float[Array, "*b 3"]) -> dict[str, Array]:
        features = jax.nn.relu(self.trunk(self.encoding(points)))
        seen = jnp.concatenate([self.bottleneck(features), self.direction_encoding(viewdirs)], -1)
        return {"density": self._density(features), "rgb": jax.nn.sigmoid(self.colour(seen))}
