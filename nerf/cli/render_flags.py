"""Check which flags of nerf render go together, before any long computation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.foundation.instantiate import ConfigError
from nerf.meshes.files import WRITERS as MESHES
from nerf.output.video import ALPHA_ENDINGS, CRF_ENDINGS, FORMATS, X264_MAX_CRF
from nerf.paths.path_options import parse_range
from nerf.paths.paths import MAX_FRAMES
from nerf.paths.video_cameras import MAX_SIDE
from nerf.splats.files import WRITERS as SPLATS

MODES = ("split", "enlarge", "export")  # alternatives to a camera path
# The modes in which a flag has an effect; flags that are not listed work in all modes.
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
    "labels": ("path", "export"),
    "only": ("path", "export"),
    "without": ("path", "export"),
    "transparent": ("path",),
    "contact_sheet": ("path",),
    "beside": ("path",),
    "stereo": ("path",),
    "equirectangular": ("path",),
    "crf": ("path",),
    "profile": ("path",),
    "process": ("path",),
    "processes": ("path",),
    "scene": ("split", "export"),
    "points": ("export",),
    "mesh": ("export",),
    "page": ("export",),
    "page_mb": ("export",),
    "resolution": ("export",),
    "triangles": ("export",),
    "sheets": ("export",),
    "splats": ("export",),
    "splats_mb": ("export",),
    "crop": ("path", "export"),
}
# The files that an export makes, by flag, with their endings; --out makes a folder.
EXPORTS = {"mesh": tuple(MESHES), "page": (".html", ".htm"), "splats": tuple(SPLATS)}
# Flags that have an effect on one of these only.
PART_OF = {
    "resolution": "mesh",
    "triangles": "mesh",
    "sheets": "mesh",
    "page_mb": "page",
    "splats_mb": "splats",
    "points": "out",
}
ONLY_VIDEOS = ("fps", "crf", "profile", "process", "processes")
NOT_ON_SHEETS = ("depth", "raw_depth", "opacity", "labels", "transparent", "beside", "stereo")
ONLY_RENDERED = (
    "depth",
    "raw_depth",
    "opacity",
    "labels",
    "only",
    "without",
    "transparent",
    "crf",
    "profile",
    "process",
    "processes",
    "crop",
    "beside",
    "stereo",
)
# Pairs of flags that set the same thing, and what that is.
ALTERNATIVES = {
    ("focal", "fov"): "both set the field of view",
    ("only", "without"): "both choose classes",
    ("beside", "stereo"): "both put two pictures into a frame",
    ("stereo", "equirectangular"): "two eyes see all around only if the head turns for each ray",
    ("equirectangular", "focal"): "a frame that shows all around has no field of view",
    ("equirectangular", "fov"): "a frame that shows all around has no field of view",
}
OUTPUTS = (*FORMATS, ".png", ".json")  # of a path
TRANSPARENT = (".png", *ALPHA_ENDINGS)
NO_CRF = tuple(ending for ending in FORMATS if ending not in CRF_ENDINGS)
NO_ALPHA = tuple(ending for ending in FORMATS if ending not in ALPHA_ENDINGS)
SPLITS = ("train", "val", "test")
FPS_LIMITS = (0.1, 1000.0)
MAX_ENLARGE = 64.0


def check_flags(given: Mapping[str, Any]) -> None:
    """Check the flags that a user gave to nerf render.

    Args:
      given: values by flag name, only of the flags that were given.

    Raises:
      ConfigError: one line for each mistake.
    """
    modes = [mode for mode in MODES if given.get(mode) is not None and given[mode] is not False]
    if len(modes) > 1:
        raise ConfigError(
            f"--{modes[0]} and --{modes[1]}: each makes a different output: give one of them"
        )
    mode = modes[0] if modes else "path"
    out = None if given.get("out") is None else Path(given["out"])
    lines = [*_misplaced(given, mode, out), *_wrong_numbers(given), *_wrong_name(given, out, mode)]
    if mode == "split" and given["split"] not in SPLITS:
        lines.append(f"--split={given['split']}: no such split: give train, val or test")
    lines += [
        f"--{one} and --{other}: {reason}: give one of them"
        for (one, other), reason in ALTERNATIVES.items()
        if given.get(one) and given.get(other)
    ]
    if given.get("process", 0) >= given.get("processes", 1):
        reason = f"of {given.get('processes', 1)} processes, which are numbered from 0"
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


def _misplaced(given: Mapping[str, Any], mode: str, out: Path | None) -> Iterator[str]:
    """Yield a line for each flag that has no effect in this mode."""
    for name, modes in ONLY.items():
        if given.get(name) is None or given[name] is False:
            continue
        if mode not in modes:
            others = " or ".join(f"--{other}" for other in modes if other != "path")
            where = f"only without --{mode}" if "path" in modes else f"only with {others}"
            yield f"--{name}: has no effect here, {where}: remove it"
        elif name in ONLY_VIDEOS and out is not None and out.suffix.lower() == ".png":
            fix = "remove it, or give --out a name that ends in .mp4"
            yield f"--{name}: has no effect on a picture: {fix}"
        elif name in ONLY_RENDERED and out is not None and out.suffix.lower() == ".json":
            yield f"--{name}: has no effect on a camera path, only on its pictures: remove it"
        elif name == "transparent" and out is not None and out.suffix.lower() in NO_ALPHA:
            fix = f"give --out a name that ends in {_one_of(TRANSPARENT)}"
            yield f"--{name}: {out.suffix} has no alpha: {fix}"
        elif name in NOT_ON_SHEETS and given.get("contact_sheet"):
            yield f"--{name}: has no effect on a contact sheet: remove it"
        elif name == "crf" and out is not None and out.suffix.lower() in NO_CRF:
            yield f"--{name}: {out.suffix} has a fixed quality: remove it"
        elif name in PART_OF and given.get(PART_OF[name]) is None:
            yield f"--{name}: has no effect here, only with --{PART_OF[name]}: remove it"


def _wrong_numbers(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each number that is out of range."""
    limits = {
        "fps": (*FPS_LIMITS, "frames a second"),
        "frames": (1, MAX_FRAMES, "frames"),
        "crf": (0, X264_MAX_CRF, "of x264's CRF"),
        "width": (1, MAX_SIDE, "pixels"),
        "height": (1, MAX_SIDE, "pixels"),
        "focal": (1e-3, 1e9, "pixels"),
        "fov": (0.1, 179.0, "degrees"),
        "stereo": (1e-9, 1e9, "units of the scene's file"),
        "enlarge": (1.0 / MAX_ENLARGE, MAX_ENLARGE, "times"),
    }
    for name, (low, high, unit) in limits.items():
        value = given.get(name)
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            yield f"--{name}={value:g}: out of range: give {low:g} to {high:g} {unit}"


def _wrong_name(given: Mapping[str, Any], out: Path | None, mode: str) -> Iterator[str]:
    """Yield a line if the name of an output is missing or does not fit the mode."""
    files = {name: given[name] for name in EXPORTS if given.get(name) is not None}
    for name, file in files.items():
        if Path(file).suffix.lower() not in EXPORTS[name]:
            endings = _one_of(EXPORTS[name])
            yield f"--{name}={file}: no such format: give a name that ends in {endings}"
    if out is None:
        if mode != "export":
            yield "--out: missing: give the name of the output"
        elif not files:
            outputs = ", ".join(f"--{name}=FILE{endings[0]}" for name, endings in EXPORTS.items())
            yield f"--export: no output: give at least one of --out=FOLDER, {outputs}"
        return
    suffix = out.suffix.lower()
    if mode == "path" and suffix not in OUTPUTS:
        yield f"--out={out}: no such output: give a name that ends in {_one_of(OUTPUTS)}"
    elif given.get("contact_sheet") and suffix != ".png":
        yield f"--out={out}: --contact_sheet makes one picture: give a name that ends in .png"
    if mode == "enlarge" and suffix != ".png":
        yield f"--out={out}: --enlarge makes one picture: give a name that ends in .png"
    if mode in ("split", "export") and suffix in OUTPUTS:
        yield f"--out={out}: --{mode} makes a folder: give a name without {out.suffix}"


def _one_of(words: Sequence[str]) -> str:
    """Return words as "a, b or c"."""
    return f"{', '.join(words[:-1])} or {words[-1]}"
