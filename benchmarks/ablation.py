"""Measure the gain of each choice of the fast config: step cost without it, and PSNR in equal time.

    python -m benchmarks.ablation --scene=FOLDER [--steps=1300] [--seeds=0,1,2]
        [--only=NAME,...] [--out=ablation.json]

First the steps of all variants are timed in turn in one process, so that other load on the machine
affects all of them equally. Then every variant trains, for each seed, for the number of steps that
takes as long as `--steps` of the base config, by the measured ratio. It is scored on validation
views held out from the training views. A variant that learns more per step but takes longer per
step is thus compared at equal time, and only the ratio depends on the machine.
"""

import argparse
import dataclasses
import sys
from statistics import median
from typing import Any

from benchmarks.common import Arm, device, take_turns, write_out
from configs import ngp
from nerf.cli.commands import keep_compiled_programs, keep_freed_memory
from nerf.evaluation.evaluate import evaluate
from nerf.scenes import Scene, load
from nerf.scenes.images import on_background
from nerf.scenes.splits import load_scenes

PLUGINS = ("benchmarks",)
FIELD = "model.stages.main.field"
TABLE = f"{FIELD}.encoding"
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "trilinear instead of simplex": {f"{TABLE}.simplex": False},
    "16 levels of 2 features": {f"{TABLE}.num_levels": 16, f"{TABLE}.features_per_level": 2},
    "tables of 2^19": {f"{TABLE}.log2_table_size": 19},
    "512 rays": {"batch_size": 512},
    "2048 rays": {"batch_size": 2048},
    "256 march steps": {"model.stages.main.sampler.num_samples": 256},
    "width 64": {f"{FIELD}.network.width": 64, f"{FIELD}.colour.width": 64},
    "float32": {f"{FIELD}.network.dtype": "float32", f"{FIELD}.colour.dtype": "float32"},
    "half the learning rates": {
        "optimizer.learning_rate": 4e-3,
        "optimizer.groups.table.learning_rate": 2e-2,
    },
    "white background": {"random_background": False},
    "images composited on white": {
        "random_background": False,
        "scene.name": "benchmarks.ablation:opaque",
    },
    "hidden cells evaluated": {"model.occupancy.min_weight": 0.0},
    "cells kept by density only": {"model.occupancy.keep_weight": 1.0},
    "no distortion loss": {"losses.distortion.weight": 0.0},
    "one step per call": {"steps_per_call": 1},
}


def opaque(root: str, split: str, max_side: int = 1024, validation: bool = False) -> Scene:
    """Load the scene with its images composited on white, which removes the silhouettes.

    Args:
      root: folder of the scene.
      split: "train", "val" or "test".
      max_side: images are reduced to at most this many pixels per side.
      validation: whether to hold out validation views from the training views.
    """
    scene = load(root, split, max_side, validation)
    white = (1.0, 1.0, 1.0)
    return dataclasses.replace(
        scene, images=[on_background(image, white) for image in scene.images]
    )


def config_of(changes: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Return the fast config with some values changed, scored on validation views."""
    config = ngp.get_config()
    config.update_from_flattened_dict({**changes, "seed": seed, "eval_split": "val"})
    return config.to_dict()


def warm_arm(changes: dict[str, Any], scene: str) -> Arm:
    """Return a variant, trained until its occupancy grid has settled."""
    config = config_of(changes)
    return Arm(config, load_scenes(config, scene, PLUGINS)[0], warm_up=500)


def score(changes: dict[str, Any], scene: str, seed: int, steps: int) -> float:
    """Train a variant and return its PSNR on the validation views.

    Args:
      changes: values of the config to change, by dotted key.
      scene: folder of the scene.
      seed: seed of the run.
      steps: training steps, rounded down to complete calls.
    """
    config = config_of(changes, seed)
    train, held_out = load_scenes(config, scene, PLUGINS)
    arm = Arm(config, train, warm_up=0)
    calls = steps // arm.per_call
    for i in range(calls):
        arm.call(i / calls)
    scores = evaluate(
        arm.session.model(), held_out, "val", config["background"], config["chunk"], None
    )
    assert scores is not None  # nothing stops it
    return scores["mean"]["psnr"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", default="data/tabletop")
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--out")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - VARIANTS.keys():
        parser.error(f"no variant {', '.join(sorted(unknown))}; known: {', '.join(VARIANTS)}")
    keep_freed_memory()
    keep_compiled_programs()
    variants = {name: VARIANTS[name] for name in names}
    # Time all variants first: the ratios to the base set the number of steps of each.
    milliseconds = take_turns(
        [warm_arm(changes, options.scene) for changes in variants.values()], calls=20
    )
    rows = []
    for (name, changes), ms in zip(variants.items(), milliseconds, strict=True):
        steps = round(options.steps * milliseconds[0] / ms)
        psnr = [
            score(changes, options.scene, seed, steps)
            for seed in map(int, options.seeds.split(","))
        ]
        spread = [round(min(psnr), 2), round(max(psnr), 2)]
        rows.append({"variant": name, "ms_a_step": round(ms, 2), "steps": steps})
        rows[-1] |= {
            "times_base": round(ms / milliseconds[0], 2),
            "psnr": round(median(psnr), 2),
            "range": spread,
        }
        print(rows[-1], file=sys.stderr, flush=True)
    write_out({"device": device(), "scene": options.scene, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
