"""Measure how a step's cost grows with batch, samples, tables and number of images.

    python -m benchmarks.cost [--calls=12] [--out=cost.json]

The fast config on the synthetic scene; one setting is changed at a time. Calls of all settings are
interleaved, so that other load on the machine affects all of them equally. `times_base` is the cost
of a step relative to the base setting.
"""

import argparse
from typing import Any

from benchmarks.common import Arm, device, take_turns, write_out
from configs import ngp
from nerf.cli.commands import keep_freed_memory
from nerf.scenes import synthetic

TABLE = "model.stages.main.field.encoding.log2_table_size"
MARCH = "model.stages.main.sampler.num_samples"
SETTINGS: list[tuple[str, Any]] = [
    ("base", None),
    *(("batch_size", n) for n in (512, 2048, 4096)),
    *(("model.max_samples_per_ray", n) for n in (8, 32)),
    *((MARCH, n) for n in (64, 256)),
    *((TABLE, n) for n in (15, 19)),
    *(("images", n) for n in (50, 200, 400)),
]


def arm(name: str, value: Any, images: int = 100, side: int = 200) -> Arm:
    """Return the fast config on the synthetic scene with one setting changed.

    Args:
      name: dotted key of the setting, or "images" for the number of images.
      value: its value; None leaves the config unchanged.
      images: number of training images.
      side: width and height of the images, in pixels.
    """
    config = ngp.get_config()
    if name == "images":
        images = value
    elif value is not None:
        config.update_from_flattened_dict({name: value})
    return Arm(
        config.to_dict(), synthetic.load(None, "train", size=side, views=images), warm_up=100
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    milliseconds = take_turns([arm(name, value) for name, value in SETTINGS], options.calls)
    rows = [
        {
            "setting": name if value is None else f"{name.split('.')[-1]}={value}",
            "ms_a_step": round(one, 2),
            "times_base": round(one / milliseconds[0], 2),
        }
        for (name, value), one in zip(SETTINGS, milliseconds, strict=True)
    ]
    write_out({"device": device(), "rows": rows}, options.out)


if __name__ == "__main__":
    main()
