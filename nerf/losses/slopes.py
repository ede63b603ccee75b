"""Supervision of a picture by its slopes alone (SIREN, 2006.09661, section 4.1)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.losses import Context
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import last_field


@dataclasses.dataclass(frozen=True)
class SlopeError:
    """Squared error of the slopes of a picture: the field solves Poisson's equation.

    Equation:
      L = lambda 1/6 sum_k |partial / (partial x_k) f(x) - g_k|^2   k: right and up

    f is the sRGB that the field returns at the position x of a pixel, and g_k the map "slopes" of
    the picture. Colours themselves are not compared, so that a constant that is added to all of
    them costs nothing.

    Attributes:
      weight: lambda, factor on the loss.
    """

    weight: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("slopes",)

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray of an image task.

        Args:
          context: its target has the map "slopes", (*b, 3, 2), per unit of the plane.

        Returns:
          The weighted loss, (*b).
        """
        field = last_field(context.model)
        places = context.model.space.warp(context.rays.origins)

        def colour(x: Float[Array, "*b 2"]) -> Float[Array, "*b 3"]:
            samples = Samples(x, context.rays.viewdirs)
            return evaluate_field(context.model, field, samples)["rgb"]

        # The gradient of a channel for all points at once. In reverse mode, as networks in bfloat16
        # have no other.
        rgb, pull = jax.vjp(colour, places)
        channels = [jnp.broadcast_to(channel, rgb.shape) for channel in jnp.eye(3)]
        slopes = jnp.stack([pull(channel)[0] for channel in channels], -2)
        errors = jnp.square(slopes - context.target.maps["slopes"])
        return self.weight * errors.mean((-2, -1))
