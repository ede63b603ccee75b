"""Read finished runs: final scores, scores during training, and protocol.

Nothing here loads a model or uses a device.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.foundation.instantiate import ConfigError
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.record import read_json
from nerf.runs.resume import differences

NEUTRAL = ("log_every", "save_every", "keep")  # config keys that do not change the result of a run
ROUNDING = 1e-3  # seconds in metrics.jsonl are rounded to this
MUST_AGREE = (  # keys of the protocol that must agree between runs to compare their scores
    "split",
    "views",
    "size",
    "background",
    "mask",
    "psnr",
    "ssim",
    "precision",
    "scene_digest",
)


@dataclasses.dataclass(frozen=True)
class Point:
    """Held-out PSNR at one time of training.

    Attributes:
      step: number of training steps.
      seconds: seconds of training.
      psnr: mean over the views that were scored.
      per_image: PSNR of each view, NaN if it was not scored; None if only means were stored.
    """

    step: int
    seconds: float
    psnr: float
    per_image: Float[np.ndarray, " v"] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
      folder: the run folder.
      config: its config.
      results: the contents of results.json.
      curve: held-out scores during training, by step.
    """

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    curve: list[Point]

    @property
    def names(self) -> list[str]:
        """Return the names of the held-out views."""
        return list(self.results["per_image"])

    def scores(self, metric: str) -> Float[np.ndarray, " v"] | None:
        """Return a metric of each view; None if any view has none."""
        values = [score.get(metric) for score in self.results["per_image"].values()]
        return None if None in values else np.array(values, float)

    def at(self, axis: str, where: float) -> Float[np.ndarray, " v"] | None:
        """Interpolate the PSNR of each view linearly at a step or time.

        Args:
          axis: "step" or "seconds".
          where: the step, or seconds of training.

        Returns: NaN for a view that some scoring skipped; None outside of the scorings, or if only
          means were stored.
        """
        points = [point for point in self.curve if point.per_image is not None]
        places = [float(getattr(point, axis)) for point in points]
        if not points or not places[0] <= where <= places[-1] + ROUNDING:
            return None
        values = np.stack([np.asarray(point.per_image) for point in points])
        # Interpolating around a missing score would mix scores of different times.
        values[:, ~np.isfinite(values).all(0)] = np.nan
        return np.stack([np.interp(where, places, column) for column in values.T])


def read_result(folder: Path) -> Result:
    """Read a finished run.

    Raises:
      CheckpointError: one line, if `folder` is not that of a finished run.
    """
    config, results = read_json(folder / "config.json"), read_json(folder / "results.json")
    points = {}
    file = folder / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # an incomplete line, left by a power cut
        if entry.get("split") == config["eval_split"] and entry.get("psnr") is not None:
            listed = entry.get("per_image", {}).get("psnr")
            per_image = None
            if listed is not None:
                # A scoring on the way may be of some views only.
                per_image = np.full(len(results["per_image"]), np.nan)
                per_image[entry.get("views", slice(None))] = listed
            points[entry["step"]] = Point(entry["step"], entry["seconds"], entry["psnr"], per_image)
    return Result(folder, config, results, [points[step] for step in sorted(points)])


def run_folders(root: Path) -> Iterator[Path]:
    """Yield every run folder under `root`, itself included, sorted by name."""
    for place, folders, files in os.walk(root):
        if "config.json" in files and "scene.json" in files:
            folders.clear()  # do not search inside a run folder
            yield Path(place)
        folders.sort()


def comparable_config(config: Mapping[str, Any], max_seconds: float | None) -> dict[str, Any]:
    """Return a config without keys that cannot change results.

    Args:
      config: the config.
      max_seconds: the bound of the run in seconds; None if steps bound it.
    """
    # The length of a call changes how many steps a second takes, but not what they compute.
    neutral = (*NEUTRAL, "steps_per_call" if max_seconds is None else "steps")
    return {key: value for key, value in config.items() if key not in neutral}


def mismatch(
    result: Result, config: Mapping[str, Any], max_seconds: float | None, now: Mapping[str, Any]
) -> list[str]:
    """Return the reasons why training `config` now would differ.

    Args:
      result: the finished run.
      config: the config to train.
      max_seconds: the bound of training in seconds; None if steps bound it.
      now: current digests of the scene and the sources, versions, device and processor, under their
        names in results.json.

    Returns: one line for each reason; empty if training would give exactly this run.
    """
    why = differences(
        comparable_config(result.config, max_seconds), comparable_config(config, max_seconds)
    )
    if changes := result.results.get("extended"):
        why.append(f"its budget was changed while it trained ({budgets_in_words(changes)})")
    if result.results.get("max_seconds") != max_seconds:
        why.append(f"max_seconds: {result.results.get('max_seconds')} -> {max_seconds}")
    if result.results["protocol"].get("scene_digest") != now["scene_digest"]:
        why.append("another scene, or its files changed")
    code = result.results.get("code") or {}
    changed = [file for file, digest in sorted(code.items()) if now["code"].get(file) != digest]
    if not code or changed:
        why.append(
            f"the code changed: {', '.join(changed)}" if code else "its code was not recorded"
        )
    keys = ["versions", "device"]
    # On another processor, the same number of seconds is another amount of training.
    if max_seconds is not None:
        keys.append("processor")
    for key in keys:
        if result.results.get(key) != now[key]:
            why += differences({key: result.results.get(key)}, {key: now[key]})
    return why


def budgets_in_words(changes: Sequence[Mapping[str, Any]]) -> str:
    """Return successive budgets as "60 s, then 600 s"; "one" without changes."""
    if not changes:
        return "one"
    return ", then ".join([changes[0]["from"], *(change["to"] for change in changes)])


def why_incomparable(result: Result) -> str | None:
    """Return why scores tell nothing about new views; None if they do."""
    folder, protocol = result.folder, result.results["protocol"]
    if result.results.get("psnr") is None:
        fix = "train it with --config.eval_split=val to compare it"
        return f"{folder}: was not scored, as no view was held out: {fix}"
    if known := protocol.get("trained_on"):
        which = f"{known} of its {protocol['views']} scored views"
        fix = "hold out others, or train it with --config.eval_split=val"
        return f"{folder}: was trained on {which}: {fix}"
    return None


def check_protocols(results: Sequence[tuple[str, Result]]) -> None:
    """Raise ConfigError if the scores of labelled runs are not comparable."""
    if not results:
        return
    if reasons := [why for _, result in results if (why := why_incomparable(result))]:
        raise ConfigError("\n".join(dict.fromkeys(reasons)))
    first_label, first = results[0]
    wanted = _protocol(first)
    for label, result in results[1:]:
        lines = differences(wanted, _protocol(result))
        if not lines and result.names != first.names:
            lines = ["names of the held-out views"]
        if lines:
            what = f"unlike protocols, {'; '.join(lines)}"
            which = f"{first_label} ({first.folder}) and {label} ({result.folder})"
            fix = "give nerf compare their configs, and it trains them alike"
            raise ConfigError(f"{which}: {what}: {fix}")


def _protocol(result: Result) -> dict[str, Any]:
    """Return the values that must agree to compare two runs."""
    values = {key: result.results["protocol"].get(key) for key in MUST_AGREE}
    budgets = budgets_in_words(result.results.get("extended") or [])
    return {**values, "budgets of one run": budgets}


def checkpoint_bytes(folder: Path) -> int | None:
    """Return the size of a run's newest checkpoint in bytes; None if there is none."""
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    steps = checkpoints.steps()
    return checkpoints.file(steps[-1]).stat().st_size if steps else None


def summary(folder: Path) -> dict[str, Any]:
    """Return one run as a row of numbers and its `state`."""
    row: dict[str, Any] = {"run": str(folder)}
    try:
        config, record = read_json(folder / "config.json"), read_json(folder / "scene.json")
        row |= {
            "seed": config.get("seed"),
            "scene": record.get("root"),
            "split": config.get("eval_split"),
        }
        if not (folder / "results.json").exists():
            return {**row, "state": "unfinished"}
        result = read_result(folder)
    except (RuntimeError, KeyError, AttributeError, OSError) as error:
        return {**row, "state": f"broken: {error}"}
    keys = ("psnr", "ssim", "flip", "steps", "train_seconds", "max_seconds", "parameters", "device")
    numbers = {key: result.results.get(key) for key in keys}
    protocol = result.results.get("protocol") or {}
    known = protocol.get("trained_on")
    state = f"finished, scored on {known} training views" if known else "finished"
    return {**row, "state": state, **numbers, "protocol": protocol}


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows of `summary` as lines of text."""
    formats = {"psnr": "{:.2f}", "ssim": "{:.4f}", "flip": "{:.4f}", "train_seconds": "{:.1f}"}
    columns = ["run", "state", "scene", "split", "seed"]
    columns += ["psnr", "ssim", "flip", "steps", "train_seconds"]
    shown = [columns]
    for row in rows:
        cells = []
        for key in columns:
            value = row.get(key)
            cells.append("-" if value is None else formats.get(key, "{}").format(value))
        shown.append(cells)
    widths = [max(len(line[i]) for line in shown) for i in range(len(columns))]
    lines = []
    for line in shown:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
