"""Training: pixels -> rays -> renderings -> loss -> update in one jitted function, and the loop around it.

Everything random in a step comes from fold_in(key(seed), step), so a checkpoint needs no generator state and a resumed
run is bit-identical to one that was never stopped.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from nerf.annealing import set_progress
from nerf.building import build, build_inside
from nerf.capture.check import glance
from nerf.checkpoints import Checkpoints, flatten
from nerf.evaluation import evaluate
from nerf.health import AFTER_BAD_STEP, TrainingError, all_finite, check_finite, first_bad
from nerf.losses import Target
from nerf.memory import check_fits, memory_of_device, return_freed_memory
from nerf.model import Model, note_sightings, refresh_occupancy, sightings, split_model
from nerf.pixels import Picked, Pixels, feed, over, pick, step_keys
from nerf.processes import anyone, check_alike, data_mesh, from_first, is_first, least, on_one_device, replicate
from nerf.progress import Progress, Stopwatch, trace_calls
from nerf.provenance import environment, source_digests
from nerf.pytrees import pytree
from nerf.runs import Run, build_model, check_clock, check_config, check_resumable, describe, load_scenes
from nerf.scenes import Problem, Scene, SceneError
from nerf.scenes.hull import visual_hull
from nerf.scenes.storage import room_for_pixels


@pytree
class TrainState:
    """All that training changes. `state` is what no gradient reaches, as occupancy grids."""

    step: Int[Array, ""]
    params: PyTree
    state: PyTree
    opt_state: PyTree


def init_state(model: Model, optimizer: optax.GradientTransformation) -> tuple[nnx.GraphDef, TrainState]:
    """The static half of a model, and all that training changes before the first step."""
    graph, params, state = split_model(model)
    return graph, TrainState(jnp.zeros((), jnp.int32), params, state, optimizer.init(params))


def make_gradients(graph: nnx.GraphDef, losses: Mapping[str, Callable], mesh: Mesh) -> Callable:
    """A function (params, state, *batch) -> (gradient of the mean loss, the loss, mean squared error, rays), sightings.

    Means are over the rays of all devices that were rendered whole, `rays` their number; see `nerf.model.sightings`.
    """
    split, same = PartitionSpec("data"), PartitionSpec()

    def all_sum(tree):
        if mesh.size == 1:
            return tree  # a sum over one device would still copy every gradient
        # One sum of all, not one for each array: between processes each waits for the slowest.
        flat, unflatten = ravel_pytree(tree)
        return unflatten(jax.lax.psum(flat, "data"))

    def loss(params, state, rays, target, background, keys):
        model = nnx.merge(graph, params, state)
        renderings = model(rays, background, keys)
        whole = renderings[-1].complete
        count = jnp.maximum(all_sum(whole.sum(dtype=jnp.float32)), 1.0)
        mean = sum(jnp.where(whole, one(renderings, target), 0.0).sum() for one in losses.values()) / count
        error = jnp.where(whole, jnp.square(renderings[-1].rgb - target.rgb).mean(-1), 0.0).sum() / count
        means = jnp.stack([jnp.asarray(mean), error, whole.sum(dtype=jnp.float32)])
        return mean, (means, sightings(model, rays, renderings[-1]))

    @partial(jax.shard_map, mesh=mesh, in_specs=(same, same, *[split] * 4), out_specs=(same, split), check_vma=False)
    def gradients(params, state, *batch):
        grads, (means, seen) = jax.grad(loss, has_aux=True)(params, state, *batch)
        grads, means = all_sum((grads, means))
        return (grads, *means), seen

    return gradients


def make_train_step(
    graph: nnx.GraphDef,
    losses: Mapping[str, Callable],
    optimizer: optax.GradientTransformation,
    schedule: Callable,
    batch_size: int,
    background: Sequence[float] | None,
    seed: int | Int[Array, ""],
    mesh: Mesh,
) -> jax.stages.Wrapped:
    """A jitted (state, pixels, progress) -> (state, metrics): a step for each entry of `progress`, the part done.

    Args:
      graph: the model's static half.
      losses: see `nerf.losses`.
      optimizer: its updates are multiplied by `schedule(progress)`.
      batch_size: rays a step over all devices.
      background: behind transparent pixels; None draws a random one for each ray.
      seed: of everything random.
      mesh: the batch is split over its axis "data", everything else is replicated.

    Metrics of each step are loss, psnr, rays that counted, the norm of each parameter's gradient, and whether the batch
    was finite. A call in which a loss or a gradient is not finite changes nothing, not even the step number.
    """
    gradients = make_gradients(graph, losses, mesh)

    def one_step(pixels: Pixels | Picked, state: TrainState, progress: Float[Array, ""]):
        keys = step_keys(seed, state.step)
        rays, rgba, depth = pick(pixels, keys[0], batch_size)
        colour = jax.random.uniform(keys[1], (batch_size, 3)) if background is None else jnp.asarray(background)
        colour = jnp.broadcast_to(colour, (batch_size, 3))
        ray_keys = jax.random.split(keys[2], batch_size)
        target = Target(jnp.asarray(over(rgba, colour)), depth)
        (grads, mean_loss, error, count), seen = gradients(state.params, state.state, rays, target, colour, ray_keys)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        factor = schedule(progress)
        params = jax.tree.map(lambda p, u: p + factor * u, state.params, updates)
        after = TrainState(state.step + 1, params, note_sightings(graph, params, state.state, seen), opt_state)
        metrics = {
            "loss": mean_loss,
            "psnr": -10.0 * jnp.log10(jnp.maximum(error, 1e-10)),
            "rays": count,
            "grad_norms": jnp.sqrt(jnp.stack([jnp.square(g).sum() for g in jax.tree.leaves(grads)])),
            "batch_finite": all_finite((rays, target)),
        }
        return after, metrics

    @partial(jax.jit, donate_argnums=0, out_shardings=NamedSharding(mesh, PartitionSpec()))
    def train_steps(state: TrainState, pixels: Pixels | Picked, progress: Float[Array, " k"]):
        model = nnx.merge(graph, state.params, state.state)
        set_progress(model, progress[0])
        refresh_occupancy(model, state.step // progress.shape[0], step_keys(seed, state.step)[3])
        first = dataclasses.replace(state, state=split_model(model)[2])
        numbers = jnp.arange(progress.shape[0])
        after, metrics = jax.lax.scan(lambda s, x: one_step(pixels.at_step(x[0]), s, x[1]), first, (numbers, progress))
        # Once a call, not once a step: choosing between two states reads all of both.
        finite = jnp.isfinite(metrics["grad_norms"]).all() & jnp.isfinite(metrics["loss"]).all()
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state), metrics

    return train_steps


def prepare_model(config: Mapping[str, Any], scene: Scene, plugins: tuple[str, ...]) -> Model:
    """The untrained model of a config in the scene's space, its grid in the visual hull unless poses are learned."""
    model = build_model(config, scene.unbounded, scene.cameras, plugins)
    if model.occupancy is not None and model.poses is None and scene.has_alpha and not scene.unbounded:
        hull = visual_hull(scene, model.occupancy.resolution)
        if not hull.any():
            raise SceneError([Problem("scene", "", "no place is seen as matter by every view", "check the poses")])
        model.occupancy.restrict(hull)
    return model


def prepare(
    config: Mapping[str, Any], scene: Scene, plugins: tuple[str, ...], mesh: Mesh
) -> tuple[nnx.GraphDef, TrainState, jax.stages.Wrapped]:
    """What a config trains with on a scene: the static half of the model, the first state, and the jitted step."""
    model = prepare_model(config, scene, plugins)
    optimizer = build(config["optimizer"], plugins=plugins)
    graph, state = init_state(model, optimizer)
    train_steps = make_train_step(
        graph,
        build_inside(config["losses"], plugins, {}),
        optimizer,
        build(config["schedule"], plugins=plugins),
        config["batch_size"],
        None if config["random_background"] else config["background"],
        config["seed"],
        mesh,
    )
    return graph, state, train_steps


def train(
    config: Mapping[str, Any],
    scene: str | Path | None,
    workdir: str | Path,
    *,
    max_seconds: float | None = None,
    plugins: tuple[str, ...] = (),
    should_stop: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
    profile: str | Path | None = None,
    device_memory: float | None = None,
    host_memory: float | None = None,
) -> dict[str, Any] | None:
    """Train a config on a scene, or go on with the run in `workdir`; evaluate it and return what results.json holds.

    Of several processes (see `nerf.processes`) the first evaluates, and the others return an empty dictionary.

    Args:
      config: a plain dictionary; `configs/` makes them.
      scene: the scene's folder.
      workdir: the run folder; made where there is none.
      max_seconds: stop after so many seconds of training (compilation and evaluation not counted), and let the
        learning rate fall over them. Such a run depends on the clock; one bounded by steps alone is reproducible.
      plugins: packages outside `nerf` that the config may name.
      should_stop: asked before training and after every call of the jitted step; True saves and returns None.
      tensorboard: write TensorBoard events too.
      profile: a folder for a trace of a few calls of the jitted step by JAX's profiler.
      device_memory, host_memory: bytes that may be used; None: what there is.
    """
    check_config(config, len(jax.devices()), max_seconds)
    check_resumable(workdir, config)
    watch = Stopwatch()
    with watch("load"), room_for_pixels(host_memory, Path(workdir)):
        train_scene, held_out = load_scenes(config, scene, plugins)
    print("\n".join([*train_scene.notes, *glance(train_scene), describe(train_scene, held_out)]), file=sys.stderr)
    mesh = data_mesh(jax.devices())
    splits = {"train": train_scene, config["eval_split"]: held_out}
    check_alike(
        config=lambda: [config, max_seconds],
        scene=lambda: [one.digest() for one in splits.values()],
        code=lambda: [source_digests(plugins), environment()],
    )
    device_memory = least(memory_of_device() if device_memory is None else device_memory)
    with watch("prepare"):
        graph, state, train_steps = prepare(config, train_scene, plugins, mesh)
    run = Run.open(workdir, config, scene, splits, tensorboard, plugins) if is_first() else None
    checkpoints = Checkpoints(Path(workdir) / "checkpoints", config["keep"])
    names = list(flatten(state.params))
    step, seconds, skipped = 0, 0.0, 0
    if run is not None:
        if checkpoints.steps():
            state, facts = checkpoints.restore(state)
            check_clock(run.folder, facts, max_seconds)
            step, seconds, skipped = facts["step"], facts["seconds"], facts["skipped"]
        run.forget_after(step)
    state, step, seconds, skipped = from_first((state, step, seconds, skipped))
    per_call = config["steps_per_call"]
    everywhere = partial(replicate, mesh=mesh)
    state = everywhere(state)
    pixels = feed(train_scene, config["seed"], config["batch_size"], per_call, device_memory, everywhere)
    steps_of_call = np.arange(per_call, dtype=np.float32) / np.float32(config["steps"])
    with watch("compile"):
        compiled = train_steps.lower(state, pixels(step), everywhere(steps_of_call)).compile()
    check_fits(compiled, device_memory)
    return_freed_memory()

    def save(score: float | None = None) -> None:
        check_finite(state, step)
        if run is not None:
            checkpoints.save(step, state, seconds=seconds, max_seconds=max_seconds, skipped=skipped, score=score)

    def assess(last: bool = False) -> dict[str, Any] | None:
        if run is None:
            return None
        trained = nnx.merge(graph, *on_one_device((state.params, state.state)))
        split, folder = config["eval_split"], run.folder / "eval" if last else None
        return_freed_memory()
        with watch("evaluate"):
            scores = evaluate(trained, held_out, split, config["background"], config["chunk"], folder, should_stop)
        if scores is not None:
            run.log_scores(step, seconds, scores)
        return scores

    with (
        Progress(config["steps"], max_seconds, step, seconds, shown=is_first()) as progress,
        trace_calls(profile) as before_call,
    ):
        assessed = int(progress.fraction(step, seconds) * config["eval_times"])
        while not (anyone(should_stop()) or progress.done(step, seconds)):
            fractions = everywhere(np.float32(progress.fraction(step, seconds)) + steps_of_call)
            before_call()
            began = time.perf_counter()
            state, metrics = compiled(state, pixels(step), fractions)
            metrics = jax.device_get(metrics)
            seconds = from_first(seconds + time.perf_counter() - began)
            step = int(state.step)
            if bad := first_bad(metrics, state, names):
                if skipped + per_call > config["max_skipped"]:
                    save()
                    checkpoints.wait()
                    raise TrainingError(f"{bad}: {AFTER_BAD_STEP}")
                step, skipped = step + per_call, skipped + per_call
                state = dataclasses.replace(state, step=everywhere(np.int32(step)))
                print(f"{bad}: {per_call} steps left out, {skipped} in all", file=sys.stderr)
            else:
                progress.update(step, seconds, float(metrics["psnr"].mean()))
                if run is not None and step % config["log_every"] == 0:
                    means = {name: float(metrics[name].mean()) for name in ("loss", "psnr", "rays")}
                    run.log(step, seconds, "train", means)
            part = int(progress.fraction(step, seconds) * config["eval_times"])
            if assessed < part < config["eval_times"] or (config["eval_every"] and step % config["eval_every"] == 0):
                scores = assess()
                if scores and config["eval_split"] == "val":  # test views decide nothing, not even what is kept
                    save(scores["mean"]["psnr"])
            assessed = part
            if step % config["save_every"] == 0:
                save()
            checkpoints.check()
    save()
    checkpoints.wait()
    scores = None if anyone(should_stop()) else assess(last=True)
    results: dict[str, Any] = {}
    if run is not None and scores is not None:
        results = run.finish(
            scores,
            train_seconds=seconds,
            max_seconds=max_seconds,
            **{f"{name}_seconds": spent for name, spent in watch.seconds.items()},
            steps=step,
            skipped_steps=skipped,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        )
    return results if anyone(bool(results)) else None
