"""Measure the parts of a training step: sampling, marching, encoding, network, optimizer, grid.

    python -m benchmarks.step [--scene=data/tabletop] [--config=configs/ngp.py] [--steps=200]
        [--out=step.json]

The config (one stage with an occupancy grid) is trained for `--steps` steps, so that its grid is
realistic. Then each part is timed separately on the buffers of a real batch, and so is the complete
step. Each part is reported with its milliseconds, the floating-point operations and bytes that XLA
counts in it, and the resulting rates. The rate of this machine's own matrix product in the same run
is given for comparison.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import nnx

from benchmarks.common import device, matmul_peak, measure, write_out
from nerf.cli.commands import define_config, run
from nerf.fields import Samples
from nerf.foundation.instantiate import build
from nerf.rendering.compositing import Packed, composite
from nerf.rendering.model import Model, find_occupied
from nerf.rendering.model_state import refresh_occupancy
from nerf.rendering.packing import list_occupied, pack_samples
from nerf.runs.config_files import load_config
from nerf.scenes.splits import load_scenes
from nerf.training.gradients import TrainState
from nerf.training.ray_bank import RayBank, sample_rays, to_device
from nerf.training.session import Session

Part = tuple[Callable, Any]  # a function and its argument

_CONFIG, _VALUES = define_config()
_SCENE = flags.DEFINE_string("scene", "data/tabletop", "Folder of the scene.")
_STEPS = flags.DEFINE_integer("steps", 200, "Training steps before timing.")
_OUT = flags.DEFINE_string("out", None, "File to write the JSON to, in addition to printing it.")


def whole_step(session: Session) -> dict[str, Any]:
    """Train for `--steps` steps and time the last calls."""
    per_call = session.steps_per_call
    fractions = np.full(per_call, 0.1, np.float32)
    times = []
    for _ in range(max(_STEPS.value // per_call, 12)):
        before = session.seconds
        metrics = session.call(fractions)
        times.append(session.seconds - before)
    return {
        "step_ms": round(1e3 * sorted(times[-11:])[5] / per_call, 2),
        "rays_sampled": session.config["batch_size"],
        "rays_complete": float(metrics["rays"].mean()),
        "temporary_mb": round(session.temporary_bytes / 1e6, 1),
    }


def batch_of(model: Model, pixels: RayBank, size: int):
    """Rays of a batch, the edges of their intervals, and the packed ones in their buffer."""
    rays, *_ = sample_rays(pixels, jax.random.key(1), size)
    # March: the same edges as the first stage of the model, mapped to distances along the rays.
    t_near, t_far = model.space.interval(rays)
    s = model.stages[0].sampler(None, (size,), jax.random.split(jax.random.key(2), size))
    t = model.space.distance(s, t_near, t_far)
    occupied = list_occupied(find_occupied(model, rays, t, training=True))
    return rays, t, pack_samples(occupied, model.max_samples_per_ray * size)


def parts_of(
    config: dict, graph: nnx.GraphDef, state: TrainState, pixels: RayBank
) -> dict[str, Part]:
    """Return each part of a step as (function, argument), on the buffers of one real batch.

    Args:
      config: the complete config.
      graph: the static part of the model.
      state: the trained state.
      pixels: the pixels of the training views, on the device.
    """
    size = config["batch_size"]

    def march(state):
        return batch_of(nnx.merge(graph, state.params, state.state), pixels, size)[2]

    def optimise(state):
        # The parameters stand in for the gradients, which have the same shapes.
        optimizer = build(config["optimizer"])
        updates, opt_state = optimizer.update(state.params, state.opt_state, state.params)
        return jax.tree.map(jnp.add, state.params, updates), opt_state

    def refresh(state):
        model = nnx.merge(graph, state.params, state.state)
        refresh_occupancy(model, state.step, jax.random.key(0))
        return nnx.split(model, nnx.Param, ...)[2]

    return {
        "sample rays": (lambda key: sample_rays(pixels, key, size), jax.random.key(0)),
        "sample rays and march": (march, state),
        **parts_of_field(nnx.merge(graph, state.params, state.state), pixels, size),
        "optimizer": (optimise, state),
        "grid refresh (every 10 steps)": (refresh, state),
    }


def parts_of_field(model: Model, pixels: RayBank, size: int) -> dict[str, Part]:
    """Return encoding, network and compositing, each alone and with its gradient.

    Args:
      model: the trained model.
      pixels: the pixels of the training views, on the device.
      size: number of rays of the batch.
    """
    rays, t, packed = jax.jit(lambda: batch_of(model, pixels, size))()
    start = t[packed.ray, packed.step]
    length = jnp.where(packed.used, t[packed.ray, packed.step + 1] - start, 0.0)
    points = model.space.warp(
        rays.origins[packed.ray] + (start + 0.5 * length)[:, None] * rays.directions[packed.ray]
    )
    field_graph, params, rest = nnx.split(model.stages[0].field, nnx.Param, ...)

    # Each function below recomputes one part of the step from the inputs that this batch gives it.
    def encode(params):
        return nnx.merge(field_graph, params, rest).encoding(points)

    def network(inputs):
        params, features = inputs
        field = nnx.merge(field_graph, params, rest)
        field.encoding = lambda _: features
        return field(Samples(points, rays.viewdirs[packed.ray]))

    def picture(out):
        layout = Packed(packed.ray, packed.ends, longest=t.shape[1] - 1)
        shown, tau = {"rgb": out["rgb"]}, out["density"] * length
        return composite(shown, tau, start, start + length, jnp.ones((size, 3)), layout).rgb

    inputs = (params, encode(params))
    return {
        "encode": (encode, params),
        "encode, with gradient": (gradient(encode), params),
        "network": (network, inputs),
        "network, with gradient": (gradient(network), inputs),
        "composite, with gradient": (gradient(picture), network(inputs)),
    }


def gradient(function: Callable) -> Callable:
    """Return the gradient of the sum of squares of a function's outputs."""
    return jax.grad(lambda x: sum(jnp.square(y).sum() for y in jax.tree.leaves(function(x))))


def main(_) -> int:
    config = load_config(_CONFIG.value, _VALUES.value)
    scene, _held_out = load_scenes(config, _SCENE.value)
    session = Session(config, scene)
    session.compile()
    whole = whole_step(session)
    rows = {}
    parts = parts_of(session.config, session.graph, session.state, to_device(scene))
    for name, (function, argument) in parts.items():
        row = measure(function, argument)
        rates = {"gflop_per_s": row["gflop"] / row["ms"] * 1e3, "gb_per_s": row["mb"] / row["ms"]}
        rows[name] = {key: float(f"{value:.3g}") for key, value in {**row, **rates}.items()}
    write_out(
        {"device": device(), "matmul_gflop_per_s": matmul_peak(), **whole, "parts": rows},
        _OUT.value,
    )
    return 0


if __name__ == "__main__":
    run(main)
