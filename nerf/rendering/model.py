"""A model: stages of (sampler, field), composed into `render_rays`.

NeRF is two stages, coarse and fine; a proposal network is a stage whose field predicts density alone; a hash-grid
model with an occupancy grid is one stage. The last stage's rendering is the picture.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from nerf.cameras.cameras import Rays
from nerf.encodings.cones import Gaussians, Points, cone_gaussians, mean_of, takes_gaussians
from nerf.foundation.instantiate import ConfigError
from nerf.geometry.density import VolumeDensity
from nerf.rendering.compositing import Dense, Packed, Rendering, composite
from nerf.sampling.occupancy_grid import OccupancyGrid, PackedSamples, pack_samples
from nerf.sampling.spaces import Box

BOX, VOLUME_DENSITY = Box(), VolumeDensity()

# Of rendering pictures with an occupancy grid: intervals evaluated at once, and intervals of a ray before it is asked
# whether it is opaque.
WAVE, SLAB = 2**14, 32


class Stage(nnx.Module):
    """A sampler and the field that is evaluated where it says; `field=None` means the field of the stage before."""

    def __init__(self, sampler: Callable, field: Callable | None = None):
        self.sampler, self.field = sampler, field


class Model(nnx.Module):
    """Rays to renderings.

    Args:
      stages: by name.
      order: their names, first to last.
      space: where matter may be; see `nerf.sampling.spaces`.
      occupancy: a grid that skips empty intervals (of a model with one stage), or None.
      opacity: what a field predicts -> optical depth; see `nerf.geometry.density.VolumeDensity`.
      max_samples_per_ray: with a grid, size of the training buffer: occupied intervals of a ray, on average.
      early_stop_transmittance: with a grid, the transmittance below which a picture's ray stops.
      poses: rays -> rays, as the training images were really taken; see `nerf.cameras.refinement`.
      exposure: (rgb, image) -> rgb, as the training images show it; see `nerf.rendering.exposure`.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage],
        order: Sequence[str],
        space: Any = BOX,
        occupancy: OccupancyGrid | None = None,
        opacity: Callable = VOLUME_DENSITY,
        max_samples_per_ray: int | None = None,
        early_stop_transmittance: float = 1e-4,
        poses: Callable | None = None,
        exposure: Callable | None = None,
    ):
        if occupancy is not None and len(order) != 1:
            reason = f"goes with one stage, and this model has {len(order)}"
            raise ConfigError(f"model.occupancy: {reason}: switch it off with --config.model.occupancy=None")
        if occupancy is not None and max_samples_per_ray is None:
            raise ConfigError(
                "model.max_samples_per_ray: missing, and model.occupancy needs it: "
                "give --config.model.max_samples_per_ray=16"
            )
        self.stages = nnx.List([stages[name] for name in order])
        self.space, self.occupancy, self.opacity = space, occupancy, opacity
        self.max_samples_per_ray, self.early_stop_transmittance = max_samples_per_ray or 0, early_stop_transmittance
        self.poses, self.exposure = poses, exposure
        self.march = march_all if occupancy is None else march_occupied

    def __call__(
        self,
        rays: Rays,
        background: Float[Array, "*#b 3"],
        keys: Key[Array, "*b"] | None = None,
    ) -> list[Rendering]:
        """`render_rays` with this model's parts. Keys mean training: jitter, and a bounded number of intervals."""
        renderings = render_rays(self, self.as_taken(rays), background, keys)
        if self.exposure is None:
            return renderings
        return [dataclasses.replace(r, rgb=self._exposed(r, rays, background)) for r in renderings]

    def _exposed(self, rendering: Rendering, rays: Rays, background) -> Float[Array, "*b 3"]:
        """The colours as the photos show what is there; the background is of no photo."""
        opacity = rendering.opacity[..., None]
        behind = (1.0 - opacity) * background
        matter = (rendering.rgb - behind) / jnp.maximum(opacity, 1e-6)
        return opacity * self.exposure(matter, rays.image) + behind

    def as_taken(self, rays: Rays) -> Rays:
        """Rays with what the model learned of their cameras' poses."""
        return rays if self.poses is None else self.poses(rays)


def render_rays(
    model: Model, rays: Rays, background: Float[Array, "*#b 3"], keys: Key[Array, "*b"] | None = None
) -> list[Rendering]:
    """One rendering a stage: sample -> points -> field -> optical depth -> composite."""
    t_near, t_far = model.space.interval(rays)
    renderings: list[Rendering] = []
    field: Callable | None = None
    previous = None
    for i, stage in enumerate(model.stages):
        field = stage.field or field
        assert field is not None, "the first stage needs a field"
        s = stage.sampler(previous, t_near.shape[:-1], None if keys is None else _fold_in(keys, i))
        t = model.space.distance(s, t_near, t_far)
        renderings.append(model.march(model, field, rays, t, background, keys is not None))
        intervals = renderings[-1].intervals
        previous = None if intervals is None else (s, intervals.weights)
    return renderings


def _fold_in(keys: Key[Array, "*b"], number: int) -> Key[Array, "*b"]:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys.reshape(-1)).reshape(keys.shape)


def _samples(model: Model, field, rays: Rays, t_start, t_end, layout) -> Points:
    """What a field sees of each interval, in the box: its middle, or its part of the pixel's cone if it asks for it."""
    if takes_gaussians(field):
        origins, directions = layout.broadcast_to_samples(rays.origins), layout.broadcast_to_samples(rays.directions)
        radius = layout.broadcast_to_samples(rays.radius[..., None])[..., 0]
        return cone_gaussians(origins, directions, radius, t_start, t_end, model.space.warp)
    return _middles(model, rays, t_start, t_end, layout)


def _middles(model: Model, rays: Rays, t_start, t_end, layout) -> Float[Array, "..."]:
    """The middle of each interval, in the box."""
    origins, directions = layout.broadcast_to_samples(rays.origins), layout.broadcast_to_samples(rays.directions)
    return model.space.warp(origins + 0.5 * (t_start + t_end)[..., None] * directions)


def _render_intervals(model: Model, field, rays: Rays, t_start, t_end, background, layout, complete=None) -> Rendering:
    """Evaluate the field in each interval and composite, in either layout."""
    samples = _samples(model, field, rays, t_start, t_end, layout)
    points = mean_of(samples)
    viewdirs = jnp.broadcast_to(layout.broadcast_to_samples(rays.viewdirs), (*points.shape[:-1], 3))
    quantities = field(samples, viewdirs)
    # Lengths as the field sees them, so that far away a contracted scene begins no foggier than near by.
    tau = model.opacity(quantities, (t_end - t_start) / model.space.stretch(points))
    return composite(quantities, tau, t_start, t_end, background, layout, complete)


def march_all(
    model: Model, field: Callable, rays: Rays, t: Float[Array, "*b e"], background, training: bool
) -> Rendering:
    """Evaluate every interval between the edges t."""
    return _render_intervals(model, field, rays, t[..., :-1], t[..., 1:], background, Dense())


def march_occupied(
    model: Model, field: Callable, rays: Rays, t: Float[Array, "r e"], background, training: bool
) -> Rendering:
    """Evaluate only the intervals in occupied cells: in training as many as fit, for pictures all that are visible."""
    return (_render_live if training else _render_all_live)(model, field, rays, t, background)


def find_occupied(model: Model, rays: Rays, t: Float[Array, "r e"], training: bool = False) -> Bool[Array, "r s"]:
    """Which intervals between the edges t the model's grid has not ruled out."""
    assert model.occupancy is not None
    start, end = t[:, :-1], t[:, 1:]
    return model.occupancy.is_occupied(_middles(model, rays, start, end, Dense()), training) & (end > start)


def _render_packed(model: Model, field, rays: Rays, t, background, live: PackedSamples) -> Rendering:
    """The intervals in a buffer. Unused places have no length, so they weigh nothing."""
    t_start = t[live.ray, live.step]
    t_end = jnp.where(live.used, t[live.ray, live.step + 1], t_start)
    layout = Packed(live.ray, t.shape[0])
    return _render_intervals(model, field, rays, t_start, t_end, background, layout, live.complete)


def _render_live(model: Model, field, rays: Rays, t: Float[Array, "r e"], background) -> Rendering:
    """As many live intervals as the buffer holds, differentiably: rays that do not fit whole are not `complete`."""
    live = pack_samples(find_occupied(model, rays, t, training=True), model.max_samples_per_ray * t.shape[0])
    return _render_packed(model, field, rays, t, background, live)


def _render_all_live(model: Model, field, rays: Rays, t: Float[Array, "r e"], background) -> Rendering:
    """Every live interval that is not hidden, in bounded memory: slabs of the rays front to back, waves in each.

    A ray stops when its transmittance falls below `model.early_stop_transmittance`, which bounds its colour's error.
    """
    live = find_occupied(model, rays, t)
    slab_of = jnp.arange(live.shape[1]) // SLAB

    def slab(carry, number: Int[Array, ""]):
        transmittance, sums = carry
        wanted = live & (slab_of == number)[None] & (transmittance > model.early_stop_transmittance)[:, None]
        new = _sum_masked(model, field, rays, t, wanted)
        add = partial(_add_per_ray, transmittance)
        return (transmittance * (1.0 - new["opacity"]), jax.tree.map(add, sums, new)), None

    nothing = jax.eval_shape(lambda: _sum_masked(model, field, rays, t, live))
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), nothing)
    start = (jnp.ones(live.shape[0]), empty)
    (transmittance, sums), _ = jax.lax.scan(slab, start, jnp.arange(-(-live.shape[1] // SLAB)))
    rgb = sums["rgb"] + transmittance[:, None] * background
    depth = sums["distance"] / jnp.maximum(sums["opacity"], 1e-8)
    return Rendering(rgb, sums["opacity"], depth, sums["extras"], jnp.ones(transmittance.shape, bool), intervals=None)


def _add_per_ray(weight: Float[Array, " r"], total: Float[Array, "r ..."], new: Float[Array, "r ..."]):
    return total + weight.reshape(-1, *[1] * (new.ndim - 1)) * new


def _sum_masked(model: Model, field, rays: Rays, t: Float[Array, "r e"], mask: Bool[Array, "r s"]) -> dict[str, PyTree]:
    """Weighted sums over the intervals of a mask, a buffer at a time: exact whatever their number."""
    black = jnp.zeros((t.shape[0], 3))
    end = jnp.max(jnp.where(mask.any(-1), jnp.arange(t.shape[0]) + 1, 0))

    def wave(carry):
        first, sums = carry
        part = _render_packed(model, field, rays, t, black, pack_samples(mask, WAVE, first))
        new = {"rgb": part.rgb, "opacity": part.opacity, "distance": part.depth * part.opacity, "extras": part.extras}
        add = partial(_add_per_ray, part.complete.astype(jnp.float32))
        return first + part.complete.sum(dtype=jnp.int32), new if sums is None else jax.tree.map(add, sums, new)

    shapes = jax.eval_shape(lambda: wave((jnp.int32(0), None))[1])
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.while_loop(lambda carry: carry[0] < end, wave, (jnp.int32(0), empty))[1]


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, dict, dict]:
    """The static half of a model, its parameters, and what else training changes, as plain dicts; for `nnx.merge`."""
    graph, params, state = nnx.split(model, nnx.Param, ...)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(state)


def sample_weights_by_cell(model: Model, rays: Rays, rendering: Rendering) -> tuple[Int[Array, " m"], Float[Array, " m"]] | None:
    """Return the grid's cell and the weight of each interval of a training batch; None without a grid.

    Places of the buffer that hold no interval get a cell that does not exist.
    """
    intervals = rendering.intervals
    if model.occupancy is None or intervals is None:
        return None
    points = _middles(model, model.as_taken(rays), intervals.t_start, intervals.t_end, intervals.layout)
    used = intervals.t_end > intervals.t_start
    cells = jnp.where(used, model.occupancy.index(points), model.occupancy.resolution**3)
    return cells, intervals.weights


def record_sightings(graph: nnx.GraphDef, params: dict, state: dict, seen: tuple[Array, Array] | None) -> dict:
    """The state after the model's grid, if there is one, was told what a batch saw."""
    if seen is None:
        return state
    model = nnx.merge(graph, params, state)
    model.occupancy.note(*seen)
    return split_model(model)[2]


def refresh_occupancy(model: Model, part: Int[Array, ""], key: PRNGKeyArray) -> None:
    """Let the grid, if there is one, see the last stage's density in one part of its cells."""
    if model.occupancy is None:
        return
    field = [stage.field for stage in model.stages if stage.field is not None][-1]

    if not hasattr(field, "density"):
        reason = f"{type(field).__name__}: has no density(points), which an occupancy grid needs"
        raise ConfigError(f"{reason}: write it, or use --config.model.occupancy=None")
    cell = (2.0 / model.occupancy.resolution) ** 2 / 12.0  # the variance of places in it, along each axis

    def density(points: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        return field.density(Gaussians(points, jnp.full_like(points, cell)) if takes_gaussians(field) else points)

    on_lattice = None if takes_gaussians(field) else getattr(field, "density_on_lattice", None)
    model.occupancy.refresh(density, part, key, on_lattice)
