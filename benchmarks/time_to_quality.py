"""Measure PSNR against seconds of training, for configs x scenes x seeds, one run each.

    python -m benchmarks.time_to_quality --scenes=data/tabletop --seconds=10,20,60 --seeds=3
        [--configs=configs/ngp.py] [--split=val] [--set=config.batch_size=2048] [--workdir=DIR]
        [--out=quality.json]

Every number of seconds is a separate run, because the learning rate decays over it. Seconds are
those of training; loading, preparing, compiling and evaluating are reported separately.
`--split=val` scores validation views held out from the training views: use it to choose, and report
on `test` once. The curves, one per config and scene, are drawn next to the JSON. Runs of the same
config, scene, seed and code that are already in `--workdir` are read instead of repeated.
"""

import argparse
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import write_out
from nerf.comparing.run_store import RunResult, RunStore, find_or_train
from nerf.comparing.studies import Method, parse_seeds, wanted_runs
from nerf.runs.results import Result

KEPT = (
    *(
        "psnr",
        "ssim",
        "steps",
        "train_seconds",
        "load_seconds",
        "prepare_seconds",
        "compile_seconds",
    ),
    *("evaluate_seconds", "seconds_per_frame", "peak_memory", "device"),
)


def result_of(outcome: RunResult) -> Result:
    """Return the result of a run, or exit with its failure."""
    if outcome.result is None:
        raise SystemExit(f"{outcome.label}, seed {outcome.seed}: {outcome.failure}")
    return outcome.result


def row(config: str, scene: str, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Train or find the runs of one config on one scene, one per seed.

    Args:
      config: file of the config.
      scene: folder of the scene.
      seconds: budget of training.
      options: the command-line options.

    Returns: the runs, and the median and range of their PSNR.
    """
    overrides = tuple(word.removeprefix("config.") for word in options.set)
    entry = Method(Path(config).stem, config, overrides, parse_seeds(options.seeds))
    wanted = wanted_runs([entry], seconds, None, 0, options.split)
    found = [
        result_of(outcome)
        for outcome in find_or_train(wanted, RunStore(scene, Path(options.workdir)))
    ]
    runs = [
        {"seed": one.config["seed"], **{name: one.results.get(name) for name in KEPT}}
        for one in found
    ]
    psnr = [run["psnr"] for run in runs]
    spread = [round(min(psnr), 2), round(max(psnr), 2)]
    named = {"config": config, "scene": scene, "seconds": seconds}
    return {**named, "psnr_median": round(median(psnr), 2), "psnr_range": spread, "runs": runs}


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Plot the median PSNR against seconds, with the range over seeds.

    Each scene has a panel, each config a line.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    figure, panels = plt.subplots(
        1, len(scenes), figsize=(4 * len(scenes), 3.2), squeeze=False, layout="constrained"
    )
    for panel, scene in zip(panels[0], scenes, strict=True):
        for config in dict.fromkeys(row["config"] for row in rows):
            line = sorted(
                (r for r in rows if (r["scene"], r["config"]) == (scene, config)),
                key=lambda r: r["seconds"],
            )
            x = [row["seconds"] for row in line]
            panel.plot(x, [row["psnr_median"] for row in line], "o-", label=Path(config).stem)
            panel.fill_between(
                x, *zip(*(row["psnr_range"] for row in line), strict=True), alpha=0.25
            )
        panel.set(
            title=Path(scene).name, xlabel="seconds of training", ylabel="PSNR, dB", xscale="log"
        )
        panel.set_xticks(x, [f"{s:g}" for s in x])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(file, dpi=110)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configs", default="configs/ngp.py")
    parser.add_argument("--scenes", default="data/tabletop")
    parser.add_argument("--seconds", default="10,20,60")
    parser.add_argument("--seeds", default="3", help="a number of seeds, or a range: 3-5")
    parser.add_argument("--split", default="test", choices=["test", "val"])
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="config.KEY=VALUE",
        help="an override; repeatable",
    )
    parser.add_argument("--workdir", default="runs/time_to_quality")
    parser.add_argument("--out", default="runs/time_to_quality/quality.json")
    return parser.parse_args()


def main() -> None:
    options = parse()
    rows = [
        row(config, scene, float(seconds), options)
        for config in options.configs.split(",")
        for scene in options.scenes.split(",")
        for seconds in options.seconds.split(",")
    ]
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_out({"split": options.split, "settings": options.set, "rows": rows}, options.out)
    draw(rows, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
