"""Which flags of render.py go together, checked before anything long."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerf.building import ConfigError
from nerf.film_cameras import MAX_SIDE
from nerf.paths import MAX_FRAMES

MODES = ("split", "enlarge", "export")  # instead of a path
# What each mode can do with a flag; the others work with all.
ONLY = {
    "path": ("path",),
    "frames": ("path",),
    "range": ("path",),
    "fps": ("path",),
    "width": ("path",),
    "height": ("path",),
    "focal": ("path",),
    "fov": ("path",),
    "depth": ("path",),
    "raw_depth": ("path",),
    "opacity": ("path",),
    "profile": ("path",),
    "process": ("path",),
    "processes": ("path",),
    "scene": ("split",),
    "points": ("export",),
}
FPS_LIMITS = (0.1, 1000.0)
MAX_ENLARGE = 64.0


def check_flags(given: Mapping[str, Any]) -> None:
    """Check the flags that a user gave to render.py.

    Args:
      given: values by name, of these flags only.

    Raises: ConfigError, one line for the first thing that is wrong.
    """
    modes = [mode for mode in MODES if given.get(mode)]
    if len(modes) > 1:
        raise ConfigError(f"--{modes[0]} and --{modes[1]}: each makes something else: give one of them")
    mode = modes[0] if modes else "path"
    for name, of in ONLY.items():
        if given.get(name) is not None and given[name] is not False and mode not in of:
            where = f"with --{of[0]}" if of[0] in MODES else f"without --{mode}"
            raise ConfigError(f"--{name}: has no effect here, only {where}: leave it out")
    _check_numbers(given)
    if given.get("focal") is not None and given.get("fov") is not None:
        raise ConfigError("--focal and --fov: both say how much of the scene is in the picture: give one of them")
    if given.get("process", 0) >= given.get("processes", 1):
        counted = f"--process={given['process']}: of {given.get('processes', 1)} processes"
        raise ConfigError(f"{counted}: they are counted from 0: give --processes, or a smaller number")
    if given.get("range") is not None:
        parse_range(given["range"])
    _check_out(Path(given["out"]), mode)


def _check_numbers(given: Mapping[str, Any]) -> None:
    """Raise ConfigError where a number is outside of what is possible."""
    limits = {
        "fps": (*FPS_LIMITS, "frames a second"),
        "frames": (1, MAX_FRAMES, "frames"),
        "width": (1, MAX_SIDE, "pixels"),
        "height": (1, MAX_SIDE, "pixels"),
        "focal": (1e-3, 1e9, "pixels"),
        "fov": (0.1, 179.0, "degrees"),
        "enlarge": (1.0 / MAX_ENLARGE, MAX_ENLARGE, "times"),
    }
    for name, (low, high, unit) in limits.items():
        value = given.get(name)
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(f"--{name}={value:g}: not from {low:g} to {high:g} {unit}: choose such a number")


def _check_out(out: Path, mode: str) -> None:
    """Raise ConfigError where the name of what is written does not fit."""
    suffix = out.suffix.lower()
    if mode == "path" and suffix not in (".mp4", ".png"):
        raise ConfigError(f"--out={out}: neither a video nor a picture: give a name that ends in .mp4 or .png")
    if mode == "enlarge" and suffix != ".png":
        raise ConfigError(f"--out={out}: --enlarge makes one picture: give a name that ends in .png")
    if mode in ("split", "export") and suffix in (".mp4", ".png"):
        raise ConfigError(f"--out={out}: --{mode} makes a folder: give a name without {out.suffix}")


def parse_range(text: str) -> tuple[int, int]:
    """Return the first and the last frame of "40-60" or "40". Raises ConfigError."""
    found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise ConfigError(f"--range={text}: not a range of frames, which are counted from 0: write 40-60, or 40")
    return first, last
