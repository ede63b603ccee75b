"""The training loop: prepare, call the jitted step until the budget is used, save, score.

Everything random in a step comes from fold_in(key(seed), step), so a checkpoint needs no generator state and a resumed
run is bit-identical to one that was never stopped.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from nerf.evaluation.evaluate import evaluate, unscored
from nerf.evaluation.interim import InterimScoring
from nerf.foundation.interrupts import deferred_interrupt, rescue
from nerf.runs.budget import Budget, change_budget
from nerf.runs.checkpoints import Checkpoints, flatten
from nerf.runs.lock import run_lock
from nerf.runs.provenance import environment, source_digests
from nerf.runs.runs import Run, check_config, check_resumable
from nerf.scenes import Scene
from nerf.scenes.splits import load_views
from nerf.scenes.storage import room_for_pixels
from nerf.training.memory import check_fits, memory_of_device, return_freed_memory
from nerf.training.nonfinite import TrainingError, check_finite, describe_nonfinite, suggest_fix
from nerf.training.processes import (
    any_process,
    assert_equal,
    broadcast_from_first,
    data_mesh,
    is_first,
    min_across_processes,
    replicate,
    unreplicate,
)
from nerf.training.progress import Progress, Stopwatch, trace_calls
from nerf.training.ray_bank import make_loader
from nerf.training.step import prepare


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
    inspect: Callable[[Scene], Sequence[str]] = lambda scene: (),
) -> dict[str, Any] | None:
    """Train a config on a scene, or resume the run in `workdir`; evaluate it and return what results.json holds.

    Ctrl-C saves after the step at hand and raises KeyboardInterrupt; the same call resumes the run. Of several
    processes (see `nerf.training.processes`) the first evaluates, and the others return an empty dictionary.

    Args:
      config: a plain dictionary; `configs/` makes them.
      scene: the scene's folder.
      workdir: the run folder; made where there is none, and locked while this runs.
      max_seconds: train for so many seconds (compilation and evaluation not counted) whatever config.steps is, and let
        the learning rate fall over them. Such a run depends on the clock; one bounded by steps is reproducible. More
        seconds or steps than a run had before continue it.
      plugins: packages outside `nerf` that the config may name.
      should_stop: asked before training, after every call of the jitted step and between chunks of a view that is
        scored; True saves and returns None.
      tensorboard: write TensorBoard events too.
      profile: a folder for a trace of a few calls of the jitted step by JAX's profiler.
      device_memory, host_memory: bytes that may be used; None: what there is.
      inspect: returns lines about the training views, printed first; see `nerf.check.check.quick_check`.

    Raises:
      UserError: one line for each problem of the config, the scene or the run folder.
      KeyboardInterrupt: after Ctrl-C, when everything is saved.
    """
    check_config(config, len(jax.devices()), max_seconds, plugins)
    folder, root = Path(workdir).expanduser(), None if scene is None else Path(scene).expanduser()
    budget = Budget(config["steps"], max_seconds)
    try:
        with run_lock(folder) if is_first() else nullcontext(), deferred_interrupt(should_stop) as stop:
            settings = (plugins, stop, tensorboard, profile, device_memory, host_memory, inspect)
            return _train(config, root, folder, budget, *settings)
    except KeyboardInterrupt:
        if Checkpoints(folder / "checkpoints", read_only=True).steps():
            print(f"stopped and saved: call train() with the same arguments to resume {folder}", file=sys.stderr)
        raise


def _train(
    config: Mapping[str, Any],
    scene: Path | None,
    workdir: Path,
    budget: Budget,
    plugins: tuple[str, ...],
    should_stop: Callable[[], bool],
    tensorboard: bool,
    profile: str | Path | None,
    device_memory: float | None,
    host_memory: float | None,
    inspect: Callable[[Scene], Sequence[str]],
) -> dict[str, Any] | None:
    """Do what `train` says, in a folder that is locked."""
    check_resumable(workdir, config, budget)
    watch = Stopwatch()
    with watch("load"), room_for_pixels(host_memory, workdir):
        views = load_views(config, scene, plugins)
    train_scene, held_out = views.train, views.held_out
    told = [*train_scene.notes, *inspect(train_scene), *views.notes, views.describe()]
    print("\n".join(told), file=sys.stderr)
    mesh = data_mesh(jax.devices())
    splits = {"train": train_scene, **({config["eval_split"]: held_out} if held_out is not None else {})}
    assert_equal(
        config=lambda: [config, budget.max_seconds],
        scene=lambda: [one.digest() for one in splits.values()],
        code=lambda: [source_digests(plugins), environment()],
    )
    device_memory = min_across_processes(memory_of_device() if device_memory is None else device_memory)
    with watch("prepare"):
        graph, state, train_steps = prepare(config, train_scene, plugins, mesh)
    run = Run.open(workdir, config, scene, splits, tensorboard, plugins) if is_first() else None
    checkpoints = Checkpoints(workdir / "checkpoints", config["keep"])
    names = list(flatten(state.params))
    step, seconds, skipped = 0, 0.0, 0
    changes: list[dict[str, Any]] = []  # of the budget, since the run began
    if run is not None:
        if checkpoints.steps():
            state, facts = checkpoints.restore(state)
            changes = change_budget(workdir, facts, budget)
            step, seconds, skipped = facts["step"], facts["seconds"], facts["skipped"]
            run.tell_resumed(facts, changes, budget)
        run.forget_after(step)
    state, step, seconds, skipped = broadcast_from_first((state, step, seconds, skipped))
    per_call = config["steps_per_call"]
    everywhere = partial(replicate, mesh=mesh)
    state = everywhere(state)
    pixels = make_loader(train_scene, config["seed"], config["batch_size"], per_call, device_memory, everywhere)
    with watch("compile"):
        compiled = train_steps.lower(state, pixels(step), everywhere(np.zeros(per_call, np.float32))).compile()
    check_fits(compiled, device_memory)
    return_freed_memory()

    def save(score: float | None = None) -> None:
        check_finite(state, step)
        if run is not None:
            facts = {"seconds": seconds, "skipped": skipped, "score": score, "extended": changes}
            checkpoints.save(step, state, **dataclasses.asdict(budget), **facts)

    def save_what_is_there() -> None:
        nonlocal step
        if not any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):  # as in the middle of a call
            step = int(state.step)
            save()
            checkpoints.wait()

    sizes = np.zeros((0, 2)) if held_out is None else np.asarray(held_out.cameras.size)
    interim = InterimScoring(config["eval_times"], sizes, config["batch_size"], budget.fraction(step, seconds))
    interim.resume(workdir / "metrics.jsonl", config["eval_split"])

    def assess(last: bool = False, only: list[int] | None = None) -> dict[str, Any] | None:
        if run is None:
            return None
        if held_out is None:
            return unscored(config["eval_split"])
        trained = nnx.merge(graph, *unreplicate((state.params, state.state)))
        split, folder = config["eval_split"], run.folder / "eval" if last else None
        scored = held_out if only is None else held_out.select(only)
        return_freed_memory()
        with watch("evaluate" if only is None else "interim"):
            scores = evaluate(trained, scored, split, config["background"], config["chunk"], folder, should_stop)
        if scores is not None:
            run.log_scores(step, seconds, scores, **({} if only is None else {"views": only}))
        return scores

    def assess_on_the_way() -> None:
        only = interim.due(budget.fraction(step, seconds), step, seconds)
        if config["eval_every"] and step % config["eval_every"] == 0:
            scores = assess()
        elif only is not None and (scores := assess(only=only)):
            interim.record(scores["seconds_per_view"])
        else:
            return
        # Test views decide nothing, not even what is kept; and means over other views are not comparable.
        if scores and config["eval_split"] == "val" and len(scores["per_image"]) == interim.views:
            save(scores["mean"]["psnr"])

    with (
        Progress(budget, step, seconds, shown=is_first()) as progress,
        trace_calls(profile) as before_call,
        rescue(save_what_is_there),
    ):
        while not any_process(should_stop()) and budget.fraction(step, seconds) < 1.0:
            fractions = everywhere(budget.fractions(step, seconds, per_call))
            before_call()
            began = time.perf_counter()
            state, metrics = compiled(state, pixels(step), fractions)
            metrics = jax.device_get(metrics)
            seconds = broadcast_from_first(seconds + time.perf_counter() - began)
            step = int(state.step)
            if bad := describe_nonfinite(metrics, state, names):
                if skipped + per_call > config["max_skipped"]:
                    save()
                    checkpoints.wait()
                    raise TrainingError(f"{bad}: {suggest_fix(bad)}")
                step, skipped = step + per_call, skipped + per_call
                state = dataclasses.replace(state, step=everywhere(np.int32(step)))
                print(f"{bad}: {per_call} steps skipped, {skipped} of {config['max_skipped']} at most", file=sys.stderr)
            else:
                progress.update(step, seconds, float(metrics["psnr"].mean()))
                if run is not None and step % config["log_every"] == 0:
                    means = {name: float(metrics[name].mean()) for name in ("loss", "psnr", "rays")}
                    run.log(step, seconds, "train", means)
            assess_on_the_way()
            if step % config["save_every"] == 0:
                save()
            checkpoints.check()
    save()
    checkpoints.wait()
    scores = None if any_process(should_stop()) else assess(last=True)
    results: dict[str, Any] = {}
    if run is not None and scores is not None:
        results = run.finish(
            {**scores, "protocol": {**scores["protocol"], **interim.protocol(), "trained_on": views.trained_on}},
            train_seconds=seconds,
            max_seconds=budget.max_seconds,
            extended=changes,
            **{f"{name}_seconds": spent for name, spent in watch.seconds.items()},
            steps=step,
            skipped_steps=skipped,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        )
    return results if any_process(bool(results)) else None
