"""Networks with Gaussian activations (Ramasinghe & Lucey, 2111.15135)."""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import MLP, lecun_init


@dataclasses.dataclass(frozen=True)
class Bump:
    """Gaussian of its input, see `Gaussian`.

    Attributes:
      scale: inverse width of the Gaussian.
    """

    scale: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        return jnp.exp(-jnp.square(self.scale * z))


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Specification of a network with Gaussian activations.

    Equation:
      h <- exp(-(s (W h + b))^2)

    This is the paper's exp(-z^2 / (2 a^2)) with s = 1 / (a sqrt(2)).

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      scale: s; a larger s allows finer detail.
    """

    width: int = 64
    depth: int = 4
    scale: float = 10.0

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]
        return MLP(widths, activation=Bump(self.scale), init=lecun_init, rngs=rngs)
