"""Smooth network of softplus units for surfaces (IDR, Yariv et al., 2003.09852)."""

import dataclasses
import math

import jax
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import MLP, uniform

LAST = 1e-3  # bound of the kernel of the last layer at the start


@dataclasses.dataclass(frozen=True)
class SmoothRectifier:
    """Softplus of its input times beta, divided by beta.

    Attributes:
      beta: inverse width of the bend; for large values this is max(z, 0).
    """

    beta: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        return jax.nn.softplus(self.beta * z) / self.beta


@dataclasses.dataclass(frozen=True)
class Softplus:
    """Specification of a network whose outputs have continuous gradients and begin near zero.

    Equation:
      h <- 1 / beta log(1 + exp(beta (W h + b)))

    Hidden layers begin as in SAL (1911.10414, theorem 1). The last layer begins near zero, so that
    a field that adds the outputs to the distance of a sphere begins as that sphere, for any
    encoding.

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      beta: see `SmoothRectifier`; 100 in IDR.
      dtype: "float32", or "bfloat16" to multiply in bfloat16 and accumulate in float32.
    """

    width: int = 64
    depth: int = 4
    beta: float = 100.0
    dtype: str = "float32"

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]

        def init(layer: int, num_in: int) -> tuple:
            if layer == self.depth:
                return uniform(LAST), nnx.initializers.zeros
            # Normal with variance 2 / number of outputs.
            return nnx.initializers.normal(math.sqrt(2.0 / self.width)), nnx.initializers.zeros

        activation = SmoothRectifier(self.beta)
        return MLP(widths, activation=activation, init=init, dtype=self.dtype, rngs=rngs)
