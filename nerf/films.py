"""A trained run and a camera path -> frames on disk -> video. Finished frames are kept, stale ones are not."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from nerf import metrics
from nerf.cameras import Cameras
from nerf.files import remove_leftovers, write_array
from nerf.progress import trace_calls, track
from nerf.runs import Trained, cameras_to_json
from nerf.video import check_encoder, encode, is_finished, write_png
from nerf.views import RenderingStopped, colour_depth, make_render_view


@dataclasses.dataclass(frozen=True)
class Film:
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


def film(
    run: Trained,
    cameras: Cameras,
    out: Path,
    wanted: Film,
    should_stop: Callable[[], bool] = lambda: False,
    profile: str | Path | None = None,
    process: int = 0,
    processes: int = 1,
) -> list[Path] | None:
    """Render every camera of a path and encode the videos: `out`, and out_depth.mp4, out_opacity.mp4 where wanted.

    Frames go to the folder `{out}_frames`. A frame that is already there and was made from the same checkpoint, camera
    and settings is kept. `profile` is a folder for a trace of a few frames. Process p of n renders frames p, p + n, ...
    and encodes if it then finds all there; they may be on several machines of one kind that share a file system.

    Returns the videos; none where other processes are not done; None where it was stopped. Raises VideoError, before
    anything is rendered, if the encoder does not work.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    videos = {kind: out if kind == "rgb" else out.with_name(f"{out.stem}_{kind}.mp4") for kind in wanted.kinds}
    check_encoder(out)
    folder = out.with_name(f"{out.stem}_frames")
    folder.mkdir(exist_ok=True)
    background = run.config["background"]
    render_view = make_render_view(run.model, background, run.config["chunk"], should_stop)
    mine = range(process, len(cameras), processes)
    try:
        limits = _depth_limits(render_view, cameras) if wanted.depth else None
        stamps = [_stamp(run, cameras[i], wanted, limits, background) for i in range(len(cameras))]
        with trace_calls(profile) as before_frame:
            for i in track(mine, "render", "frame", len(mine)):
                if should_stop():
                    return None
                if not _finished(folder, i, wanted, stamps[i]):
                    before_frame()
                    _write_frame(folder, i, wanted, render_view(cameras[i]), stamps[i], limits, run.transform.scale)
    except RenderingStopped:
        return None
    of_others = (i for i in range(len(cameras)) if i % processes != process)
    if not all(_finished(folder, i, wanted, stamps[i]) for i in of_others):
        return []
    for kind, video in videos.items():
        encode([_frame(folder, kind, i) for i in range(len(cameras))], video, wanted.fps)
        if processes == 1:
            remove_leftovers(video.parent, video.stem)
    if processes == 1:
        remove_leftovers(folder)
    return list(videos.values())


def still(run: Trained, factor: float, out: Path) -> Cameras:
    """Render the first training view, `factor` times as large, to the PNG file `out`; the camera it was made with."""
    camera = resized(run.cameras["train"][0], factor)
    picture = make_render_view(run.model, run.config["background"], run.config["chunk"])(camera)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_png(out, metrics.to_bytes(picture["rgb"]))
    return camera


def resized(camera: Cameras, factor: float) -> Cameras:
    """A camera that sees the same in `factor` times as many pixels along each side."""
    return dataclasses.replace(
        camera,
        K=(np.diag([factor, factor, 1.0]) @ camera.K).astype(np.float32),
        size=np.maximum(np.rint(camera.size * factor), 1).astype(np.int32),
    )


def _frame(folder: Path, kind: str, i: int, suffix: str = ".png") -> Path:
    return folder / f"{kind}_{i:05d}{suffix}"


def _stamp(run: Trained, camera: Cameras, wanted: Film, limits, background) -> str:
    """What a frame is a picture of."""
    made_from = [run.stamp, cameras_to_json(camera), limits, list(background), wanted.raw_depth]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def _finished(folder: Path, i: int, wanted: Film, stamp: str) -> bool:
    # The raw depth carries no stamp: it is written before the colours, which do.
    raw = not wanted.raw_depth or _frame(folder, "depth", i, ".npy").exists()
    return raw and all(is_finished(_frame(folder, kind, i), stamp) for kind in wanted.kinds)


def _write_frame(folder: Path, i: int, wanted: Film, picture, stamp: str, limits, scale: float) -> None:
    if wanted.raw_depth:
        path = _frame(folder, "depth", i, ".npy")
        write_array(path, (picture["depth"] / scale).astype(np.float32))
    if wanted.opacity:
        grey = np.repeat(metrics.to_bytes(picture["opacity"])[..., None], 3, -1)
        write_png(_frame(folder, "opacity", i), grey, stamp)
    if wanted.depth:
        colours = metrics.to_bytes(colour_depth(picture["depth"], picture["opacity"], limits))
        write_png(_frame(folder, "depth", i), colours, stamp)
    write_png(_frame(folder, "rgb", i), metrics.to_bytes(picture["rgb"]), stamp)


def _depth_limits(render_view, cameras: Cameras, views: int = 4, side: int = 64) -> tuple[float, float]:
    """One scale of depth for the whole film, from a few small pictures along it."""
    depths = []
    for i in np.linspace(0, len(cameras) - 1, min(views, len(cameras))).astype(int):
        factor = side / float(np.max(cameras.size[i]))
        picture = render_view(jax.tree.map(np.asarray, resized(cameras[i], factor)))
        depths.append(picture["depth"][picture["opacity"] > 0.5])
    there = np.concatenate(depths)
    low, high = np.percentile(there, [2, 98]) if there.size else (0.0, 1.0)
    return float(low), float(high)
