"""Compositional pattern-producing networks (Stanley 2007, Genetic Programming and Evolvable Machines 8(2))."""

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
    """Neurons in as many equal runs as there are functions (the first ones a neuron longer), each with its function."""

    functions: tuple[str, ...]
    gain: float

    def __call__(self, z: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        runs = jnp.array_split(self.gain * z, len(self.functions), -1)
        return jnp.concatenate(
            [FUNCTIONS[name](run) for name, run in zip(self.functions, runs, strict=True)], -1
        )


class PatternNetwork(nnx.Module):
    """A layered network of mixed functions that is also given the distance ||x|| from the centre."""

    def __init__(self, spec: "CPPN", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        widths = [num_in + 1, *[spec.width] * spec.depth, num_out]
        self.layers = MLP(
            widths, activation=Mixture(tuple(spec.functions), spec.gain), init=lecun_init, rngs=rngs
        )

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        # Held off zero, where the norm has no gradient.
        radius = jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-12))
        return self.layers(jnp.concatenate([x, radius], -1))


@dataclasses.dataclass(frozen=True)
class CPPN:
    """h <- f(gain (W h + b)) with f of each neuron one of sine, Gaussian, tanh, abs and identity.

    The topology is fixed and the weights are learned by gradients; Stanley evolves both.

    Attributes:
      width, depth: of the hidden layers, and their number.
      functions: names in FUNCTIONS; one alone is the homogeneous network, the control.
      gain: how much of each function a neuron sees at the start.
    """

    width: int = 64
    depth: int = 4
    functions: Sequence[str] = tuple(FUNCTIONS)
    gain: float = 2.0

    def __post_init__(self):
        if unknown := [name for name in self.functions if name not in FUNCTIONS]:
            raise ConfigError(
                f"CPPN: functions: {unknown[0]}: {did_you_mean(unknown[0], FUNCTIONS)}"
            )

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> PatternNetwork:
        return PatternNetwork(self, num_in, num_out, rngs=rngs)
