"""Runs found again, exactly, or trained in child processes: each in its own folder, under a lock that dies with it.

A run folder is never trained over: where the run in it is of other code, versions or device, the next free name is
used, and the reason is told. What was interrupted goes on where it stopped; what failed is told, and the rest goes on.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from nerf.comparing.child_processes import ROOT, last_line, run_child
from nerf.comparing.forecast import Forecast
from nerf.comparing.studies import RunRequest
from nerf.comparing.study_scenes import scene_digests, scene_key
from nerf.foundation.files import write_json
from nerf.foundation.instantiate import ConfigError
from nerf.runs.budget import Budget
from nerf.runs.checkpoints import CheckpointError, Checkpoints
from nerf.runs.provenance import processor, source_digests
from nerf.runs.results import Result, comparable_config, mismatch, read_result, run_folders
from nerf.runs.runs import differences, read_json

MAX_SHOWN_REASONS = 3


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What became of a wanted run: its result, or why there is none; `note` says whether it was trained, and why."""

    label: str
    seed: int
    folder: Path
    result: Result | None
    note: str
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class RunStore:
    """Where and how runs are made.

    Attributes:
      scene: the scene's folder.
      runs: searched for runs to reuse; new ones go to its folder "compare".
      plugins: packages outside `nerf` that configs may name.
      jobs: how many are trained at a time.
      fresh: train all anew.
      should_stop: asked again and again; True stops the children, which save.
      say: told what happens, a line at a time.
    """

    scene: str | None
    runs: Path
    plugins: tuple[str, ...] = ()
    jobs: int = 1
    fresh: bool = False
    should_stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)


class Interrupted(RuntimeError):
    """The study was asked to stop; the message is one line."""


def environment_of_children() -> dict[str, Any]:
    """Versions and device as a child sees them: this process must not take the device from its children."""
    code = "import json; from nerf.runs.provenance import environment; print(json.dumps(environment()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(
            f"no device to train on: {last_line(done.stderr)}: fix the installation of jax"
        )
    return json.loads(done.stdout)


def find_or_train(wanted: Sequence[RunRequest], store: RunStore) -> list[RunResult]:
    """An outcome for each wanted run, in their order. Raises Interrupted where it was asked to stop."""
    if not wanted:
        return []
    now = {
        **environment_of_children(),
        "processor": processor(),
        "code": source_digests(store.plugins),
    }
    known = [] if store.fresh else list(_readable(store.runs))
    digests = scene_digests(
        wanted, store.scene, store.plugins
    )  # finds problems before the first training
    places = [{**now, "scene_digest": digests[scene_key(run)]} for run in wanted]
    found = [_find(run, here, known) for run, here in zip(wanted, places, strict=True)]
    missing = [run for run, result in zip(wanted, found, strict=True) if result is None]
    forecast = Forecast(
        [(run.label, run.max_seconds) for run in missing],
        store.jobs,
        {run.label: _earlier_seconds(run, known, now) for run in missing},
    )
    if missing:
        store.say(forecast.before())

    def one(i: int) -> RunResult:
        run, seed = wanted[i], wanted[i].config["seed"]
        title = f"{run.label}, seed {seed} ({i + 1} of {len(wanted)})"
        if (result := found[i]) is not None:
            store.say(f"{title}: reused from {result.folder}")
            return RunResult(
                run.label,
                seed,
                result.folder,
                result,
                "reused: the same config, scene, seed and code",
            )
        forecast.begin(i, run.label, run.max_seconds)

        def tell(line: str) -> None:
            forecast.hear(i, line)
            store.say(f"{title}: {line}{forecast.after()}")

        outcome = _train_one(run, title, places[i], store, tell)
        seconds = forecast.end(i, outcome.note.startswith("trained") and not outcome.failure)
        if outcome.note.startswith("trained") and outcome.result is not None:
            told = {
                "label": run.label,
                "flags": run.flags(),
                "jobs": store.jobs,
                "seconds": round(seconds, 1),
            }
            write_json(outcome.folder / "study.json", told)
            numbers = outcome.result.results
            score = f"{numbers['psnr']:.2f} dB after {numbers['train_seconds']:.0f} s of training"
            store.say(f"{title}: {score}, {seconds:.0f} s in all{forecast.after()}")
        return outcome

    with ThreadPoolExecutor(store.jobs) as pool:
        outcomes = list(pool.map(one, range(len(wanted))))
    if store.should_stop():
        raise Interrupted("stopped and saved: run the same command again to resume")
    return outcomes


def _readable(root: Path) -> Iterator[Result]:
    for folder in run_folders(root):
        with contextlib.suppress(CheckpointError, KeyError, AttributeError):
            yield read_result(folder)


def _find(run: RunRequest, now: Mapping[str, Any], known: Sequence[Result]) -> Result | None:
    """Return a finished run that is exactly the one wanted."""
    return next(
        (result for result in known if not mismatch(result, run.config, run.max_seconds, now)), None
    )


def _earlier_seconds(
    run: RunRequest, known: Sequence[Result], now: Mapping[str, Any]
) -> list[float]:
    """Return how long runs that differ in seed or code alone took on this device, from start to results."""
    seconds = []
    for result in known:
        config = {**run.config, "seed": result.config.get("seed")}
        here = {**now, "scene_digest": result.results["protocol"].get("scene_digest")}
        here["code"] = result.results.get("code") or {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if not mismatch(result, config, run.max_seconds, here):
                seconds.append(
                    float(json.loads((result.folder / "study.json").read_text())["seconds"])
                )
    return seconds


def _train_one(
    run: RunRequest,
    title: str,
    now: Mapping[str, Any],
    store: RunStore,
    tell: Callable[[str], None],
) -> RunResult:
    """Train a run in the first folder of its name that is free or waits to be resumed."""
    seed = run.config["seed"]
    home = store.runs / "compare"
    home.mkdir(parents=True, exist_ok=True)
    reasons = []
    for attempt in range(1, 1000):
        if store.should_stop():
            return RunResult(run.label, seed, home, None, "", "stopped")
        name = run.folder_name(now["scene_digest"]) + (f"-{attempt}" if attempt > 1 else "")
        folder = home / name
        with locked(
            home / f".{name}.lock", lambda n=name: store.say(f"{title}: waits for {n}"), store
        ) as lock:  # type: ignore[misc]
            why = _unusable(folder, run, now)
            if why is None and (folder / "results.json").exists() and not store.fresh:
                note = "reused: made meanwhile by another study"
                return RunResult(run.label, seed, folder, read_result(folder), note)
            if why is not None or (store.fresh and (folder / "results.json").exists()):
                reasons += [why] if why else []
                continue
            note = f"trained again: {reasons[-1]}" if reasons else "trained for this study"
            store.say(f"{title}: {note}: {folder}")
            return _train(run, title, folder, note, store, lock, tell)
    raise ConfigError(f"{home}: a thousand runs of one name: move some of them away")


def _unusable(folder: Path, run: RunRequest, now: Mapping[str, Any]) -> str | None:
    """Why the folder is taken by another run than the one wanted; None where it is free, to be gone on with, or it."""
    if not (folder / "config.json").exists():
        return None
    try:
        if (folder / "results.json").exists():
            why = mismatch(read_result(folder), run.config, run.max_seconds, now)
        else:
            old = read_json(folder / "config.json")
            ours, theirs = (
                comparable_config(old, run.max_seconds),
                comparable_config(run.config, run.max_seconds),
            )
            why = differences(ours, theirs)
            facts = Checkpoints(folder / "checkpoints", read_only=True).newest_facts()
            budget = Budget(run.config["steps"], run.max_seconds)
            if facts and (
                facts["extended"]
                or not Budget(facts["steps"], facts["max_seconds"]).same_as(budget)
            ):
                why.append("its budget was changed while it trained")
            if read_json(folder / "scene.json")["digest"] != now["scene_digest"]:
                why.append("another scene, or its files changed")
            if read_json(folder / "code.json") != now["code"]:
                why.append("the code changed while it was not finished")
    except (CheckpointError, KeyError, AttributeError) as error:
        return f"{folder.name} cannot be read ({error})"
    more = f" and {len(why) - MAX_SHOWN_REASONS} more" if len(why) > MAX_SHOWN_REASONS else ""
    return (
        f"{folder.name} is of another kind ({'; '.join(why[:MAX_SHOWN_REASONS])}{more})"
        if why
        else None
    )


def _train(
    run: RunRequest,
    title: str,
    folder: Path,
    note: str,
    store: RunStore,
    lock: IO | None,
    tell: Callable[[str], None],
) -> RunResult:
    """Train in a child process, its output kept in FOLDER.log; a failure is the last line of what it said."""
    seed, log = run.config["seed"], folder.with_name(f"{folder.name}.log")
    scene = [f"--scene={store.scene}"] if store.scene else []
    plugins = [f"--plugin={name}" for name in store.plugins]
    command = [
        str(ROOT / "train.py"),
        *run.flags(),
        *scene,
        *plugins,
        f"--workdir={folder.absolute()}",
    ]
    code = run_child(command, log, store.should_stop, lock, tell)
    if code == 0:
        return RunResult(run.label, seed, folder, read_result(folder), note)
    failure = (
        "stopped"
        if store.should_stop()
        else f"exit code {code}: {last_line(log.read_text(errors='replace'))}"
    )
    store.say(f"{title}: failed: {failure} (see {log})")
    return RunResult(run.label, seed, folder, None, note, failure)


@contextlib.contextmanager
def locked(path: Path, waits: Callable[[], None], store: RunStore) -> Iterator[IO | None]:
    """Hold `path` locked; the lock ends with the last process that holds it open, however that ends.

    Waits where another has it, after saying so once. Where the system has no such locks (Windows) there is none.
    """
    try:
        import fcntl
    except ImportError:
        yield None
        return
    with open(path, "w", encoding="utf-8") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    waits()
                told = True
                if store.should_stop():
                    raise Interrupted("stopped while another study trained the run") from None
                time.sleep(0.5)
        yield file
