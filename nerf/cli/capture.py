"""Make a scene of photos or a video, or check a scene and report what is wrong with it.

    nerf capture photos/ --out=scenes/mine
    nerf capture walk.mp4 --out=scenes/mine --frames=120
    nerf capture --check=scenes/mine

The first two estimate poses (pip install pycolmap) and write a folder for nerf train --scene.
docs/your-own-photos.md leads from a phone to a video.
"""

import os
import shlex
from pathlib import Path

from absl import flags

from nerf.cli.commands import stop_on_signal
from nerf.foundation.errors import UserError

LENSES = ["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"]
FISHEYES = ["SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE"]

_CHECK = flags.DEFINE_string("check", None, "Check this scene's folder instead of making one.")
_OUT = flags.DEFINE_string(
    "out", None, "The scene's folder, made; with --check the picture (default SCENE/check.png)."
)
_FRAMES = flags.DEFINE_integer(
    "frames", 120, "How many frames to pick from a video.", lower_bound=3
)
_MAPPER = flags.DEFINE_enum(
    "mapper", "incremental", ["incremental", "global"], "How poses are put together."
)
_MATCHING = flags.DEFINE_enum(
    "matching",
    "exhaustive",
    ["exhaustive", "sequential"],
    "Compare all pairs of images, or each with the next ones.",
)
_CAMERA_MODEL = flags.DEFINE_enum(
    "camera_model", "OPENCV", LENSES + FISHEYES, "COLMAP's name of the lens."
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", 1600, "Features are found in images reduced to this many pixels.", lower_bound=100
)
_MIN_REGISTERED = flags.DEFINE_float(
    "min_registered", 0.3, "Fail where a smaller fraction of the images is registered.", 0.0, 1.0
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 3600.0, "Seconds until pose estimation is given up.", lower_bound=1.0
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of what is random in pose estimation.")


def main(argv: list[str]) -> int:
    """Make or check a scene and return the exit code."""
    if _CHECK.value is None:
        return _make(argv)
    if len(argv) > 1:
        raise UserError(
            f"{argv[1]}: with --check give no photos: a scene is made of them without --check"
        )
    return _check(Path(_CHECK.value).expanduser())


def _check(root: Path) -> int:
    if not root.is_dir():
        raise UserError(f"--check={root}: no such folder: give the folder of a scene")
    picture = Path(_OUT.value).expanduser() if _OUT.value else root / "check.png"
    if picture.suffix.lower() != ".png":
        raise UserError(
            f"--out={picture}: with --check this is the picture: give a name that ends in .png"
        )
    with stop_on_signal():
        from nerf.check.check import check_scene, load_all
        from nerf.check.picture import draw

        scene = load_all(root)
        report = check_scene(scene)
        print(
            "\n".join(
                [
                    *scene.notes,
                    *report.facts,
                    *(f"FOUND {finding}" for finding in report.diagnostics),
                ]
            )
        )
        draw(scene, report, picture)
    print(f"findings: {len(report.diagnostics)}; cameras and points are drawn in {picture}")
    return 1 if report.diagnostics else 0


def _make(argv: list[str]) -> int:
    if len(argv) > 2:
        raise UserError(f"{argv[2]}: one folder or video too many: put all into one folder")
    if len(argv) < 2 or not _OUT.value:
        raise UserError(
            "nerf capture PHOTOS_OR_VIDEO --out=DIR: give a folder of photos or a video, and --out"
        )
    from nerf.capture.mapping import Options
    from nerf.capture.photos import make_scene
    from nerf.foundation.progress import Phases

    options = Options(
        mapper=_MAPPER.value,
        matching=_MATCHING.value,
        camera_model=_CAMERA_MODEL.value,
        max_side=_MAX_SIDE.value,
        timeout=_TIMEOUT.value,
        seed=_SEED.value,
    )
    source, out = Path(argv[1]).expanduser(), Path(_OUT.value).expanduser()
    with stop_on_signal() as stop, Phases() as phases:
        report = phases.report
        made = make_scene(
            source, out, _FRAMES.value, _MIN_REGISTERED.value, options, stop, report=report
        )
    if made is None:
        print("stopped: no scene yet; the same command resumes with the photos and matches so far")
        return stop.exit_code
    print("\n".join(made.notes))
    print(f"wrote {out}; now check it, and train on it:")
    print(f"  nerf capture --check={_quoted(out)}")
    print(
        f"  nerf train --scene={_quoted(out)} --workdir={_quoted(Path('runs', out.resolve().name))}"
    )
    return 0


def _quoted(path: Path) -> str:
    """Quote a path for a shell, relative to the working directory if it lies inside."""
    relative = (
        os.path.relpath(path)
        if path.is_absolute() and path.is_relative_to(Path.cwd())
        else str(path)
    )
    return shlex.quote(relative)
