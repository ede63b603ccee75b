"""What the benchmarks share: timing a jitted function, counting what it does, and JSON out."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from nerf.scenes import Scene
from nerf.training.processes import data_mesh
from nerf.training.ray_bank import to_device
from nerf.training.step import prepare


def measure(function: Callable, *arguments, calls: int = 20) -> dict[str, float]:
    """Median `ms` of a call of the jitted function, and the `gflop` and `mb` (read and written) that XLA counts in it.

    XLA counts a gather as all of its operand, so `mb` is above what is moved where a table is large.
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
    """GFLOP/s of this machine's own n x n matrix product, in float32 and with bfloat16 operands summed in float32."""

    def product(a):
        return jnp.matmul(a, a, preferred_element_type=jnp.float32)

    square = jax.random.normal(jax.random.key(0), (n, n))
    rates = {
        name: 2 * n**3 / measure(product, square.astype(name))["ms"] / 1e6
        for name in ("float32", "bfloat16")
    }
    return {name: round(rate, 1) for name, rate in rates.items()}


class Arm:
    """Training with a config on a scene, compiled and warmed up for some steps, to be timed a call at a time."""

    def __init__(self, config: dict[str, Any], scene: Scene, warm_up: int):
        mesh = data_mesh(jax.devices())
        self.graph, self.state, train_steps = prepare(config, scene, (), mesh)
        self.state, self.pixels = jax.device_put(
            (self.state, to_device(scene)), NamedSharding(mesh, PartitionSpec())
        )
        self.per_call = config["steps_per_call"]
        self.compiled = train_steps.lower(
            self.state, self.pixels, jnp.zeros(self.per_call)
        ).compile()
        for _ in range(warm_up // self.per_call):
            self.call(0.1)

    def call(self, progress: float) -> float:
        """Take the steps of one call at this part of the schedule; seconds a step."""
        fractions = jnp.full(self.per_call, progress)
        began = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.compiled(self.state, self.pixels, fractions))
        return (time.perf_counter() - began) / self.per_call


def take_turns(arms: Sequence[Arm], calls: int) -> list[float]:
    """Milliseconds a step of each: medians over calls that take turns, so that other work falls on all alike."""
    seconds = [[arm.call(0.1) for arm in arms] for _ in range(calls)]
    return [1e3 * float(one) for one in np.median(seconds, axis=0)]


def device() -> str:
    """What the numbers were measured on."""
    return f"{len(jax.devices())} x {jax.devices()[0].device_kind} ({jax.default_backend()})"


def write_out(results: dict[str, Any], out: str | None) -> None:
    """Print results as JSON, and write them to the file `out` where one is given."""
    text = json.dumps(results, indent=1)
    print(text)
    if out:
        Path(out).write_text(text + "\n")
