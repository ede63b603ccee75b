"""Which flags of render.py go together, checked before anything long."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nerf.foundation.instantiate import ConfigError
from nerf.paths.film_cameras import MAX_SIDE
from nerf.paths.path_options import parse_range
from nerf.paths.paths import MAX_FRAMES

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
    "scene": ("split", "export"),
    "points": ("export",),
}
ONLY_FILMS = ("fps", "profile", "process", "processes")
SPLITS = ("train", "val", "test")
FPS_LIMITS = (0.1, 1000.0)
MAX_ENLARGE = 64.0


def check_flags(given: Mapping[str, Any]) -> None:
    """Check the flags that a user gave to render.py.

    Args:
      given: values by name, of these flags only.

    Raises: ConfigError, one line for each thing that is wrong.
    """
    modes = [mode for mode in MODES if given.get(mode) is not None and given[mode] is not False]
    if len(modes) > 1:
        raise ConfigError(
            f"--{modes[0]} and --{modes[1]}: each makes something else: give one of them"
        )
    mode = modes[0] if modes else "path"
    out = Path(given["out"])
    lines = [*_misplaced(given, mode, out), *_wrong_numbers(given), *_wrong_name(out, mode)]
    if mode == "split" and given["split"] not in SPLITS:
        lines.append(f"--split={given['split']}: no such split: give train, val or test")
    if given.get("focal") is not None and given.get("fov") is not None:
        lines.append(
            "--focal and --fov: both say how much of the scene is in the picture: give one of them"
        )
    if given.get("process", 0) >= given.get("processes", 1):
        reason = f"of {given.get('processes', 1)} processes, which are counted from 0"
        lines.append(
            f"--process={given['process']}: {reason}: give --processes, or a smaller number"
        )
    if given.get("range") is not None:
        try:
            parse_range(given["range"])
        except ConfigError as error:
            lines.append(str(error))
    if lines:
        raise ConfigError("\n".join(lines))


def _misplaced(given: Mapping[str, Any], mode: str, out: Path) -> Iterator[str]:
    """Return a line for each flag that has no effect on what is made."""
    for name, of in ONLY.items():
        if given.get(name) is None or given[name] is False:
            continue
        if mode not in of:
            others = " or ".join(f"--{other}" for other in of)
            where = f"only without --{mode}" if of == ("path",) else f"only with {others}"
            yield f"--{name}: has no effect here, {where}: leave it out"
        elif name in ONLY_FILMS and out.suffix.lower() == ".png":
            yield f"--{name}: has no effect on a picture: leave it out, or give --out a name that ends in .mp4"


def _wrong_numbers(given: Mapping[str, Any]) -> Iterator[str]:
    """Return a line for each number that is outside of what is possible."""
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
            yield f"--{name}={value:g}: not possible: give {low:g} to {high:g} {unit}"


def _wrong_name(out: Path, mode: str) -> Iterator[str]:
    """Return a line if the name of what is written does not fit."""
    suffix = out.suffix.lower()
    if mode == "path" and suffix not in (".mp4", ".png"):
        yield f"--out={out}: neither a video nor a picture: give a name that ends in .mp4 or .png"
    if mode == "enlarge" and suffix != ".png":
        yield f"--out={out}: --enlarge makes one picture: give a name that ends in .png"
    if mode in ("split", "export") and suffix in (".mp4", ".png"):
        yield f"--out={out}: --{mode} makes a folder: give a name without {out.suffix}"
