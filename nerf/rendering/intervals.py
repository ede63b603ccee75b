"""From the intervals of rays to the samples of a field, and the field's quantities there."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.cameras.cameras import Rays
from nerf.encodings.cones import Points, cone_gaussians, mean_of, takes_gaussians
from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError
from nerf.geometry import Geometry
from nerf.rendering.compositing import Dense, Packed

Edges = Float[Array, "..."]  # start or end of each interval, (*b, s) in `Dense`, (m,) in `Packed`


def sample_intervals(
    space: Any,
    field: Callable,
    rays: Rays,
    t_start: Edges,
    t_end: Edges,
    layout: Dense | Packed,
    codes: Float[Array, "*b c"] | None = None,
) -> Samples:
    """Return the samples of intervals: each at its midpoint, or the Gaussian of its cone.

    Args:
      space: maps the points into the box, see `nerf.sampling.spaces`.
      field: decides between points and Gaussians, see `nerf.encodings.cones`.
      rays: (*b) or (r) rays.
      t_start: start of each interval in world units, in the layout.
      t_end: end of each interval, likewise.
      layout: `Dense` or `Packed`.
      codes: latent code of each ray; None without codes.
    """
    middles, origins, directions = _middles(rays, t_start, t_end, layout)
    # The direction in the box is the derivative of the warp along the ray.
    along = jnp.broadcast_to(directions, middles.shape)
    points: Points
    points, direction = jax.jvp(space.warp, (middles,), (along,))
    if takes_gaussians(field):
        radius = layout.broadcast_to_samples(rays.radius[..., None])[..., 0]
        points = cone_gaussians(origins, directions, radius, t_start, t_end, space.warp)
    means = mean_of(points)

    def of_each_sample(values: Float[Array, "*b c"]) -> Float[Array, "..."]:
        """Give each sample the vector of its ray."""
        broadcast = layout.broadcast_to_samples(values)
        return jnp.broadcast_to(broadcast, (*means.shape[:-1], values.shape[-1]))

    return Samples(
        points,
        of_each_sample(rays.viewdirs),
        # Lengths in the box, where the field is defined. With world lengths, an untrained field in
        # contracted space would be foggier far away than near the cameras.
        (t_end - t_start) / space.stretch(means),
        direction * (t_end - t_start)[..., None],
        None if codes is None else of_each_sample(codes),
    )


def interval_middles(
    space: Any, rays: Rays, t_start: Edges, t_end: Edges, layout: Dense | Packed
) -> Float[Array, "..."]:
    """Return the midpoint o + t_mid d of each interval, in the box.

    Args:
      space: maps the points into the box.
      rays: (*b) or (r) rays.
      t_start: start of each interval in world units, in the layout.
      t_end: end of each interval, likewise.
      layout: `Dense` or `Packed`.
    """
    return space.warp(_middles(rays, t_start, t_end, layout)[0])


def _middles(
    rays: Rays, t_start: Edges, t_end: Edges, layout: Dense | Packed
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """Return the midpoints of intervals in the world, and the origins and directions of rays."""
    origins = layout.broadcast_to_samples(rays.origins)
    directions = layout.broadcast_to_samples(rays.directions)
    return origins + 0.5 * (t_start + t_end)[..., None] * directions, origins, directions


def evaluate_field(model: Any, field: Callable, samples: Samples) -> dict[str, Array]:
    """Return the quantities of a field of a model at samples.

    Samples without a code, such as points without a ray, get that of no image in a model with
    codes.

    Args:
      model: its codes are used; its geometry decides which quantities there must be.
      field: samples -> named quantities.
      samples: where to evaluate it.

    Raises:
      ConfigError: the geometry reads a quantity that the field does not return.
    """
    geometry: Geometry = model.geometry
    if model.codes is not None and samples.code is None:
        code = model.codes(jnp.array(-1))
        code = jnp.broadcast_to(code, (*samples.means.shape[:-1], code.shape[-1]))
        samples = dataclasses.replace(samples, code=code)
    quantities = field(samples)
    if missing := [name for name in geometry.reads if name not in quantities]:
        reader, kind = type(geometry).__name__, type(field).__name__
        reason = f"{reader} needs '{missing[0]}', and {kind} returns {', '.join(quantities)}"
        raise ConfigError(f"model.geometry: {reason}: choose another geometry or field")
    return quantities
