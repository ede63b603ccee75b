"""A model in training: its state on the devices, and a generator of jitted calls that change it.

`train()`, the benchmarks and a live viewer iterate over the same generator:

    session = Session(config, scene)
    session.compile()
    for call in session.calls(Budget(steps=1000)):
        print(call.step, call.mean("psnr"))
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from nerf.foundation.devices import data_mesh
from nerf.foundation.instantiate import ConfigError, resolve
from nerf.rendering.model import Model
from nerf.runs.budget import Budget
from nerf.runs.checkpoints import flatten
from nerf.runs.device_sizes import settle
from nerf.scenes import Scene
from nerf.training.gradients import TrainState
from nerf.training.memory import check_fits, memory_of_device, return_freed_memory
from nerf.training.nonfinite import (
    TrainingError,
    bad_steps,
    check_finite,
    describe_nonfinite,
    suggest_fix,
)
from nerf.training.processes import (
    any_process,
    broadcast_from_first,
    replicate,
    unreplicate,
)
from nerf.training.ray_bank import make_loader


class Call(NamedTuple):
    """One call of the jitted step.

    Attributes:
      step: optimizer steps taken so far.
      seconds: seconds of training so far, without compiling, scoring and saving.
      metrics: "loss", "psnr" and others, one number per step of the call.
      taken: which of these steps changed the model; others were skipped, because a number was not
        finite.
    """

    step: int
    seconds: float
    metrics: dict[str, np.ndarray]
    taken: Bool[np.ndarray, " k"]

    def mean(self, name: str) -> float:
        """Return the mean of a metric over the steps that were taken, of which there must be one.

        Args:
          name: of the metric.
        """
        return float(self.metrics[name][self.taken].mean())


class Session:
    """A model in training.

    Args:
      config: a plain dictionary; its section `trainer` names the function that prepares the model,
        its first state and the jitted step, see `nerf.training.step.prepare`.
      scene: the training views.
      plugins: packages outside `nerf` that the config may name.
      mesh: the devices that share a batch; None: all devices.

    Attributes:
      config: with the numbers that depend on the device, see `nerf.runs.device_sizes`.
      graph: the model's static part.
      state: everything that training changes.
      step: optimizer steps taken so far.
      seconds: seconds of training so far.
      skipped: steps that were skipped because a number was not finite.
      seed: seed of the initial parameters and of all randomness in the steps.
      rate: factor of the config's learning rate.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        scene: Scene,
        plugins: tuple[str, ...] = (),
        mesh: Mesh | None = None,
    ):
        self.mesh = data_mesh(jax.devices()) if mesh is None else mesh
        self.config = config = settle(config, self.mesh.size)
        self.scene = scene
        arguments = dict(config["trainer"])
        prepare = resolve(arguments.pop("name"), plugins)
        prepared = prepare(config, scene, plugins, self.mesh, **arguments)
        self.graph, self.state = prepared.graph, prepared.state
        self._train_steps, self._initial_state = prepared.train_steps, prepared.initial_state
        self._views = prepared.views
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.seed, self.rate = config["seed"], 1.0
        self.steps_per_call = config["steps_per_call"]
        self.parameter_names = list(flatten(self.state.params))

    def resume(self, state: TrainState, step: int, seconds: float, skipped: int) -> None:
        """Continue from a saved state.

        Args:
          state: the state on the host; every process must pass the same.
          step: optimizer steps that it has taken.
          seconds: seconds of training that it has taken.
          skipped: steps that were skipped.

        Raises:
          ConfigError: the steps were taken in calls of another length, after which none begins.
        """
        if step % self.steps_per_call:
            reason = f"{step} steps were taken, which is no multiple of it"
            raise ConfigError(
                f"steps_per_call={self.steps_per_call}: {reason}: use that of the run"
            )
        self.state = state
        self.step, self.seconds, self.skipped = step, seconds, skipped

    def compile(self, device_memory: float | None = None) -> None:
        """Put the state and the pixels on the devices and compile the step.

        Args:
          device_memory: bytes of the device that may be used; None: all.

        Raises:
          UserError: the step does not fit into the memory.
        """
        limit = memory_of_device() if device_memory is None else device_memory
        batch, count = self.config["batch_size"], self.steps_per_call
        self._put = partial(replicate, mesh=self.mesh)
        self._load = lambda: make_loader(
            self.scene, self.seed, batch, count, limit, self._put, self._views
        )
        self._place()
        zeros = np.zeros(count, np.float32)
        self._compiled = self._train_steps.lower(*self._arguments(zeros)).compile()
        check_fits(self._compiled, limit)
        return_freed_memory()

    @property
    def temporary_bytes(self) -> int:
        """Memory that the compiled step needs in addition to its arguments and results."""
        return self._compiled.memory_analysis().temp_size_in_bytes

    def restart(self, seed: int, rate: float = 1.0) -> None:
        """Return to the state before the first step, without compiling again.

        Args:
          seed: seed of the initial parameters and of all randomness in the steps.
          rate: factor of the config's learning rate.
        """
        self.seed, self.rate = seed, rate
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.state = self._initial_state(seed)
        self._place()

    def _place(self) -> None:
        """Put the state on the devices, and make the loader of pixels."""
        self.state = self._put(self.state)
        self._numbers = self._put((np.int32(self.seed), np.float32(self.rate)))
        self.pixels_at = self._load()

    def _arguments(self, fractions: Float[np.ndarray, " k"]) -> tuple[Any, ...]:
        """Return the arguments of the next call of the jitted step."""
        return self.state, self.pixels_at(self.step), self._put(fractions), *self._numbers

    def call(self, fractions: Float[np.ndarray, " k"]) -> dict[str, np.ndarray]:
        """Take the steps of one call and return their metrics.

        Args:
          fractions: the fraction of training done at each step, which the schedules follow.
        """
        arguments = self._arguments(fractions)
        began = time.perf_counter()
        self.state, metrics = self._compiled(*arguments)
        metrics = jax.device_get(metrics)
        self.seconds = broadcast_from_first(self.seconds + time.perf_counter() - began)
        self.step = int(self.state.step)
        return metrics

    def calls(
        self,
        budget: Budget,
        should_stop: Callable[[], bool] = lambda: False,
        before_call: Callable[[], None] = lambda: None,
    ) -> Iterator[Call]:
        """Train until the budget is used, and yield after every jitted call.

        Args:
          budget: steps, or seconds of training.
          should_stop: asked before every call; True in any process ends the iteration.
          before_call: called before every call.

        Raises:
          TrainingError: a number is not finite and no more steps may be skipped. The state is then
            the one without them.
        """
        while not any_process(should_stop()) and budget.fraction(self.step, self.seconds) < 1.0:
            before_call()
            began = self.step
            metrics = self.call(budget.fractions(began, self.seconds, self.steps_per_call))
            bad = bad_steps(metrics)
            if bad.any():
                why = describe_nonfinite(metrics, began, self.state, self.parameter_names)
                self._skip(int(bad.sum()), why)
            yield Call(self.step, self.seconds, metrics, ~bad)

    def _skip(self, count: int, why: str) -> None:
        """Count steps that changed nothing, and go on if that is allowed."""
        self.skipped += count
        limit = self.config["max_skipped"]
        if self.skipped > limit:
            raise TrainingError(f"{why}: {suggest_fix(why)}")
        steps = "1 step" if count == 1 else f"{count} steps"
        print(f"{why}: {steps} skipped, {self.skipped} of {limit} at most", file=sys.stderr)

    def is_whole(self) -> bool:
        """Return False in the middle of a call, which consumes the buffers of the state."""
        return not any(leaf.is_deleted() for leaf in jax.tree.leaves(self.state))

    def check_finite(self) -> None:
        """Raise TrainingError if a number of the state is not finite."""
        check_finite(self.state, self.step)

    def model(self) -> Model:
        """Return the model with its current parameters, on one device."""
        return nnx.merge(self.graph, *unreplicate((self.state.params, self.state.state)))
