"""BACON, a multiplicative filter network with a known band (Lindell et al., 2112.04645; Fathony et al., ICLR 2021)."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import lecun_init, linear, uniform


class Frozen(nnx.Variable):
    """Numbers of a network that no gradient changes."""


def filter_init(layer: int, num_in: int) -> tuple[Callable, Callable]:
    """W ~ U(+-sqrt(6 / n)), under which sines go on to be mixed to N(0, 1) (section 3.3); biases zero."""
    return uniform(math.sqrt(6.0 / num_in)), nnx.initializers.zeros


class FilterNetwork(nnx.Module):
    """Filters g_i(x) = sin(w_i x + phi_i) of frozen frequencies, multiplied and mixed; an output after each.

    Outputs add up, so that the finest, which is what a field is trained by, teaches all of them.
    """

    def __init__(self, spec: "Bacon", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        size = (len(spec.bands), num_in, spec.width)
        limits = jnp.asarray(spec.bands, jnp.int32)[:, None, None]
        self.frequencies = Frozen(
            math.pi * jax.random.randint(rngs.params(), size, -limits, limits + 1)
        )
        self.phases = nnx.Param(
            uniform(math.pi)(rngs.params(), (len(spec.bands), spec.width), jnp.float32)
        )
        self.mixers = nnx.List(
            [linear(spec.width, spec.width, filter_init, rngs=rngs) for _ in spec.bands[1:]]
        )
        self.heads = nnx.List(
            [linear(spec.width, num_out, lecun_init, rngs=rngs) for _ in spec.bands]
        )

    def scales(self, x: Float[Array, "*b i"]) -> list[Float[Array, "*b o"]]:
        """The output after each filter, coarse to fine: the i-th has no frequency above the sum of the first i bands.

        h_1 = g_1(x), h_i = g_i(x) (W_i h_(i-1) + b_i), y_i = y_(i-1) + V_i h_i + c_i (equations 2 and 3, but y_(i-1)).
        """
        hidden: Array | None = None
        outputs: list[Array] = []
        for i, head in enumerate(self.heads):
            angles = x @ self.frequencies[...][i]
            phases = self.phases[...][i].reshape(*[1] * (x.ndim - 1), -1)
            filtered = jnp.sin(angles + phases)
            hidden = filtered if hidden is None else filtered * self.mixers[i - 1](hidden)
            outputs.append(head(hidden) if not outputs else outputs[-1] + head(hidden))
        return outputs

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        return self.scales(x)[-1]


@dataclasses.dataclass(frozen=True)
class Bacon:
    """As many filters as `bands`, of the width `width`.

    Attributes:
      width: of every filter.
      bands: B_i; a filter's frequencies are pi k with whole numbers |k| <= B_i, waves of k periods across [-1, 1], so
        an output is periodic there and its spectrum ends exactly at the sum of the bands so far.
    """

    width: int = 64
    bands: Sequence[int] = (2, 2, 4, 8)

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> FilterNetwork:
        return FilterNetwork(self, num_in, num_out, rngs=rngs)
