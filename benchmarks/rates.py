"""Compare learning rates of a config by PSNR on validation views after a number of steps.

    python -m benchmarks.rates systems.siren systems.relu [--scene=DIR] [--steps=300]
        [--rates=0.3,1,3] [--out=FILE]

Rates are factors of all learning rates of the config. All runs use seed 0; the test views are never
used. The results for the bundled scene are in the "Expect" lines of `configs/systems`.
"""

import argparse
import sys
from importlib import import_module
from typing import Any

from benchmarks.common import device, write_out
from benchmarks.systems.training import Trainer
from nerf.cli.commands import keep_compiled_programs, keep_freed_memory
from nerf.scenes.splits import load_scenes


def scores(name: str, folder: str, steps: int, rates: list[float]) -> dict[str, Any]:
    """Return the PSNR of a config for each factor of its learning rates.

    Args:
      name: the module `configs.NAME`.
      folder: folder of the scene.
      steps: training steps.
      rates: factors of the learning rates.
    """
    config = import_module(f"configs.{name}").get_config()
    config.update({"eval_split": "val", "steps": steps})
    plain = config.to_dict()
    train, held_out = load_scenes(plain, folder)
    trainer = Trainer(plain, {"train": train, "val": held_out})
    learning_rate = config.optimizer.learning_rate
    psnr = {rate: trainer.choose(0, rate, steps) for rate in rates}
    return {
        "config": name,
        "steps": steps,
        "psnr": {f"{rate * learning_rate:g}": round(x, 2) for rate, x in psnr.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--scene", default="data/tabletop")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rates", default="0.3,1,3")
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    keep_compiled_programs()
    rows = []
    for name in options.configs:
        rows.append(
            scores(
                name,
                options.scene,
                options.steps,
                [float(rate) for rate in options.rates.split(",")],
            )
        )
        print(rows[-1], file=sys.stderr, flush=True)
    write_out({"device": device(), "scene": options.scene, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
