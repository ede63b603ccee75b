"""Parse the options of camera paths on a command line: "orbit:radius=2,focus=0,0,1"."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from nerf.foundation.instantiate import ConfigError, did_you_mean
from nerf.paths.keyframe_reader import PathError, path_error
from nerf.scenes.base import Problem, Similarity

NAMES = ("orbit", "ellipse", "spiral", "follow")
LENGTHS = ("radius", "focus_depth", "depth")  # options in the units of the scene's file
MIN_POSITIVE, MAX_NUMBER = 1e-12, 1e12  # limits of numbers that have no other limit
# Smallest and largest value of each option, and its description for messages.
RANGES = {
    "radius": (MIN_POSITIVE, MAX_NUMBER, "a length above 0"),
    "depth": (MIN_POSITIVE, MAX_NUMBER, "a length above 0"),
    "focus_depth": (MIN_POSITIVE, MAX_NUMBER, "a length above 0"),
    "elevation": (-90.0, 90.0, "degrees from -90 to 90"),
    "percentile": (0.0, 100.0, "a number from 0 to 100"),
    "turns": (1, 1000, "a whole number from 1 to 1000"),
    "smooth": (0.0, MAX_NUMBER, "a number of views, 0 or more"),
}
EXAMPLES = {
    "radius": "2",
    "depth": "2",
    "focus_depth": "2",
    "elevation": "30",
    "percentile": "90",
    "turns": "2",
    "smooth": "10",
    "focus": "0,0,1",
    "loop": "true",
}


def parse_path(text: str) -> tuple[str, dict[str, Any]]:
    """Split "orbit:radius=2,focus=0,0,1" into the name of a path and its options.

    A value is a number, numbers separated by commas, true, false, or text.
    """
    found = re.fullmatch(r"(.+?):(\s*\w+=.*)", text)
    name, given = found.groups() if found else (text, "")
    options = {}
    for word in re.split(r",(?=\s*\w+=)", given) if given else []:
        key, _, value = word.partition("=")
        options[key.strip()] = _parse_value(value.strip())
    return name, options


def _parse_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        numbers = [
            int(part) if re.fullmatch(r"\s*[-+]?\d+\s*", part) else float(part)
            for part in text.split(",")
        ]
    except ValueError:
        return text
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def find_wrong_name(name: str) -> PathError | None:
    """Return the error for an unknown path name, or None if it can be an import path."""
    word = re.split(r"[^\w.]", name)[0]
    if word in NAMES:
        fix = "write them as in orbit:radius=2,elevation=30"
        return path_error(name, "", f"{word} is not followed by options", fix)
    if ":" in name:
        return None
    fix = f"{did_you_mean(name, NAMES)} (or give a .json file, or 'package.module:function')"
    return path_error(name, "", "no such camera path", fix)


def check_known(name: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Raise PathError for options that a path does not have.

    Args:
      name: the name of the path.
      options: the names of the given options.
      known: the names of the path's options.
    """
    known = set(known)
    if unknown := [key for key in options if key not in known]:
        raise PathError(
            [Problem(name, key, "no such option", did_you_mean(key, known)) for key in unknown]
        )


def converted(name: str, key: str, value: Any, transform: Similarity) -> Any:
    """Check an option of a path and convert it to the normalised world.

    Args:
      name: the name of the path, one of `NAMES`.
      key: the name of the option.
      value: the value, in the units and axes of the scene's file.
      transform: from the scene's file world to the normalised world.

    Returns:
      The value for the path function.

    Raises:
      PathError: the value has the wrong type or is out of range.
    """
    if key == "focus":
        point = np.asarray(value) if isinstance(value, tuple | list | np.ndarray) else np.zeros(0)
        if point.shape != (3,) or point.dtype.kind not in "iuf" or not np.isfinite(point).all():
            raise _wrong(name, key, value, "three numbers")
        return transform.points(point.astype(np.float64))
    if key == "loop" and not isinstance(value, bool):
        raise _wrong(name, key, value, "true or false")
    if key not in RANGES:
        return value  # `build` reports an option that does not exist
    low, high, expected = RANGES[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (key == "turns" and value != int(value)):
        raise _wrong(name, key, value, expected)
    return value * transform.scale if key in LENGTHS else value


def _wrong(name: str, key: str, value: Any, expected: str) -> PathError:
    shown = ",".join(str(part) for part in value) if isinstance(value, tuple) else value
    return path_error(
        name, key, f"{shown} is not {expected}", f"write for example {name}:{key}={EXAMPLES[key]}"
    )


def parse_range(text: str) -> tuple[int, int]:
    """Return the first and last frame of "40-60" or "40"; raise ConfigError for other text."""
    found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise ConfigError(
            f"--range={text}: not a range of frames, which are counted from 0: write 40-60, or 40"
        )
    return first, last
