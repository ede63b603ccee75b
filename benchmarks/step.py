"""Where the time of a training step goes: picking, marching, encoding, network, compositing, optimizer, grid.

    python -m benchmarks.step [--scene=data/tabletop] [--config=configs/ngp.py] [--steps=200] [--out=step.json]

The config (one stage with an occupancy grid) is trained for `--steps` steps, so that its grid is what it is in use.
Then each part is timed by itself on the buffers of a real batch, and so is the whole step.
"""

from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from flax import nnx
from ml_collections import config_flags

from benchmarks.common import device, matmul_peak, milliseconds, write_out
from nerf.building import build
from nerf.commands import run
from nerf.model import Model, refresh_occupancy
from nerf.occupancy import compact
from nerf.pixels import Pixels, pick, to_device
from nerf.rendering import Packed, composite
from nerf.runs import load_scenes
from nerf.training import TrainState, data_mesh, prepare

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; default configs/ngp.py.")
_SCENE = flags.DEFINE_string("scene", "data/tabletop", "Folder of the scene.")
_STEPS = flags.DEFINE_integer("steps", 200, "Steps of training before anything is timed.")
_OUT = flags.DEFINE_string("out", None, "File to write the JSON to, besides printing it.")


def whole_step(config: dict, train_steps, state: TrainState, pixels: Pixels) -> tuple[TrainState, dict[str, Any]]:
    """Train; the state after it, milliseconds a step, and what XLA says a call reads, writes and computes."""
    import time

    per_call = config["steps_per_call"]
    progress = jnp.full(per_call, 0.1)
    compiled = train_steps.lower(state, pixels, progress).compile()
    times = []
    for _ in range(max(_STEPS.value // per_call, 12)):
        began = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled(state, pixels, progress))
        times.append(time.perf_counter() - began)
    last = sorted(times[-10:])[5]
    memory = compiled.memory_analysis()
    return state, {
        "step_ms": round(1e3 * last / per_call, 2),
        "rays_whole": float(metrics["rays"][-1]),
        "temporary_mb": round(memory.temp_size_in_bytes / 1e6, 1),
    }


def batch_of(model: Model, pixels: Pixels, batch_size: int):
    """Rays of a batch, their edges, and the live intervals in their buffer."""
    rays, _ = pick(pixels, jax.random.key(1), batch_size)
    keys = jax.random.split(jax.random.key(2), batch_size)
    t_near, t_far = model.space.interval(rays)
    t = model.space.distance(model.stages[0].sampler(None, (batch_size,), keys), t_near, t_far)
    return rays, t, _live_buffer(model, rays, t)


def _live_buffer(model: Model, rays, t):
    from nerf.model import _live

    return compact(_live(model, rays, t), model.capacity * t.shape[0])


def part_times(config: dict, graph: nnx.GraphDef, state: TrainState, pixels: Pixels) -> dict[str, float]:
    """Milliseconds of each part of a step, on the buffers of one real batch."""
    size = config["batch_size"]
    model: Model = nnx.merge(graph, state.params, state.state)
    rays, t, live = jax.jit(lambda s: batch_of(nnx.merge(graph, s.params, s.state), pixels, size))(state)
    middle = 0.5 * (t[live.ray, live.step] + t[live.ray, live.step + 1])
    points = model.space.warp(rays.origins[live.ray] + middle[:, None] * rays.directions[live.ray])
    viewdirs = rays.viewdirs[live.ray]
    field_graph, params, rest = nnx.split(model.stages[0].field, nnx.Param, ...)
    features = nnx.merge(field_graph, params, rest).encoding(points)

    def encode(params):
        return nnx.merge(field_graph, params, rest).encoding(points)

    def network(params, features):
        field = nnx.merge(field_graph, params, rest)
        field.encoding = lambda _: features
        return field(points, viewdirs)

    def picture(density, rgb):
        start = t[live.ray, live.step]
        length = jnp.where(live.used, t[live.ray, live.step + 1] - start, 0.0)
        quantities = {"density": density, "rgb": rgb}
        layout = Packed(live.ray, size)
        return composite(quantities, density * length, start, start + length, jnp.ones((size, 3)), layout)

    def total(outputs):
        return sum(jnp.square(x).sum() for x in jax.tree.leaves(outputs))

    def march(state, key):
        model = nnx.merge(graph, state.params, state.state)
        return batch_of(model, pixels, size)[2]

    out = network(params, features)
    optimizer = build(config["optimizer"])

    def optimise(state: TrainState):
        updates, opt_state = optimizer.update(state.params, state.opt_state, state.params)
        return jax.tree.map(jnp.add, state.params, updates), opt_state

    def refresh(state: TrainState):
        model = nnx.merge(graph, state.params, state.state)
        refresh_occupancy(model, state.step, jax.random.key(0))
        return nnx.split(model, nnx.Param, ...)[2]

    encode_forward = milliseconds(encode, params)
    network_forward = milliseconds(network, params, features)
    return {
        "pick": milliseconds(lambda key: pick(pixels, key, size), jax.random.key(0)),
        "pick_and_march": milliseconds(march, state, jax.random.key(0)),
        "encode_forward": encode_forward,
        "encode_backward": round(milliseconds(jax.grad(lambda p: total(encode(p))), params) - encode_forward, 2),
        "network_forward": network_forward,
        "network_backward": round(
            milliseconds(jax.grad(lambda p, f: total(network(p, f)), argnums=(0, 1)), params, features)
            - network_forward,
            2,
        ),
        "composite": milliseconds(
            jax.grad(lambda d, c: total(picture(d, c).rgb), argnums=(0, 1)), out["density"], out["rgb"]
        ),
        "optimizer": milliseconds(optimise, state),
        "grid_refresh_a_step": round(milliseconds(refresh, state) / config["steps_per_call"], 2),
        "live": int(live.used.sum()),
    }


def main(_) -> int:
    config = _CONFIG.value.to_dict()
    scene, _held_out = load_scenes(config, _SCENE.value)
    graph, state, train_steps = prepare(config, scene, (), data_mesh(jax.devices()))
    pixels = to_device(scene)
    state, whole = whole_step(config, train_steps, state, pixels)
    results = {
        "device": device(),
        "matmul_gflops": matmul_peak(),
        **whole,
        "parts_ms": part_times(config, graph, state, pixels),
    }
    write_out(results, _OUT.value)
    return 0


if __name__ == "__main__":
    run(main, default_config="configs/ngp.py")
