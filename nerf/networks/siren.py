"""SIREN: networks with sine activations (Sitzmann et al., 2006.09661)."""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import MLP, Init, uniform


@dataclasses.dataclass(frozen=True)
class Sine:
    """Sine of its input times omega, see `Siren`.

    Attributes:
      omega: the angular frequency.
    """

    omega: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        return jnp.sin(self.omega * z)


def siren_init(omega: float, first_bias: float | None = None) -> Init:
    """Return initializers with which every layer's omega (W h + b) starts near N(0, 1).

    W ~ U(+-1 / n) in the first layer and W ~ U(+-sqrt(6 / n) / omega) in later ones (section 3.2
    and theorem 1.8). The biases of the first layer are phases: U(+-1 / sqrt(n)), or U(+-first_bias)
    if given. Later biases are U(+-1 / (sqrt(n) omega)), small enough to keep the distribution.
    """

    def init(layer: int, num_in: int) -> tuple[Callable, Callable]:
        if layer == 0:
            bias = 1.0 / math.sqrt(num_in) if first_bias is None else first_bias
            return uniform(1.0 / num_in), uniform(bias)
        bias = 1.0 / (math.sqrt(num_in) * omega)
        return uniform(math.sqrt(6.0 / num_in) / omega), uniform(bias)

    return init


@dataclasses.dataclass(frozen=True)
class Siren:
    """Specification of a network of sines (equation 3 with the omega of section 3.2).

    Equation:
      h <- sin(omega (W h + b))
      W_(i j) ~ U(-a, a) with a = sqrt(6 / n) / omega   at the start; the layer has n inputs

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      omega: angular frequency of every layer; a larger omega gives the untrained network finer
        detail.
    """

    width: int = 64
    depth: int = 4
    omega: float = 30.0

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]
        return MLP(widths, activation=Sine(self.omega), init=siren_init(self.omega), rngs=rngs)
