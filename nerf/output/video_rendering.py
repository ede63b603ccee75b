"""Render a trained run to frames, videos and pictures.

Finished frames are reused, and frames of another checkpoint, camera or setting are replaced.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from nerf.cameras.resizing import resized
from nerf.foundation.files import remove_leftovers, write_array
from nerf.foundation.png import write_png
from nerf.foundation.progress import Meter
from nerf.output.classes import with_parts
from nerf.output.frames import FrameFiles, Limits, RenderOptions, frame_pixels
from nerf.output.parts import Part, joined, layout_of
from nerf.output.video import Frame, encode, read_frame
from nerf.paths.coverage import RenderView
from nerf.paths.keyframe_reader import Crop
from nerf.rendering.images import RenderingStopped, make_render_image, rays_per_chunk
from nerf.rendering.model import classes_of
from nerf.runs.read import Run
from nerf.sampling.spaces import Cropped
from nerf.training.progress import trace_calls

HINT_SECONDS = 600.0  # estimated rendering time from which flags that reduce it are suggested


def render_video(
    parts: Sequence[Part],
    out: Path,
    wanted: RenderOptions,
    should_stop: Callable[[], bool] = lambda: False,
    profile: str | Path | None = None,
    process: int = 0,
    processes: int = 1,
    numbers: Sequence[int] | None = None,
) -> list[Path] | None:
    """Render the cameras of a path and encode the videos.

    Frames go to the folder `{out}_frames`, those of further parts to folders beside it; those that
    are already finished are kept. Call `check_encoder` first: otherwise a broken encoder is found
    only after the last frame.

    Args:
      parts: what each frame shows, from left to right.
      out: the video; the others are beside it, as {out}_depth, {out}_opacity and {out}_labels.
      wanted: what to render.
      should_stop: asked while rendering; True stops.
      profile: folder for a profiler trace of a few frames.
      process: number p of this process, which renders every n-th of the frames from the p-th on.
      processes: number n of processes, on machines of one kind that share a file system.
      numbers: numbers of the frames to render; None: all.

    Returns: the videos; empty if other processes have not finished; None if stopped.
    """
    numbers = range(len(parts[0].cameras)) if numbers is None else numbers
    files: list[FrameFiles] = []
    finished = True
    try:
        limits = _depth_limits(parts[0], should_stop) if wanted.depth else None
        for part in parts:
            part = _on_black(part) if wanted.transparent else part
            files.append(_frame_files(out, part, wanted, limits))
            stamps = {i: files[-1].stamp(part.run, part.cameras[i]) for i in numbers}
            mine = numbers[process::processes]
            missing = [i for i in mine if not files[-1].finished(i, stamps[i])]
            _announce(part, missing, should_stop)
            for i, picture in _render_frames(part, missing, should_stop, profile):
                files[-1].write(i, picture, stamps[i])
            finished &= all(files[-1].finished(i, stamps[i]) for i in numbers)
    except RenderingStopped:
        return None
    if not finished:
        return []
    return _encode_videos(parts, files, numbers, out, alone=processes == 1)


def _render_frames(
    part: Part,
    numbers: Sequence[int],
    should_stop: Callable[[], bool],
    profile: str | Path | None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield the numbers of cameras with their pictures, and show the progress.

    Raises RenderingStopped soon after `should_stop` returns True.
    """
    with trace_calls(profile) as before_frame, Meter("render", "frame", len(numbers)) as meter:
        render_image = _renderer(part.run, should_stop, meter.within)
        for i in numbers:
            before_frame()
            yield i, render_image(part.cameras[i])
            meter.add()


def _renderer(
    run: Run,
    should_stop: Callable[[], bool] = lambda: False,
    on_share: Callable[[float], None] = lambda share: None,
) -> RenderView:
    background, chunk = run.config["background"], run.config["chunk"]
    return make_render_image(run.model, background, chunk, should_stop, on_share)


def _frame_files(out: Path, part: Part, wanted: RenderOptions, limits: Limits | None) -> FrameFiles:
    """Return the files of a video's part; their folder is created if it is missing."""
    name = f"{out.stem}_{part.name}_frames" if part.name else f"{out.stem}_frames"
    folder = out.with_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    scale = part.run.transform.scale
    classes = classes_of(part.run.model)
    return FrameFiles(folder, wanted, _scaled(limits, scale), scale, classes)


def _encode_videos(
    parts: Sequence[Part],
    files: Sequence[FrameFiles],
    numbers: Sequence[int],
    out: Path,
    alone: bool,
) -> list[Path]:
    """Encode a video of each kind of frames; if `alone`, remove what killed processes left."""
    wanted, videos = files[0].wanted, []
    labels = [part.label for part in parts]
    for kind in wanted.kinds:
        video = out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}{out.suffix}")
        rows = ([one.file(kind, i) for one in files] for i in numbers)
        # The frames of one part are passed as files, which a failed encoder can name.
        frames: Iterable[Frame] = (
            (joined([read_frame(file) for file in row], labels) for row in rows)
            if len(parts) > 1
            else (file for (file,) in rows)
        )
        encode(frames, video, wanted.fps, wanted.crf, layout_of(parts))
        if alone:
            remove_leftovers(video.parent, video.stem)
        videos.append(video)
    for one in files if alone else ():
        remove_leftovers(one.folder)
    return videos


def _announce(part: Part, numbers: Sequence[int], should_stop: Callable[[], bool]) -> None:
    """Print how long some frames will take, estimated from one chunk of rays."""
    count = len(numbers)
    if not count:
        return
    render_image = _renderer(part.run, should_stop)
    chunk = rays_per_chunk(part.run.model, part.run.config["chunk"]) * jax.local_device_count()
    camera = part.cameras[numbers[0]]
    pixels = int(np.prod(camera.size))
    # A picture of just below one chunk of rays; the first call compiles.
    small = resized(camera, min(1.0, 0.98 * (chunk / pixels) ** 0.5))
    render_image(small)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        render_image(small)
        took.append(time.perf_counter() - began)
    # The minimum, because other work on the machine can only add time.
    seconds = count * -(-pixels // chunk) * min(took)
    size = f"{camera.size[0]}x{camera.size[1]}"
    faster = "; a smaller --width or fewer --frames take less" if seconds > HINT_SECONDS else ""
    line = f"video: {count} frames of {size} to render, about {in_time(seconds)}{faster}"
    print(line, file=sys.stderr)


def in_time(seconds: float) -> str:
    """Return a duration in a suitable unit."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def render_still(
    parts: Sequence[Part], out: Path, wanted: RenderOptions, number: int = 0
) -> list[Path]:
    """Render one picture to a PNG file.

    Args:
      parts: what it shows, from left to right.
      out: the PNG; depth, opacity and labels go to files beside it.
      wanted: what to render.
      number: of the frame.

    Returns: the files that were written.
    """
    shown = [_on_black(part) if wanted.transparent else part for part in parts]
    limits = _depth_limits(shown[0]) if wanted.depth and len(shown) > 1 else None
    pictures = []
    with Meter("render", "picture", len(shown)) as meter:
        for part in shown:
            render_image = _renderer(part.run, on_share=meter.within)
            pictures.append(render_image(part.cameras[number]))
            meter.add()
    out.parent.mkdir(parents=True, exist_ok=True)
    files = {
        kind: out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}{out.suffix}")
        for kind in wanted.kinds
    }
    raw = out.with_name(f"{out.stem}_depth.npy")
    if wanted.raw_depth:
        depths = [
            picture["depth"] / part.run.transform.scale
            for part, picture in zip(shown, pictures, strict=True)
        ]
        write_array(raw, np.concatenate(depths, 1).astype(np.float32))
    labels = [part.label for part in parts]
    for kind, file in files.items():
        pixels = []
        for part, picture in zip(shown, pictures, strict=True):
            near_far = _scaled(limits, part.run.transform.scale)
            classes = classes_of(part.run.model)
            pixels.append(frame_pixels(picture, kind, near_far, wanted.transparent, classes))
        write_png(file, joined(pixels, labels))
    return [*files.values(), *([raw] if wanted.raw_depth else [])]


def cropped(run: Run, crop: Crop) -> Run:
    """Return a run that shows only a box, over a background."""
    # Compose the similarities: normalised world -> file's world -> axes of the box -> [-1, 1]^3.
    world = run.transform
    turned = crop.to_box.scale / world.scale * crop.to_box.rotation @ world.rotation.T
    half = 0.5 * np.asarray(crop.size)
    shift = (crop.to_box.shift - turned @ world.shift) / half
    axes = tuple(tuple(float(x) for x in row) for row in turned / half[:, None])
    space = Cropped(run.model.space, axes, tuple(float(x) for x in shift))
    background = run.config["background"] if crop.background is None else crop.background
    config = {**run.config, "background": background}
    return dataclasses.replace(with_parts(run, crop, space=space), config=config)


def _on_black(part: Part) -> Part:
    """Return a part with a black background, whose colours are premultiplied by opacity."""
    config = {**part.run.config, "background": (0.0, 0.0, 0.0)}
    return dataclasses.replace(part, run=dataclasses.replace(part.run, config=config))


def _depth_limits(
    part: Part,
    should_stop: Callable[[], bool] = lambda: False,
    views: int = 4,
    side: int = 64,
) -> Limits:
    """Return near and far of a path, in units of the scene's file, from a few small pictures."""
    render_image, cameras, depths = _renderer(part.run, should_stop), part.cameras, []
    for i in np.linspace(0, len(cameras) - 1, min(views, len(cameras))).astype(int):
        factor = side / float(np.max(cameras.size[i]))
        picture = render_image(jax.tree.map(np.asarray, resized(cameras[i], factor)))
        depths.append(picture["depth"][picture["opacity"] > 0.5])
    there = np.concatenate(depths) / part.run.transform.scale
    low, high = np.percentile(there, [2, 98]) if there.size else (0.0, 1.0)
    return float(low), float(high)


def _scaled(limits: Limits | None, scale: float) -> Limits | None:
    """Return depths of the scene's file in units of the normalised world."""
    return None if limits is None else (limits[0] * scale, limits[1] * scale)
