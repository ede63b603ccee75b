"""Compositional pattern-producing networks (CPPN).

Stanley 2007, Genetic Programming and Evolvable Machines 8(2).
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError, did_you_mean
from nerf.networks.layers import MLP, lecun_init

FUNCTIONS: dict[str, Callable] = {
    "sine": jnp.sin,  # repetition
    "gaussian": lambda z: jnp.exp(-jnp.square(z)),  # symmetry
    "tanh": jnp.tanh,
    "absolute": jnp.abs,
    "identity": lambda z: z,
}


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Activation that applies each function to an equal share of consecutive neurons.

    If the number of neurons is not divisible, the first shares have one neuron more.

    Attributes:
      functions: names in FUNCTIONS.
      gain: factor by which inputs are multiplied first.
    """

    functions: tuple[str, ...]
    gain: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        runs = jnp.array_split(self.gain * z, len(self.functions), -1)
        return jnp.concatenate(
            [FUNCTIONS[name](run) for name, run in zip(self.functions, runs, strict=True)], -1
        )


class PatternNetwork(nnx.Module):
    """A layered network with mixed activations and the extra input ||x||.

    Args:
      spec: the network's specification.
      num_in: number of input features.
      num_out: number of outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, spec: "CPPN", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        widths = [num_in + 1, *[spec.width] * spec.depth, num_out]
        activation = Mixture(tuple(spec.functions), spec.gain)
        self.layers = MLP(widths, activation=activation, init=lecun_init, rngs=rngs)

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        # Keep ||x|| away from 0, where its gradient is undefined.
        radius = jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-12))
        return self.layers(jnp.concatenate([x, radius], -1))


@dataclasses.dataclass(frozen=True)
class CPPN:
    """Specification of a network whose neurons differ in their activation.

    Equation:
      h_j <- f_j(g (W h + b)_j)   f_j: sine, Gaussian, tanh, absolute value or identity

    The inputs of the first layer are x and |x|. The topology is fixed and the weights are trained
    by gradient descent; Stanley evolves both.

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      functions: names in FUNCTIONS; a single name gives the homogeneous network, a baseline.
      gain: g, factor of the functions' inputs; it sets the range of inputs at the start of
        training.
    """

    width: int = 64
    depth: int = 4
    functions: Sequence[str] = tuple(FUNCTIONS)
    gain: float = 2.0

    def __post_init__(self) -> None:
        if unknown := [name for name in self.functions if name not in FUNCTIONS]:
            raise ConfigError(
                f"CPPN: functions: {unknown[0]}: {did_you_mean(unknown[0], FUNCTIONS)}"
            )

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> PatternNetwork:
        return PatternNetwork(self, num_in, num_out, rngs=rngs)
