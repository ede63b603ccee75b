"""SIREN, layers of sines (Sitzmann et al., 2006.09661)."""

import dataclasses
import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import MLP, Init, uniform


@dataclasses.dataclass(frozen=True)
class Sine:
    """sin(omega z)."""

    omega: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        return jnp.sin(self.omega * z)


def siren_init(omega: float, first_bias: float | None = None) -> Init:
    """The law under which every layer's omega (W h + b) begins near N(0, 1) (section 3.2 and theorem 1.8).

    W ~ U(+-1 / n) in the first layer and U(+-sqrt(6 / n) / omega) after it. Biases are U(+-1 / sqrt(n)) in the first
    layer (or +-first_bias), where they are phases; later ones are omega times smaller, not to disturb the law.
    """

    def init(layer: int, num_in: int):
        if layer == 0:
            return uniform(1.0 / num_in), uniform(
                1.0 / math.sqrt(num_in) if first_bias is None else first_bias
            )
        return uniform(math.sqrt(6.0 / num_in) / omega), uniform(1.0 / (math.sqrt(num_in) * omega))

    return init


@dataclasses.dataclass(frozen=True)
class Siren:
    """h <- sin(omega (W h + b)), equation 3 with the omega of section 3.2.

    Attributes:
      width, depth: of the hidden layers, and their number.
      omega: the frequency of every layer; it sets how fine a detail the untrained network has.
    """

    width: int = 64
    depth: int = 4
    omega: float = 30.0

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]
        return MLP(widths, activation=Sine(self.omega), init=siren_init(self.omega), rngs=rngs)
