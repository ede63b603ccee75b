"""Shared code of the benchmarks: time jitted functions, count operations, and write JSON."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nerf.scenes import Scene
from nerf.training.session import Session


def measure(function: Callable, *arguments, calls: int = 20) -> dict[str, float]:
    """Time a jitted function, and count its operations and bytes with XLA.

    XLA counts all of a gather's operand, so `mb` exceeds the bytes moved if a table is large.

    Args:
      function: the function to jit and compile.
      *arguments: its arguments.
      calls: number of timed calls.

    Returns: the median `ms` per call, `gflop` per call, and `mb` read and written per call.
    """
    compiled = jax.jit(function).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - began)
    counted = compiled.cost_analysis() or {}
    return {
        "ms": 1e3 * float(np.median(times)),
        "gflop": counted.get("flops", 0.0) / 1e9,
        "mb": counted.get("bytes accessed", 0.0) / 1e6,
    }


def matmul_peak(n: int = 1536) -> dict[str, float]:
    """Measure the GFLOP/s of an n x n matrix product on this machine.

    Both products sum in float32; the operands are float32 or bfloat16.
    """

    def product(a):
        # With the precision of the networks; bfloat16 operands have no more bits to use.
        return jnp.matmul(a, a, precision="highest", preferred_element_type=jnp.float32)

    square = jax.random.normal(jax.random.key(0), (n, n))
    rates = {
        name: 2 * n**3 / measure(product, square.astype(name))["ms"] / 1e6
        for name in ("float32", "bfloat16")
    }
    return {name: round(rate, 1) for name, rate in rates.items()}


class Arm:
    """Training with a config on a scene, compiled and warmed up, to be timed call by call.

    Args:
      config: the complete config, as a plain dictionary.
      scene: the training views.
      warm_up: steps to train before timing.
      mesh: the devices that share a batch; None: all devices.
    """

    def __init__(
        self, config: dict[str, Any], scene: Scene, warm_up: int, mesh: Mesh | None = None
    ):
        self.session = Session(config, scene, mesh=mesh)
        self.session.compile()
        self.per_call = self.session.steps_per_call
        for _ in range(warm_up // self.per_call):
            self.call(0.1)

    def call(self, progress: float) -> float:
        """Take the steps of one call at this part of the schedule; seconds a step."""
        before = self.session.seconds
        self.session.call(np.full(self.per_call, progress, np.float32))
        return (self.session.seconds - before) / self.per_call


def take_turns(arms: Sequence[Arm], calls: int) -> list[float]:
    """Time calls of all arms in turn and return the median milliseconds per step of each.

    Interleaving spreads other load on the machine evenly over the arms.
    """
    seconds = [[arm.call(0.1) for arm in arms] for _ in range(calls)]
    return [1e3 * float(one) for one in np.median(seconds, axis=0)]


def device() -> str:
    """Describe the devices that the numbers were measured on."""
    return f"{len(jax.devices())} x {jax.devices()[0].device_kind} ({jax.default_backend()})"


def write_out(results: dict[str, Any], out: str | None) -> None:
    """Print results as JSON, and write them to the file `out` if it is given."""
    text = json.dumps(results, indent=1)
    print(text)
    if out:
        Path(out).write_text(text + "\n")
