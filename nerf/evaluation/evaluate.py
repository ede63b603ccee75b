"""Score a model on held-out views, and write the renderings beside the scores."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16

from nerf.cameras.cameras import Cameras
from nerf.evaluation import alignment, instances, labels, metrics, surfaces
from nerf.foundation.files import write_array
from nerf.foundation.png import to_bytes, write_png
from nerf.foundation.progress import Meter
from nerf.rendering.images import (
    RenderingStopped,
    colour_depth,
    colour_normals,
    make_render_image,
)
from nerf.rendering.model import Model, classes_of
from nerf.scenes import Scene
from nerf.scenes.images import on_background
from nerf.scenes.labels import write_labels
from nerf.scenes.palette import classes_in, union

PIXELWISE = {"psnr", "psnr_corrected"}  # metrics that take any set of pixels; others need images


def evaluate(
    model: Model,
    scene: Scene,
    split: str,
    background: Sequence[float],
    chunk: int | None,
    folder: Path | None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Score every view of a scene.

    Args:
      model: the trained model.
      scene: the views to score; their labels may lack classes that the model learned.
      split: name of the split, for the protocol.
      background: sRGB behind transparent rays.
      chunk: number of rays rendered at once, see `make_render_image`.
      folder: None computes PSNR and SSIM only. Otherwise all metrics are computed (pose-aligned
        PSNR if poses are learned, surface errors if truth is known) and views are written.
      should_stop: polled while views are rendered; True stops the evaluation.

    Returns:
      "mean", "per_image", "protocol", "seconds_per_frame" (to render a view) and
      "seconds_per_view" (to render and score it), and "labels" and "instances" if they are
      rendered and known, see `nerf.evaluation.labels` and `.instances`; None if it was stopped.
    """
    colour = np.asarray(background, np.float32)
    scene = dataclasses.replace(scene, classes=union(classes_of(model), scene.classes))
    measures = _measures(folder is not None)
    aligned = folder is not None and model.poses is not None
    try:
        with Meter("evaluate", "view", len(scene)) as meter:
            scorer = _Scorer(
                make_render_image(model, background, chunk, should_stop, meter.within),
                alignment.make_align(model, background, should_stop) if aligned else None,
                measures,
                colour,
                folder,
                folder is not None and model.space.num_dims == 3,
            )
            scored, seconds = _score_views(scorer, scene, meter)
    except RenderingStopped:
        return None
    protocols = {name: metrics.PROTOCOL[name] for name in measures}
    protocols |= {"psnr_aligned": alignment.PROTOCOL} if aligned else {}
    protocols |= surfaces.protocol(scene) if scorer.has_surface else {}
    found = list(scored.values())
    scores = _result(scene, found, protocols, _protocol(scene, split, colour))
    return {**scores, **_objects(model, scene, found), **_typical(seconds)}


def _result(
    scene: Scene,
    scored: Sequence["_Scored"],
    protocols: dict[str, str],
    conditions: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the scores of all views.

    Args:
      scene: the views.
      scored: the score of each.
      protocols: how each metric is computed.
      conditions: of the scoring.
    """
    counts = [view.counts for view in scored if view.counts is not None]
    objects = any(view.objects is not None for view in scored)
    protocols |= labels.PER_VIEW if counts else {}
    protocols |= instances.PER_VIEW if objects else {}
    return {
        "mean": {key: _mean([view.scores[key] for view in scored]) for key in protocols},
        "per_image": {name: view.scores for name, view in zip(scene.names, scored, strict=True)},
        "protocol": {
            **conditions,
            **protocols,
            **scored[-1].source,
            **(labels.OF_ALL_VIEWS if counts else {}),
            **(instances.OF_ALL_VIEWS if objects else {}),
        },
        **({"labels": labels.summary(counts, scene.classes)} if counts else {}),
    }


def _objects(model: Model, scene: Scene, scored: Sequence["_Scored"]) -> dict[str, Any]:
    """Return the scores of single objects in all views as "instances", if they are known."""
    counts = [view.objects for view in scored if view.objects is not None]
    if not counts:
        return {}
    return {"instances": instances.summary(counts, instances.find_objects(model, scene.cameras))}


@dataclasses.dataclass(frozen=True)
class _Scorer:
    """Scorer of single views against their photos.

    Attributes:
      render_image: renders one camera.
      align: fits a held-out camera to its image, see `alignment.make_align`; None does not.
      measures: metrics by name.
      colour: sRGB behind transparent rays.
      folder: folder of the written views; None writes none.
      has_surface: whether to score and write normals and depth, too.
    """

    render_image: Callable[[Cameras], dict[str, np.ndarray]]
    align: Callable[[Cameras, np.ndarray, np.ndarray], Cameras] | None
    measures: Mapping[str, Callable]
    colour: Float[np.ndarray, "3"]
    folder: Path | None
    has_surface: bool

    def score(self, scene: Scene, i: int) -> "_Scored":
        """Render, score and write a view."""
        began = time.perf_counter()
        picture = self.render_image(scene.cameras[i])
        rendered = time.perf_counter() - began
        truth, there = true_picture(scene, i, self.colour)
        picture["rgb"] = metrics.apply_mask(picture["rgb"], there, self.colour)
        # Pixels of opacity 1/2 or less are empty.
        picture["depth"] = np.where(picture["opacity"] > 0.5, picture["depth"], 0.0)
        scores = _score(self.measures, picture["rgb"], truth, there)
        source = {}
        if self.has_surface:
            normals, source["normals"] = surfaces.rendered_normals(picture, scene.cameras[i])
            picture["normals"] = normals
            scores |= surfaces.score_surface(picture["normals"], picture["depth"], scene, i)
        counts = labels.confusion(picture["labels"], scene, i) if "labels" in picture else None
        if counts is not None:
            scores["miou"] = labels.mean_over_classes(counts)
        numbers = picture.get("instances")
        objects = None if numbers is None else instances.count_pixels(numbers, scene, i)
        if objects is not None:
            scores["instance_iou"] = instances.mean_iou(objects)
        if self.align is not None:
            moved = self.render_image(self.align(scene.cameras[i], truth, there))
            scores["psnr_aligned"] = metrics.psnr(moved["rgb"][there], truth[there])
        if self.folder is not None:
            path = self.folder / picture_name(i, scene.names[i])
            _write_view(path, picture, truth, scene.transform.scale)
            if self.has_surface:
                _write_surface(path, picture["normals"], scene, i)
            for kind in {"labels", "instances"} & picture.keys():
                _write_numbers(path, kind, picture[kind], scene, i)
        return _Scored(scores, rendered, source, counts, objects)


class _Scored(NamedTuple):
    """A scored view.

    Attributes:
      scores: by metric.
      rendered: seconds to render it.
      source: the source of "normals", if any.
      counts: pixels of each true class by the class shown, if both are known.
      objects: pixels by the true and the shown object, if both are known.
    """

    scores: dict[str, float | None]
    rendered: float
    source: dict[str, str]
    counts: Int[np.ndarray, "k k1"] | None
    objects: instances.Counts | None


def _score_views(
    scorer: _Scorer, scene: Scene, meter: Meter
) -> tuple[dict[str, _Scored], list[tuple[float, float]]]:
    """Score all views and show the progress.

    Returns:
      The views by name; and for each the seconds to render it, and to render and score it.
    """
    scored: dict[str, _Scored] = {}
    seconds: list[tuple[float, float]] = []
    for i, name in enumerate(scene.names):
        began = time.perf_counter()
        scored[name] = scorer.score(scene, i)
        seconds.append((scored[name].rendered, time.perf_counter() - began))
        mean = _mean([view.scores["psnr"] for view in scored.values()])
        meter.add(note=f"mean PSNR {mean:.2f}")
    return scored, seconds


def _measures(complete: bool) -> dict[str, Callable]:
    """Return all installed metrics, or only PSNR and SSIM."""
    installed = metrics.installed()
    return installed if complete else {name: installed[name] for name in ("psnr", "ssim")}


def _typical(seconds: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """Return median seconds without the first view, which may compile; None for fewer than two."""
    frame, view = np.median(seconds[1:], 0).tolist() if len(seconds) > 1 else (None, None)
    return {"seconds_per_frame": frame, "seconds_per_view": view}


def true_picture(
    scene: Scene, view: int, colour: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Return a view's photo over the background, also outside of its mask, and the mask.

    Args:
      scene: its images and masks.
      view: number of the view.
      colour: sRGB of the background.
    """
    image = scene.images[view]
    there = scene.maps["mask"][view] if "mask" in scene.maps else np.ones(image.shape[:2], bool)
    return metrics.apply_mask(on_background(image, colour), there, colour), there


def _score(
    measures: Mapping[str, Callable], image: np.ndarray, truth: np.ndarray, there: np.ndarray
) -> dict[str, float | None]:
    """Compute every metric of a view; pixelwise ones inside its mask only."""
    return {
        key: measure(image[there], truth[there]) if key in PIXELWISE else measure(image, truth)
        for key, measure in measures.items()
    }


def _write_view(
    path: Path, picture: Mapping[str, np.ndarray], truth: np.ndarray, scale: float
) -> None:
    """Write two files for a view: a comparison as PNG, and its depth as a compressed array.

    The comparison shows truth | render | error | depth. Depth is along the ray, in the units of the
    scene's file, 0 if empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path.with_name(f"{path.name}.png"), side_by_side(picture, truth))
    depth = picture["depth"] / scale
    write_array(path.with_name(f"{path.name}.npz"), depth.astype(np.float32))


def _write_surface(
    path: Path, normals: Float[np.ndarray, "h w 3"], scene: Scene, view: int
) -> None:
    """Write the normals of a view, and its true normals and depth if the scene has them.

    They lie in folders of their own beside the file of the view. Normals are in the axes of the
    scene's file, as colours; depth is as in `_write_view`.
    """
    files = {"normals": normals}
    if "normals" in scene.maps:
        files["true_normals"] = scene.maps["normals"][view]
    for folder, shown in files.items():
        colours = to_bytes(colour_normals(shown @ scene.transform.rotation))
        (path.parent / folder).mkdir(exist_ok=True)
        write_png(path.parent / folder / f"{path.name}.png", colours)
    if "depth" in scene.maps:
        depth = scene.maps["depth"][view] / scene.transform.scale
        (path.parent / "true_depth").mkdir(exist_ok=True)
        write_array(path.parent / "true_depth" / f"{path.name}.npz", depth.astype(np.float32))


def _write_numbers(
    path: Path, kind: str, shown: UInt16[np.ndarray, "h w"], scene: Scene, view: int
) -> None:
    """Write the classes or the objects of a view, and the true ones if the scene has them.

    Args:
      path: of the view's comparison, without an ending.
      kind: "labels" or "instances", the name of the map.
      shown: as in the map.
      scene: the scene.
      view: number of the view.
    """
    files = {kind: shown}
    if kind in scene.maps:
        files[f"true_{kind}"] = scene.maps[kind][view]
    for folder, numbers in files.items():
        classes = scene.classes if kind == "labels" else classes_in([numbers])
        (path.parent / folder).mkdir(exist_ok=True)
        write_labels(path.parent / folder / f"{path.name}.png", numbers, classes)


def _protocol(scene: Scene, split: str, colour: np.ndarray) -> dict[str, Any]:
    """Describe the conditions under which a scene is scored."""
    sizes = np.asarray(scene.cameras.size).tolist()
    return {
        "split": split,
        "views": len(scene),
        "size": sorted({"x".join(map(str, size)) for size in sizes}),
        "background": [float(c) for c in colour],
        "precision": metrics.PRECISION,
        "mask": metrics.MASK if "mask" in scene.maps else metrics.NO_MASK,
    }


def unscored(split: str) -> dict[str, Any]:
    """Return the result of `evaluate` for a run without views to score."""
    protocol = {"split": split, "views": 0}
    mean = {"psnr": None, "ssim": None}
    return {"mean": mean, "per_image": {}, "protocol": protocol, "seconds_per_frame": None}


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None if any value is missing.

    A mean over some of the views would be another protocol.
    """
    return None if None in values else float(np.mean(np.array(values, float)))


def side_by_side(
    picture: Mapping[str, Float[np.ndarray, "h w ..."]], truth: Float[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w4 3"]:
    """Build the comparison image truth | render | error | depth.

    The error is the mean absolute difference over the channels, white at 0.25.
    """
    error = np.abs(np.clip(picture["rgb"], 0.0, 1.0) - truth).mean(-1, keepdims=True) * 4.0
    depth = colour_depth(picture["depth"], picture["opacity"])
    return to_bytes(np.concatenate([truth, picture["rgb"], np.repeat(error, 3, -1), depth], 1))


def picture_name(i: int, name: str) -> str:
    """Return the file name, without suffix, of view number `i` in a run's folder `eval`."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(name).stem)
    return f"{i:03d}_{safe[:80]}"
