"""Decide whether a run folder can be resumed with a config and a budget."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerf.foundation.instantiate import ConfigError
from nerf.runs.budget import Budget, change_budget
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.record import read_json

MAY_CHANGE = (
    "steps",
    "log_every",
    "save_every",
    "keep",
    "max_skipped",
    "eval_every",
    "eval_times",
    "chunk",
    "steps_per_call",
)


def check_resumable(folder: Path, config: Mapping[str, Any], budget: Budget) -> None:
    """Raise ConfigError if the run in a folder cannot be continued.

    Args:
      folder: the run folder; it may not exist yet.
      config: of this training; keys that differ are named with both values.
      budget: of this training; it must not be smaller than what the run has trained.
    """
    file = folder / "config.json"
    if file.exists():
        changed = differences(read_json(file), json.loads(json.dumps(config)))
        if changed := [line for line in changed if line.partition(":")[0] not in MAY_CHANGE]:
            may = f"only {', '.join(MAY_CHANGE)} may change"
            what = f"started with another config: {'; '.join(changed)}"
            raise ConfigError(f"{folder}: {what}: {may}: use a new --workdir")
    if facts := Checkpoints(folder / "checkpoints", read_only=True).newest_facts():
        change_budget(folder, facts, budget)
        if (skipped := facts["skipped"]) > (limit := config["max_skipped"]):
            what = f"{skipped} of its steps were skipped, as a number was not finite"
            fix = f"resume with --config.max_skipped={skipped} or more, or use a new --workdir"
            raise ConfigError(f"{folder}: {what}, and max_skipped={limit}: {fix}")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the keys in which two configs differ, as lines "key: old -> new".

    Args:
      old: a config as plain data.
      new: another one.
      prefix: put before each key.
    """
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key, "absent"), new.get(key, "absent")
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a} -> {b}")
    return lines
