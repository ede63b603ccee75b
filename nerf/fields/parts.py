"""What fields share: activations and the plain multilayer perceptron."""

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


class MLP(nnx.Module):
    """Linear layers with ReLU between them; the last is linear.

    Args:
      widths: features in, of every hidden layer, and out.
      dtype: "float32", or "bfloat16" for operands that are multiplied in bfloat16 and summed in float32.
      skip: the input is concatenated again to what enters these layers.
      rngs: kernels start He-uniform, biases zero.
    """

    def __init__(self, widths: list[int], *, dtype: str = "float32", skip: tuple[int, ...] = (), rngs: nnx.Rngs):
        self.skip = tuple(skip)
        self.layers = nnx.List(
            [
                nnx.Linear(
                    n_in + (widths[0] if i in self.skip else 0),
                    n_out,
                    dtype=jnp.dtype(dtype),
                    preferred_element_type=jnp.float32,
                    kernel_init=nnx.initializers.he_uniform(),
                    rngs=rngs,
                )
                for i, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True))
            ]
        )

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        first = x
        for i, layer in enumerate(self.layers):
            x = jnp.concatenate([x, first], -1) if i in self.skip else x
            x = layer(x)
            x = jax.nn.relu(x) if i < len(self.layers) - 1 else x
        return x
