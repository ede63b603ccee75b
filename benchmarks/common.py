"""What the benchmarks share: timing a jitted function, counting what it does, and JSON out."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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
    rates = {name: 2 * n**3 / measure(product, square.astype(name))["ms"] / 1e6 for name in ("float32", "bfloat16")}
    return {name: round(rate, 1) for name, rate in rates.items()}


def device() -> str:
    """What the numbers were measured on."""
    return f"{len(jax.devices())} x {jax.devices()[0].device_kind} ({jax.default_backend()})"


def write_out(results: dict[str, Any], out: str | None) -> None:
    """Print results as JSON, and write them to the file `out` where one is given."""
    text = json.dumps(results, indent=1)
    print(text)
    if out:
        Path(out).write_text(text + "\n")
