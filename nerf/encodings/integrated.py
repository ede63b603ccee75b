"""Integrated positional encoding: what is finer than a pixel's cone fades out (mip-NeRF, 2103.13415, eq. 13, 14)."""

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
    """The mean of sines and cosines over a Gaussian: for x ~ N(mu, s^2), E[sin(w x)] = exp(-w^2 s^2 / 2) sin(w mu).

    And E[cos(w x)] = exp(-w^2 s^2 / 2) cos(w mu), E[x] = mu. A bare point is a Gaussian of no extent.

    Attributes:
      waves: the encoding of a point; its frequencies may go higher than any pixel resolves.
    """

    waves: Any  # a Fourier, as is checked where it can be said what to do
    takes_gaussians: ClassVar[bool] = True

    def __post_init__(self):
        if not isinstance(self.waves, Fourier):
            name = type(self.waves).__name__
            raise ConfigError(
                f"Integrated: the mean of {name} has no formula: choose nerf.encodings.fourier:Fourier"
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
        frequency = np.append(self.waves.frequencies, 0.0)[
            self.bands
        ]  # none (-1) is the last, 0: x itself
        exponents = 0.5 * jnp.square(jnp.asarray(frequency, jnp.float32)).reshape(-1, self.num_dims)
        exponents = exponents.reshape(*[1] * (points.mean.ndim - 1), *exponents.shape)
        fading = jnp.exp(-exponents * points.variance[..., None, :])
        return features * fading.reshape(features.shape)
