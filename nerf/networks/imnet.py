"""IM-NET decoder: the input is concatenated at every layer (Chen & Zhang, 1812.02822)."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
from flax import nnx

from nerf.networks.layers import MLP

leaky_relu = partial(jax.nn.leaky_relu, negative_slope=0.02)


@dataclasses.dataclass(frozen=True)
class IMNet:
    """Specification of a network whose layers all get its input; widths decrease (figure 3).

    Equation:
      h <- max(z, 0.02 z) with z = W [h, x] + b

    Attributes:
      widths: widths of the hidden layers; the paper has 2048, 1024, 512, 256 and 128.
    """

    widths: Sequence[int] = (96, 64, 48, 32)

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *self.widths, num_out]
        again = tuple(range(1, len(self.widths) + 1))
        return MLP(widths, activation=leaky_relu, skip=again, rngs=rngs)
