"""What a comparison is of: arguments -> entries (a config or finished runs, under a label) -> the runs it needs.

An argument is one of

    configs/ngp.py                                    a config
    configs/ngp.py:batch_size=1024,steps=500          the same with other values, by their dotted keys
    small=configs/ngp.py:batch_size=1024              under a name of your own
    configs/ngp.py:seeds=3-5                          with its own seeds; --seeds is for those that say nothing
    runs/mine                                         a finished run, or a folder of runs that differ in the seed only
    mine=runs/a+runs/b                                several of them
"""

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.foundation.instantiate import ConfigError
from nerf.runs.config_files import config_names, find_config, hint_at_config, load_config
from nerf.runs.results import Result, comparable_config, read_result, run_folders
from nerf.runs.runs import check_config, differences


@dataclasses.dataclass(frozen=True)
class Method:
    """One side of a comparison: `file` with `overrides`, to be trained for each of `seeds`; or finished `runs`.

    Where it is of a sweep, `base` is the label of what was swept, and `point` the value of each swept key.
    """

    label: str
    file: str = ""
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    runs: tuple[Result, ...] = ()
    base: str = ""
    point: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class RunRequest:
    """A run that a study needs: what to train, and the config that comes of it."""

    label: str
    file: str
    overrides: tuple[str, ...]
    config: dict[str, Any]
    max_seconds: float | None

    def flags(self) -> list[str]:
        """The flags of train.py that train it."""
        words = [f"--config={self.file}", *(f"--config.{word}" for word in self.overrides)]
        return words + ([f"--max_seconds={self.max_seconds:g}"] if self.max_seconds else [])

    def folder_name(self, scene_digest: Mapping[str, str]) -> str:
        """A name that is the same for the same config, budget and scene."""
        config = comparable_config(self.config, self.max_seconds)
        del config["seed"]
        told = json.dumps([config, self.max_seconds, dict(scene_digest)], sort_keys=True)
        stem = (
            Path(self.file).parent.name
            if Path(self.file).name == "config.json"
            else Path(self.file).stem
        )
        return f"{stem}-{hashlib.sha256(told.encode()).hexdigest()[:8]}-seed{self.config['seed']}"


def parse_seconds(text: str) -> float:
    """ "90", "90s" or "1.5m" as seconds."""
    number, unit = text.strip().rstrip("sm"), text.strip().lstrip("0123456789.")
    if (
        unit not in ("", "s", "m")
        or not re.fullmatch(r"\d+(\.\d*)?|\.\d+", number)
        or float(number) <= 0
    ):
        raise ConfigError(f"--budget={text}: not a time: write it as 60s or 2m")
    return float(number) * (60.0 if unit == "m" else 1.0)


def parse_seeds(text: str) -> tuple[int, ...]:
    """ "3" is 0, 1, 2; "3-5" is 3, 4, 5."""
    if not (found := re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())):
        raise ConfigError(
            f"seeds={text}: neither a number of seeds, as 3, nor a range of them, as 3-5: write one"
        )
    first, last = found.groups()
    seeds = tuple(range(int(first))) if last is None else tuple(range(int(first), int(last) + 1))
    if not seeds:
        raise ConfigError(f"seeds={text}: no seeds: ask for one or more, as 3, or a range, as 3-5")
    return seeds


def split_values(text: str) -> list[str]:
    """ "4,8,(1,2)" as its values: commas inside brackets belong to a value."""
    return [value.strip() for value in re.split(r",(?![^(\[]*[)\]])", text) if value.strip()]


def parse_argument(text: str, seeds: tuple[int, ...]) -> Method:
    """One argument of compare.py; see the module. Raises ConfigError, one line."""
    name, rest = "", text
    if not Path(text).expanduser().exists() and (found := re.match(r"([^=:/]+)=(.+)", text)):
        name, rest = found.groups()
    drive = rest[:2] if re.match(r"[A-Za-z]:[\\/]", rest) else ""  # C:\runs has a colon of its own
    file, _, told = rest[len(drive) :].partition(":")
    file = drive + file
    if Path(file).expanduser().is_dir() or find_config(file) is None:
        if Path(file).suffix in (".py", ".json"):
            raise ConfigError(f"{file}: no such config: {hint_at_config(file)}")
        runs = tuple(run for part in rest.split("+") for run in _finished(Path(part).expanduser()))
        _check_one_config(rest, runs)
        return Method(name or Path(rest.split("+")[0]).name or rest, runs=runs)
    words = [word.removeprefix("config.") for word in re.split(r",(?=\s*[\w.]+=)", told) if word]
    for word in words:
        if not re.fullmatch(r"\s*[\w.]+=.+", word):
            raise ConfigError(
                f"{text}: '{word}' is not key=value: write {file}:batch_size=1024,steps=500"
            )
    own = [parse_seeds(word.partition("=")[2]) for word in words if word.startswith("seeds=")]
    if any(word.startswith("seed=") for word in words):
        raise ConfigError(f"{text}: 'seed' is set for each run: write seeds=3-5")
    overrides = tuple(word.strip() for word in words if not word.startswith("seeds="))
    stem = Path(file).parent.name if Path(file).name == "config.json" else Path(file).stem
    label = name or " ".join([stem, *(short_name(word) for word in overrides)])
    return Method(label, file, overrides, own[-1] if own else seeds)


def short_name(word: str) -> str:
    """The end of a key, with its value; of an import path only what it names."""
    key, _, value = word.partition("=")
    return f"{key.rpartition('.')[2]}={value.rpartition(':')[2]}"


def _finished(folder: Path) -> list[Result]:
    """The finished run in `folder`, or those in it. Raises ConfigError where there is none."""
    if not folder.is_dir():
        known = ", ".join(name for name in config_names() if "/" not in name)
        raise ConfigError(
            f"{folder}: neither a config nor a folder: give a config ({known}, ...) or a finished run"
        )
    found = [
        read_result(place) for place in run_folders(folder) if (place / "results.json").exists()
    ]
    if not found:
        raise ConfigError(f"{folder}: no finished run in it: train it to its end first")
    return found


def _check_one_config(text: str, runs: Sequence[Result]) -> None:
    """Runs under one label are one config with several seeds."""
    for run in runs[1:]:
        clocks = {each.results.get("max_seconds") for each in (runs[0], run)}
        if len(clocks) > 1:
            told = " and ".join("no clock" if clock is None else f"{clock:g} s" for clock in clocks)
            raise ConfigError(
                f"{text}: runs of different budgets, {told}: give them as separate arguments"
            )
        (clock,) = clocks
        ours, theirs = (
            comparable_config(runs[0].config, clock),
            comparable_config(run.config, clock),
        )
        if lines := [line for line in differences(ours, theirs) if not line.startswith("seed:")]:
            raise ConfigError(
                f"{text}: runs of different configs, {lines[0]}: give them as separate arguments"
            )
    if len({run.config["seed"] for run in runs}) < len(runs):
        raise ConfigError(
            f"{text}: a seed twice: runs of one seed are not independent, give each seed once"
        )


def sweep(entries: Sequence[Method], axes: Sequence[str], together: bool) -> list[Method]:
    """Every entry at every point of the grid of `axes`, "key=value,value"; `together` walks the axes in step."""
    names, values = [], []
    for axis in axes:
        key, _, listed = axis.partition("=")
        if not listed:
            raise ConfigError(
                f"--sweep={axis}: not KEY=VALUE,VALUE: write --sweep=batch_size=1024,2048"
            )
        names.append(key.strip().removeprefix("config."))
        values.append(split_values(listed))
    if together and len({len(column) for column in values}) > 1:
        counts = ", ".join(
            f"{name} {len(column)}" for name, column in zip(names, values, strict=True)
        )
        raise ConfigError(
            f"--sweep: {counts} values cannot be walked in step: give equally many, or --grid=product"
        )
    points = list(zip(*values, strict=True)) if together else list(itertools.product(*values))
    out = []
    for entry in entries:
        if entry.runs:
            raise ConfigError(f"{entry.label}: a finished run cannot be swept: give its config")
        for point in points:
            words = tuple(f"{name}={value}" for name, value in zip(names, point, strict=True))
            label = " ".join([entry.label, *(short_name(word) for word in words)])
            at, overrides = tuple(zip(names, point, strict=True)), entry.overrides + words
            out.append(
                dataclasses.replace(
                    entry, label=label, overrides=overrides, base=entry.label, point=at
                )
            )
    return out


def with_unique_labels(entries: Sequence[Method]) -> list[Method]:
    """Entries whose labels tell them apart: by their seeds where only these differ, else by a number."""
    labels = [entry.label for entry in entries]
    if len(set(labels)) < len(labels):
        labels = [
            f"{entry.label} (seeds {_range(entry)})"
            if labels.count(entry.label) > 1
            else entry.label
            for entry in entries
        ]
    out = []
    for i, label in enumerate(labels):
        number = f" #{labels[: i + 1].count(label)}" if labels.count(label) > 1 else ""
        out.append(dataclasses.replace(entries[i], label=label + number))
    return out


def _range(entry: Method) -> str:
    seeds = sorted(entry.seeds or [run.config["seed"] for run in entry.runs])
    return f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def wanted_runs(
    entries: Sequence[Method],
    max_seconds: float | None,
    steps: int | None,
    eval_times: int,
    split: str | None,
    plugins: tuple[str, ...] = (),
) -> list[RunRequest]:
    """List the runs to find or train, seed by seed, so that a study that is cut short has as many of each config.

    Args:
      entries: configs and finished runs.
      max_seconds: of training for each run; None: steps bound it.
      steps: for each run; None: what its config says.
      eval_times: how often a run is scored while it trains.
      split: which views are scored; None: what its config says.
      plugins: packages outside `nerf` that configs may name.
    """
    out: list[list[RunRequest]] = []
    for entry in entries:
        out.append([])
        bound = [f"steps={steps}"] if steps and not max_seconds else []
        more = [*bound, f"eval_times={eval_times}", *([f"eval_split={split}"] if split else [])]
        for seed in entry.seeds if entry.file else ():
            overrides = (*entry.overrides, *more, f"seed={seed}")
            config = load_config(entry.file, overrides, plugins, told_as=f"{entry.file}:")
            check_config(config, 1, max_seconds, plugins)
            out[-1].append(RunRequest(entry.label, entry.file, overrides, config, max_seconds))
    return [run for column in itertools.zip_longest(*out) for run in column if run is not None]
