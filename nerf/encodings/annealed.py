"""Coarse-to-fine training: enable frequency bands, or grid levels, one after the other."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.annealing import no_progress
from nerf.encodings.cones import Points
from nerf.foundation.instantiate import ConfigError


@dataclasses.dataclass(frozen=True)
class RaisedCosine:
    """Window in which band after band rises along a cosine (BARF, 2104.06405).

    Equation:
      w_k = (1 - cos(pi clip(alpha - k, 0, 1))) / 2   weight of band k of L
      alpha = a + p (L - a)   p: the fraction of the annealing that is done

    Attributes:
      visible: a, the number of bands that have full weight from the start.
    """

    visible: float = 0.0

    def __call__(self, fraction: Float[Array, ""], encoding: Any) -> Float[Array, " f"]:
        bands = np.asarray(encoding.bands)
        num_bands = bands.max() + 1
        alpha = self.visible + fraction * (num_bands - self.visible)
        # Features that belong to no band have k = -1: their weight is always 1.
        return 0.5 * (1.0 - jnp.cos(jnp.pi * jnp.clip(alpha - bands, 0.0, 1.0)))


@dataclasses.dataclass(frozen=True)
class FrequencyMask:
    """Window in which group after group of features rises linearly (FreeNeRF, 2303.07418, eq. 4).

    Equation:
      w_i = clip(1 + G p - floor(i / d), 0, 1)   weight of feature i

    p in [0, 1] is the fraction of the annealing that is done, d the number of dimensions and G the
    number of groups of d features. Group 0 has full weight from the start; the others are enabled
    one after the other at a constant rate.
    """

    def __call__(self, fraction: Float[Array, ""], encoding: Any) -> Float[Array, " f"]:
        groups = np.arange(encoding.num_features) // encoding.num_dims
        return jnp.clip(1.0 + fraction * (groups.max() + 1) - groups, 0.0, 1.0)


class Annealed(nnx.Module):
    """Another encoding whose features are multiplied by weights that follow training progress.

    Equation:
      f_i(x) = w_i(p) gamma_i(x)
      p = clip((progress - start) / (end - start), 0, 1)

    Args:
      encoding: gamma, the encoding to anneal; it needs `bands`, coarse to fine.
      window: w, (fraction p in [0, 1], encoding) -> one weight per feature (f,); all weights
        are 1 at fraction 1.
      start: training progress in [0, 1] at which the fraction is 0.
      end: training progress in [0, 1] at which the fraction is 1; it stays 1 afterwards.
    """

    def __init__(self, encoding: Any, window: Callable, start: float = 0.0, end: float = 0.5):
        if not hasattr(encoding, "bands"):
            raise ConfigError(
                f"Annealed: {type(encoding).__name__} has no bands: "
                "choose Fourier, Integrated or HashGrid"
            )
        if not 0.0 <= start < end <= 1.0:
            raise ConfigError(f"Annealed: start={start}, end={end}: give 0 <= start < end <= 1")
        self.encoding = encoding
        self.window = window
        self.start = start
        self.end = end
        self.num_dims, self.num_features = encoding.num_dims, encoding.num_features
        self.takes_gaussians = getattr(encoding, "takes_gaussians", False)
        self.progress = no_progress()

    def __call__(self, x: Points) -> Float[Array, "*b f"]:
        # Map training progress from [start, end] to [0, 1].
        fraction = jnp.clip((self.progress[...] - self.start) / (self.end - self.start), 0.0, 1.0)
        features = self.encoding(x)
        weights = self.window(fraction, self.encoding)  # (f,)
        return features * weights.reshape(*[1] * (features.ndim - 1), -1)
