"""Train a config on a scene: load, prepare, call the jitted step until the budget is used, score.

Everything random in a step comes from fold_in(key(seed), step), so a checkpoint needs no generator
state, and on a CPU a resumed run is bit-identical to one that was never stopped.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import jax

from nerf.foundation.devices import sizes_of
from nerf.foundation.interrupts import deferred_interrupt, rescue
from nerf.runs.budget import Budget
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.config_checks import check_config
from nerf.runs.device_sizes import BETWEEN_CALLS, settle
from nerf.runs.lock import run_lock
from nerf.runs.provenance import environment, source_digests
from nerf.runs.resume import check_resumable
from nerf.scenes import Scene
from nerf.scenes.splits import Views, load_views
from nerf.scenes.storage import room_for_pixels
from nerf.training.memory import memory_of_device
from nerf.training.nonfinite import TrainingError
from nerf.training.processes import (
    any_process,
    assert_equal,
    broadcast_from_first,
    is_first,
    min_across_processes,
)
from nerf.training.progress import Progress, Stopwatch, trace_calls
from nerf.training.recorder import NullRecorder, open_recorder
from nerf.training.session import Call, Session


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything about a training but the config, the scene, the run folder and the budget.

    Attributes:
      plugins: packages outside `nerf` that the config may name.
      should_stop: asked before training, after every call of the jitted step and between chunks of
        a view that is scored; True saves and ends.
      on_call: called with every `Call` and the session after it.
      tensorboard: write TensorBoard events too.
      profile: a folder for a trace of a few calls of the jitted step by JAX's profiler.
      device_memory, host_memory: bytes that may be used; None: all that is there.
      inspect: returns lines about the training views, printed first; see
        `nerf.check.check.quick_check`.
    """

    plugins: tuple[str, ...] = ()
    should_stop: Callable[[], bool] = lambda: False
    on_call: Callable[[Call, Session], None] = lambda call, session: None
    tensorboard: bool = False
    profile: str | Path | None = None
    device_memory: float | None = None
    host_memory: float | None = None
    inspect: Callable[[Scene], Sequence[str]] = lambda scene: ()


def train(
    config: Mapping[str, Any],
    scene: str | Path | None,
    workdir: str | Path,
    *,
    max_seconds: float | None = None,
    **options: Any,
) -> dict[str, Any] | None:
    """Train a config on a scene, or resume the run in `workdir`, and score the held-out views.

    Ctrl-C saves after the current step and raises KeyboardInterrupt; the same call resumes the run.
    Of several processes (see `nerf.training.processes`) the first scores, and the others return an
    empty dictionary.

    Args:
      config: a plain dictionary; `configs/` makes them.
      scene: the scene's folder.
      workdir: the run folder; made if it is missing, and locked while this runs.
      max_seconds: seconds of training (without compiling and scoring), instead of config.steps; the
        learning rate falls over them. Such a run depends on the clock; one bounded by steps is
        reproducible. More seconds or steps than a run had before continue it.
      **options: see `Options`.

    Returns: the contents of results.json; None if it was stopped.

    Raises:
      UserError: one line for each problem of the config, the scene or the run folder.
      KeyboardInterrupt: after Ctrl-C, when everything is saved.
    """
    chosen = Options(**options)
    folder = Path(workdir).expanduser()
    config = _settled(config, folder)
    check_config(config, len(jax.devices()), max_seconds, chosen.plugins)
    root = None if scene is None else Path(scene).expanduser()
    budget = Budget(config["steps"], max_seconds)
    lock = run_lock(folder) if is_first() else nullcontext()
    try:
        with lock, deferred_interrupt(chosen.should_stop) as stop:
            chosen = dataclasses.replace(chosen, should_stop=stop)
            return _train_locked(config, root, folder, budget, chosen)
    except KeyboardInterrupt:
        if Checkpoints(folder / "checkpoints", read_only=True).steps():
            resume = f"call train() with the same arguments to resume {folder}"
            print(f"stopped and saved: {resume}", file=sys.stderr)
        raise


def _settled(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the config with the numbers that it leaves to the device; see `settle`.

    Only the first process may see the run folder, so it decides.
    """
    settled = settle(config, len(jax.devices()), folder=folder if is_first() else None)
    open_keys = [key for key in ("batch_size", "steps_per_call") if config.get(key, 0) is None]
    # All processes send the same keys, whatever their configs are.
    decided = broadcast_from_first(
        {key: settled[key] if key in open_keys else 0 for key in ("batch_size", "steps_per_call")}
    )
    settled |= {key: decided[key] for key in open_keys}
    most, call = sizes_of().steps_per_call, settled.get("steps_per_call", 0)
    if "steps_per_call" in open_keys and call < most and is_first():
        numbers = ", ".join(f"{key}={config[key]}" for key in BETWEEN_CALLS if config.get(key))
        why = f"{numbers} (and calls of a resumed run) are multiples of it"
        line = f"{call} training steps per call, where up to {most} are faster: {why}"
        print(line, file=sys.stderr)
    return settled


def _train_locked(
    config: Mapping[str, Any], root: Path | None, folder: Path, budget: Budget, options: Options
) -> dict[str, Any] | None:
    """Train in a folder that is locked, and return the results; None if it was stopped."""
    check_resumable(folder, config, budget)
    watch = Stopwatch()
    with watch("load"), room_for_pixels(options.host_memory, folder):
        views = load_views(config, root, options.plugins)
    _describe(views, options)
    _assert_same_everywhere(config, views, budget, options.plugins)
    limit = memory_of_device() if options.device_memory is None else options.device_memory
    with watch("prepare"):
        session = Session(config, views.train, options.plugins)
    recorder = open_recorder(
        folder,
        config,
        root,
        views,
        budget,
        options.plugins,
        options.tensorboard,
        options.should_stop,
        watch,
    )
    session.resume(*broadcast_from_first(recorder.restore(session.state)))
    with watch("compile"):
        session.compile(min_across_processes(limit))
    recorder.start(session)
    _run_calls(session, recorder, budget, options)
    stopped = any_process(options.should_stop())
    results = {} if stopped else recorder.finish(session)
    return results if any_process(bool(results)) else None


def _run_calls(session: Session, recorder: NullRecorder, budget: Budget, options: Options) -> None:
    """Take all steps of the budget, with progress, log, scores and checkpoints on the way."""

    def save_interrupted() -> None:
        if session.is_whole():
            session.step = int(session.state.step)
            recorder.save(session)
            recorder.wait()

    with (
        Progress(budget, session.step, session.seconds, shown=is_first()) as progress,
        trace_calls(options.profile) as before_call,
        rescue(save_interrupted),
    ):
        try:
            for call in session.calls(budget, options.should_stop, before_call):
                if call.taken.any():
                    progress.update(call.step, call.seconds, call.mean("psnr"))
                recorder.after_call(session, call)
                options.on_call(call, session)
        except TrainingError:
            # A state that is not finite is not saved, and the error at hand says where that began.
            with suppress(TrainingError):
                recorder.save(session)
            recorder.wait()
            raise
    recorder.save(session)
    recorder.wait()


def _describe(views: Views, options: Options) -> None:
    """Print what was loaded, and what the check of the training views says."""
    device = f"device: {environment()['device']}"
    lines = [
        device,
        *views.train.notes,
        *options.inspect(views.train),
        *views.notes,
        views.describe(),
    ]
    print("\n".join(lines), file=sys.stderr)


def _assert_same_everywhere(
    config: Mapping[str, Any], views: Views, budget: Budget, plugins: tuple[str, ...]
) -> None:
    """Raise ProcessError if another process trains something else."""
    assert_equal(
        config=lambda: [config, budget.max_seconds],
        scene=lambda: [scene.digest() for scene in views.by_split(config["eval_split"]).values()],
        code=lambda: [source_digests(plugins), environment()],
    )
