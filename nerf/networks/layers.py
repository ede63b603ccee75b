"""Building blocks of networks and fields: activations, initializers and the MLP."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, BFloat16, Float


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


@jax.custom_vjp
def bfloat16_product(
    x: BFloat16[Array, "*b i"], kernel: BFloat16[Array, "i o"]
) -> Float[Array, "*b o"]:
    """Return the product x W of bfloat16 numbers, summed in float32, and its gradients likewise.

    JAX would compute the gradients with factors in float32, as those of the sum are. Derivatives
    are in reverse mode only.

    Args:
      x: inputs.
      kernel: the matrix W.
    """
    return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)


def _forward(
    x: BFloat16[Array, "*b i"], kernel: BFloat16[Array, "i o"]
) -> tuple[Float[Array, "*b o"], tuple[Array, Array]]:
    return bfloat16_product(x, kernel), (x, kernel)


def _backward(
    factors: tuple[Array, Array], slope: Float[Array, "*b o"]
) -> tuple[BFloat16[Array, "*b i"], BFloat16[Array, "i o"]]:
    x, kernel = factors
    slope = slope.astype(jnp.bfloat16)
    of_x = bfloat16_product(slope, kernel.T)
    rows, slopes = (a.reshape(-1, a.shape[-1]) for a in (x, slope))
    of_kernel = bfloat16_product(rows.T, slopes)
    return of_x.astype(jnp.bfloat16), of_kernel.astype(jnp.bfloat16)


bfloat16_product.defvjp(_forward, _backward)


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
    """Build a linear layer whose products have the precision that `dtype` says on all devices.

    Without being told, GPUs and TPUs multiply numbers of float32 with 10 or 7 of their 23 bits.

    Args:
      num_in: number of input features.
      num_out: number of output features.
      init: the initializers, see `Init`.
      layer: index of the layer in its network, passed to `init`.
      dtype: "float32" or "bfloat16", the type of the factors of the product and of those of its
        gradients; sums are float32 for both.
      rngs: source of the initial parameters.

    Returns:
      An `nnx.Linear` (*b, num_in) -> (*b, num_out).
    """
    kernel_init, bias_init = init(layer, num_in)
    if jnp.dtype(dtype) == jnp.bfloat16:
        product: dict[str, Any] = {
            "dot_general": lambda x, kernel, *_, **__: bfloat16_product(x, kernel)
        }
    else:
        product = {"precision": "highest"}
    return nnx.Linear(
        num_in,
        num_out,
        dtype=jnp.dtype(dtype),
        preferred_element_type=jnp.float32,
        **product,
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
      dtype: "float32", or "bfloat16" to multiply in bfloat16 and sum in float32, see `linear`.
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
