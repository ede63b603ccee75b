"""FINER: sines whose frequency grows with their input (Liu et al., 2312.02434)."""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import MLP
from nerf.networks.siren import siren_init


@dataclasses.dataclass(frozen=True)
class VariableSine:
    """Sine whose frequency grows with its input z, see `Finer`.

    Attributes:
      omega: the angular frequency near z = 0.
    """

    omega: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        return jnp.sin(self.omega * (jnp.abs(z) + 1.0) * z)


@dataclasses.dataclass(frozen=True)
class Finer:
    """Specification of a network of sines whose frequency grows with their input (equation 3).

    Equation:
      h <- sin(omega (|z| + 1) z) with z = W h + b

    Weights start as in SIREN. The first layer's biases start in a wider range: the wider it is, the
    more high frequencies the network can use (section 3.2).

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      omega: the angular frequency near z = 0.
      first_bias: k; the first layer's biases start as U(+-k).
    """

    width: int = 64
    depth: int = 4
    omega: float = 30.0
    first_bias: float = 1.0

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]
        init = siren_init(self.omega, self.first_bias)
        return MLP(widths, activation=VariableSine(self.omega), init=init, rngs=rngs)
