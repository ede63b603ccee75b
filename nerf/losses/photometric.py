"""Errors of colour: squared and Charbonnier."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.losses import Target
from nerf.rendering.compositing import Rendering


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """Mean squared difference of colour, summed over the stages (NeRF, 2003.08934, eq. 6)."""

    weight: float = 1.0

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        return self.weight * jnp.stack(
            [jnp.square(r.rgb - target.rgb).mean(-1) for r in renderings]
        ).sum(0)


@dataclasses.dataclass(frozen=True)
class Charbonnier:
    """sqrt(|difference|^2 + eps^2), which forgives outliers, summed over the stages (2111.12077, equation 14)."""

    weight: float = 1.0
    eps: float = 0.001

    def __call__(self, renderings: Sequence[Rendering], target: Target) -> Float[Array, "*b"]:
        squares = jnp.stack([jnp.square(r.rgb - target.rgb).sum(-1) for r in renderings])
        return self.weight * jnp.sqrt(squares + self.eps**2).sum(0)
