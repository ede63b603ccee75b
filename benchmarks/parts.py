"""Milliseconds that the parts of the fast config's training step take, beside the plainer way of doing each.

    python -m benchmarks.parts [--no_allocator]

Ratios within one run mean something; milliseconds on a shared machine do not. Medians over 20 calls.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from configs import ngp
from nerf.building import build
from nerf.commands import keep_freed_memory
from nerf.occupancy import compact
from nerf.rendering import Dense, Packed, composite
from nerf.spaces import Box

RAYS, STEPS, CAPACITY = 2048, 128, 2**15


def milliseconds(function, *arguments, calls: int = 20) -> float:
    function = jax.jit(function)
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return round(1e3 * float(np.median(times)), 2)


def field_times() -> dict[str, float]:
    """The hash grid and the whole field on a full buffer, forward and with gradient."""
    model = build(ngp.get_config().model.to_dict(), rngs=nnx.Rngs(0), space=Box())
    graph, params, rest = nnx.split(model.stages[0].field, nnx.Param, ...)
    points = jax.random.uniform(jax.random.key(0), (CAPACITY, 3), minval=-1.0)
    directions = points / jnp.linalg.norm(points, axis=-1, keepdims=True)

    def encode(params):
        return nnx.merge(graph, params, rest).encoding(points)

    def predict(params):
        out = nnx.merge(graph, params, rest)(points, directions)
        return jnp.concatenate([out["density"][:, None], out["rgb"]], -1)

    return {
        "encode": milliseconds(encode, params),
        "encode_with_gradient": milliseconds(jax.grad(lambda p: jnp.square(encode(p)).sum()), params),
        "field": milliseconds(predict, params),
        "field_with_gradient": milliseconds(jax.grad(lambda p: jnp.square(predict(p)).sum()), params),
    }


def compaction_times() -> dict[str, float]:
    """Finding the live intervals: by counting bits, and by jnp.nonzero."""
    live = jax.random.uniform(jax.random.key(0), (RAYS, STEPS)) < 0.9 * CAPACITY / (RAYS * STEPS)

    def nonzero(live):
        return jnp.nonzero(live.reshape(-1), size=CAPACITY, fill_value=live.size)[0]

    return {
        "compact": milliseconds(lambda live: compact(live, CAPACITY), live),
        "compact_by_nonzero": milliseconds(nonzero, live),
    }


def composite_times() -> dict[str, float]:
    """Compositing with gradient: live intervals in one list, and every interval of every ray."""
    rng = np.random.default_rng(0)
    ray = jnp.asarray(np.sort(rng.integers(0, RAYS, CAPACITY)))

    def loss(density, rgb, layout, background):
        quantities = {"density": density, "rgb": rgb}
        start = jnp.zeros_like(density)
        picture = composite(quantities, 0.01 * density, start, start + 0.01, background, layout)
        return jnp.square(picture.rgb).sum()

    def timed(shape, layout):
        density, rgb = (jnp.asarray(rng.uniform(size=(*shape, *c)), jnp.float32) for c in ((), (3,)))
        gradient = jax.grad(lambda d, c: loss(d, c, layout, jnp.ones((RAYS, 3))), argnums=(0, 1))
        return milliseconds(gradient, density, rgb)

    return {
        "composite_packed": timed((CAPACITY,), Packed(ray, RAYS)),
        "composite_dense": timed((RAYS, STEPS), Dense()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no_allocator", action="store_true", help="leave glibc's allocator as it is")
    if not parser.parse_args().no_allocator:
        keep_freed_memory()
    times = field_times() | compaction_times() | composite_times()
    print(json.dumps({"device": jax.devices()[0].device_kind, "milliseconds": times}, indent=1))


if __name__ == "__main__":
    main()
