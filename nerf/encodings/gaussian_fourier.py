"""Random Fourier features (Tancik et al., Fourier Features, 2006.10739, eq. 5 with Gaussian frequencies)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Frequencies(nnx.Variable):
    """Frequencies that are drawn once, and stay."""


class Gaussian(nnx.Module):
    """gamma(x) = (cos(2 pi B x), sin(2 pi B x)) with B (m, d) ~ N(0, sigma^2), which has no preferred axes.

    Args:
      num_freqs: m.
      sigma: in cycles per unit of x. The paper's x has the range 1, not 2: its sigma is twice this one.
      learn: whether training may change B.
      num_dims: d.
    """

    def __init__(
        self,
        num_freqs: int = 64,
        sigma: float = 2.0,
        learn: bool = False,
        num_dims: int = 3,
        *,
        rngs: nnx.Rngs,
    ):
        self.num_dims, self.num_features = num_dims, 2 * num_freqs
        self.B = (nnx.Param if learn else Frequencies)(
            sigma * jax.random.normal(rngs.params(), (num_freqs, num_dims))
        )

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        angles = 2.0 * jnp.pi * jnp.matmul(x, self.B[...].T, precision="highest")
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
