"""Check the top-level values of a config before anything is loaded."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from nerf.foundation.instantiate import ConfigError, did_you_mean, section_problems

EVAL_SPLITS = ("test", "val", "none")
SECTIONS = ("scene", "spaces", "model", "losses", "optimizer", "schedule", "trainer")
MAY_BE_ZERO = {"seed", "max_skipped", "eval_every", "eval_times"}
COUNTS = (
    "seed",
    "steps",
    "steps_per_call",
    "batch_size",
    "log_every",
    "save_every",
    "keep",
    "max_skipped",
    "eval_every",
    "eval_times",
    "chunk",
)
BY_DEVICE = {"steps_per_call", "batch_size", "chunk"}  # None leaves them to the device
MAX_INTEGER = 2**31 - 1  # JAX counts in 32 bits
# Top-level keys of every config.
KEYS = (*COUNTS, "eval_split", "background", "random_background", *SECTIONS)


def config_problems(config: Mapping[str, Any], devices: int = 1) -> list[str]:
    """Return a line for each wrong top-level key or value.

    Args:
      config: the config.
      devices: number of devices that share a batch.
    """
    return [*_key_problems(config), *_value_problems(config, devices)]


def _key_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines for unknown keys, missing keys and wrong sections."""
    for key in config.keys() - set(KEYS):
        yield f"{key}: unknown key: {did_you_mean(key, KEYS)}"
    if missing := [key for key in KEYS if key not in config]:
        yield f"{', '.join(missing)}: missing: start from nerf.runs.defaults.base()"
    for key in SECTIONS:
        if key in config and not isinstance(config[key], Mapping):
            fix = "it cannot be switched off, name what to build"
            yield f"{key}={config[key]!r}: not a section: {fix}"


def _value_problems(config: Mapping[str, Any], devices: int) -> Iterator[str]:
    """Yield a line for each wrong value; missing keys are skipped."""
    given = [key for key in COUNTS if key in config]
    given = [key for key in given if config[key] is not None or key not in BY_DEVICE]
    not_whole = [key for key in given if not is_whole(config[key])]
    for key in not_whole:
        example = 4096 if key == "batch_size" else 100
        yield f"{key}={config[key]!r}: not a whole number: choose one, as {example}"
    # The checks below need integers.
    numbers = {key: config[key] for key in given if key not in not_whole}
    for least in (0, 1):
        keys = [key for key in numbers if (key in MAY_BE_ZERO) == (least == 0)]
        if small := [f"{key}={numbers[key]}" for key in keys if numbers[key] < least]:
            yield f"{', '.join(small)}: below {least}: choose {least} or more"
    if large := [f"{key}={numbers[key]}" for key in numbers if numbers[key] > MAX_INTEGER]:
        yield f"{', '.join(large)}: above {MAX_INTEGER}: choose less"
    if numbers.get("batch_size", devices) % devices:
        size = config["batch_size"]
        next_size = -(-size // devices) * devices
        yield f"batch_size={size}: not divisible by {devices} devices: choose {next_size}"
    # One jitted call takes `steps_per_call` steps, so everything happens between calls.
    call = numbers.get("steps_per_call", 1)
    multiples = ("steps", "log_every", "save_every", "eval_every")
    if call > 0 and (keys := [key for key in multiples if numbers.get(key, call) % call]):
        wrong = ", ".join(f"{key}={numbers[key]}" for key in keys)
        yield f"{wrong}: not divisible by steps_per_call={call}: choose multiples of it"
    if config.get("eval_split", "test") not in EVAL_SPLITS:
        split = config["eval_split"]
        yield f"eval_split={split!r}: choose 'test', 'val' or 'none' (train on all views)"
    if not is_colour(config.get("background", (1.0, 1.0, 1.0))):
        colour, fix = config["background"], "black is 0,0,0 and white 1,1,1"
        yield f"background={colour!r}: not three numbers from 0 to 1: {fix}"
    if not isinstance(config.get("random_background", False), bool):
        value = config["random_background"]
        yield f"random_background={value!r}: neither true nor false: choose one"


def is_whole(value: Any) -> TypeGuard[int]:
    """Report whether a value is an integer."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_colour(value: Any) -> bool:
    """Report whether a value is three finite numbers in [0, 1]."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != 3:
        return False
    numbers = [
        x for x in value if isinstance(x, int | float | np.number) and not isinstance(x, bool)
    ]
    return len(numbers) == 3 and all(0.0 <= x <= 1.0 for x in numbers)


def check_config(
    config: Mapping[str, Any],
    devices: int = 1,
    max_seconds: float | None = None,
    plugins: tuple[str, ...] | None = None,
) -> None:
    """Check everything in a config that can be checked before anything is loaded.

    Args:
      config: as plain data.
      devices: that share a batch.
      max_seconds: of training, where the clock bounds it.
      plugins: packages outside `nerf` that the config may name; None: do not resolve any name.

    Raises:
      ConfigError: one line for each problem.
    """
    lines = config_problems(config, devices)
    if plugins is not None:
        lines += section_problems(config, plugins)
    problems = [f"config: {line}" for line in lines]
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        problems.append(
            f"--max_seconds={max_seconds}: not a number above 0: omit it to train for config.steps"
        )
    if problems:
        raise ConfigError("\n".join(problems))
