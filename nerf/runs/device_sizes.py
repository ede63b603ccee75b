"""Settle the numbers of a config that depend on the device and that it leaves open, as None."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerf.foundation.devices import sizes_of
from nerf.runs.config_checks import is_whole
from nerf.runs.record import read_json

# A call of the jitted step takes whole steps, and these happen between calls.
BETWEEN_CALLS = ("steps", "log_every", "save_every", "eval_every")


def settle(
    config: Mapping[str, Any],
    devices: int = 1,
    platform: str | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Return a config with a batch size and a number of steps per call.

    Both stay as they are where the config has them. `chunk` stays open, because a run is rendered
    on other devices than the one that trained it.

    Args:
      config: the config.
      devices: number of devices that share a batch, which must be a multiple of it.
      platform: where the config is trained, see `sizes_of`.
      folder: the run folder. If it has a run, that is the one to resume: its batch size is kept,
        and its calls can be continued.
    """
    file = None if folder is None else folder / "config.json"
    earlier = read_json(file) if file is not None and file.exists() else {}
    sizes, settled = sizes_of(platform), dict(config)
    if config.get("batch_size", 0) is None:
        fitting = -(-sizes.batch_size // devices) * devices
        begun = earlier.get("batch_size")
        settled["batch_size"] = begun if is_whole(begun) else fitting
    if config.get("steps_per_call", 0) is None:
        numbers = [config.get(key) for key in BETWEEN_CALLS] + [earlier.get("steps_per_call")]
        whole = [n for n in numbers if is_whole(n)]
        common = math.gcd(*whole) or sizes.steps_per_call
        settled["steps_per_call"] = max(
            n for n in range(1, sizes.steps_per_call + 1) if common % n == 0
        )
    return settled
