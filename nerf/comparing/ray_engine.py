"""Train the runs of a study on the machines of a Ray cluster (https://docs.ray.io).

All machines see the folders of this one at the same paths, as on a network drive, and have the same
library installed. A run takes one GPU if the cluster has any, and otherwise all processors of a
machine, so that runs do not slow each other down. If its machine is lost, a run is resumed on
another one.
"""

import ctypes
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nerf.comparing.child_processes import progress_of, run_child
from nerf.comparing.engines import Interrupted, Training, conditions_here
from nerf.foundation.errors import UserError
from nerf.foundation.progress import LINE_EVERY
from nerf.foundation.resources import child_environment, nerf_command
from nerf.runs.lock import InUse, check_free

RETRIES = 3  # on other machines, after one was lost
POLL_SECONDS = 0.5
STOPPED = 128 + signal.SIGTERM  # exit code
# Variables of the command's environment that decide what a training computes.
FORWARDED = ("JAX_", "XLA_")
OF_THIS_MACHINE = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE")


@dataclasses.dataclass(frozen=True)
class RayEngine:
    """Trains on a Ray cluster; see `Engine`.

    Attributes:
      slots: number of runs that are trained at a time.
      resources: what a run takes, as the arguments of Ray's remote functions.
      machines: Ray's names of the machines that have as much.
    """

    slots: int
    resources: dict[str, float]
    machines: tuple[str, ...]
    sharing: int = 1

    @classmethod
    def connect(cls, jobs: int | None = None) -> "RayEngine":
        """Connect to the cluster that RAY_ADDRESS names or this machine is in, or start one here.

        Args:
          jobs: number of runs that are trained at a time; None: as many as fit.

        Raises:
          UserError: Ray is not installed, there is no such cluster, it has no processors, or its
            machines have different numbers of them.
        """
        ray = _import_ray()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                runtime_env={"env_vars": _forwarded()},
                logging_level="ERROR",
                log_to_driver=False,
                ignore_reinit_error=True,
            )
        # Ray has errors of many kinds here, some of which are plain exceptions.
        except Exception as error:
            fix = "start one with ray start --head, or set RAY_ADDRESS"
            raise UserError(f"--engine=ray: no cluster: {_reason(error)}: {fix}") from error
        # Ray would end this process at SIGTERM: stop as before.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        what = "GPU" if any(has.get("GPU") for has in alive.values()) else "CPU"
        able = {name: int(has.get(what, 0)) for name, has in alive.items() if has.get(what, 0) >= 1}
        if not able:
            raise UserError(
                "--engine=ray: no machine of the cluster has a processor for runs: "
                "add one with ray start --address=HEAD"
            )
        if what == "GPU":
            taken, room = {"num_gpus": 1.0, "num_cpus": 0.0}, sum(able.values())
        else:
            sizes = sorted(set(able.values()))
            if len(sizes) > 1:
                raise UserError(
                    f"--engine=ray: the machines have {', '.join(map(str, sizes))} processors: "
                    "use machines of one kind"
                )
            taken, room = {"num_cpus": float(sizes[0])}, len(able)
        return cls(min(jobs or room, room), taken, tuple(able))

    def conditions(
        self, plugins: tuple[str, ...], should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the conditions on the machines of the cluster; see `Engine`.

        Raises:
          UserError: they differ between machines, so that runs could not be compared.
          Interrupted: `should_stop` returned True while other studies occupied the machines.
        """
        ray = _import_ray()
        pending = [
            ray.remote(conditions_here)
            .options(**self.resources, label_selector={"ray.io/node-id": name})
            .remote(plugins)
            for name in self.machines
        ]
        found = []
        for i, task in enumerate(pending):
            for report in _until_done(ray, task):
                if should_stop():
                    raise Interrupted("stopped while it waited for the machines of the cluster")
                if report:
                    line = f"waiting for machine {i + 1} of {len(pending)} of the cluster"
                    print(line, file=sys.stderr, flush=True)
            try:
                found.append(ray.get(task))
            except ray.exceptions.RayError as error:
                where = f"machine {i + 1} of {len(pending)}"
                fix = "repair it, or take it out of the cluster"
                raise UserError(f"--engine=ray: {where}: {_reason(error)}: {fix}") from error
        for other in found[1:]:
            if different := sorted(key for key in found[0] if found[0][key] != other.get(key)):
                raise UserError(
                    f"--engine=ray: the machines differ in {', '.join(different)}: "
                    "use machines of one kind with the same versions"
                )
        return found[0]

    def train(self, training: Training) -> int:
        """Run a training on a machine of the cluster; see `Engine`.

        This process holds the lock meanwhile. A stop is a file that the machine looks for.
        """
        ray = _import_ray()
        log = training.log.absolute()
        stop = log.with_suffix(".stop")
        stop.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        task = ray.remote(train_here).options(**self.resources, max_retries=RETRIES)
        pending = task.remote(list(training.words), str(log), str(stop), os.getcwd())
        try:
            for report in _until_done(ray, pending):
                if training.should_stop():
                    if stop.exists() and not log.exists():
                        ray.cancel(pending)  # no machine has begun it, and none will
                        return STOPPED
                    stop.touch()
                elif report:
                    said = progress_of(log) if log.exists() else "waiting for a machine"
                    training.on_progress(said)
            return ray.get(pending)
        except ray.exceptions.RayError as error:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"\n{_reason(error)}\n")
            return 1
        finally:
            stop.unlink(missing_ok=True)


def _until_done(ray: Any, task: Any) -> Iterator[bool]:
    """Yield twice a second until a task is done: whether a line of progress is due."""
    last_report = time.monotonic()
    while not ray.wait([task], timeout=POLL_SECONDS)[0]:
        due = time.monotonic() - last_report >= LINE_EVERY
        if due:
            last_report = time.monotonic()
        yield due


def train_here(words: Sequence[str], log: str, stop: str, place: str) -> int:
    """Run `nerf train` on this machine of a cluster, and return its exit code.

    If a machine was lost, its training may go on alone; then this one begins after it has ended.

    Args:
      words: the arguments of `nerf train`.
      log: the file that receives its output.
      stop: path of a file that, once it exists, asks for a stop.
      place: the folder that relative paths begin at.
    """
    os.chdir(place)
    folder = next(Path(word.split("=", 1)[1]) for word in words if word.startswith("--workdir="))
    stopping = Path(stop).exists
    while not stopping():
        try:
            check_free(folder)
        except InUse:
            time.sleep(POLL_SECONDS)
            continue
        command = nerf_command("train", *words)
        return run_child(command, Path(log), stopping, at_start=_end_with_parent)
    return STOPPED


def _end_with_parent() -> None:
    """Let this process be stopped, as by SIGTERM, when the one that started it ends.

    Otherwise the training of a killed worker would keep the GPU that Ray gives to the next run.
    """
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG of prctl.h
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


def _forwarded() -> dict[str, str]:
    """Return the variables of the environment that trainings on other machines get."""
    chosen = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(FORWARDED) and not name.startswith(OF_THIS_MACHINE)
    }
    return {**chosen, "PYTHONPATH": child_environment()["PYTHONPATH"]}


def _reason(error: BaseException) -> str:
    """Return the cause of an error of Ray in one line."""
    cause = getattr(error, "cause", None) or error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else "no reason given"
    return text if isinstance(cause, UserError) else f"{type(cause).__name__}: {text}"


def _import_ray() -> Any:
    """Return the module of Ray, which reports nothing about its use to anybody."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # A cluster that is started here: its runs are as important as those without Ray.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError as error:
        fix = "pip install 'nerf-compare[ray]'"
        raise UserError(f"--engine=ray: Ray is not installed: {fix}") from error
    return ray
