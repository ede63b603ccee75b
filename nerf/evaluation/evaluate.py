"""Scoring a model on held-out views, and the pictures that go with the numbers."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from nerf.evaluation import alignment, metrics
from nerf.foundation.files import write_array
from nerf.foundation.png import to_bytes, write_png
from nerf.foundation.progress import Meter
from nerf.rendering.images import RenderingStopped, colour_depth, make_render_image
from nerf.rendering.model import Model
from nerf.scenes import Scene, to_unit
from nerf.scenes.images import over

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
    """Score every view of a scene.

    With `folder`, compute all metrics: colour-corrected PSNR; pose-aligned PSNR if poses are learned; FLIP and LPIPS if
    installed. Two files a view are written there then: truth | render | error | depth as PNG, and depth along the ray
    in the units of the scene's file, 0 where nothing is, as a compressed array.

    Args:
      model: with its trained values.
      scene: the views.
      split: their name, for the protocol.
      background: sRGB behind what is transparent.
      chunk: rays rendered at once.
      folder: of the pictures; None writes none.
      should_stop: asked while views are rendered; True ends it.

    Returns:
      "mean", "per_image", "protocol", "seconds_per_frame", "seconds_per_view" (and score it); None if it was stopped.
    """
    colour = np.asarray(background, np.float32)
    render_image = make_render_image(model, background, chunk, should_stop)
    measures = {name: one for name, one in metrics.installed().items() if folder or name in ("psnr", "ssim")}
    aligned = folder is not None and model.poses is not None
    align = alignment.make_align(model, background, should_stop) if aligned else None
    scores: dict[str, dict[str, float | None]] = {}
    seconds: list[tuple[float, float]] = []  # of rendering each view, and of rendering and scoring it
    try:
        with Meter("evaluate", "view", len(scene)) as meter:
            for i, name in enumerate(scene.names):
                began = time.perf_counter()
                picture = render_image(scene.cameras[i])
                rendered = time.perf_counter() - began
                truth, there = _truth(scene, i, colour)
                picture["rgb"] = metrics.apply_mask(picture["rgb"], there, colour)
                scores[name] = _score(measures, picture["rgb"], truth, there)
                if align is not None:
                    moved = render_image(align(scene.cameras[i], truth, there))
                    scores[name]["psnr_aligned"] = metrics.psnr(moved["rgb"][there], truth[there])
                if folder is not None:
                    _write_view(folder / picture_name(i, name), picture, truth, scene.transform.scale)
                seconds.append((rendered, time.perf_counter() - began))
                meter.add(note=f"mean PSNR {_mean([score['psnr'] for score in scores.values()]):.2f}")
    except RenderingStopped:
        return None
    protocols = {name: metrics.PROTOCOL[name] for name in measures}
    protocols |= {"psnr_aligned": alignment.PROTOCOL} if aligned else {}
    return {
        "mean": {key: _mean([score[key] for score in scores.values()]) for key in protocols},
        "per_image": scores,
        "protocol": {**_protocol(scene, split, colour), **protocols},
        **_typical(seconds),
    }


def _typical(seconds: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """Return medians without the first view, which may compile; None of fewer than two views."""
    frame, view = np.median(seconds[1:], 0).tolist() if len(seconds) > 1 else (None, None)
    return {"seconds_per_frame": frame, "seconds_per_view": view}


def _truth(scene: Scene, view: int, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view's photo over the background, hidden outside of its mask, and the mask."""
    there = np.ones(scene.images[view].shape[:2], bool) if scene.masks is None else scene.masks[view]
    return metrics.apply_mask(np.asarray(over(to_unit(scene.images[view]), colour)), there, colour), there


def _score(
    measures: Mapping[str, Callable], image: np.ndarray, truth: np.ndarray, there: np.ndarray
) -> dict[str, float | None]:
    """Return every metric of a view; those of pixels are taken inside its mask."""
    return {
        key: measure(image[there], truth[there]) if key in OF_PIXELS else measure(image, truth)
        for key, measure in measures.items()
    }


def _write_view(path: Path, picture: Mapping[str, np.ndarray], truth: np.ndarray, scale: float) -> None:
    """Write the comparison and the depth of a view beside each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path.with_name(f"{path.name}.png"), side_by_side(picture, truth))
    depth = np.where(picture["opacity"] > 0.5, picture["depth"] / scale, 0.0)
    write_array(path.with_name(f"{path.name}.npz"), depth.astype(np.float32))


def _protocol(scene: Scene, split: str, colour: np.ndarray) -> dict[str, Any]:
    """Return what the scores of a scene are of."""
    return {
        "split": split,
        "views": len(scene),
        "size": sorted({"x".join(map(str, size)) for size in np.asarray(scene.cameras.size).tolist()}),
        "background": [float(c) for c in colour],
        "precision": metrics.PRECISION,
        "mask": metrics.NO_MASK if scene.masks is None else metrics.MASK,
    }


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
    return to_bytes(np.concatenate([truth, picture["rgb"], np.repeat(error, 3, -1), depth], 1))


def picture_name(i: int, name: str) -> str:
    """The name, without ending, of the files in a run's `eval` that show view number `i`."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(name).stem)
    return f"{i:03d}_{safe[:80]}"
