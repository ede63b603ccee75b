"""A run as the viewer needs it: a renderer of frames, cameras, and the way to the file's world."""

import dataclasses
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
from flax import nnx

from nerf.cameras.cameras import Cameras
from nerf.foundation.errors import UserError
from nerf.output.video_rendering import cropped
from nerf.paths.keyframe_reader import Crop
from nerf.rendering.images import rays_per_chunk
from nerf.rendering.model import classes_of
from nerf.runs.read import Run
from nerf.scenes.base import Similarity
from nerf.viewer.frames import Frame, FrameRenderer
from nerf.viewer.poses import pinhole
from nerf.viewer.turns import Turns


@dataclasses.dataclass(frozen=True)
class ShownRun:
    """A run that a viewer shows.

    Attributes:
      name: shown to the user.
      renderer: of its frames.
      transform: from the file's world to the normalised one.
      train: its training cameras, in the normalised world.
      unbounded: whether its scene is.
      background: sRGB behind transparent rays.
      limit: limits its pictures to a box, or ends that with None; None if that is not possible.
    """

    name: str
    renderer: FrameRenderer
    transform: Similarity
    train: Cameras
    unbounded: bool
    background: tuple[float, float, float]
    limit: Callable[[Crop | None], None] | None = None


def show_run(run: Run, turns: Turns) -> ShownRun:
    """Prepare a trained run for the viewer.

    Args:
      run: the trained run.
      turns: shared by all renderers.

    Raises:
      UserError: the run is of a picture, which has no cameras to fly.
    """
    if run.model.space.num_dims != 3:
        fix = f"nerf render --run={run.folder} --enlarge=2 --out=picture.png shows it"
        raise UserError(f"{run.folder}: a run on a picture has nothing to fly through: {fix}")
    split = nnx.split(run.model)
    background = run.config["background"]
    chunk = rays_per_chunk(run.model, run.config["chunk"])
    options: dict[str, Any] = {"turns": turns, "classes": classes_of(run.model)}
    renderer = FrameRenderer(lambda: split, background, chunk, run.model.edge_rays, **options)

    def limit(crop: Crop | None) -> None:
        shown = run if crop is None else cropped(run, crop)
        renderer.use(nnx.split(shown.model), pinhole(np.eye(3, 4), 1.0, (8, 8)))

    red, green, blue = (float(part) for part in background)
    return ShownRun(
        name=run.folder.name or str(run.folder),
        renderer=renderer,
        transform=run.transform,
        train=run.cameras["train"],
        unbounded=run.unbounded,
        background=(red, green, blue),
        limit=limit,
    )


def pairs(first: Iterator[Frame], second: Iterator[Frame]) -> Iterator[tuple[Frame, Frame]]:
    """Yield the tiers of two frames together.

    One of them may have a tier more, its antialiasing; the other then keeps its finest.
    """
    last: tuple[Frame, Frame] | None = None
    for one, two in zip_longest(first, second):
        if last is not None:
            one, two = one or last[0], two or last[1]
        last = one, two
        yield last


def in_units_of(shown: ShownRun, other: ShownRun, frame: Frame) -> Frame:
    """Return a frame of the other run with depth in the units of the shown run's world.

    Args:
      shown: the run whose units the result has.
      other: the run that was rendered.
      frame: its frame.
    """
    factor = shown.transform.scale / other.transform.scale
    picture = {**frame.picture, "depth": frame.picture["depth"] * np.float32(factor)}
    return dataclasses.replace(frame, picture=picture)
