"""The plain network, h <- max(W h + b, 0): the control of every other."""

import dataclasses
from collections.abc import Sequence

from flax import nnx

from nerf.networks.layers import MLP


@dataclasses.dataclass(frozen=True)
class ReLU:
    """Layers with ReLU between them.

    Attributes:
      width, depth: of the hidden layers, and their number.
      skip: the input enters again at these layers.
      dtype: see `MLP`.
    """

    width: int = 64
    depth: int = 4
    skip: Sequence[int] = ()
    dtype: str = "float32"

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> MLP:
        widths = [num_in, *[self.width] * self.depth, num_out]
        return MLP(widths, skip=tuple(self.skip), dtype=self.dtype, rngs=rngs)
