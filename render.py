"""Render a trained run along a camera path to a video, or its held-out views to scored pictures.

    python render.py --run=runs/tabletop --path=orbit --out=video.mp4
    python render.py --run=runs/tabletop --split=test --out=test_views
    python render.py --run=runs/picture --enlarge=4 --out=picture.png
    python render.py --run=runs/tabletop --export --out=exported

--path is orbit, ellipse, spiral, follow, a keyframe file (ours or a nerfstudio camera path), or the import path of your
own function. Frames are written as PNG into a folder beside the video; an interrupted render goes on where it stopped.
"""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from nerf.commands import run, stop_on_signal

_RUN = flags.DEFINE_string("run", None, "Run folder that train.py made.", required=True)
_PATH = flags.DEFINE_string("path", "orbit", "orbit | ellipse | spiral | follow | FILE.json | package.module:function")
_SPLIT = flags.DEFINE_string("split", None, "Instead of a path: render and score these views (test, val or train).")
_ENLARGE = flags.DEFINE_float("enlarge", None, "Instead of a path: the first training view, so many times as large.")
_EXPORT = flags.DEFINE_bool("export", False, "Instead of a path: a point cloud and the cameras, for other programs.")
_POINTS = flags.DEFINE_integer("points", 200_000, "With --export: how many points.", lower_bound=1)
_OUT = flags.DEFINE_string(
    "out", None, "The video (.mp4); with --split and --export a folder, with --enlarge a .png.", required=True
)
_SCENE = flags.DEFINE_string("scene", None, "With --split or --export: the scene's folder, where its images are.")
_FRAMES = flags.DEFINE_integer("frames", None, "Number of frames; default 120, or what the keyframe file says.")
_FPS = flags.DEFINE_float("fps", None, "Frames a second; default 30, or what the keyframe file says.")
_WIDTH = flags.DEFINE_integer("width", None, "Pixels; default: as the training views.")
_HEIGHT = flags.DEFINE_integer("height", None, "Pixels; default: as the training views.")
_FOCAL = flags.DEFINE_float("focal", None, "Focal length in pixels; default: as the training views.")
_DEPTH = flags.DEFINE_bool("depth", False, "Also depth, as colours: frames and a video.")
_RAW_DEPTH = flags.DEFINE_bool("raw_depth", False, "Also depth as float32 .npy, in the units of the scene's file.")
_OPACITY = flags.DEFINE_bool("opacity", False, "Also opacity, as grey: frames and a video.")
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to render; default: the newest.")
_PROFILE = flags.DEFINE_string("profile", None, "Folder for a trace of a few frames of a path by JAX's profiler.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "Of a path: how many processes share its frames.", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", 0, "Which of them this is, from 0.", lower_bound=0)
_PLUGIN = flags.DEFINE_multi_string("plugin", [], "Package outside `nerf` that names may come from; repeatable.")


def main(_) -> int:
    plugins = tuple(_PLUGIN.value)
    with stop_on_signal() as stop:
        from nerf.runs import load_run  # takes seconds

        run = load_run(_RUN.value, plugins, _STEP.value)
        if _ENLARGE.value:
            done = _render_still(run, _ENLARGE.value)
        elif _EXPORT.value:
            done = _export(run)
        elif _SPLIT.value:
            done = _render_split(run, _SPLIT.value, plugins, stop)
        else:
            done = _render_path(run, plugins, stop)
    if not done:
        print("stopped: the same command goes on with what is missing")
    return 0 if done else stop.exit_code


def _render_path(run, plugins: tuple[str, ...], stop: Callable[[], bool]) -> bool:
    from nerf.films import Film, film
    from nerf.keyframes import read_keyframes
    from nerf.paths import make_path

    path = _PATH.value
    cameras = make_path(
        path, run.cameras["train"], run.transform, _FRAMES.value, _WIDTH.value, _HEIGHT.value, _FOCAL.value, plugins
    )
    fps = _FPS.value or (read_keyframes(path).fps if path.endswith(".json") else 30.0)
    wanted = Film(depth=_DEPTH.value, raw_depth=_RAW_DEPTH.value, opacity=_OPACITY.value, fps=fps)
    share = {"process": _PROCESS.value, "processes": _PROCESSES.value}
    videos = film(run, cameras, Path(_OUT.value), wanted, stop, _PROFILE.value, **share)
    if videos == []:
        print("rendered its frames: the last of the processes makes the video")
    for video in videos or []:
        print(f"wrote {video}")
    return videos is not None


def _render_still(run, factor: float) -> bool:
    from nerf.films import still

    camera = still(run, factor, Path(_OUT.value))
    print(f"wrote {_OUT.value}, {camera.size[0]}x{camera.size[1]}")
    return True


def _export(run) -> bool:
    from nerf.export import export

    done = export(run, Path(_OUT.value), _POINTS.value, _SCENE.value)
    print("\n".join([*done.notes, *(f"wrote {path}" for path in done.written)]))
    return True


def _render_split(run, split: str, plugins: tuple[str, ...], stop: Callable[[], bool]) -> bool:
    from nerf.evaluation import evaluate
    from nerf.files import write_json
    from nerf.metrics import in_words
    from nerf.runs import reload_split

    scene = reload_split(run, split, _SCENE.value, plugins)
    folder = Path(_OUT.value)
    scores = evaluate(run.model, scene, split, run.config["background"], run.config["chunk"], folder, stop)
    if scores is None:
        return False
    write_json(folder / "results.json", {**scores["mean"], **scores, "step": run.step})
    print(f"{in_words(scores['mean'])} over {len(scene)} views ({split}): {folder}")
    return True


if __name__ == "__main__":
    run(main)
