"""Frequencies, or levels of a grid, that come in one after the other while training goes on: coarse to fine."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.annealing import begin
from nerf.encodings.cones import Points
from nerf.foundation.instantiate import ConfigError


@dataclasses.dataclass(frozen=True)
class RaisedCosine:
    """Band k of L has the weight (1 - cos(pi clip(alpha - k, 0, 1))) / 2 (BARF, 2104.06405, w_k(alpha)).

    Attributes:
      visible: bands that are there from the start; alpha goes from it to L.
    """

    visible: float = 0.0

    def __call__(self, part: Float[Array, ""], encoding: Any) -> Float[Array, " f"]:
        bands = np.asarray(encoding.bands)
        alpha = self.visible + part * (bands.max() + 1 - self.visible)
        return 0.5 * (1.0 - jnp.cos(jnp.pi * jnp.clip(alpha - bands, 0.0, 1.0)))


@dataclasses.dataclass(frozen=True)
class FrequencyMask:
    """The G groups of d features become visible evenly, one after the other (FreeNeRF, 2303.07418, eq. 4).

    The first of them is there from the start: feature i has the weight clip(1 + G part - floor(i / d), 0, 1).
    """

    def __call__(self, part: Float[Array, ""], encoding: Any) -> Float[Array, " f"]:
        groups = np.arange(encoding.num_features) // encoding.num_dims
        return jnp.clip(1.0 + part * (groups.max() + 1) - groups, 0.0, 1.0)


class Annealed(nnx.Module):
    """Another encoding, each feature times its weight in this part of training.

    Args:
      encoding: one with `bands`, coarse to fine.
      window: (part in [0, 1], encoding) -> weights of the features; all are 1 from part 1 on.
      start, end: the progress of training at which `part` is 0 and 1.
    """

    def __init__(self, encoding: Any, window: Callable, start: float = 0.0, end: float = 0.5):
        if not hasattr(encoding, "bands"):
            raise ConfigError(
                f"Annealed: {type(encoding).__name__} has no bands: choose Fourier, Integrated or HashGrid"
            )
        if not 0.0 <= start < end <= 1.0:
            raise ConfigError(f"Annealed: start={start}, end={end}: give 0 <= start < end <= 1")
        self.encoding, self.window, self.start, self.end = encoding, window, start, end
        self.num_dims, self.num_features = encoding.num_dims, encoding.num_features
        self.takes_gaussians = getattr(encoding, "takes_gaussians", False)
        self.progress = begin()

    def __call__(self, x: Points) -> Float[Array, "*b f"]:
        part = jnp.clip((self.progress[...] - self.start) / (self.end - self.start), 0.0, 1.0)
        features = self.encoding(x)
        weights = self.window(part, self.encoding)
        return features * weights.reshape(*[1] * (features.ndim - 1), -1)
