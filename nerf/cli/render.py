"""Render a video along a camera path, or render and score the held-out views of a run.

    nerf render --run=runs/tabletop --out=video.mp4
    nerf render --run=runs/tabletop --path=orbit:radius=2,elevation=30 --out=orbit.mp4
    nerf render --run=runs/tabletop --path=orbit --range=40 --out=still.png
    nerf render --run=runs/tabletop --path=orbit --contact_sheet --out=frames.png
    nerf render --run=runs/tabletop --path=orbit --transparent --out=orbit.webm
    nerf render --run=runs/tabletop --beside=runs/other --out=both.mp4
    nerf render --run=runs/tabletop --path=orbit --out=camera_path.json
    nerf render --run=runs/tabletop --split=test --out=test_views
    nerf render --run=runs/picture --enlarge=4 --out=picture.png
    nerf render --run=runs/tabletop --export --out=exported
    nerf render --run=runs/tabletop --export --mesh=tabletop.glb
    nerf render --run=runs/tabletop --export --page=tabletop.html
    nerf render --run=runs/tabletop --export --splats=tabletop.ply

--path is orbit, ellipse, spiral, follow, a keyframe file (ours, a nerfstudio camera path, or
instant-ngp's), or the import path of your own function. Options follow a colon, lengths and points
in the units and axes of the scene's file: radius, elevation, focus and depth of orbit; percentile,
focus and depth of ellipse; turns, percentile, focus_depth and depth of spiral; smooth and loop of
follow; dataparser of a nerfstudio path (the file dataparser_transforms.json of its model, if it is
not beside the path). An --out that ends in .json writes the path for nerfstudio instead.
Frames are written as PNG into a folder beside the video; an interrupted render resumes.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from nerf.cli.commands import stop_on_signal

if TYPE_CHECKING:
    import nerf.output.parts  # takes seconds
    import nerf.output.video_plan
    import nerf.paths.keyframe_reader
    import nerf.runs.read

_RUN = flags.DEFINE_string("run", None, "Run folder made by nerf train.", required=True)
_PATH = flags.DEFINE_string(
    "path",
    None,
    "orbit | ellipse | spiral | follow | FILE.json | package.module:function, with options as in "
    "orbit:radius=2,focus=0,0,1; default: orbit if the scene is bounded and seen from all around, "
    "otherwise follow.",
)
_SPLIT = flags.DEFINE_string(
    "split", None, "Instead of a path: render and score these views (test, val or train)."
)
_ENLARGE = flags.DEFINE_float(
    "enlarge", None, "Instead of a path: the first training view, so many times as large."
)
_EXPORT = flags.DEFINE_bool(
    "export", False, "Instead of a path: a point cloud and the cameras, for other programs."
)
_POINTS = flags.DEFINE_integer("points", 200_000, "With --export: how many points.", lower_bound=1)
_MESH = flags.DEFINE_string(
    "mesh",
    None,
    "With --export: the surface as .glb or .obj with a texture, or .ply with a colour for each "
    "vertex.",
)
_PAGE = flags.DEFINE_string(
    "page",
    None,
    "With --export: a page (.html) that flies through the scene in a browser, without a network.",
)
_PAGE_MB = flags.DEFINE_float(
    "page_mb", 15.0, "With --page: largest size of the file, in millions of bytes."
)
_SPLATS = flags.DEFINE_string(
    "splats", None, "With --export: Gaussian splats as .ply, or as .glb (KHR_gaussian_splatting)."
)
_SPLATS_MB = flags.DEFINE_float(
    "splats_mb", 10.0, "With --splats: largest size of the file, in millions of bytes."
)
_RESOLUTION = flags.DEFINE_integer(
    "resolution", 256, "With --mesh: cells along the longest side of the box.", lower_bound=16
)
_TRIANGLES = flags.DEFINE_integer(
    "triangles", 100_000, "With --mesh: about how many triangles; 0 keeps all.", lower_bound=0
)
_SHEETS = flags.DEFINE_bool(
    "sheets", False, "With --mesh: open sheets of an unsigned distance, with at most 64 cells."
)
_CROP = flags.DEFINE_string(
    "crop",
    None,
    'Of a path or --export: only this box, a file such as {"center": [0, 0, 1], "size": [2, 2, 1]} '
    "in the units and axes of the scene's file.",
)
_OUT = flags.DEFINE_string(
    "out",
    None,
    "The video (.mp4, .webm, .gif, or .mov with ProRes), for one frame an image (.png), or the "
    "path for nerfstudio (.json); with --split and --export a folder, with --enlarge a .png.",
)
_SCENE = flags.DEFINE_string(
    "scene", None, "With --split or --export: the scene's folder, where its images are."
)
_FRAMES = flags.DEFINE_integer(
    "frames", None, "Frames of the whole path; default 192, or what the keyframe file says."
)
_RANGE = flags.DEFINE_string(
    "range", None, "Only these frames of the path, counted from 0: 40-60, or 40."
)
_FPS = flags.DEFINE_float(
    "fps", None, "Frames a second; default 24, or what the keyframe file says."
)
flags.DEFINE_integer(
    "width",
    None,
    "Pixels; default: the keyframe file's, or the training views' but no side above 640. One of "
    "--width and --height keeps the aspect.",
)
flags.DEFINE_integer("height", None, "Pixels; see --width.")
flags.DEFINE_float("focal", None, "Focal length in pixels, instead of --fov.")
flags.DEFINE_float(
    "fov",
    None,
    "Vertical field of view in degrees; default: the keyframe file's, or such that the shorter "
    "side sees as much as that of a training view.",
)
_DEPTH = flags.DEFINE_bool("depth", False, "Also depth, as colours: frames and a video.")
_RAW_DEPTH = flags.DEFINE_bool(
    "raw_depth", False, "Also depth as float32 .npy, in the units of the scene's file."
)
_OPACITY = flags.DEFINE_bool("opacity", False, "Also opacity, as grey: frames and a video.")
_LABELS = flags.DEFINE_bool(
    "labels", False, "Also the classes, in their colours; with --export, colours are the classes'."
)
_SHOW = flags.DEFINE_list(
    "only", None, "Of a path or --export: only these classes (or objects): vase,3."
)
_HIDE = flags.DEFINE_list("without", None, "Of a path or --export: all but these.")
_TRANSPARENT = flags.DEFINE_bool(
    "transparent", False, "Of a path: alpha in place of the background; .png, .webm and .mov."
)
_BESIDE = flags.DEFINE_string(
    "beside", None, "Of a path: another run, on the right of each frame, from the same cameras."
)
_STEREO = flags.DEFINE_float(
    "stereo",
    None,
    "Of a path: pictures for the left and the right eye side by side; the distance between the "
    "eyes, in units of the scene's file.",
)
flags.DEFINE_bool(
    "equirectangular",
    False,
    "Of a path: frames that show all around (360 degrees), level; .mp4 and .mov are marked.",
)
_CONTACT_SHEET = flags.DEFINE_bool(
    "contact_sheet", False, "Of a path: only a .png with small renders of up to 24 of its frames."
)
_CRF = flags.DEFINE_integer(
    "crf", None, "Quality of .mp4 and .webm: x264's CRF, 0 (lossless) to 51; default 18."
)
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to render; default: the newest.")
_PROFILE = flags.DEFINE_string(
    "profile", None, "Folder for a trace of a few frames of a path by JAX's profiler."
)
_PROCESSES = flags.DEFINE_integer(
    "processes", 1, "Of a path: how many processes share its frames.", lower_bound=1
)
_PROCESS = flags.DEFINE_integer("process", 0, "Which of them this is, from 0.", lower_bound=0)
_PLUGIN = flags.DEFINE_multi_string(
    "plugin", [], "Package outside `nerf` that names may come from; repeatable."
)


def main(_: list[str]) -> int:
    """Render what the flags ask for and return the exit code."""
    plugins = tuple(_PLUGIN.value)
    with stop_on_signal() as stop:
        from nerf.cli.render_flags import check_flags  # takes seconds
        from nerf.paths.crops import read_crop
        from nerf.runs.read import load_run

        check_flags(
            {name: flags.FLAGS[name].value for name in flags.FLAGS if flags.FLAGS[name].present}
        )
        out = Path(_OUT.value or "")  # a mesh and a page need none
        _check_outputs(out)
        crop = None if _CROP.value is None else read_crop(_CROP.value)
        run = _chosen(load_run(_RUN.value, plugins, _STEP.value))
        other = None if _BESIDE.value is None else _chosen(load_run(_BESIDE.value, plugins))
        if _ENLARGE.value is not None:
            done = _enlarge(run, _ENLARGE.value, out)
        elif _EXPORT.value:
            done = _export(run, plugins, crop)
        elif _SPLIT.value:
            done = _render_split(run, _SPLIT.value, out, plugins, stop)
        else:
            done = _render_path(run, other, out, plugins, crop, stop)
    if not done:
        print(
            "stopped: run the same command again to "
            + ("resume" if _path_is_wanted() else "start over")
        )
    return 0 if done else stop.exit_code


def _chosen(run: "nerf.runs.read.Run") -> "nerf.runs.read.Run":
    """Return a run with only the classes that the flags name, or in their colours."""
    if not (_LABELS.value or _SHOW.value is not None or _HIDE.value is not None):
        return run
    from nerf.output.classes import in_class_colours, only_classes

    if _SHOW.value is not None:
        run = only_classes(run, _SHOW.value, "--only")
    if _HIDE.value is not None:
        run = only_classes(run, _HIDE.value, "--without", keep=False)
    coloured = in_class_colours(run) if _LABELS.value else run
    return coloured if _EXPORT.value else run


def _path_is_wanted() -> bool:
    return _ENLARGE.value is None and not _EXPORT.value and not _SPLIT.value


def _check_outputs(out: Path) -> None:
    """Check that the files can be written, and try the encoder, before anything long.

    Raises WriteError or VideoError.
    """
    from nerf.foundation.files import check_writable
    from nerf.output.video import FORMATS, check_encoder

    files = [Path(name) for name in (_MESH.value, _PAGE.value, _SPLATS.value) if name is not None]
    for file in [*files, *([out] if out.suffix and not _SPLIT.value and not _EXPORT.value else [])]:
        check_writable(file)
    if _path_is_wanted() and out.suffix.lower() in FORMATS:
        check_encoder(out)


def _render_path(
    run: "nerf.runs.read.Run",
    other: "nerf.runs.read.Run | None",
    out: Path,
    plugins: tuple[str, ...],
    crop: "nerf.paths.keyframe_reader.Crop | None",
    stop: Callable[[], bool],
) -> bool:
    from nerf.output.contact_sheet import render_contact_sheet
    from nerf.output.parts import make_parts
    from nerf.output.video_plan import plan
    from nerf.output.video_rendering import cropped

    names = ("width", "height", "focal", "fov", "equirectangular")
    shape = {name: flags.FLAGS[name].value for name in names}
    planned = plan(
        run,
        _PATH.value,
        frames=_FRAMES.value,
        only=_RANGE.value,
        shape=shape,
        plugins=plugins,
        one_picture=out.suffix.lower() == ".png" and not _CONTACT_SHEET.value,
    )
    for line in planned.notes:
        print(line, file=sys.stderr)
    fps = planned.fps if _FPS.value is None else _FPS.value
    if out.suffix.lower() == ".json":
        return _write_path(run, planned, out, fps)
    crop = crop or planned.crop
    shown = [one if crop is None else cropped(one, crop) for one in (run, other) if one is not None]
    if not _CONTACT_SHEET.value:
        parts = make_parts(shown, planned.cameras, _STEREO.value)
        return _render_frames(parts, planned.numbers, out, fps, stop)
    (run,) = shown
    sheet = render_contact_sheet(run, planned.cameras, planned.numbers, out, stop)
    if sheet:
        print(f"wrote {sheet[0]}")
    return sheet is not None


def _render_frames(
    parts: "Sequence[nerf.output.parts.Part]",
    numbers: Sequence[int],
    out: Path,
    fps: float,
    stop: Callable[[], bool],
) -> bool:
    from nerf.output.frames import RenderOptions
    from nerf.output.video import DEFAULT_CRF
    from nerf.output.video_rendering import render_still, render_video

    wanted = RenderOptions(
        depth=_DEPTH.value,
        raw_depth=_RAW_DEPTH.value,
        opacity=_OPACITY.value,
        labels=_LABELS.value,
        fps=fps,
        transparent=_TRANSPARENT.value,
        crf=DEFAULT_CRF if _CRF.value is None else _CRF.value,
    )
    if out.suffix.lower() == ".png":
        written: list[Path] | None = render_still(parts, out, wanted, numbers[0])
    else:
        share = {"process": _PROCESS.value, "processes": _PROCESSES.value}
        written = render_video(parts, out, wanted, stop, _PROFILE.value, numbers=numbers, **share)
    if written == []:
        print("rendered its frames: the last of the processes makes the video")
    for file in written or []:
        print(f"wrote {file}")
    return written is not None


def _write_path(
    run: "nerf.runs.read.Run", planned: "nerf.output.video_plan.VideoPlan", out: Path, fps: float
) -> bool:
    from nerf.paths.other_tools import save_nerfstudio

    cameras = planned.cameras[list(planned.numbers)]
    notes = save_nerfstudio(out, cameras, run.transform, fps, run.root)
    if planned.crop is not None:
        notes.append(f"{out}: the crop of the path is not written")
    print("\n".join([*notes, f"wrote {out}"]))
    return True


def _enlarge(run: "nerf.runs.read.Run", factor: float, out: Path) -> bool:
    from nerf.cameras.resizing import resized
    from nerf.output.frames import RenderOptions
    from nerf.output.parts import Part
    from nerf.output.video_rendering import render_still

    camera = resized(run.cameras["train"][:1], factor)
    render_still([Part(run, camera)], out, RenderOptions())
    print(f"wrote {out}, {camera.size[0, 0]}x{camera.size[0, 1]}")
    return True


def _export(
    run: "nerf.runs.read.Run",
    plugins: tuple[str, ...],
    crop: "nerf.paths.keyframe_reader.Crop | None",
) -> bool:
    from nerf.cli.render_exports import write_mesh, write_page, write_points, write_splats
    from nerf.output.video_rendering import cropped

    shown = run if crop is None else cropped(run, crop)
    if _SPLATS.value is not None:
        write_splats(shown, Path(_SPLATS.value), _SPLATS_MB.value, _SCENE.value, plugins)
    if _MESH.value is not None:
        write_mesh(shown, Path(_MESH.value), _RESOLUTION.value, _TRIANGLES.value, _SHEETS.value)
    if _PAGE.value is not None:
        write_page(shown, Path(_PAGE.value), _PAGE_MB.value)
    if _OUT.value is not None:
        write_points(shown, Path(_OUT.value), _POINTS.value, _SCENE.value)
    return True


def _render_split(
    run: "nerf.runs.read.Run",
    split: str,
    folder: Path,
    plugins: tuple[str, ...],
    stop: Callable[[], bool],
) -> bool:
    from nerf.evaluation.evaluate import evaluate
    from nerf.evaluation.metrics import describe_scores
    from nerf.foundation.files import write_json
    from nerf.runs.read import reload_split

    scene = reload_split(run, split, _SCENE.value, plugins)
    scores = evaluate(
        run.model, scene, split, run.config["background"], run.config["chunk"], folder, stop
    )
    if scores is None:
        return False
    write_json(folder / "results.json", {**scores["mean"], **scores, "step": run.step})
    print(f"{describe_scores(scores['mean'])} over {len(scene)} views ({split}): {folder}")
    return True
