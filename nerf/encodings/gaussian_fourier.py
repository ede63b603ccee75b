"""Random Fourier features with Gaussian frequencies (Tancik et al., 2006.10739, eq. 5)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Frequencies(nnx.Variable):
    """Frequencies that are drawn once and never trained."""


class Gaussian(nnx.Module):
    """Cosines and sines of random projections of x, which prefer no direction.

    Equation:
      gamma(x) = (cos(2 pi B x), sin(2 pi B x))
      B_(i j) ~ N(0, sigma^2)

    B is (m, d), and the features are (*b, 2 m).

    Args:
      num_freqs: m, the number of frequencies.
      sigma: standard deviation of the frequencies, in cycles per unit of x. The paper's x has range
        1 and here it has range 2, so the paper's sigma is twice this one.
      learn: whether B is trained.
      num_dims: d, the number of coordinates of x.
      rngs: source of B.
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
        kind = nnx.Param if learn else Frequencies
        self.B = kind(sigma * jax.random.normal(rngs.params(), (num_freqs, num_dims)))

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        # Low-precision products would lose the phase at high frequencies.
        angles = 2.0 * jnp.pi * jnp.matmul(x, self.B[...].T, precision="highest")
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)  # equation 5
