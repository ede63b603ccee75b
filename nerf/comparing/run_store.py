"""Find the runs of a study among finished ones, or train them.

Each run has its own folder and a lock that ends with the processes holding it. A run folder is
never overwritten: if it contains a run of other code, versions or device, the next free name is
used and the reason is reported. An interrupted run is resumed. A failed run is reported, and the
other runs continue.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

from nerf.comparing.child_processes import last_line
from nerf.comparing.engines import Engine, Interrupted, LocalEngine, Training
from nerf.comparing.forecast import Forecast
from nerf.comparing.reusable_runs import earlier_seconds, find_run, readable_runs, why_unusable
from nerf.comparing.studies import RunRequest
from nerf.comparing.study_scenes import scene_digests, scene_key
from nerf.foundation.files import write_json
from nerf.foundation.instantiate import ConfigError
from nerf.foundation.locks import exclusive
from nerf.runs.provenance import devices_of
from nerf.runs.results import Result, read_result
from nerf.training.image_task import is_image_task


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The result of a requested run.

    Attributes:
      label: the label of its method.
      seed: its seed.
      folder: its run folder.
      result: what it recorded; None if it failed or was stopped.
      note: whether it was trained or reused, and why.
      failure: why there is no result; "" if there is one.
    """

    label: str
    seed: int
    folder: Path
    result: Result | None
    note: str
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class RunStore:
    """Folders of runs and the settings for training new ones.

    Attributes:
      scene: folder of the scene; None: as each config says.
      runs: folder searched for runs to reuse; new runs go into its subfolder "compare".
      plugins: packages outside `nerf` that configs may name.
      engine: trains the runs.
      fresh: train all runs again, even if they exist.
      frames: frames of the fly-through that follows, for the estimate of the time left.
      should_stop: polled repeatedly; True stops the trainings, which save their state.
      say: receives log lines.
    """

    scene: str | None
    runs: Path
    plugins: tuple[str, ...] = ()
    engine: Engine = dataclasses.field(default_factory=LocalEngine)
    fresh: bool = False
    frames: int = 0
    should_stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)


def find_or_train(requests: Sequence[RunRequest], store: RunStore) -> list[RunResult]:
    """Return a result for each requested run, in the order of the requests.

    Raises Interrupted if the study was asked to stop.
    """
    if not requests:
        return []
    requests, conditions = _settled(requests, store)
    known = [] if store.fresh else list(readable_runs(store.runs))
    found = [find_run(run, here, known) for run, here in zip(requests, conditions, strict=True)]
    missing = [run for run, result in zip(requests, found, strict=True) if result is None]
    forecast = Forecast(
        [(run.label, run.max_seconds) for run in missing],
        store.engine.slots,
        {run.label: earlier_seconds(run, known, conditions[0]) for run in missing},
        # Runs on images get no fly-through.
        0 if all(is_image_task(run.config) for run in requests) else store.frames,
    )
    forecast.reuse((run.label, result) for run, result in zip(requests, found, strict=True))
    if missing:
        store.say(forecast.before())

    def find_or_train_one(i: int) -> RunResult:
        run, seed = requests[i], requests[i].config["seed"]
        title = f"{run.label}, seed {seed} ({i + 1} of {len(requests)})"
        if (result := found[i]) is not None:
            store.say(f"{title}: reused from {result.folder}")
            note = "reused: the same config, scene, seed and code"
            return RunResult(run.label, seed, result.folder, result, note)
        forecast.begin(i, run.label, run.max_seconds)

        def report(line: str) -> None:
            forecast.hear(i, line)
            store.say(f"{title}: {line}{forecast.after()}")

        outcome = _train_one(run, title, conditions[i], store, report)
        seconds = forecast.end(i, outcome.note.startswith("trained") and not outcome.failure)
        if outcome.note.startswith("trained") and outcome.result is not None:
            _record(run, outcome.folder, store.engine.sharing, seconds)
            numbers = outcome.result.results
            forecast.measured_frame(run.label, numbers["seconds_per_frame"])
            score = f"{numbers['psnr']:.2f} dB after {numbers['train_seconds']:.0f} s of training"
            store.say(f"{title}: {score}, {seconds:.0f} s in total{forecast.after()}")
        return outcome

    with ThreadPoolExecutor(store.engine.slots) as pool:
        outcomes = list(pool.map(find_or_train_one, range(len(requests))))
    if store.should_stop():
        raise Interrupted("stopped and saved: run the same command again to resume")
    return outcomes


def _settled(
    requests: Sequence[RunRequest], store: RunStore
) -> tuple[list[RunRequest], list[dict[str, Any]]]:
    """Return the runs as the engine's devices will train them, and for each of them its conditions.

    These are the device, versions, code and scene. This loads every scene, which reports its
    problems before the first run is trained.
    """
    now = store.engine.conditions(store.plugins, store.should_stop)
    digests = scene_digests(requests, store.scene, store.plugins)
    conditions = [{**now, "scene_digest": digests[scene_key(run)]} for run in requests]
    return [run.settled(*devices_of(now)) for run in requests], conditions


def _record(run: RunRequest, folder: Path, jobs: int, seconds: float) -> None:
    """Write into a run folder how a study trained the run.

    Args:
      run: the requested run.
      folder: its run folder.
      jobs: number of runs that shared its device.
      seconds: seconds that it took in total.
    """
    record = {
        "label": run.label,
        "flags": run.flags(),
        "jobs": jobs,
        "seconds": round(seconds, 1),
    }
    write_json(folder / "study.json", record)


def _train_one(
    run: RunRequest,
    title: str,
    now: Mapping[str, Any],
    store: RunStore,
    report: Callable[[str], None],
) -> RunResult:
    """Train a run in the first unused or resumable folder of its name."""
    seed = run.config["seed"]
    home = store.runs / "compare"
    home.mkdir(parents=True, exist_ok=True)
    reasons = []
    for attempt in range(1, 1000):
        if store.should_stop():
            return RunResult(run.label, seed, home, None, "", "stopped")
        name = run.folder_name(now["scene_digest"]) + (f"-{attempt}" if attempt > 1 else "")
        folder = home / name
        waits = partial(store.say, f"{title}: waiting for {name}")
        with exclusive(home / f".{name}.lock", _waiting(waits, store)) as lock:
            why = why_unusable(folder, run, now)
            if why is None and (folder / "results.json").exists() and not store.fresh:
                note = "reused: another study trained it in the meantime"
                return RunResult(run.label, seed, folder, read_result(folder), note)
            # The folder contains another run: try the next free name.
            if why is not None or (store.fresh and (folder / "results.json").exists()):
                reasons += [why] if why else []
                continue
            note = f"trained again: {reasons[-1]}" if reasons else "trained for this study"
            store.say(f"{title}: {note}: {folder}")
            return _train(run, title, folder, note, store, lock, report)
    raise ConfigError(f"{home}: 1000 runs with the same name: move some of them away")


def _train(
    run: RunRequest,
    title: str,
    folder: Path,
    note: str,
    store: RunStore,
    lock: IO[str],
    report: Callable[[str], None],
) -> RunResult:
    """Train a run, with its output in FOLDER.log.

    If the process fails, the failure is the last line of its output.
    """
    seed, log = run.config["seed"], folder.with_name(f"{folder.name}.log")
    scene = [f"--scene={store.scene}"] if store.scene else []
    plugins = [f"--plugin={name}" for name in store.plugins]
    words = [*run.flags(), *scene, *plugins, f"--workdir={folder.absolute()}"]
    code = store.engine.train(Training(words, log, store.should_stop, lock, report))
    if code == 0:
        return RunResult(run.label, seed, folder, read_result(folder), note)
    if store.should_stop():
        failure = "stopped"
    else:
        failure = f"exit code {code}: {last_line(log.read_text(errors='replace'))}"
    store.say(f"{title}: failed: {failure} (see {log})")
    return RunResult(run.label, seed, folder, None, note, failure)


def _waiting(waits: Callable[[], None], store: RunStore) -> Callable[[IO[str]], None]:
    """Return what to do while another process holds the lock of a run: announce it, and wait.

    Args:
      waits: called once, before the first wait.
      store: its `should_stop` ends the wait, by raising Interrupted.
    """
    announced = False

    def busy(lock: IO[str]) -> None:
        nonlocal announced
        if not announced:
            waits()
        announced = True
        if store.should_stop():
            raise Interrupted("stopped while another study trained the run")
        time.sleep(0.5)

    return busy
