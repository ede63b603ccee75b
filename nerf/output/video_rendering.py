"""Render a trained run to frames, videos and pictures.

Finished frames are reused, and frames of another checkpoint, camera or setting are replaced.
"""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jaxtyping import UInt8

from nerf.cameras.cameras import Cameras
from nerf.foundation.files import remove_leftovers, write_array
from nerf.foundation.png import is_finished, to_bytes, write_png
from nerf.foundation.progress import Meter
from nerf.output.video import DEFAULT_CRF, encode
from nerf.paths.coverage import RenderView
from nerf.paths.keyframe_reader import Crop
from nerf.rendering.images import RenderingStopped, colour_depth, make_render_image
from nerf.runs.read import Run
from nerf.runs.record import cameras_to_json
from nerf.sampling.spaces import Cropped
from nerf.training.progress import trace_calls

Limits = tuple[float, float]  # near and far, in units of the normalised world
MIN_ALPHA = 1e-6  # colours are divided by; less is invisible in 8 bits
HINT_SECONDS = 600.0  # estimated rendering time from which flags that reduce it are suggested


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """What to render besides the colours.

    Attributes:
      depth: depth as colours, frames and a video.
      raw_depth: depth along the ray as float32 .npy files, in units of the scene's file; 0 where no
        ray hits anything.
      opacity: opacity as grey, frames and a video.
      fps: frames per second of the videos.
      transparent: colours have alpha, straight and not premultiplied, and no background.
      crf: quality of the videos, see `nerf.output.video.encode`.
    """

    depth: bool = False
    raw_depth: bool = False
    opacity: bool = False
    fps: float = 30.0
    transparent: bool = False
    crf: int = DEFAULT_CRF

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of pictures, which are also the kinds of videos."""
        return ["rgb", *(["depth"] if self.depth else []), *(["opacity"] if self.opacity else [])]


def render_video(
    run: Run,
    cameras: Cameras,
    out: Path,
    wanted: RenderOptions,
    should_stop: Callable[[], bool] = lambda: False,
    profile: str | Path | None = None,
    process: int = 0,
    processes: int = 1,
    numbers: Sequence[int] | None = None,
) -> list[Path] | None:
    """Render the cameras of a path and encode the videos.

    Frames go to the folder `{out}_frames`; those that are already finished are kept. Call
    `check_encoder` first: otherwise a broken encoder is found only after the last frame.

    Args:
      run: the trained run.
      cameras: the cameras of all frames of the path.
      out: the video; the others are beside it, as {out}_depth and {out}_opacity.
      wanted: what to render.
      should_stop: asked while rendering; True stops.
      profile: folder for a profiler trace of a few frames.
      process: number p of this process, which renders every n-th of the frames from the p-th on.
      processes: number n of processes, on machines of one kind that share a file system.
      numbers: numbers of the frames to render; None: all.

    Returns: the videos; empty if other processes have not finished; None if stopped.
    """
    folder = _folder_of_frames(out)
    run = _on_black(run) if wanted.transparent else run
    chunk, scale = run.config["chunk"], run.transform.scale
    render_image = make_render_image(run.model, run.config["background"], chunk, should_stop)
    numbers = range(len(cameras)) if numbers is None else numbers
    try:
        limits = _depth_limits(render_image, cameras) if wanted.depth else None
        stamps = {i: _stamp(run, cameras[i], wanted, limits) for i in numbers}
        mine = numbers[process::processes]
        missing = [i for i in mine if not _finished(folder, i, wanted, stamps[i])]
        _announce(render_image, [cameras[i] for i in missing], chunk)
        for i, picture in _render_frames(run, cameras, missing, should_stop, profile):
            _write_frame(folder, i, wanted, picture, stamps[i], limits, scale)
    except RenderingStopped:
        return None
    if not all(_finished(folder, i, wanted, stamps[i]) for i in numbers):
        return []
    return _encode_videos(folder, numbers, out, wanted, alone=processes == 1)


def _render_frames(
    run: Run,
    cameras: Cameras,
    numbers: Sequence[int],
    should_stop: Callable[[], bool],
    profile: str | Path | None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield the numbers of cameras with their pictures, and show the progress.

    Raises RenderingStopped soon after `should_stop` returns True.
    """
    background, chunk = run.config["background"], run.config["chunk"]
    with trace_calls(profile) as before_frame, Meter("render", "frame", len(numbers)) as meter:
        render_image = make_render_image(run.model, background, chunk, should_stop, meter.within)
        for i in numbers:
            before_frame()
            yield i, render_image(cameras[i])
            meter.add()


def _folder_of_frames(out: Path) -> Path:
    """Return the folder of a video's frames, which is created if it is missing."""
    folder = out.with_name(f"{out.stem}_frames")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _encode_videos(
    folder: Path, numbers: Sequence[int], out: Path, wanted: RenderOptions, alone: bool
) -> list[Path]:
    """Encode a video of each kind of frames; if `alone`, remove what killed processes left."""
    videos = []
    for kind in wanted.kinds:
        video = out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}{out.suffix}")
        encode([_frame(folder, kind, i) for i in numbers], video, wanted.fps, wanted.crf)
        if alone:
            remove_leftovers(video.parent, video.stem)
        videos.append(video)
    if alone:
        remove_leftovers(folder)
    return videos


def _announce(render_image: RenderView, cameras: Sequence[Cameras], chunk: int) -> None:
    """Print how long the frames of cameras will take, estimated from one chunk of rays."""
    count = len(cameras)
    if not count:
        return
    camera = cameras[0]
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


def render_still(run: Run, camera: Cameras, out: Path, wanted: RenderOptions) -> list[Path]:
    """Render one picture to a PNG file.

    Args:
      run: the trained run.
      camera: one camera, without leading axes.
      out: the PNG; depth and opacity go to files beside it.
      wanted: what to render.

    Returns: the files that were written.
    """
    run = _on_black(run) if wanted.transparent else run
    background, chunk = run.config["background"], run.config["chunk"]
    with Meter("render", "picture", 1) as meter:
        picture = make_render_image(run.model, background, chunk, on_share=meter.within)(camera)
    out.parent.mkdir(parents=True, exist_ok=True)
    files = {
        kind: out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}{out.suffix}")
        for kind in wanted.kinds
    }
    raw = out.with_name(f"{out.stem}_depth.npy")
    if wanted.raw_depth:
        write_array(raw, (picture["depth"] / run.transform.scale).astype(np.float32))
    for kind, file in files.items():
        write_png(file, _pixels(picture, kind, None, wanted.transparent))
    return [*files.values(), *([raw] if wanted.raw_depth else [])]


def cropped(run: Run, crop: Crop) -> Run:
    """Return a run that shows only a box, over a background."""
    # Compose the similarities: normalised world -> file's world -> axes of the box -> [-1, 1]^3.
    world = run.transform
    turned = crop.to_box.scale / world.scale * crop.to_box.rotation @ world.rotation.T
    half = 0.5 * np.asarray(crop.size)
    shift = (crop.to_box.shift - turned @ world.shift) / half
    axes = tuple(tuple(float(x) for x in row) for row in turned / half[:, None])
    model = nnx.merge(*nnx.split(run.model))
    model.space = Cropped(run.model.space, axes, tuple(float(x) for x in shift))
    stamp = hashlib.sha256(repr([run.stamp, crop]).encode()).hexdigest()
    background = run.config["background"] if crop.background is None else crop.background
    return dataclasses.replace(
        run, model=model, config={**run.config, "background": background}, stamp=stamp
    )


def _on_black(run: Run) -> Run:
    """Return a run with a black background, whose colours are premultiplied by opacity."""
    return dataclasses.replace(run, config={**run.config, "background": (0.0, 0.0, 0.0)})


def resized(camera: Cameras, factor: float) -> Cameras:
    """Return a camera with `factor` times as many pixels along each side."""
    return dataclasses.replace(
        camera,
        K=(np.diag([factor, factor, 1.0]) @ camera.K).astype(np.float32),
        size=np.maximum(np.rint(camera.size * factor), 1).astype(np.int32),
    )


def _frame(folder: Path, kind: str, i: int, suffix: str = ".png") -> Path:
    """Return the file of a frame."""
    return folder / f"{kind}_{i:05d}{suffix}"


def _stamp(
    run: Run,
    camera: Cameras,
    wanted: RenderOptions,
    limits: Limits | None,
) -> str:
    """Return a digest of everything that a frame depends on."""
    background = list(run.config["background"])
    made_from = [run.stamp, cameras_to_json(camera), limits, background, wanted.raw_depth]
    made_from.append(wanted.transparent)
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def _finished(folder: Path, i: int, wanted: RenderOptions, stamp: str) -> bool:
    """Report whether all files of a frame are up to date."""
    # The raw depth has no stamp of its own; it is written before the colours, which have one.
    raw = not wanted.raw_depth or _frame(folder, "depth", i, ".npy").exists()
    return raw and all(is_finished(_frame(folder, kind, i), stamp) for kind in wanted.kinds)


def _write_frame(
    folder: Path,
    i: int,
    wanted: RenderOptions,
    picture: Mapping[str, np.ndarray],
    stamp: str,
    limits: Limits | None,
    scale: float,
) -> None:
    """Write all files of a frame."""
    if wanted.raw_depth:
        path = _frame(folder, "depth", i, ".npy")
        write_array(path, (picture["depth"] / scale).astype(np.float32))
    # The colours are written last, so that a frame with colours is complete.
    for kind in reversed(wanted.kinds):
        write_png(
            _frame(folder, kind, i), _pixels(picture, kind, limits, wanted.transparent), stamp
        )


def _pixels(
    picture: Mapping[str, np.ndarray], kind: str, limits: Limits | None, transparent: bool
) -> UInt8[np.ndarray, "h w c"]:
    """Return one kind of a picture as 8-bit RGB, or RGBA of transparent colours.

    Args:
      picture: a rendered image; transparent colours are on black.
      kind: "rgb", "depth" or "opacity".
      limits: depths of the brightest and the darkest colour.
      transparent: whether the colours get an alpha channel.
    """
    if kind == "opacity":
        return np.repeat(to_bytes(picture["opacity"])[..., None], 3, -1)
    if kind == "depth":
        return to_bytes(colour_depth(picture["depth"], picture["opacity"], limits))
    if transparent:
        alpha = picture["opacity"][..., None]
        # On black, a colour is multiplied by its opacity: divide to get straight alpha.
        colour = np.where(alpha > 0.0, picture["rgb"] / np.maximum(alpha, MIN_ALPHA), 0.0)
        return to_bytes(np.concatenate([colour, alpha], -1))
    return to_bytes(picture["rgb"])


def _depth_limits(
    render_image: RenderView, cameras: Cameras, views: int = 4, side: int = 64
) -> Limits:
    """Return near and far from a few small pictures of a path."""
    depths = []
    for i in np.linspace(0, len(cameras) - 1, min(views, len(cameras))).astype(int):
        factor = side / float(np.max(cameras.size[i]))
        picture = render_image(jax.tree.map(np.asarray, resized(cameras[i], factor)))
        depths.append(picture["depth"][picture["opacity"] > 0.5])
    there = np.concatenate(depths)
    low, high = np.percentile(there, [2, 98]) if there.size else (0.0, 1.0)
    return float(low), float(high)
