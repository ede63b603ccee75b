"""Depth supervision with a robust error."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.losses import Target
from nerf.rendering.compositing import Rendering


@dataclasses.dataclass(frozen=True)
class DepthError:
    """Pseudo-Huber error of depth, summed over the stages, of rays whose depth is known; zero of all others.

    sqrt((difference / robust)^2 + 1) - 1 (1701.03077, equation 1 with alpha = 1): a parabola up to differences of
    `robust` world units, which forgives a sensor's outliers beyond.
    """

    weight: float = 1.0
    robust: float = 0.1

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        if target.depth is None:
            return jnp.zeros(target.rgb.shape[:-1])
        errors = jnp.stack([(r.depth - target.depth) / self.robust for r in renderings])
        return jnp.where(
            target.depth > 0, self.weight * (jnp.sqrt(errors**2 + 1.0) - 1.0).sum(0), 0.0
        )
