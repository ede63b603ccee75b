"""Positional encoding with sines and cosines along the axes (NeRF, 2003.08934, eq. 4)."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Fourier:
    """gamma(x) = (x, sin(w_0 x), cos(w_0 x), ..., sin(w_(L-1) x), cos(w_(L-1) x)) for x in [-1, 1].

    By default w_k = 2^k pi, equation 4. More bands than octaves are denser ones (2006.10739, "positional encoding").

    Attributes:
      num_freqs: L.
      include_input: whether x itself is part of the features, as in the authors' experiments.
      base: w_0, in radians per unit; pi in equation 4, 1 in the authors' experiments.
      octaves: between w_0 and w_(L-1); by default L - 1.
      linear: whether the frequencies are evenly spaced between these two, and not their logarithms.
      num_dims: of x.
    """

    num_freqs: int
    include_input: bool = True
    base: float = math.pi
    octaves: float | int | None = None
    linear: bool = False
    num_dims: int = 3

    @property
    def num_features(self) -> int:
        return self.num_dims * (2 * self.num_freqs + self.include_input)

    @property
    def frequencies(self) -> Float[np.ndarray, " L"]:
        """w_k, in radians per unit."""
        octaves = self.num_freqs - 1 if self.octaves is None else self.octaves
        if self.linear:
            return self.base * np.linspace(1.0, 2.0**octaves, self.num_freqs)
        return self.base * 2.0 ** np.linspace(0.0, octaves, self.num_freqs)

    @property
    def bands(self) -> np.ndarray:
        """k for each feature, -1 for x itself. Features k d to k d + d - 1 are of the axes in turn, for every k."""
        numbers = np.repeat(np.arange(self.num_freqs), 2 * self.num_dims)
        return np.concatenate([np.full(self.num_dims * self.include_input, -1), numbers])

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        scales = jnp.asarray(self.frequencies, jnp.float32).reshape(
            *[1] * (x.ndim - 1), self.num_freqs, 1
        )
        angles = scales * x[..., None, :]  # (*b, L, d)
        waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], -2)  # (*b, L, 2, d): Equation 4.
        features = waves.reshape(*x.shape[:-1], 2 * self.num_freqs * self.num_dims)
        return jnp.concatenate([x, features], -1) if self.include_input else features
