"""How the cost of a training step grows with the batch, the samples, the tables and the number of images.

    python -m benchmarks.cost [--calls=12] [--out=cost.json]

The fast config on the synthetic scene; one setting is changed at a time. Calls of all settings take turns, so that what
else the machine does falls on all alike. `times_base` is what a step costs in steps of the base setting.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import device, write_out
from configs import ngp
from nerf.commands import keep_freed_memory
from nerf.pixels import to_device
from nerf.scenes import synthetic
from nerf.training import data_mesh, prepare

TABLE = "model.stages.main.field.encoding.log2_table_size"
MARCH = "model.stages.main.sampler.num_samples"
SETTINGS: list[tuple[str, Any]] = [
    ("base", None),
    *(("batch_size", n) for n in (512, 2048, 4096)),
    *(("model.capacity", n) for n in (8, 32)),
    *((MARCH, n) for n in (64, 256)),
    *((TABLE, n) for n in (15, 19)),
    *(("images", n) for n in (50, 200, 400)),
]


class Arm:
    """One setting, compiled and warmed up."""

    def __init__(self, name: str, value: Any, images: int = 100, side: int = 200, warm_up: int = 10):
        self.name, self.value = name, value
        config = ngp.get_config()
        if name == "images":
            images = value
        elif value is not None:
            config.update_from_flattened_dict({name: value})
        config = config.to_dict()
        scene = synthetic.load(None, "train", size=side, views=images)
        _graph, state, train_steps = prepare(config, scene, (), data_mesh(jax.devices()))
        self.pixels, self.progress = to_device(scene), jnp.full(config["steps_per_call"], 0.1)
        self.compiled = train_steps.lower(state, self.pixels, self.progress).compile()
        self.state = state
        self.seconds: list[float] = []
        for _ in range(warm_up):
            self.call()
        self.seconds = []

    def call(self) -> None:
        began = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.compiled(self.state, self.pixels, self.progress))
        self.seconds.append(time.perf_counter() - began)

    @property
    def milliseconds(self) -> float:
        """A step, the median over calls."""
        return 1e3 * float(np.median(self.seconds)) / len(self.progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    arms = [Arm(name, value) for name, value in SETTINGS]
    for _ in range(options.calls):
        for arm in arms:
            arm.call()
    base = arms[0].milliseconds
    rows = [
        {
            "setting": arm.name if arm.value is None else f"{arm.name.split('.')[-1]}={arm.value}",
            "ms_a_step": round(arm.milliseconds, 2),
            "times_base": round(arm.milliseconds / base, 2),
        }
        for arm in arms
    ]
    write_out({"device": device(), "rows": rows}, options.out)


if __name__ == "__main__":
    main()
