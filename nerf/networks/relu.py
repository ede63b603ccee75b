"""Plain ReLU network, the baseline of all other networks."""

import dataclasses
from collections.abc import Sequence

from flax import nnx

from nerf.networks.layers import MLP


@dataclasses.dataclass(frozen=True)
class ReLU:
    """Specification of a network with rectified linear units.

    Equation:
      h <- max(W h + b, 0)

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      skip: indices of the layers whose input is concatenated with the network's input.
      dtype: "float32", or "bfloat16" to multiply in bfloat16 and accumulate in float32.
    """

    width: int = 64
    depth: int = 4
    skip: Sequence[int] = ()
    dtype: str = "float32"

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]
        return MLP(widths, skip=tuple(self.skip), dtype=self.dtype, rngs=rngs)
