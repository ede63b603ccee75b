"""Finished runs read back as numbers: scores of each view, what they were at a step or a second, and their protocol.

Nothing here loads a model or touches a device.
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
from nerf.runs.runs import differences, read_json

NEUTRAL = ("log_every", "save_every", "keep")  # keys of a config that change no number of a run
ROUNDING = 1e-3  # of seconds in metrics.jsonl
MUST_AGREE = (
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
    """Held-out PSNR at a moment of training.

    Attributes:
      psnr: mean over the views that were scored then.
      per_image: of each view, NaN for one that was not scored then; None where only means were kept.
    """

    step: int
    seconds: float
    psnr: float
    per_image: Float[np.ndarray, " v"] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run: its folder, config, what results.json holds, and its held-out scores on the way."""

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    curve: list[Point]

    @property
    def names(self) -> list[str]:
        """The held-out views."""
        return list(self.results["per_image"])

    def scores(self, metric: str) -> Float[np.ndarray, " v"] | None:
        """A number for each view; None where any view has none."""
        values = [score.get(metric) for score in self.results["per_image"].values()]
        return None if None in values else np.array(values, float)

    def at(self, axis: str, where: float) -> Float[np.ndarray, " v"] | None:
        """PSNR of each view at a "step" or after "seconds", straight between the scorings before and after.

        NaN for a view that not every scoring had; None outside of the scorings, or where only means were kept.
        """
        points = [point for point in self.curve if point.per_image is not None]
        places = [float(getattr(point, axis)) for point in points]
        if not points or not places[0] <= where <= places[-1] + ROUNDING:
            return None
        values = np.stack([np.asarray(point.per_image) for point in points])
        values[:, ~np.isfinite(values).all(0)] = np.nan
        return np.stack([np.interp(where, places, column) for column in values.T])


def read_result(folder: Path) -> Result:
    """Raises CheckpointError, one line, where `folder` is not that of a finished run."""
    config, results = read_json(folder / "config.json"), read_json(folder / "results.json")
    points = {}
    file = folder / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # torn by a power cut
        if entry.get("split") == config["eval_split"] and entry.get("psnr") is not None:
            listed = entry.get("per_image", {}).get("psnr")
            per_image = None
            if listed is not None:
                per_image = np.full(len(results["per_image"]), np.nan)
                per_image[entry.get("views", slice(None))] = listed
            points[entry["step"]] = Point(entry["step"], entry["seconds"], entry["psnr"], per_image)
    return Result(folder, config, results, [points[step] for step in sorted(points)])


def run_folders(root: Path) -> Iterator[Path]:
    """Every run folder under `root`, itself included, finished or not, in order of their names."""
    for place, folders, files in os.walk(root):
        if "config.json" in files and "scene.json" in files:
            folders.clear()
            yield Path(place)
        folders.sort()


def comparable_config(config: Mapping[str, Any], max_seconds: float | None) -> dict[str, Any]:
    """A config without what changes no number of a run that is bounded by `max_seconds`, or by steps where None."""
    neutral = NEUTRAL if max_seconds is None else (*NEUTRAL, "steps")
    return {key: value for key, value in config.items() if key not in neutral}


def mismatch(
    result: Result, config: Mapping[str, Any], max_seconds: float | None, now: Mapping[str, Any]
) -> list[str]:
    """Why a finished run is not the one that training `config` would give; empty where it is, exactly.

    `now` has the scene's digests, the digests of the sources, the versions, the device and the processor, under the
    names that results.json gives them.
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
    # A bound on seconds means another amount of training on another processor.
    for key in (
        ("versions", "device") if max_seconds is None else ("versions", "device", "processor")
    ):
        if result.results.get(key) != now[key]:
            why += differences({key: result.results.get(key)}, {key: now[key]})
    return why


def budgets_in_words(changes: Sequence[Mapping[str, Any]]) -> str:
    """Return the budgets that a run had one after another, as "60 s, then 600 s"; "one" where it had only one."""
    return (
        ", then ".join([changes[0]["from"], *(change["to"] for change in changes)])
        if changes
        else "one"
    )


def why_incomparable(result: Result) -> str | None:
    """Return why the scores of a run say nothing about new views, with what to do; None where they do."""
    folder, protocol = result.folder, result.results["protocol"]
    if result.results.get("psnr") is None:
        return f"{folder}: was not scored, as no view was held out: train it with --config.eval_split=val to compare it"
    if known := protocol.get("trained_on"):
        which = f"{known} of its {protocol['views']} scored views"
        return f"{folder}: was trained on {which}: hold out others, or train it with --config.eval_split=val"
    return None


def check_protocols(results: Sequence[tuple[str, Result]]) -> None:
    """Raise ConfigError, naming what differs, where scores of labelled runs may not be held against each other."""
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
            raise ConfigError(
                f"{which}: {what}: give compare.py their configs, and it trains them alike"
            )


def _protocol(result: Result) -> dict[str, Any]:
    """Return what must agree between two runs whose scores are held against each other."""
    told = {key: result.results["protocol"].get(key) for key in MUST_AGREE}
    return {**told, "budgets of one run": budgets_in_words(result.results.get("extended") or [])}


def checkpoint_bytes(folder: Path) -> int | None:
    """Bytes of a run's newest checkpoint; None where there is none."""
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    steps = checkpoints.steps()
    return checkpoints.file(steps[-1]).stat().st_size if steps else None


def summary(folder: Path) -> dict[str, Any]:
    """One run as a row of numbers, finished or not; `state` says which, or what is wrong with it."""
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
    """Rows of `summary` as lines of text."""
    formats = {"psnr": "{:.2f}", "ssim": "{:.4f}", "flip": "{:.4f}", "train_seconds": "{:.1f}"}
    columns = [
        "run",
        "state",
        "scene",
        "split",
        "seed",
        "psnr",
        "ssim",
        "flip",
        "steps",
        "train_seconds",
    ]
    shown = [columns]
    for row in rows:
        values = [row.get(key) for key in columns]
        shown.append(
            [
                "-" if v is None else formats.get(k, "{}").format(v)
                for k, v in zip(columns, values, strict=True)
            ]
        )
    widths = [max(len(line[i]) for line in shown) for i in range(len(columns))]
    return "\n".join(
        "  ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)).rstrip() for line in shown
    )
