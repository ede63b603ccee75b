"""Positional encoding with sines and cosines of doubling frequency (NeRF, 2003.08934, eq. 4)."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Fourier:
    """gamma(x) = (x, sin(2^0 pi x), cos(2^0 pi x), ..., sin(2^(L-1) pi x), cos(2^(L-1) pi x)) for x in [-1, 1].

    Attributes:
      num_freqs: L.
      include_input: whether x itself is part of the features, as in the authors' experiments.
    """

    num_freqs: int
    include_input: bool = True

    @property
    def num_features(self) -> int:
        return 3 * (2 * self.num_freqs + self.include_input)

    def __call__(self, x: Float[Array, "*b 3"]) -> Float[Array, "*b f"]:
        scales = (jnp.pi * 2.0 ** jnp.arange(self.num_freqs)).reshape(*[1] * (x.ndim - 1), self.num_freqs, 1)
        angles = scales * x[..., None, :]  # (*b, L, 3)
        waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], -2)  # (*b, L, 2, 3): Equation 4.
        features = waves.reshape(*x.shape[:-1], 6 * self.num_freqs)
        return jnp.concatenate([x, features], -1) if self.include_input else features
