"""Make a scene of photos or a video, or look at a scene before training on it and say what is wrong with it.

    python capture.py photos/ --out=scenes/mine
    python capture.py walk.mp4 --out=scenes/mine --frames=120
    python capture.py --check=scenes/mine

The first two estimate poses (pip install 'nerf[capture]') and write a folder that train.py takes as --scene.
docs/your-own-photos.md leads from a phone to a video.
"""

from pathlib import Path

from absl import flags

from nerf.commands import run, stop_on_signal
from nerf.errors import UserError

_CHECK = flags.DEFINE_string("check", None, "Instead: the folder of a scene to look at.")
_OUT = flags.DEFINE_string("out", None, "The scene's folder, made; with --check the picture (default SCENE/check.png).")
_FRAMES = flags.DEFINE_integer("frames", 120, "How many frames to pick from a video.", lower_bound=3)
_MAPPER = flags.DEFINE_enum("mapper", "incremental", ["incremental", "global"], "How poses are put together.")
_MATCHING = flags.DEFINE_enum(
    "matching", "exhaustive", ["exhaustive", "sequential"], "Compare all pairs of images, or each with the next ones."
)
_CAMERA_MODEL = flags.DEFINE_string("camera_model", "OPENCV", "COLMAP's name of the lens, as SIMPLE_RADIAL.")
_MAX_SIDE = flags.DEFINE_integer("max_side", 1600, "Features are found in images reduced to this many pixels.")
_MIN_REGISTERED = flags.DEFINE_float("min_registered", 0.3, "Fewer than this part of the images is a failure.")
_TIMEOUT = flags.DEFINE_float("timeout", 3600.0, "Seconds until pose estimation is given up.", lower_bound=1.0)
_SEED = flags.DEFINE_integer("seed", 0, "Of what is random in pose estimation.")


def main(argv: list[str]) -> int:
    return _check(Path(_CHECK.value)) if _CHECK.value else _make(argv)


def _check(root: Path) -> int:
    picture = Path(_OUT.value) if _OUT.value else root / "check.png"
    if picture.suffix != ".png":
        raise UserError(f"--out={picture}: with --check this is the picture: give a name that ends in .png")
    with stop_on_signal():
        from nerf.capture.check import load_all, look
        from nerf.capture.picture import draw

        scene = load_all(root)
        report = look(scene)
        draw(scene, report, picture)
    print("\n".join([*scene.notes, *report.facts, *(f"FOUND {finding}" for finding in report.findings)]))
    print(f"findings: {len(report.findings)}; cameras and points are drawn in {picture}")
    return 1 if report.findings else 0


def _make(argv: list[str]) -> int:
    if len(argv) != 2 or not _OUT.value:
        raise UserError("capture.py PHOTOS_OR_VIDEO --out=DIR: give one folder of photos or one video, and --out")
    from nerf.capture.mapping import Options
    from nerf.capture.photos import make_scene

    options = Options(
        mapper=_MAPPER.value,
        matching=_MATCHING.value,
        camera_model=_CAMERA_MODEL.value,
        max_side=_MAX_SIDE.value,
        timeout=_TIMEOUT.value,
        seed=_SEED.value,
    )
    with stop_on_signal() as stop:
        made = make_scene(Path(argv[1]), Path(_OUT.value), _FRAMES.value, _MIN_REGISTERED.value, options, stop)
    if made is None:
        print("stopped: nothing was made of it")
        return stop.exit_code
    print("\n".join(made.notes))
    print(f"wrote {_OUT.value}: python train.py --scene={_OUT.value} --workdir=runs/{Path(_OUT.value).name}")
    return 0


if __name__ == "__main__":
    run(main)
