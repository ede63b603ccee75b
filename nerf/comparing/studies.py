"""Parse the arguments of a comparison into methods, and list the runs that they need.

A method is a config or a set of finished runs, under one label. An argument is one of

    configs/ngp.py                              a config
    configs/ngp.py:batch_size=1024,steps=500    the same with other values, by dotted key
    small=configs/ngp.py:batch_size=1024        with a label of your own
    configs/ngp.py:seeds=3-5                    with its own seeds instead of those of --seeds
    runs/mine                                   a finished run, or a folder of runs that differ
                                                only in the seed
    mine=runs/a+runs/b                          several finished runs
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
from nerf.runs.config_checks import check_config
from nerf.runs.config_files import config_names, find_config, hint_at_config, load_config
from nerf.runs.device_sizes import settle
from nerf.runs.results import Result, comparable_config, read_result, run_folders
from nerf.runs.resume import differences


@dataclasses.dataclass(frozen=True)
class Method:
    """One side of a comparison: a config to train, or finished runs.

    Attributes:
      label: the name in the report.
      file: the config; "" for finished runs.
      overrides: "key=value" changes of the config.
      seeds: the seeds to train the config with.
      runs: finished runs; empty for a config.
      base: for a point of a sweep, the label of the swept method; otherwise "".
      point: for a point of a sweep, (key, value) of each swept key.
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
    """A run that a study needs.

    Attributes:
      label: the label of its method.
      file: the config file.
      overrides: "key=value" changes of it, including the seed.
      config: the config with the overrides applied.
      max_seconds: the budget of training time in seconds; None if the number of steps is the bound.
    """

    label: str
    file: str
    overrides: tuple[str, ...]
    config: dict[str, Any]
    max_seconds: float | None

    def flags(self) -> list[str]:
        """Return the flags of nerf train for this run."""
        words = [f"--config={self.file}", *(f"--config.{word}" for word in self.overrides)]
        return words + ([f"--max_seconds={self.max_seconds:g}"] if self.max_seconds else [])

    def settled(self, devices: int, platform: str) -> "RunRequest":
        """Return the run with the numbers of its config that depend on the device.

        Args:
          devices: number of devices that will train it.
          platform: theirs, as "gpu".
        """
        return dataclasses.replace(self, config=settle(self.config, devices, platform))

    def folder_name(self, scene_digest: Mapping[str, str]) -> str:
        """Return a folder name that is unique for config, budget, scene and seed."""
        config = comparable_config(self.config, self.max_seconds)
        del config["seed"]
        identity = json.dumps([config, self.max_seconds, dict(scene_digest)], sort_keys=True)
        stem = (
            Path(self.file).parent.name
            if Path(self.file).name == "config.json"
            else Path(self.file).stem
        )
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        return f"{stem}-{digest}-seed{self.config['seed']}"


def parse_seconds(text: str) -> float:
    """Parse "90", "90s" or "1.5m" as seconds. Raises ConfigError."""
    number, unit = text.strip().rstrip("sm"), text.strip().lstrip("0123456789.")
    if (
        unit not in ("", "s", "m")
        or not re.fullmatch(r"\d+(\.\d*)?|\.\d+", number)
        or float(number) <= 0
    ):
        raise ConfigError(f"--budget={text}: not a time: write it as 60s or 2m")
    return float(number) * (60.0 if unit == "m" else 1.0)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse "3" as seeds 0 to 2 and "3-5" as seeds 3 to 5. Raises ConfigError."""
    if not (found := re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())):
        raise ConfigError(
            f"seeds={text}: not a number of seeds (3) or a range of seeds (3-5): write one of these"
        )
    first, last = found.groups()
    seeds = tuple(range(int(first))) if last is None else tuple(range(int(first), int(last) + 1))
    if not seeds:
        raise ConfigError(f"seeds={text}: no seeds: give at least one, for example 3 or 3-5")
    return seeds


def split_values(text: str) -> list[str]:
    """Split "4,8,(1,2)" into its values; a comma inside brackets does not split."""
    return [value.strip() for value in re.split(r",(?![^(\[]*[)\]])", text) if value.strip()]


def parse_argument(text: str, seeds: tuple[int, ...]) -> Method:
    """Parse one argument of nerf compare; the module docstring lists the forms.

    Args:
      text: the argument.
      seeds: the seeds of a config whose argument names none.

    Raises:
      ConfigError: the method is unknown or malformed.
    """
    name, rest = "", text
    if not Path(text).expanduser().exists() and (found := re.match(r"([^=:/]+)=(.+)", text)):
        name, rest = found.groups()
    # The colon of a Windows drive, as in C:\runs, does not separate a file from its settings.
    drive = rest[:2] if re.match(r"[A-Za-z]:[\\/]", rest) else ""
    file, _, settings = rest[len(drive) :].partition(":")
    file = drive + file
    if Path(file).expanduser().is_dir() or find_config(file) is None:
        if Path(file).suffix in (".py", ".json"):
            raise ConfigError(f"{file}: no such config: {hint_at_config(file)}")
        runs = tuple(run for part in rest.split("+") for run in _finished(Path(part).expanduser()))
        _check_one_config(rest, runs)
        return Method(name or Path(rest.split("+")[0]).name or rest, runs=runs)
    # A comma separates settings only if "key=" follows; other commas belong to a value.
    words = re.split(r",(?=\s*[\w.]+=)", settings)
    words = [word.removeprefix("config.") for word in words if word]
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
    """Shorten a setting: "model.field=package.module:Class" becomes "field=Class"."""
    key, _, value = word.partition("=")
    return f"{key.rpartition('.')[2]}={value.rpartition(':')[2]}"


def _finished(folder: Path) -> list[Result]:
    """Return the finished run in `folder`, or all finished runs below it.

    Raises:
      ConfigError: if there is none.
    """
    if not folder.is_dir():
        known = ", ".join(name for name in config_names() if "/" not in name)
        raise ConfigError(
            f"{folder}: neither a config nor a folder: "
            f"give a config ({known}, ...) or a finished run"
        )
    found = [
        read_result(place) for place in run_folders(folder) if (place / "results.json").exists()
    ]
    if not found:
        raise ConfigError(f"{folder}: no finished run in this folder: complete its training first")
    return found


def _check_one_config(text: str, runs: Sequence[Result]) -> None:
    """Raise ConfigError unless the runs differ only in their seeds."""
    for run in runs[1:]:
        clocks = {each.results.get("max_seconds") for each in (runs[0], run)}
        if len(clocks) > 1:
            budgets = " and ".join("steps" if clock is None else f"{clock:g} s" for clock in clocks)
            raise ConfigError(
                f"{text}: runs of different budgets, {budgets}: give them as separate arguments"
            )
        (clock,) = clocks
        ours = comparable_config(runs[0].config, clock)
        theirs = comparable_config(run.config, clock)
        if lines := [line for line in differences(ours, theirs) if not line.startswith("seed:")]:
            raise ConfigError(
                f"{text}: runs of different configs, {lines[0]}: give them as separate arguments"
            )
    if len({run.config["seed"] for run in runs}) < len(runs):
        raise ConfigError(
            f"{text}: duplicate seed: its runs are not independent: give each seed once"
        )


def sweep(methods: Sequence[Method], axes: Sequence[str], together: bool) -> list[Method]:
    """Return every method at every point of a sweep.

    Args:
      methods: the methods to sweep; all must be configs.
      axes: "key=value,value" for each swept key.
      together: step through all axes at once (zip) instead of taking their product.

    Returns: one method for each input method and point, in this order.

    Raises:
      ConfigError: if an axis is malformed, axes stepped through together differ in length, or a
        method consists of finished runs.
    """
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
            f"--sweep: different numbers of values ({counts}): give the same number for each key, "
            "or --grid=product"
        )
    points = list(zip(*values, strict=True)) if together else list(itertools.product(*values))
    out = []
    for method in methods:
        if method.runs:
            raise ConfigError(f"{method.label}: a finished run cannot be swept: give its config")
        for point in points:
            words = tuple(f"{name}={value}" for name, value in zip(names, point, strict=True))
            label = " ".join([method.label, *(short_name(word) for word in words)])
            swept = dataclasses.replace(
                method,
                label=label,
                overrides=method.overrides + words,
                base=method.label,
                point=tuple(zip(names, point, strict=True)),
            )
            out.append(swept)
    return out


def with_unique_labels(methods: Sequence[Method]) -> list[Method]:
    """Return the methods with unique labels.

    Equal labels get the range of their seeds as a suffix, and a number if they are still equal.
    """
    labels = [method.label for method in methods]
    if len(set(labels)) < len(labels):
        labels = [
            f"{method.label} (seeds {_range(method)})"
            if labels.count(method.label) > 1
            else method.label
            for method in methods
        ]
    out = []
    for i, label in enumerate(labels):
        number = f" #{labels[: i + 1].count(label)}" if labels.count(label) > 1 else ""
        out.append(dataclasses.replace(methods[i], label=label + number))
    return out


def _range(method: Method) -> str:
    """Return the seeds of a method as text, first-last."""
    seeds = sorted(method.seeds or [run.config["seed"] for run in method.runs])
    return f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def wanted_runs(
    methods: Sequence[Method],
    max_seconds: float | None,
    steps: int | None,
    eval_times: int,
    split: str | None,
    plugins: tuple[str, ...] = (),
) -> list[RunRequest]:
    """List the runs to find or train.

    Runs come seed by seed, so that an interrupted study has about equally many of each config.

    Args:
      methods: configs and finished runs; finished runs need no further run.
      max_seconds: budget of training time for each run in seconds; None: the steps are the bound.
      steps: training steps of each run; None: as the config says. Not used with `max_seconds`.
      eval_times: number of evaluations during the training of a run.
      split: the evaluated split; None: as the config says.
      plugins: packages outside `nerf` that configs may name.

    Returns: the requests, in training order.

    Raises:
      ConfigError: if a config or an override is invalid.
    """
    by_method: list[list[RunRequest]] = []
    for method in methods:
        by_method.append([])
        bound = [f"steps={steps}"] if steps and not max_seconds else []
        more = [*bound, f"eval_times={eval_times}", *([f"eval_split={split}"] if split else [])]
        for seed in method.seeds if method.file else ():
            overrides = (*method.overrides, *more, f"seed={seed}")
            config = load_config(method.file, overrides, plugins, told_as=f"{method.file}:")
            check_config(config, 1, max_seconds, plugins)
            request = RunRequest(method.label, method.file, overrides, config, max_seconds)
            by_method[-1].append(request)
    # Interleave: the first seed of every method, then the second seed of every method, ...
    columns = itertools.zip_longest(*by_method)
    return [run for column in columns for run in column if run is not None]
