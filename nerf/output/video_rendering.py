"""A trained run and a camera path -> frames on disk -> video. Finished frames are kept, stale ones are not."""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jaxtyping import UInt8

from nerf.cameras.cameras import Cameras
from nerf.foundation.files import remove_leftovers, write_array
from nerf.foundation.png import is_finished, to_bytes, write_png
from nerf.foundation.progress import track
from nerf.output.video import encode
from nerf.paths.keyframe_reader import Crop
from nerf.rendering.images import RenderingStopped, colour_depth, make_render_image
from nerf.runs.runs import Trained, cameras_to_json
from nerf.sampling.spaces import Cropped
from nerf.training.progress import trace_calls

HINT_SECONDS = 600.0  # seconds of rendering from which a hint at what takes less is useful


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """What to make besides the colour video.

    Attributes:
      depth: depth as colours, frames and a video.
      raw_depth: depth as float32 .npy files, along the ray, in the units of the scene's file; 0 where nothing is.
      opacity: opacity as grey, frames and a video.
      fps: frames a second.
    """

    depth: bool = False
    raw_depth: bool = False
    opacity: bool = False
    fps: float = 30.0

    @property
    def kinds(self) -> list[str]:
        """The kinds of pictures, which are also the kinds of videos."""
        return ["rgb", *(["depth"] if self.depth else []), *(["opacity"] if self.opacity else [])]


def render_video(
    run: Trained,
    cameras: Cameras,
    out: Path,
    wanted: RenderOptions,
    should_stop: Callable[[], bool] = lambda: False,
    profile: str | Path | None = None,
    process: int = 0,
    processes: int = 1,
    numbers: Sequence[int] | None = None,
) -> list[Path] | None:
    """Render the cameras of a path and encode the videos: `out`, and out_depth.mp4, out_opacity.mp4 where wanted.

    Frames go to the folder `{out}_frames`. A frame that is already there and was made from the same checkpoint, camera
    and settings is kept. `profile` is a folder for a trace of a few frames. Process p of n renders frames p, p + n, ...
    and encodes if it then finds all there; they may be on several machines of one kind that share a file system.
    `numbers` are the frames that are wanted, by default all.

    Returns the videos; none where other processes are not done; None where it was stopped. Call `check_encoder` first:
    an encoder that does not work is found only after the last frame here.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    videos = {
        kind: out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}.mp4")
        for kind in wanted.kinds
    }
    folder = out.with_name(f"{out.stem}_frames")
    folder.mkdir(exist_ok=True)
    background = run.config["background"]
    render_image = make_render_image(run.model, background, run.config["chunk"], should_stop)
    numbers = range(len(cameras)) if numbers is None else numbers
    mine = numbers[process::processes]
    try:
        limits = _depth_limits(render_image, cameras) if wanted.depth else None
        stamps = {i: _stamp(run, cameras[i], wanted, limits, background) for i in numbers}
        missing = [i for i in mine if not _finished(folder, i, wanted, stamps[i])]
        if missing:
            print(
                _estimate(render_image, cameras[missing[0]], len(missing), run.config["chunk"]),
                file=sys.stderr,
            )
        with trace_calls(profile) as before_frame:
            for i in track(missing, "render", "frame", len(missing)):
                if should_stop():
                    return None
                before_frame()
                _write_frame(
                    folder,
                    i,
                    wanted,
                    render_image(cameras[i]),
                    stamps[i],
                    limits,
                    run.transform.scale,
                )
    except RenderingStopped:
        return None
    if not all(_finished(folder, i, wanted, stamps[i]) for i in numbers):
        return []
    for kind, video in videos.items():
        encode([_frame(folder, kind, i) for i in numbers], video, wanted.fps)
        if processes == 1:
            remove_leftovers(video.parent, video.stem)
    if processes == 1:
        remove_leftovers(folder)
    return list(videos.values())


def _estimate(render_image, camera: Cameras, count: int, chunk: int) -> str:
    """Say how long `count` frames like that of a camera will take, by the time that one chunk of rays takes."""
    pixels = int(np.prod(camera.size))
    small = resized(camera, min(1.0, 0.98 * (chunk / pixels) ** 0.5))
    render_image(small)  # compiles
    took = []
    for _ in range(3):
        began = time.perf_counter()
        render_image(small)
        took.append(time.perf_counter() - began)
    seconds = count * -(-pixels // chunk) * min(took)  # what else the machine does only adds to it
    size = f"{camera.size[0]}x{camera.size[1]}"
    faster = "; a smaller --width or fewer --frames take less" if seconds > HINT_SECONDS else ""
    return f"film: {count} frames of {size} to render, about {in_time(seconds)}{faster}"


def in_time(seconds: float) -> str:
    """Say a duration in the unit that suits it."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def render_still(run: Trained, camera: Cameras, out: Path, wanted: RenderOptions) -> list[Path]:
    """Render one picture to a PNG file.

    Args:
      run: the trained run.
      camera: without leading axes.
      out: the file; depth and opacity go to files beside it.
      wanted: what to render besides the colours.

    Returns: the files.
    """
    picture = make_render_image(run.model, run.config["background"], run.config["chunk"])(camera)
    out.parent.mkdir(parents=True, exist_ok=True)
    files = {
        kind: out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}{out.suffix}")
        for kind in wanted.kinds
    }
    raw = out.with_name(f"{out.stem}_depth.npy")
    if wanted.raw_depth:
        write_array(raw, (picture["depth"] / run.transform.scale).astype(np.float32))
    for kind, file in files.items():
        write_png(file, _pixels(picture, kind, None))
    return [*files.values(), *([raw] if wanted.raw_depth else [])]


def cropped(run: Trained, crop: Crop) -> Trained:
    """Return a run that shows only what is in a box, before the colour of the crop."""
    # A point of the normalised world goes to the file's, to the axes of the box, and to [-1, 1]^3.
    whole = run.transform
    turned = crop.to_box.scale / whole.scale * crop.to_box.rotation @ whole.rotation.T
    half = 0.5 * np.asarray(crop.size)
    shift = (crop.to_box.shift - turned @ whole.shift) / half
    axes = tuple(tuple(float(x) for x in row) for row in turned / half[:, None])
    model = nnx.merge(*nnx.split(run.model))
    model.space = Cropped(run.model.space, axes, tuple(float(x) for x in shift))
    stamp = hashlib.sha256(repr([run.stamp, crop]).encode()).hexdigest()
    return dataclasses.replace(
        run, model=model, config={**run.config, "background": crop.background}, stamp=stamp
    )


def resized(camera: Cameras, factor: float) -> Cameras:
    """A camera that sees the same in `factor` times as many pixels along each side."""
    return dataclasses.replace(
        camera,
        K=(np.diag([factor, factor, 1.0]) @ camera.K).astype(np.float32),
        size=np.maximum(np.rint(camera.size * factor), 1).astype(np.int32),
    )


def _frame(folder: Path, kind: str, i: int, suffix: str = ".png") -> Path:
    return folder / f"{kind}_{i:05d}{suffix}"


def _stamp(run: Trained, camera: Cameras, wanted: RenderOptions, limits, background) -> str:
    """What a frame is a picture of."""
    made_from = [run.stamp, cameras_to_json(camera), limits, list(background), wanted.raw_depth]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def _finished(folder: Path, i: int, wanted: RenderOptions, stamp: str) -> bool:
    # The raw depth carries no stamp: it is written before the colours, which do.
    raw = not wanted.raw_depth or _frame(folder, "depth", i, ".npy").exists()
    return raw and all(is_finished(_frame(folder, kind, i), stamp) for kind in wanted.kinds)


def _write_frame(
    folder: Path, i: int, wanted: RenderOptions, picture, stamp: str, limits, scale: float
) -> None:
    if wanted.raw_depth:
        path = _frame(folder, "depth", i, ".npy")
        write_array(path, (picture["depth"] / scale).astype(np.float32))
    for kind in reversed(wanted.kinds):  # the colours last: where they are, the frame is complete
        write_png(_frame(folder, kind, i), _pixels(picture, kind, limits), stamp)


def _pixels(picture, kind: str, limits) -> UInt8[np.ndarray, "h w 3"]:
    """Return one kind of a picture as 8-bit RGB."""
    if kind == "opacity":
        return np.repeat(to_bytes(picture["opacity"])[..., None], 3, -1)
    if kind == "depth":
        return to_bytes(colour_depth(picture["depth"], picture["opacity"], limits))
    return to_bytes(picture["rgb"])


def _depth_limits(
    render_image, cameras: Cameras, views: int = 4, side: int = 64
) -> tuple[float, float]:
    """One scale of depth for the whole film, from a few small pictures along it."""
    depths = []
    for i in np.linspace(0, len(cameras) - 1, min(views, len(cameras))).astype(int):
        factor = side / float(np.max(cameras.size[i]))
        picture = render_image(jax.tree.map(np.asarray, resized(cameras[i], factor)))
        depths.append(picture["depth"][picture["opacity"] > 0.5])
    there = np.concatenate(depths)
    low, high = np.percentile(there, [2, 98]) if there.size else (0.0, 1.0)
    return float(low), float(high)
