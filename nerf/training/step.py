"""The jitted training step: pixels -> rays -> renderings -> loss -> gradients -> update."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from nerf.cameras.cameras import Rays
from nerf.encodings.annealing import set_progress
from nerf.foundation.instantiate import build, build_inside
from nerf.losses import Target
from nerf.rendering.model_state import record_sightings, refresh_occupancy, split_model
from nerf.runs.models import prepare_model
from nerf.scenes import Scene
from nerf.scenes.images import over
from nerf.training.gradients import TrainState, init_state, make_gradients
from nerf.training.nonfinite import all_finite
from nerf.training.ray_bank import RayBank, RayBatch, StepKeys, sample_rays, step_keys
from nerf.training.supervision import check_supervision, views_per_step


def _make_one_step(
    graph: nnx.GraphDef,
    losses: Mapping[str, Callable],
    optimizer: optax.GradientTransformation,
    batch_size: int,
    background: Sequence[float] | None,
    mesh: Mesh,
) -> Callable:
    """Build `one_step(pixels, state, factor, seed) -> (state, metrics)`; see `make_train_step`."""
    gradients, views = make_gradients(graph, losses, mesh), views_per_step(losses)

    def one_step(
        pixels: RayBank | RayBatch,
        state: TrainState,
        factor: Float[Array, ""],
        seed: Int[Array, ""],
    ) -> tuple[TrainState, dict[str, Array]]:
        """Take one optimizer step; return the new state and the metrics."""
        keys = step_keys(seed, state.step)
        rays, target, colour = _sample_batch(pixels, keys, batch_size, background, views)
        ray_keys = jax.random.split(keys.rays, batch_size)
        (grads, mean_loss, error, count), seen = gradients(
            state.params, state.state, rays, target, colour, ray_keys
        )
        norms = jnp.sqrt(jnp.stack([jnp.square(g).sum() for g in jax.tree.leaves(grads)]))

        def update() -> TrainState:
            # params <- params + factor * update, with the optimizer's learning rate.
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = jax.tree.map(lambda p, u: p + factor * u, state.params, updates)
            # The occupancy grid records the weights of the batch; its refresh uses them.
            arrays = record_sightings(graph, params, state.state, seen)
            return TrainState(state.step + 1, params, arrays, opt_state)

        # A branch, since a selection between two states would need both in memory.
        after = jax.lax.cond(
            jnp.isfinite(norms).all() & jnp.isfinite(mean_loss),
            update,
            lambda: dataclasses.replace(state, step=state.step + 1),
        )
        metrics = {
            "loss": mean_loss,
            "psnr": -10.0 * jnp.log10(jnp.maximum(error, 1e-10)),
            "rays": count,
            "grad_norms": norms,
            "batch_finite": all_finite((rays, target)),
        }
        return after, metrics

    return one_step


def _sample_batch(
    pixels: RayBank | RayBatch,
    keys: StepKeys,
    batch_size: int,
    background: Sequence[float] | None,
    views: int | None,
) -> tuple[Rays, Target, Float[Array, "b 3"]]:
    """Sample pixels; the photo and the rendering get the same background.

    Args:
      pixels: the pixels to sample from, or those that were sampled.
      keys: the keys of the step.
      batch_size: number of rays b.
      background: sRGB behind transparent pixels; None draws a random colour for each ray.
      views: number of images that the rays come from, at most; None: all.

    Returns:
      Rays, their supervision, and the background behind each of them.
    """
    rays, rgba, maps = sample_rays(pixels, keys.pixels, batch_size, views)
    colour = (
        jax.random.uniform(keys.background, (batch_size, 3))
        if background is None
        else jnp.asarray(background)
    )
    colour = jnp.broadcast_to(colour, (batch_size, 3))
    if rgba.shape[-1] == 4:
        maps = {**maps, "alpha": rgba[..., 3]}
    return rays, Target(jnp.asarray(over(rgba, colour)), maps), colour


def make_train_step(
    graph: nnx.GraphDef,
    losses: Mapping[str, Callable],
    optimizer: optax.GradientTransformation,
    schedule: Callable,
    batch_size: int,
    background: Sequence[float] | None,
    mesh: Mesh,
) -> jax.stages.Wrapped:
    """Build the jitted `train_steps(state, pixels, progress, seed, rate) -> (state, metrics)`.

    It takes one optimizer step per entry of `progress`, the fraction of training done at that step.
    The number of steps per call changes the result in its last bits at most; it must divide the
    number of steps taken before. Runs that differ in the seed or in `rate`, a factor of the
    learning rate, share one compiled program. The metrics of each step are "loss", "psnr" in dB,
    "rays" (the number that counted), "grad_norms" (of each parameter) and "batch_finite". A step
    whose loss or gradient is not finite changes nothing but the number of steps.

    Args:
      graph: the model's graph, from `split_model`.
      losses: losses by name, see `nerf.losses`; they are summed.
      optimizer: its updates are multiplied by `rate * schedule(progress)`.
      schedule: progress in [0, 1] -> factor.
      batch_size: number of rays per step, over all devices.
      background: sRGB behind transparent pixels; None draws a random colour for each ray.
      mesh: the batch is split over its axis "data"; everything else is replicated.

    Returns:
      `train_steps`. It donates its first argument.
    """
    one_step = _make_one_step(graph, losses, optimizer, batch_size, background, mesh)

    @partial(jax.jit, donate_argnums=0, out_shardings=NamedSharding(mesh, PartitionSpec()))
    def train_steps(
        state: TrainState,
        pixels: RayBank | RayBatch,
        progress: Float[Array, " k"],
        seed: Int[Array, ""],
        rate: Float[Array, ""],
    ) -> tuple[TrainState, dict[str, Array]]:
        """Take k steps; `pixels` are all pixels or those of each of the k steps."""

        def step(state: TrainState, x: tuple[Array, Array]) -> tuple[TrainState, dict[str, Array]]:
            number, fraction = x
            return one_step(pixels.at_step(number), state, rate * schedule(fraction), seed)

        return _take_steps(graph, step, state, progress, seed)

    return train_steps


def _take_steps(
    graph: nnx.GraphDef,
    step: Callable,
    state: TrainState,
    progress: Float[Array, " k"],
    seed: Int[Array, ""],
) -> tuple[TrainState, dict[str, Array]]:
    """Take k steps, between which encodings are annealed and the occupancy grid is refreshed.

    Args:
      graph: the model's graph.
      step: (state, (number of the step, progress)) -> (state, metrics).
      state: the state before them.
      progress: fraction of training done at each step.
      seed: seed of all randomness.

    Returns:
      The state after them, and the metrics of each.
    """

    def one(state: TrainState, x: tuple[Array, Array]) -> tuple[TrainState, dict[str, Array]]:
        return step(_anneal(graph, state, x[1]), x)

    def group(state: TrainState, x: tuple[Array, Array]) -> tuple[TrainState, dict[str, Array]]:
        state = _refresh(graph, _anneal(graph, state, x[1][0]), seed)
        return jax.lax.scan(one, state, x)

    # Steps are divided into groups, so that the grid's turn is always before the first of a group.
    count, period = progress.shape[0], _refresh_period(graph, state)
    size = math.gcd(count, period) if period else count
    steps = (jnp.arange(count).reshape(-1, size), progress.reshape(-1, size))
    after, metrics = jax.lax.scan(group, state, steps)
    return after, jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), metrics)


def _anneal(graph: nnx.GraphDef, state: TrainState, progress: Float[Array, ""]) -> TrainState:
    """Set the fraction of training done, on which annealed encodings depend."""
    model = nnx.merge(graph, state.params, state.state)
    set_progress(model, progress)
    return dataclasses.replace(state, state=split_model(model)[2])


def _refresh_period(graph: nnx.GraphDef, state: TrainState) -> int | None:
    """Return the number of steps from one refresh of the occupancy grid to the next, if any."""
    grid = nnx.merge(graph, state.params, state.state).occupancy
    return None if grid is None else grid.refresh_every


def _refresh(graph: nnx.GraphDef, state: TrainState, seed: Int[Array, ""]) -> TrainState:
    """Refresh a part of the occupancy grid if there is one and it is the turn of `state.step`."""
    period = _refresh_period(graph, state)
    if period is None:
        return state

    def refresh(arrays: PyTree) -> PyTree:
        model = nnx.merge(graph, state.params, arrays)
        refresh_occupancy(model, state.step // period, step_keys(seed, state.step).occupancy)
        return split_model(model)[2]

    due = state.step % period == 0
    return dataclasses.replace(state, state=jax.lax.cond(due, refresh, lambda x: x, state.state))


class Prepared(NamedTuple):
    """Everything that training a config on a scene needs.

    Attributes:
      graph: the model's graph, which does not depend on the seed.
      state: the state before the first step.
      train_steps: the jitted training steps, see `make_train_step`.
      initial_state: seed -> the state before the first step with that seed.
      views: number of images that the rays of a step come from, at most; None: all.
    """

    graph: nnx.GraphDef
    state: TrainState
    train_steps: jax.stages.Wrapped
    initial_state: Callable[[int], TrainState]
    views: int | None = None


def prepare(
    config: Mapping[str, Any], scene: Scene, plugins: tuple[str, ...], mesh: Mesh
) -> Prepared:
    """Build everything that training a config on a scene needs.

    Args:
      config: the config.
      scene: the training views.
      plugins: packages besides `nerf` from which the config may import.
      mesh: mesh of the devices, see `make_train_step`.

    Raises:
      ConfigError: the model cannot be built, or the scene lacks what a loss needs.
    """
    losses = build_inside(config["losses"], plugins, {})
    check_supervision(losses, scene)
    optimizer = build(config["optimizer"], plugins=plugins)

    def initial(seed: int) -> tuple[nnx.GraphDef, TrainState]:
        return init_state(prepare_model({**config, "seed": seed}, scene, plugins), optimizer)

    graph, state = initial(config["seed"])
    train_steps = make_train_step(
        graph,
        losses,
        optimizer,
        build(config["schedule"], plugins=plugins),
        config["batch_size"],
        None if config["random_background"] else config["background"],
        mesh,
    )
    views = views_per_step(losses)
    return Prepared(graph, state, train_steps, lambda seed: initial(seed)[1], views)
