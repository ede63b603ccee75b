"""What the benchmarks share: timing a jitted function, and JSON out."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def seconds(function: Callable, *arguments, calls: int = 20) -> float:
    """Median wall-clock seconds of a call of `function`, jitted here and compiled before the clock starts."""
    function = jax.jit(function)
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def milliseconds(function: Callable, *arguments, calls: int = 20) -> float:
    """`seconds`, in milliseconds to two decimals."""
    return round(1e3 * seconds(function, *arguments, calls=calls), 2)


def matmul_peak(n: int = 1536) -> dict[str, float]:
    """GFLOP/s of this machine's own n x n matrix product, in float32 and with bfloat16 operands summed in float32."""

    def rate(dtype) -> float:
        a = jax.random.normal(jax.random.key(0), (n, n)).astype(dtype)

        def product(a):
            return jnp.matmul(a, a, preferred_element_type=jnp.float32)

        return round(2 * n**3 / seconds(product, a) / 1e9, 1)

    return {"float32": rate(jnp.float32), "bfloat16": rate(jnp.bfloat16)}


def device() -> str:
    """What the numbers were measured on."""
    return f"{len(jax.devices())} x {jax.devices()[0].device_kind} ({jax.default_backend()})"


def write_out(results: dict[str, Any], out: str | None) -> None:
    """Print results as JSON, and write them to the file `out` where one is given."""
    text = json.dumps(results, indent=1)
    print(text)
    if out:
        Path(out).write_text(text + "\n")
