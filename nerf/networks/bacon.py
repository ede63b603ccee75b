"""BACON: a band-limited multiplicative filter network (Lindell et al., 2112.04645).

Multiplicative filter networks are from Fathony et al., ICLR 2021.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import lecun_init, linear, uniform


class Frozen(nnx.Variable):
    """Constants of a network that training does not change."""


def filter_init(layer: int, num_in: int) -> tuple[Callable, Callable]:
    """Return initializers: kernel U(+-sqrt(6 / n)), bias zero.

    With them every layer's mix of sines stays close to N(0, 1) at the start (section 3.3).
    """
    return uniform(math.sqrt(6.0 / num_in)), nnx.initializers.zeros


class FilterNetwork(nnx.Module):
    """Sines of frozen frequencies, mixed and multiplied layer by layer.

    Equation:
      g_i(x) = sin(w_i x + phi_i)   filter
      h_1 = g_1(x) with h_i = g_i(x) o. (W_i h_(i-1) + b_i)   products of sines
      y_i = y_(i-1) + V_i h_i + c_i   output after i filters

    These are equations 2 and 3 of the paper, except for the term y_(i-1): a loss on the finest
    output, which is the field's, trains all layers.

    Args:
      spec: the network's specification.
      num_in: number of inputs.
      num_out: number of outputs.
      rngs: source of frequencies and initial parameters.
    """

    def __init__(self, spec: "Bacon", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        count, width = len(spec.bands), spec.width
        # Frequencies pi k with integer |k| <= B_i, in radians per unit of x.
        size = (count, num_in, width)
        limits = jnp.asarray(spec.bands, jnp.int32)[:, None, None]
        self.frequencies = Frozen(
            math.pi * jax.random.randint(rngs.params(), size, -limits, limits + 1)
        )
        phases = uniform(math.pi)(rngs.params(), (count, width), jnp.float32)
        self.phases = nnx.Param(phases)
        self.mixers = nnx.List(
            [linear(width, width, filter_init, rngs=rngs) for _ in spec.bands[1:]]
        )
        self.heads = nnx.List([linear(width, num_out, lecun_init, rngs=rngs) for _ in spec.bands])

    def scales(self, x: Float[Array, "*b i"]) -> list[Float[Array, "*b o"]]:
        """Return the output y_i after each filter, coarse to fine.

        No frequency of y_i exceeds pi times the sum of the first i bands.
        """
        hidden: Array | None = None
        outputs: list[Array] = []
        for i, head in enumerate(self.heads):
            # g_i(x) = sin(w_i x + phi_i), (*b, width).
            angles = jnp.matmul(x, self.frequencies[...][i], precision="highest")
            phases = self.phases[...][i].reshape(*[1] * (x.ndim - 1), -1)
            filtered = jnp.sin(angles + phases)
            # A product of sines has the sums and differences of their frequencies.
            hidden = filtered if hidden is None else filtered * self.mixers[i - 1](hidden)
            outputs.append(head(hidden) if not outputs else outputs[-1] + head(hidden))
        return outputs

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        return self.scales(x)[-1]


@dataclasses.dataclass(frozen=True)
class Bacon:
    """Specification of a network with one filter layer per band.

    Attributes:
      width: number of filters in each layer.
      bands: B_i, the limit of each layer's frequencies pi k: k is an integer and |k| <= B_i, so a
        wave has |k| periods across [-1, 1]. Outputs are periodic there, and the spectrum of the
        i-th output ends exactly at the sum of the first i bands.
    """

    width: int = 64
    bands: Sequence[int] = (2, 2, 4, 8)

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> FilterNetwork:
        return FilterNetwork(self, num_in, num_out, rngs=rngs)
