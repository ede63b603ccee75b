"""Measure seconds per frame against its size, with and without each acceleration.

    python -m benchmarks.render --run=runs/tabletop [--sides=100,200,400] [--views=5]
        [--out=render.json]

Frames are the run's own held-out cameras at other sizes. "exhaustive" evaluates every march step
inside the visual hull (all of space for photos without alpha), "skip" only the steps in cells that
the occupancy grid marks as occupied, and "skip_and_stop" (as nerf render) also stops opaque rays.
PSNR values compare each frame with the exhaustive one; rounding to 8 bits alone gives 59 dB.
"""

import argparse
import dataclasses
import time
from typing import Any

import numpy as np

from benchmarks.common import device, write_out
from nerf.cameras.cameras import Cameras
from nerf.cli.commands import keep_freed_memory
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run, load_run


def resized(camera: Cameras, side: int) -> Cameras:
    """Return the same view with `side` pixels along its longer side."""
    factor = side / float(np.max(camera.size))
    size = np.maximum(np.rint(camera.size * factor), 1).astype(np.int32)
    scale = np.diag([*(size / camera.size), 1.0])
    return dataclasses.replace(camera, K=(scale @ camera.K).astype(np.float32), size=size)


def frames(
    run: Run, cameras: list[Cameras], exhaustive: bool, min_transmittance: float
) -> tuple[float, list[np.ndarray]]:
    """Render views and time them.

    Args:
      run: the trained run; its model is restored afterwards.
      cameras: the views.
      exhaustive: evaluate all cells that may contain matter, not only the occupied ones.
      min_transmittance: a ray stops below this transmittance; -1 never stops it.

    Returns: the median seconds per frame, and the frames.
    """
    usual = run.model.early_stop_transmittance
    run.model.early_stop_transmittance = min_transmittance
    grid = run.model.occupancy
    assert grid is not None, "a config with an occupancy grid"
    occupied = grid.occupied[...]
    if exhaustive:
        grid.occupied[...] = grid.possible[...]
    render_image = make_render_image(run.model, run.config["background"], run.config["chunk"])
    render_image(resized(cameras[0], 8))  # compile before timing
    seconds, pictures = [], []
    for camera in cameras:
        began = time.perf_counter()
        pictures.append(render_image(camera)["rgb"])
        seconds.append(time.perf_counter() - began)
    grid.occupied[...], run.model.early_stop_transmittance = occupied, usual
    return round(float(np.median(seconds)), 4), pictures


def decibels(pictures: list[np.ndarray], truths: list[np.ndarray]) -> float:
    """Return the PSNR of the pictures against the first truths, at most 100 dB."""
    errors = [np.square(a - b).mean() for a, b in zip(pictures, truths, strict=False)]
    return round(float(-10 * np.log10(np.mean(errors) + 1e-10)), 1)


def measure(run: Run, side: int, views: int, exhaustive_views: int) -> dict[str, Any]:
    """Time frames of one size with each acceleration.

    Args:
      run: the trained run.
      side: pixels along the longer side.
      views: number of held-out views to render.
      exhaustive_views: number of them to render exhaustively too.

    Returns: one row of the results.
    """
    held_out = next(cameras for split, cameras in run.cameras.items() if split != "train")
    chosen = np.linspace(0, len(held_out) - 1, views).astype(int)
    cameras = [resized(held_out[int(i)], side) for i in chosen]
    stop, stopped = frames(run, cameras, False, run.model.early_stop_transmittance)
    skip, skipped = frames(run, cameras, False, -1.0)
    row: dict[str, Any] = {"size": cameras[0].size.tolist(), "skip_and_stop": stop, "skip": skip}
    if exhaustive_views:
        row["exhaustive"], whole = frames(run, cameras[:exhaustive_views], True, -1.0)
        row["db_of_skip_and_stop"] = decibels(stopped, whole)
        row["db_of_skip"] = decibels(skipped, whole)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True)
    parser.add_argument("--sides", default="100,200,400")
    parser.add_argument("--views", type=int, default=5)
    parser.add_argument("--exhaustive_views", type=int, default=1)
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    run = load_run(options.run)
    rows = [
        measure(run, int(side), options.views, options.exhaustive_views)
        for side in options.sides.split(",")
    ]
    write_out({"device": device(), "run": options.run, "seconds_a_frame": rows}, options.out)


if __name__ == "__main__":
    main()
