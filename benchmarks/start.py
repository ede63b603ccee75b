"""Measure the time from starting nerf train to its first steps, with a cold and a warm cache.

    python -m benchmarks.start [--scene=data/tabletop] [--seconds=10] [--out=start.json]

Two processes run one after the other. They share a compilation cache that is empty at first.
`first_steps` are the seconds until the first call of ten steps was done; `finished` the seconds
until the process had trained for `--seconds`, scored the held-out views and exited. `peak_memory`
is in bytes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import write_out


def start(scene: str, seconds: float, folder: Path, cache: Path) -> dict[str, Any]:
    """Train in a new process and return its times.

    Args:
      scene: folder of the scene.
      seconds: seconds of training.
      folder: the run folder.
      cache: folder of the compilation cache.

    Returns: seconds by name, rounded, and `peak_memory` in bytes.
    """
    command = [
        sys.executable,
        "nerf train",
        f"--scene={scene}",
        f"--workdir={folder}",
        f"--max_seconds={seconds}",
    ]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    log = folder / "metrics.jsonl"
    began = time.perf_counter()
    options = ["--config.log_every=10"]
    with subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        # The first line of the log is written after the first call of ten steps.
        while process.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.01)
        first = time.perf_counter() - began
    finished = time.perf_counter() - began
    results = json.loads((folder / "results.json").read_text())
    kept = (
        "load_seconds",
        "prepare_seconds",
        "compile_seconds",
        "train_seconds",
        "evaluate_seconds",
        "psnr",
    )
    times = {"first_steps": first, "finished": finished, **{name: results[name] for name in kept}}
    return {name: round(value, 2) for name, value in times.items()} | {
        "peak_memory": results["peak_memory"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", default="data/tabletop")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary) / "cache"
        runs = [
            start(options.scene, options.seconds, Path(temporary) / name, cache)
            for name in ("first", "second")
        ]
    write_out(dict(zip(("first", "second"), runs, strict=True)), options.out)


if __name__ == "__main__":
    main()
