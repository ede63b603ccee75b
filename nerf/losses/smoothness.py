"""Smoothness of normals at the surface (UNISURF, Oechsle et al., 2104.10078)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.losses import Context
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import last_field

SEEN = 0.5  # opacity from which on a ray meets a surface


@dataclasses.dataclass(frozen=True)
class NormalSmoothness:
    """Difference of the normals at a surface point and near it (UNISURF, 2104.10078, equation 13).

    Equation:
      L = lambda |n(x) - n(x + epsilon)|   x: where the ray meets the surface
      epsilon_k ~ U(-r, r)   along each axis k of the box

    DVR (1912.07372) uses the same loss. x is the point at the rendered depth; it is a constant, so
    that the loss changes the normals and not the places where they are compared. A ray with an
    opacity below 1/2 meets no surface and gets 0.

    Attributes:
      weight: lambda, factor on the loss.
      radius: r, in units of the box.
    """

    weight: float = 0.01
    radius: float = 0.01

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: the last stage's field returns "normals".

        Returns:
          The weighted loss, (*b).
        """
        model, seen = context.model, context.renderings[-1]
        rays, field = model.as_taken(context.rays), last_field(model)
        ends = model.space.warp(rays.origins + seen.depth[..., None] * rays.directions)
        points = jax.lax.stop_gradient(ends)
        draw = jax.vmap(lambda key: jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0))
        shift = draw(context.keys.reshape(-1)).reshape(points.shape)
        # Both points of a ray are evaluated at once.
        both = jnp.stack([points, points + self.radius * shift])
        samples = Samples(both, jnp.broadcast_to(rays.viewdirs, both.shape))
        normals = evaluate_field(model, field, samples)["normals"]
        squared = jnp.square(normals[0] - normals[1]).sum(-1)
        # Keep the length away from 0, where its gradient is not finite.
        length = jnp.sqrt(jnp.maximum(squared, 1e-12))
        return jnp.where(seen.opacity > SEEN, self.weight * length, 0.0)
