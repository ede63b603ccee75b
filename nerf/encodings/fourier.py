"""Positional encoding: sines and cosines of each coordinate (NeRF, 2003.08934, eq. 4)."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Fourier:
    """Sines and cosines of each coordinate at L frequencies, for x in [-1, 1]^d.

    Equation:
      gamma(x) = (x, sin(w_0 x), cos(w_0 x), ..., sin(w_(L-1) x), cos(w_(L-1) x))
      w_k = 2^k pi   the default, equation 4

    With `octaves` < L - 1, the L frequencies cover fewer octaves and lie closer together
    (2006.10739, "positional encoding").

    Attributes:
      num_freqs: L, the number of frequencies.
      include_input: whether x itself is part of the features, as in the authors' code.
      base: w_0, in radians per unit; pi in equation 4, 1 in the authors' code.
      octaves: number of octaves between w_0 and w_(L-1); None means L - 1.
      linear: space the frequencies evenly between w_0 and w_(L-1); otherwise their logarithms are.
      num_dims: d, the number of coordinates of x.
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
        """Angular frequencies w_k, in radians per unit."""
        octaves = self.num_freqs - 1 if self.octaves is None else self.octaves
        if self.linear:
            return self.base * np.linspace(1.0, 2.0**octaves, self.num_freqs)
        return self.base * 2.0 ** np.linspace(0.0, octaves, self.num_freqs)

    @property
    def bands(self) -> np.ndarray:
        """Band k of each feature (f,), -1 for x itself; each band has d sines, then d cosines."""
        numbers = np.repeat(np.arange(self.num_freqs), 2 * self.num_dims)
        return np.concatenate([np.full(self.num_dims * self.include_input, -1), numbers])

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b f"]:
        # Add axes to w_k so that it broadcasts against (*b, 1, d).
        scales = jnp.asarray(self.frequencies, jnp.float32)
        scales = scales.reshape(*[1] * (x.ndim - 1), self.num_freqs, 1)
        angles = scales * x[..., None, :]  # (*b, L, d)
        waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], -2)  # (*b, L, 2, d): equation 4
        features = waves.reshape(*x.shape[:-1], 2 * self.num_freqs * self.num_dims)
        return jnp.concatenate([x, features], -1) if self.include_input else features
