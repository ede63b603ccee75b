"""What fields and networks share: activations, initialisers and the multilayer perceptron."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


@jax.custom_jvp
def truncated_exp(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """exp(x), held at exp(15) above 15, where its slope does not vanish, so that a huge density can come back."""
    return jnp.exp(jnp.minimum(x, 15.0))


@truncated_exp.defjvp
def _truncated_exp_jvp(primals, tangents):
    value = truncated_exp(primals[0])
    return value, value * tangents[0]


# Of a layer's number and its inputs: the initialisers of its kernel and of its bias.
Init = Callable[[int, int], tuple[Callable, Callable]]


def uniform(bound: float) -> Callable:
    """The initialiser that draws from [-bound, bound]."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def he_init(layer: int, num_in: int) -> tuple[Callable, Callable]:
    """Kernels He-uniform, U(+-sqrt(6 / n)) (1502.01852), which ReLU suits; biases zero."""
    return nnx.initializers.he_uniform(), nnx.initializers.zeros


def lecun_init(layer: int, num_in: int) -> tuple[Callable, Callable]:
    """Kernels and biases U(+-1 / sqrt(n))."""
    return uniform(1.0 / math.sqrt(num_in)), uniform(1.0 / math.sqrt(num_in))


def linear(
    num_in: int, num_out: int, init: Init, layer: int = 1, dtype: str = "float32", *, rngs: nnx.Rngs
):
    """A linear layer, the `layer`-th of a network, that sums in float32 whatever the type of its operands."""
    kernel_init, bias_init = init(layer, num_in)
    return nnx.Linear(
        num_in,
        num_out,
        dtype=jnp.dtype(dtype),
        preferred_element_type=jnp.float32,
        kernel_init=kernel_init,
        bias_init=bias_init,
        rngs=rngs,
    )


class MLP(nnx.Module):
    """Linear layers with an activation between them; the last is linear.

    Args:
      widths: features in, of every hidden layer, and out.
      dtype: "float32", or "bfloat16" for operands that are multiplied in bfloat16 and summed in float32.
      skip: the input is concatenated again to what enters these layers.
      activation: (*b, c) -> (*b, c).
      init: see `Init`.
      rngs: what the initialisers draw from.
    """

    def __init__(
        self,
        widths: list[int],
        *,
        dtype: str = "float32",
        skip: tuple[int, ...] = (),
        activation: Callable = jax.nn.relu,
        init: Init = he_init,
        rngs: nnx.Rngs,
    ):
        self.skip, self.activation, self.num_out = tuple(skip), activation, widths[-1]
        self.layers = nnx.List(
            [
                linear(
                    n_in + (widths[0] if i in self.skip else 0), n_out, init, i, dtype, rngs=rngs
                )
                for i, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True))
            ]
        )

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        first = x
        for i, layer in enumerate(self.layers):
            x = jnp.concatenate([x, first], -1) if i in self.skip else x
            x = layer(x)
            x = self.activation(x) if i < len(self.layers) - 1 else x
        return x
