"""Scoring a model on held-out views, and the pictures that go with the numbers."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from nerf import alignment, metrics
from nerf.files import write_array
from nerf.model import Model
from nerf.pixels import over
from nerf.scenes import Scene, to_unit
from nerf.video import write_png
from nerf.views import colour_depth, make_render_view

OF_PIXELS = {"psnr", "psnr_corrected"}  # metrics of any set of pixels


def evaluate(
    model: Model,
    scene: Scene,
    split: str,
    background: Sequence[float],
    chunk: int,
    folder: Path | None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """PSNR and SSIM of every view of `scene`, their means, the protocol, and seconds a frame (median but the first).

    Where `folder` is given the scores are whole: with PSNR after a correction of colours, for a model that learned its
    cameras' poses also after one of each held-out camera's, and FLIP and LPIPS where these are installed. Two files a
    view go there then: truth | render | error | depth as PNG, and depth along the ray in the units of the scene's file,
    0 where nothing is, as a compressed array. `should_stop` is asked before every view; True ends it with None.
    """
    colour = np.asarray(background, np.float32)
    render_view = make_render_view(model, background, chunk)
    measures = {name: one for name, one in metrics.installed().items() if folder or name in ("psnr", "ssim")}
    align = alignment.make_align(model, background) if folder is not None and model.poses is not None else None
    scores: dict[str, dict[str, float | None]] = {}
    seconds = []
    for i, name in enumerate(tqdm(scene.names, desc="evaluate", unit="view", disable=None)):
        if should_stop():
            return None
        began = time.perf_counter()
        picture = render_view(scene.cameras[i])
        seconds.append(time.perf_counter() - began)
        mask = None if scene.masks is None else scene.masks[i]
        truth = metrics.hide(np.asarray(over(to_unit(scene.images[i]), colour)), mask, colour)
        picture["rgb"] = metrics.hide(picture["rgb"], mask, colour)
        there = np.ones(truth.shape[:2], bool) if mask is None else mask
        scores[name] = {
            key: measure(picture["rgb"][there], truth[there]) if key in OF_PIXELS else measure(picture["rgb"], truth)
            for key, measure in measures.items()
        }
        if align is not None:
            moved = render_view(align(scene.cameras[i], truth, there))
            scores[name]["psnr_aligned"] = metrics.psnr(moved["rgb"][there], truth[there])
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_png(folder / f"{picture_name(i, name)}.png", side_by_side(picture, truth))
            depth = np.where(picture["opacity"] > 0.5, picture["depth"] / scene.transform.scale, 0.0)
            write_array(folder / f"{picture_name(i, name)}.npz", depth.astype(np.float32))
    protocols = {name: metrics.PROTOCOL[name] for name in measures}
    if align is not None:
        protocols["psnr_aligned"] = alignment.PROTOCOL
    mean = {key: _mean([score[key] for score in scores.values()]) for key in protocols}
    sizes = sorted({"x".join(map(str, size)) for size in np.asarray(scene.cameras.size).tolist()})
    protocol = {
        "split": split,
        "views": len(scene),
        "size": sizes,
        "background": [float(c) for c in colour],
        "mask": metrics.NO_MASK if scene.masks is None else metrics.MASK,
        **protocols,
    }
    frame = float(np.median(seconds[1:])) if len(seconds) > 1 else None  # the first may compile
    return {"mean": mean, "per_image": scores, "protocol": protocol, "seconds_per_frame": frame}


def unscored(split: str) -> dict[str, Any]:
    """Return what `evaluate` returns, for a run without views to score."""
    protocol = {"split": split, "views": 0}
    return {"mean": {"psnr": None, "ssim": None}, "per_image": {}, "protocol": protocol, "seconds_per_frame": None}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None where any is missing: a mean over some of the views would be another protocol."""
    return None if None in values else float(np.mean(np.array(values, float)))


def side_by_side(
    picture: Mapping[str, Float[np.ndarray, "h w ..."]], truth: Float[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w4 3"]:
    """truth | render | error | depth. The error is the mean absolute difference over channels, white at 0.25."""
    error = np.abs(np.clip(picture["rgb"], 0.0, 1.0) - truth).mean(-1, keepdims=True) * 4.0
    depth = colour_depth(picture["depth"], picture["opacity"])
    return metrics.to_bytes(np.concatenate([truth, picture["rgb"], np.repeat(error, 3, -1), depth], 1))


def picture_name(i: int, name: str) -> str:
    """The name, without ending, of the files in a run's `eval` that show view number `i`."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(name).stem)
    return f"{i:03d}_{safe[:80]}"
