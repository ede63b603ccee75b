"""Train the runs of a study on the machines of a Ray cluster (https://docs.ray.io).

All machines see the folders of this one at the same paths, as on a network drive, and have the same
library installed. A run takes one GPU if the cluster has any, and otherwise all processors of a
machine, so that runs do not slow each other down. If its machine is lost, a run is resumed on
another one.
"""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nerf.comparing.child_processes import progress_of, run_child
from nerf.comparing.engines import Training, conditions_here
from nerf.foundation.errors import UserError
from nerf.foundation.progress import LINE_EVERY
from nerf.foundation.resources import child_environment, nerf_command
from nerf.runs.lock import InUse, check_free

RETRIES = 3  # on other machines, after one was lost
POLL_SECONDS = 0.5


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
          UserError: Ray is not installed, there is no such cluster, or it has no processors.
        """
        ray = _import_ray()
        path = child_environment()["PYTHONPATH"]
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                runtime_env={"env_vars": {"PYTHONPATH": path}},
                logging_level="ERROR",
                log_to_driver=False,
                ignore_reinit_error=True,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            said = str(error).strip().splitlines()[0]
            fix = "start one with ray start --head, or set RAY_ADDRESS"
            raise UserError(f"--engine=ray: no cluster: {said}: {fix}") from error
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
        # A GPU, or all processors of a machine; a larger machine has room for several runs.
        size = 1 if what == "GPU" else min(able.values())
        room = sum(count // size for count in able.values())
        taken = {f"num_{what.lower()}s": float(size)}
        return cls(min(jobs or room, room), taken, tuple(able))

    def conditions(self, plugins: tuple[str, ...]) -> dict[str, Any]:
        """Return the conditions on the machines of the cluster; see `Engine`.

        Raises:
          UserError: they differ between machines, so that runs could not be compared.
        """
        ray = _import_ray()
        found = ray.get(
            [
                ray.remote(conditions_here)
                .options(**self.resources, label_selector={"ray.io/node-id": name})
                .remote(plugins)
                for name in self.machines
            ]
        )
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
        last_report = time.monotonic()
        try:
            while not ray.wait([pending], timeout=POLL_SECONDS)[0]:
                if training.should_stop():
                    stop.touch()
                elif time.monotonic() - last_report >= LINE_EVERY:
                    last_report = time.monotonic()
                    said = progress_of(log) if log.exists() else "waiting for a machine"
                    training.on_progress(said)
            return ray.get(pending)
        except ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[0]
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"\nthe machine was lost {RETRIES + 1} times: {said}\n")
            return 1
        finally:
            stop.unlink(missing_ok=True)


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
            break
        except InUse:
            time.sleep(POLL_SECONDS)
    return run_child(nerf_command("train", *words), Path(log), stopping)


def _import_ray() -> Any:
    """Return the module of Ray, which reports nothing about its use to anybody."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        fix = "pip install 'nerf-compare[ray]'"
        raise UserError(f"--engine=ray: Ray is not installed: {fix}") from error
    return ray
