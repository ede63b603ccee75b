"""The state of a model in training: its static part and arrays, and its occupancy grid."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from nerf.cameras.cameras import Rays
from nerf.encodings.cones import Gaussians, takes_gaussians
from nerf.fields import Samples
from nerf.rendering.compositing import Rendering
from nerf.rendering.intervals import evaluate_field, interval_middles
from nerf.rendering.model import Model, last_field


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, dict, dict]:
    """Split a model into its graph, its parameters and its other state, for `nnx.merge`.

    Parameters and state are plain dicts. The state, such as occupancy grids, gets no gradients.
    """
    graph, params, state = nnx.split(model, nnx.Param, ...)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(state)


def sample_weights_by_cell(
    model: Model, rays: Rays, rendering: Rendering
) -> tuple[Int[Array, " m"], Float[Array, " m"]] | None:
    """Return the grid cell and the rendering weight of each training sample.

    Args:
      model: the model that rendered the batch.
      rays: the rays of the batch, before the learned pose corrections.
      rendering: the rendering of the batch.

    Returns:
      (cells, weights), both (m,). Unused slots of the buffer get the cell number resolution^3,
      which does not exist. None if the model has no grid or the rendering has no intervals.
    """
    intervals = rendering.intervals
    if model.occupancy is None or intervals is None:
        return None
    posed = model.as_taken(rays)
    points = interval_middles(
        model.space, posed, intervals.t_start, intervals.t_end, intervals.layout
    )
    used = intervals.t_end > intervals.t_start
    cells = jnp.where(used, model.occupancy.index(points), model.occupancy.resolution**3)
    return cells, intervals.weights


def record_sightings(
    graph: nnx.GraphDef, params: dict, state: dict, seen: tuple[Array, Array] | None
) -> dict:
    """Record a batch's sample weights in the occupancy grid; return the new state.

    Args:
      graph: the model's graph, from `split_model`.
      params: its parameters.
      state: its other state, with the grid.
      seen: (cells, weights) from `sample_weights_by_cell`; None returns the state unchanged.
    """
    if seen is None:
        return state
    model = nnx.merge(graph, params, state)
    model.occupancy.note(*seen)
    return split_model(model)[2]


def refresh_occupancy(model: Model, part: Int[Array, ""], key: PRNGKeyArray) -> None:
    """Update one part of the occupancy grid from the last stage's density.

    Args:
      model: its grid is changed in place.
      part: number of the part; the grid takes it modulo its number of parts, `update_every`.
      key: random key for the points at which the density is evaluated.
    """
    assert model.occupancy is not None  # otherwise there is nothing to refresh
    field = last_field(model)
    # A Gaussian the size of a cell: a uniform distribution of width h has the variance h^2 / 12.
    cell = (2.0 / model.occupancy.resolution) ** 2 / 12.0

    def density(points: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        gaussian = Gaussians(points, jnp.full_like(points, cell), jnp.zeros(points.shape[:-1]))
        # Optical depth does not depend on the view direction.
        ahead = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), points.shape)
        samples = Samples(gaussian if takes_gaussians(field) else points, ahead)
        return model.geometry.density(evaluate_field(model, field, samples))

    def on_lattice(axes: Sequence[Float[Array, " _"]]) -> Float[Array, "x y z"]:
        return model.geometry.density(field.on_lattice(axes))

    lattice = getattr(field, "prefers_lattice", False) and not takes_gaussians(field)
    model.occupancy.refresh(density, part, key, on_lattice if lattice else None)
