"""Measure how a training step scales with the number of devices of this machine.

    python -m benchmarks.devices [--scene=data/tabletop] [--config=ngp] [--calls=12] [--out=FILE]

A config is trained on 1, 2, 4, ... and on all devices, once with its batch, which is split among
them, and once with its batch on each. Calls of all are interleaved, so that other load on the
machine affects all of them equally. On a CPU, `XLA_FLAGS=--xla_force_host_platform_device_count=2`
makes two devices, which share the processors. `gradient_mb` is what a step sums over the devices; a
ring sends at most twice that through each link (docs/scaling.md).
"""

import argparse
from typing import Any

import jax

from benchmarks.common import Arm, device, take_turns, write_out
from nerf.cli.commands import keep_freed_memory
from nerf.foundation.devices import data_mesh
from nerf.runs.config_files import load_config
from nerf.runs.device_sizes import settle
from nerf.scenes.splits import load_scenes


def counts(devices: int) -> list[int]:
    """Return 1, 2, 4, ... and the number of devices."""
    return sorted({2**i for i in range(devices.bit_length())} | {devices})


def arms(config: dict[str, Any], scene: Any, warm_up: int = 100) -> dict[tuple[int, int], Arm]:
    """Return the config in training by (number of devices, batch size).

    Args:
      config: the config.
      scene: the training views.
      warm_up: steps to train before timing.
    """
    found = {}
    for count in counts(len(jax.devices())):
        mesh = data_mesh(jax.devices()[:count])
        for batch in sorted({config["batch_size"], config["batch_size"] * count}):
            if batch % count == 0:
                found[count, batch] = Arm({**config, "batch_size": batch}, scene, warm_up, mesh)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", default="data/tabletop")
    parser.add_argument("--config", default="ngp")
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    config = settle(load_config(options.config))
    found = arms(config, load_scenes(config, options.scene)[0])
    milliseconds = take_turns(list(found.values()), options.calls)
    one = milliseconds[0] / config["batch_size"]
    rows = [
        {
            "devices": count,
            "batch_size": batch,
            "ms_a_step": round(ms, 2),
            "rays_per_second": round(1e3 * batch / ms),
            "times_one_device": round(one / (ms / batch), 2),
        }
        for (count, batch), ms in zip(found, milliseconds, strict=True)
    ]
    parameters = next(iter(found.values())).session.state.params
    summed = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(parameters))
    results = {"device": device(), "gradient_mb": round(summed / 1e6, 2), "rows": rows}
    write_out(results, options.out)


if __name__ == "__main__":
    main()
