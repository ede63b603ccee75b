"""The model: stages of (sampler, field), composed by `render_rays`.

NeRF has two stages, coarse and fine. A proposal network is a stage whose field predicts density
alone. A hash-grid model with an occupancy grid has one stage. The last stage renders the image.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key, PyTree

from nerf.cameras.cameras import Rays
from nerf.foundation.devices import sizes_of
from nerf.foundation.instantiate import ConfigError
from nerf.geometry import Geometry
from nerf.geometry.density import VolumeDensity
from nerf.rendering.codes import check_codes
from nerf.rendering.compositing import Dense, Packed, Rendering, composite
from nerf.rendering.intervals import Edges, evaluate_field, interval_middles, sample_intervals
from nerf.rendering.packing import PackedSamples, list_occupied, pack_samples
from nerf.rendering.waves import sum_in_waves
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.spaces import Box
from nerf.scenes.base import LabelClass

Background = Float[Array, "*#b 3"]  # sRGB behind each ray
BOX, VOLUME_DENSITY = Box(), VolumeDensity()


class Stage(nnx.Module):
    """A sampler and the field that is evaluated at its samples.

    Args:
      sampler: see `nerf.sampling`.
      field: samples -> named quantities, see `nerf.fields`; None means the field of the previous
        stage.
    """

    def __init__(self, sampler: Callable, field: Callable | None = None):
        self.sampler, self.field = sampler, field


class Model(nnx.Module):
    """Map rays to one rendering per stage.

    Args:
      stages: the stages by name.
      order: names of the stages, first to last.
      space: the sampled part of each ray and its map into the box; see `nerf.sampling.spaces`.
      occupancy: grid that skips empty intervals, for models with one stage and with
        `max_samples_per_ray`; None evaluates all intervals.
      geometry: (quantities, samples) -> optical depth; see `nerf.geometry`.
      max_samples_per_ray: with a grid, the size of the training buffer, in occupied intervals per
        ray on average.
      early_stop_transmittance: with a grid, transmittance below which a ray of an image stops.
      wave: with a grid, intervals of an image evaluated at once, at most; None: by the device.
      renderer: (model, rays, background, keys) -> one rendering per stage, such as
        `nerf.rendering.surface:Surface`; None is the volume renderer, `render_rays`.
      poses: learned poses, rays -> rays, or None; see `nerf.cameras.refinement`.
      exposure: learned exposure, (rgb, image) -> rgb, or None; see `nerf.rendering.exposure`.
      codes: learned codes, image -> latent vector, or None; see `nerf.rendering.codes`.
      edge_rays: number of rays along each side of a pixel at edges of images; 1 renders the centre
        of every pixel alone. See `nerf.rendering.antialiasing`.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage],
        order: Sequence[str],
        space: Any = BOX,
        occupancy: OccupancyGrid | None = None,
        geometry: Geometry = VOLUME_DENSITY,
        max_samples_per_ray: int | None = None,
        early_stop_transmittance: float = 1e-4,
        renderer: Callable | None = None,
        poses: Callable | None = None,
        exposure: Callable | None = None,
        codes: Callable | None = None,
        edge_rays: int = 1,
        wave: int | None = None,
    ):
        if occupancy is not None and len(order) != 1:
            reason = f"works with one stage, and this model has {len(order)}"
            raise ConfigError(
                f"model.occupancy: {reason}: switch it off with --config.model.occupancy=None"
            )
        if occupancy is not None and max_samples_per_ray is None:
            raise ConfigError(
                "model.max_samples_per_ray: missing, and model.occupancy needs it: "
                "give --config.model.max_samples_per_ray=16"
            )
        check_codes(codes, {name: stages[name].field for name in order})
        self.stages = nnx.List([stages[name] for name in order])
        self.space, self.occupancy, self.geometry = space, occupancy, geometry
        self.max_samples_per_ray = max_samples_per_ray or 0
        self.early_stop_transmittance = early_stop_transmittance
        self.renderer = renderer or render_rays
        self.poses, self.exposure, self.codes = poses, exposure, codes
        self.edge_rays, self.wave = edge_rays, wave
        self.march = march_all if occupancy is None else march_occupied

    def __call__(
        self, rays: Rays, background: Background, keys: Key[Array, "*b"] | None = None
    ) -> list[Rendering]:
        """Return one rendering per stage, first to last.

        Args:
          rays: (*b) rays; with an occupancy grid (r), one leading axis.
          background: sRGB behind each ray.
          keys: one random key per ray in training, for jitter; None for images, without jitter.
            With an occupancy grid, training evaluates a bounded number of intervals.

        Raises:
          ConfigError: the field of the last stage has no colour.
        """
        renderings = self.renderer(self, self.as_taken(rays), background, keys)
        if renderings[-1].rgb is None:
            reason = "the field of the last stage returns no 'rgb', so there is no picture"
            raise ConfigError(f"model.stages: {reason}: end with a stage whose field has colour")
        return [self._exposed(rendering, rays, background) for rendering in renderings]

    def _exposed(self, rendering: Rendering, rays: Rays, background: Background) -> Rendering:
        """Apply the exposure to the scene's colours and not to the background behind them."""
        if self.exposure is None or rendering.rgb is None:
            return rendering
        # Solve rgb = opacity * matter + (1 - opacity) * background for the mean colour of matter.
        opacity = rendering.opacity[..., None]
        behind = (1.0 - opacity) * background
        matter = (rendering.rgb - behind) / jnp.maximum(opacity, 1e-6)
        exposed = opacity * self.exposure(matter, rays.image) + behind
        return dataclasses.replace(rendering, rgb=exposed)

    def as_taken(self, rays: Rays) -> Rays:
        """Return the rays moved by the learned corrections of their cameras' poses."""
        return rays if self.poses is None else self.poses(rays)

    def codes_of(self, rays: Rays) -> Float[Array, "*b c"] | None:
        """Return the code of each ray's image, or None in a model without codes."""
        return None if self.codes is None else self.codes(rays.image)


def render_rays(
    model: Model,
    rays: Rays,
    background: Background,
    keys: Key[Array, "*b"] | None = None,
) -> list[Rendering]:
    """Return one rendering per stage: sample -> points -> field -> optical depth -> composite.

    Args:
      model: its stages, space, geometry, codes and marcher are used; poses and exposure are not.
      rays: (*b) rays in the normalised world.
      background: sRGB behind each ray.
      keys: one random key per ray in training; None is deterministic.
    """
    t_near, t_far = model.space.interval(rays)
    renderings: list[Rendering] = []
    field: Callable | None = None
    previous = None
    for i, stage in enumerate(model.stages):
        field = stage.field or field
        assert field is not None, "the first stage needs a field"
        # Interval edges as s in [0, 1] and as distances t along the rays, both (*b, n + 1). Each
        # stage draws its jitter with keys of its own.
        s = stage.sampler(previous, t_near.shape[:-1], None if keys is None else fold_in(keys, i))
        t = model.space.distance(s, t_near, t_far)
        renderings.append(model.march(model, field, rays, t, background, keys is not None))
        # The next stage's sampler may place its samples by these weights.
        intervals = renderings[-1].intervals
        previous = None if intervals is None else (s, intervals.weights)
    return renderings


def last_field(model: Model) -> Any:
    """Return the field of the last stage."""
    return [stage.field for stage in model.stages if stage.field is not None][-1]


def classes_of(model: Model) -> Sequence[LabelClass]:
    """Return the classes that the field of the last stage learned; none of other fields."""
    return getattr(last_field(model), "classes", ())


def fold_in(keys: Key[Array, "*b"], number: int) -> Key[Array, "*b"]:
    """Fold a number into each key."""
    folded = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys.reshape(-1))
    return folded.reshape(keys.shape)


def _render_intervals(
    model: Model,
    field: Callable,
    rays: Rays,
    t_start: Edges,
    t_end: Edges,
    background: Background,
    layout: Dense | Packed,
    complete: Bool[Array, "..."] | None = None,
) -> Rendering:
    """Evaluate the field at each interval and composite, in either layout."""
    codes = model.codes_of(rays)
    samples = sample_intervals(model.space, field, rays, t_start, t_end, layout, codes)
    quantities = evaluate_field(model, field, samples)
    tau = model.geometry(quantities, samples)
    shown = {name: x for name, x in quantities.items() if name not in model.geometry.hidden}
    rendering = composite(shown, tau, t_start, t_end, background, layout, complete)
    assert rendering.intervals is not None
    intervals = dataclasses.replace(rendering.intervals, samples=samples, quantities=quantities)
    return dataclasses.replace(rendering, intervals=intervals)


def march_all(
    model: Model,
    field: Callable,
    rays: Rays,
    t: Float[Array, "*b e"],
    background: Background,
    training: bool,
) -> Rendering:
    """Evaluate every interval of every ray, in a `Dense` layout.

    Args:
      model: its geometry and space are used.
      field: samples -> named quantities.
      rays: (*b) rays.
      t: interval edges along each ray in world units, increasing.
      background: sRGB behind each ray.
      training: without effect here; see `march_occupied`.
    """
    return _render_intervals(model, field, rays, t[..., :-1], t[..., 1:], background, Dense())


def march_occupied(
    model: Model,
    field: Callable,
    rays: Rays,
    t: Float[Array, "r e"],
    background: Background,
    training: bool,
) -> Rendering:
    """Evaluate only the intervals in occupied cells of the model's grid.

    Args:
      model: its grid, geometry and space are used.
      field: samples -> named quantities.
      rays: (r) rays.
      t: interval edges along each ray in world units, increasing.
      background: sRGB behind each ray.
      training: True evaluates the intervals that fit the training buffer; rays that do not fit are
        not `complete`. False evaluates all visible ones; the rendering has no `intervals`.
    """
    if training:
        return _march_train(model, field, rays, t, background)
    return _march_image(model, field, rays, t, background)


def find_occupied(
    model: Model, rays: Rays, t: Float[Array, "r e"], training: bool
) -> Bool[Array, "r s"]:
    """Return a mask of the intervals that lie in occupied cells and are not empty.

    Args:
      model: a model with an occupancy grid.
      rays: (r) rays.
      t: interval edges along each ray in world units, increasing.
      training: whether to use the grid's cells for training, `train_occupied`.
    """
    assert model.occupancy is not None
    start, end = t[:, :-1], t[:, 1:]
    middles = interval_middles(model.space, rays, start, end, Dense())
    return model.occupancy.is_occupied(middles, training) & (end > start)


def _render_packed(
    model: Model,
    field: Callable,
    rays: Rays,
    t: Float[Array, "r e"],
    background: Background,
    packed: PackedSamples,
) -> Rendering:
    """Evaluate and composite the intervals in a buffer."""
    t_start = t[packed.ray, packed.step]
    # Unused slots get length zero, so their optical depth and their weight are zero.
    t_end = jnp.where(packed.used, t[packed.ray, packed.step + 1], t_start)
    layout = Packed(packed.ray, packed.ends, longest=t.shape[1] - 1)
    return _render_intervals(
        model, field, rays, t_start, t_end, background, layout, packed.complete
    )


def _march_train(
    model: Model, field: Callable, rays: Rays, t: Float[Array, "r e"], background: Background
) -> Rendering:
    """Render the occupied intervals that fit the training buffer; differentiable."""
    occupied = list_occupied(find_occupied(model, rays, t, training=True))
    packed = pack_samples(occupied, model.max_samples_per_ray * t.shape[0])
    return _render_packed(model, field, rays, t, background, packed)


def _march_image(
    model: Model, field: Callable, rays: Rays, t: Float[Array, "r e"], background: Background
) -> Rendering:
    """Render every occupied interval that is not hidden, in bounded memory."""
    stop = model.early_stop_transmittance
    sums, transmittance = sum_visible(model, field, rays, t, _sums, stop)
    # Equation 4 of `compositing`.
    rgb = sums["rgb"]
    rgb = None if rgb is None else rgb + transmittance[:, None] * background
    depth = sums["distance"] / jnp.maximum(sums["opacity"], 1e-8)
    complete = jnp.ones(transmittance.shape, bool)
    return Rendering(rgb, sums["opacity"], depth, sums["extras"], complete, intervals=None)


def _sums(part: Rendering, transmittance: Float[Array, " r"]) -> dict[str, PyTree]:
    """Return what a part of each ray adds to its rendering: the part behind all before it."""
    found = {
        "rgb": part.rgb,
        "opacity": part.opacity,
        "distance": part.depth * part.opacity,
        "extras": part.extras,
    }
    return jax.tree.map(lambda x: transmittance.reshape(-1, *[1] * (x.ndim - 1)) * x, found)


def sum_visible(
    model: Model,
    field: Callable,
    rays: Rays,
    t: Float[Array, "r e"],
    read: Callable[[Rendering, Float[Array, " r"]], PyTree],
    stop: float,
) -> tuple[PyTree, Float[Array, " r"]]:
    """Sum over the intervals that rendering evaluates, front to back, in bounded memory.

    Args:
      model: a model with an occupancy grid.
      field: samples -> named quantities.
      rays: (r) rays.
      t: interval edges along each ray in world units, increasing.
      read: what to sum; see `nerf.rendering.waves.sum_in_waves`.
      stop: transmittance below which a ray stops.

    Returns:
      The sums, as returned by `read`, and the transmittance past the last interval, (r,).
    """
    occupied = list_occupied(find_occupied(model, rays, t, training=False))
    black = jnp.zeros((t.shape[0], 3))
    evaluate = partial(_render_packed, model, field, rays, t, black)
    return sum_in_waves(occupied, evaluate, read, stop, model.wave or sizes_of().wave)
