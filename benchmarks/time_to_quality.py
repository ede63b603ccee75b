"""PSNR against seconds of training, for configs x scenes x seeds: a run of train.py each, a curve a config and scene.

    python -m benchmarks.time_to_quality --scenes=data/tabletop --seconds=10,20,60 --seeds=0,1,2
        [--configs=configs/ngp.py] [--split=val] [--set=config.batch_size=2048] [--workdir=DIR] [--out=quality.json]

Every number of seconds is a run of its own, since the learning rate falls over them. Seconds are those of training;
loading, compiling and evaluating are reported beside them, and `wall` is from the start of the process to its end.
`--split=val` scores a validation part of the training views: choose by that, and report on `test` once. The curve is
drawn beside the JSON. Runs that are already in `--workdir` are read, not made again.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import write_out

KEPT = (
    *("psnr", "ssim", "steps", "train_seconds", "load_seconds", "prepare_seconds", "compile_seconds"),
    *("evaluate_seconds", "seconds_per_frame", "peak_memory"),
)


def one_run(folder: Path, config: str, scene: str, seconds: float, seed: int, split: str, more: list[str]) -> dict:
    """Train in a process of its own and return what results.json says, with the process's `wall` seconds."""
    if not (folder / "wall.json").exists():
        command = [sys.executable, "train.py", f"--config={config}", f"--scene={scene}", f"--workdir={folder}"]
        command += [f"--max_seconds={seconds}", f"--config.seed={seed}", f"--config.eval_split={split}"]
        began = time.perf_counter()
        subprocess.run([*command, *(f"--{setting}" for setting in more)], check=True, stdout=subprocess.DEVNULL)
        (folder / "wall.json").write_text(json.dumps(round(time.perf_counter() - began, 2)))
    results = json.loads((folder / "results.json").read_text())
    wall = json.loads((folder / "wall.json").read_text())
    return {"seed": seed, **{name: results[name] for name in KEPT}, "wall_seconds": wall, "device": results["device"]}


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Median PSNR against seconds, with the range over seeds: a panel a scene, a line a config."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    figure, panels = plt.subplots(1, len(scenes), figsize=(4 * len(scenes), 3.2), squeeze=False, layout="constrained")
    for panel, scene in zip(panels[0], scenes, strict=True):
        for config in dict.fromkeys(row["config"] for row in rows):
            line = sorted((r for r in rows if (r["scene"], r["config"]) == (scene, config)), key=lambda r: r["seconds"])
            x = [row["seconds"] for row in line]
            panel.plot(x, [row["psnr_median"] for row in line], "o-", label=Path(config).stem)
            panel.fill_between(x, *zip(*(row["psnr_range"] for row in line), strict=True), alpha=0.25)
        panel.set(title=Path(scene).name, xlabel="seconds of training", ylabel="PSNR, dB", xscale="log")
        panel.set_xticks(x, [f"{s:g}" for s in x])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(file, dpi=110)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", default="configs/ngp.py")
    parser.add_argument("--scenes", default="data/tabletop")
    parser.add_argument("--seconds", default="10,20,60")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--split", default="test", choices=["test", "val"])
    parser.add_argument(
        "--set", action="append", default=[], metavar="config.KEY=VALUE", help="an override; repeatable"
    )
    parser.add_argument("--workdir", default="runs/time_to_quality")
    parser.add_argument("--out", default="runs/time_to_quality/quality.json")
    return parser.parse_args()


def main() -> None:
    options = parse()
    rows = []
    for config in options.configs.split(","):
        for scene in options.scenes.split(","):
            for seconds in map(float, options.seconds.split(",")):
                runs = []
                for seed in map(int, options.seeds.split(",")):
                    name = "-".join(
                        [Path(config).stem, Path(scene).name, options.split, f"{seconds:g}s", f"seed{seed}"]
                    )
                    folder = Path(options.workdir) / "-".join([name, *options.set])
                    runs.append(one_run(folder, config, scene, seconds, seed, options.split, options.set))
                    print(f"{name}: {runs[-1]['psnr']:.2f} dB, {runs[-1]['steps']} steps", file=sys.stderr, flush=True)
                psnr = [run["psnr"] for run in runs]
                rows.append(
                    {
                        "config": config,
                        "scene": scene,
                        "seconds": seconds,
                        "psnr_median": round(median(psnr), 2),
                        "psnr_range": [round(min(psnr), 2), round(max(psnr), 2)],
                        "runs": runs,
                    }
                )
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_out({"split": options.split, "settings": options.set, "rows": rows}, options.out)
    draw(rows, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
