"""Building blocks of networks and fields: activations, initializers and the MLP."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


@jax.custom_jvp
def truncated_exp(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Return exp(min(x, 15)), with the gradient exp(min(x, 15)).

    The gradient does not vanish above 15, so training can reduce a huge density.
    """
    return jnp.exp(jnp.minimum(x, 15.0))


@truncated_exp.defjvp
def _truncated_exp_jvp(
    primals: tuple[Float[Array, "*b"]], tangents: tuple[Float[Array, "*b"]]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    value = truncated_exp(primals[0])
    return value, value * tangents[0]


# (index of the layer, number of its inputs) -> (initializer of its kernel, initializer of its bias)
Init = Callable[[int, int], tuple[Callable, Callable]]


def uniform(bound: float) -> Callable:
    """Return an initializer that draws from U(-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def he_init(layer: int, num_in: int) -> tuple[Callable, Callable]:
    """Return initializers for ReLU layers: kernel U(+-sqrt(6 / n)) (1502.01852), bias zero."""
    return nnx.initializers.he_uniform(), nnx.initializers.zeros


def lecun_init(layer: int, num_in: int) -> tuple[Callable, Callable]:
    """Return initializers: kernel and bias U(+-1 / sqrt(n))."""
    return uniform(1.0 / math.sqrt(num_in)), uniform(1.0 / math.sqrt(num_in))


def linear(
    num_in: int,
    num_out: int,
    init: Init,
    layer: int = 1,
    dtype: str = "float32",
    *,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """Build a linear layer that accumulates in float32.

    Args:
      num_in: number of input features.
      num_out: number of output features.
      init: the initializers, see `Init`.
      layer: index of the layer in its network, passed to `init`.
      dtype: type of the operands of the product; the sum is float32 for every type.
      rngs: source of the initial parameters.

    Returns:
      An `nnx.Linear` (*b, num_in) -> (*b, num_out).
    """
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
    """Multilayer perceptron with an activation between its layers; the last layer is linear.

    Equation:
      h_0 = x with h_i = activation(W_i h_(i-1) + b_i)   a skip layer has [h_(i-1), x] as its input
      y = W_n h_(n-1) + b_n

    Args:
      widths: number of input features, of features of every hidden layer, and of outputs.
      dtype: "float32", or "bfloat16" to multiply in bfloat16 and accumulate in float32.
      skip: indices of the layers whose input is concatenated with the network's input.
      activation: function (*b, c) -> (*b, c), applied after every layer but the last.
      init: the initializers, see `Init`.
      rngs: source of the initial parameters.
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
