"""Engines run the trainings of a study: on this machine, or on a cluster (`ray_engine`)."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
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


@dataclasses.dataclass(frozen=True)
class LocalEngine:
    """Trains in child processes of this process.

    Attributes:
      slots: number of runs that are trained at a time.
    """

    slots: int = 1

    @property
    def sharing(self) -> int:
        """Return the number of runs that slow each other down: all of them."""
        return self.slots

    def conditions(
        self, plugins: tuple[str, ...], should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the conditions on this machine; see `Engine`."""
        return conditions_here(plugins)

    def train(self, training: Training) -> int:
        """Run a training in a child process, which inherits the lock; see `Engine`."""
        return run_child(
            nerf_command("train", *training.words),
            training.log,
            training.should_stop,
            training.lock,
            training.on_progress,
        )


def conditions_here(plugins: tuple[str, ...]) -> dict[str, Any]:
    """Return the versions, device, processor and code of runs on this machine."""
    environment = environment_of_children()
    return {**environment, "processor": processor(), "code": source_digests(plugins)}


def environment_of_children() -> dict[str, Any]:
    """Return versions and device as a child process sees them.

    A child process asks JAX, since this process must not occupy the device that its children need.
    """
    code = (
        "import json; from nerf.runs.provenance import environment; "
        "print(json.dumps(environment()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True
    )
    if done.returncode:
        raise ConfigError(
            f"no device to train on: {last_line(done.stderr)}: fix the installation of jax"
        )
    return json.loads(done.stdout)
