"""Engines run the trainings of a study: on this machine, or on a cluster (`ray_engine`)."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from nerf.comparing.child_processes import last_line, run_child
from nerf.foundation.instantiate import ConfigError
from nerf.foundation.resources import child_environment, nerf_command
from nerf.runs.provenance import processor, source_digests


class Interrupted(RuntimeError):
    """Raised when a study was asked to stop; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One call of `nerf train`.

    Attributes:
      words: its arguments; folders are absolute, or relative to this process's.
      log: the file that receives its output.
      should_stop: polled; True asks the training to save its state and end.
      lock: an open, locked file to hold until the training has ended.
      on_progress: called every ten seconds with its last progress line.
    """

    words: Sequence[str]
    log: Path
    should_stop: Callable[[], bool]
    lock: IO[str]
    on_progress: Callable[[str], None]


@runtime_checkable
class Engine(Protocol):
    """Runs trainings somewhere.

    Attributes:
      slots: number of runs that are trained at a time.
      sharing: number of those that share a device and slow each other down.
    """

    @property
    def slots(self) -> int: ...

    @property
    def sharing(self) -> int: ...

    def conditions(
        self, plugins: tuple[str, ...], should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the versions, device, processor and code that runs are made with.

        Args:
          plugins: packages outside `nerf` that configs may name.
          should_stop: polled while other studies occupy the machines.

        Raises:
          Interrupted: `should_stop` returned True first.
        """

    def train(self, training: Training) -> int:
        """Run a training and return the exit code of `nerf train`."""


class LocalEngine:
    """Trains in child processes of this process, each on one GPU if there are any.

    Args:
      jobs: number of runs that are trained at a time; None: one, or one on each GPU.
      gpus: names of the GPUs, as in CUDA_VISIBLE_DEVICES; None: those that this process may use.

    Attributes:
      slots: number of runs that are trained at a time.
      sharing: number of those that share a GPU, or all processors.
    """

    def __init__(self, jobs: int | None = None, gpus: Sequence[str] | None = None):
        self.gpus = tuple(visible_gpus() if gpus is None else gpus)
        self.slots = jobs or max(len(self.gpus), 1)
        self.sharing = -(-self.slots // max(len(self.gpus), 1))
        self._runs_on = dict.fromkeys(self.gpus, 0)
        self._lock = threading.Lock()

    def conditions(
        self, plugins: tuple[str, ...], should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the conditions on this machine; see `Engine`."""
        with self._device() as variables:
            return conditions_here(plugins, variables)

    def train(self, training: Training) -> int:
        """Run a training in a child process, which inherits the lock; see `Engine`."""
        with self._device() as variables:
            return run_child(
                nerf_command("train", *training.words),
                training.log,
                training.should_stop,
                training.lock,
                training.on_progress,
                variables=variables,
            )

    @contextlib.contextmanager
    def _device(self) -> Iterator[dict[str, str]]:
        """Take the least used GPU, if there are any, and yield the variables of its child."""
        if not self.gpus:
            yield {}
            return
        with self._lock:
            gpu = min(self.gpus, key=self._runs_on.__getitem__)
            self._runs_on[gpu] += 1
        try:
            defaults = {
                # Without it, JAX would train on the processor where it cannot use the GPU.
                "JAX_PLATFORMS": "cuda,cpu",
                # JAX's default is 0.75, which it would take at once.
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.75 / self.sharing:.2f}",
            }
            unset = {name: value for name, value in defaults.items() if name not in os.environ}
            yield {"CUDA_VISIBLE_DEVICES": gpu, **unset}
        finally:
            with self._lock:
                self._runs_on[gpu] -= 1


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs that child processes will use, as named in CUDA_VISIBLE_DEVICES.

    They are those of the variable, or all of the first one's kind: runs on GPUs of different kinds
    could not be compared. JAX is not asked, since it would occupy them.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if not _has_cuda() or (platforms and not {"cuda", "gpu"} & set(platforms.split(","))):
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        # CUDA ignores what follows the first name that is not one.
        return names[: names.index("-1")] if "-1" in names else [name for name in names if name]
    asked = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    found = [line.partition(", ") for line in done.stdout.splitlines() if line]
    return [index for index, _, kind in found if kind == found[0][2]]


def _has_cuda() -> bool:
    """Return whether JAX's plugin for NVIDIA GPUs is installed."""
    found = importlib.util.find_spec("jax_plugins")
    places = None if found is None else found.submodule_search_locations
    return places is not None and any("cuda" in m.name for m in pkgutil.iter_modules(places))


def conditions_here(
    plugins: tuple[str, ...], variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the versions, device, processor and code of runs on this machine.

    Args:
      plugins: packages outside `nerf` that configs may name.
      variables: of the environment of runs, besides those of this process.
    """
    environment = environment_of_children(variables)
    return {**environment, "processor": processor(), "code": source_digests(plugins)}


def environment_of_children(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return versions and device as a child process sees them.

    A child process asks JAX, since this process must not occupy the device that its children need.

    Args:
      variables: of its environment, besides those of this process.
    """
    code = (
        "import json; from nerf.runs.provenance import environment; "
        "print(json.dumps(environment()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(variables),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ConfigError(
            f"no device to train on: {last_line(done.stderr)}: fix the installation of jax"
        )
    return json.loads(done.stdout)
