"""Integrated positional encoding (mip-NeRF, 2103.13415, eq. 13 and 14).

Frequencies that are finer than a pixel's cone fade out.
"""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nerf.encodings.cones import Gaussians, Points, mean_of
from nerf.encodings.fourier import Fourier
from nerf.foundation.instantiate import ConfigError


@dataclasses.dataclass(frozen=True)
class Integrated:
    """Expected Fourier features of a Gaussian x ~ N(mu, s^2), per coordinate.

    Equation:
      E[sin(w x)] = exp(-(w s)^2 / 2) sin(w mu)
      E[cos(w x)] = exp(-(w s)^2 / 2) cos(w mu)
      E[x] = mu

    A point is treated as a Gaussian with zero variance.

    Attributes:
      waves: the `Fourier` encoding of a point; its frequencies may exceed the image resolution.
    """

    waves: Any  # a Fourier; __post_init__ checks this, with a message that names the fix
    takes_gaussians: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.waves, Fourier):
            name = type(self.waves).__name__
            raise ConfigError(
                f"Integrated: the mean of {name} has no formula: "
                "choose nerf.encodings.fourier:Fourier"
            )

    @property
    def num_dims(self) -> int:
        return self.waves.num_dims

    @property
    def num_features(self) -> int:
        return self.waves.num_features

    @property
    def bands(self) -> np.ndarray:
        return self.waves.bands

    def __call__(self, points: Points) -> Float[Array, "*b f"]:
        features = self.waves(mean_of(points))
        if not isinstance(points, Gaussians):
            return features
        # The angular frequency w of each feature. Band -1, x itself, selects the appended 0.
        frequency = np.append(self.waves.frequencies, 0.0)[self.bands]
        # w^2 / 2 as (f / d, d): consecutive groups of d features belong to the d axes in turn.
        exponents = 0.5 * jnp.square(jnp.asarray(frequency, jnp.float32))
        exponents = exponents.reshape(-1, self.num_dims)
        exponents = exponents.reshape(*[1] * (points.mean.ndim - 1), *exponents.shape)
        # Equations 13 and 14: attenuate each wave by exp(-w^2 s^2 / 2).
        fading = jnp.exp(-exponents * points.variance[..., None, :])  # (*b, f / d, d)
        return features * fading.reshape(features.shape)
