"""Draw tiers of one or two runs in a mode, as a picture with depth for a browser."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerf.cameras.cameras import Cameras
from nerf.output.parts import in_world_of
from nerf.rendering.images import depth_limits
from nerf.viewer.frames import Frame
from nerf.viewer.modes import (
    COLOUR,
    DIFFERENCE,
    ERROR,
    colour_error,
    colour_mode,
    depth_along_axis,
    enlarged,
    joined,
    mode_names,
)
from nerf.viewer.shown_run import ShownRun, in_units_of, pairs

MAX_DEPTH_SIDE = 240  # pixels of a depth image; it only decides what is in front
NO_PHOTO = 96  # grey where no photo was taken from, in the mode "error"

# (camera) -> the photo as that camera would have taken it, and where it is known.
Photo = Callable[[Cameras], tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]]


@dataclasses.dataclass(frozen=True)
class Look:
    """The mode of frames, and what it needs.

    Attributes:
      mode: one of `nerf.viewer.modes`, or the name of a quantity of the field.
      share: of the width that the first of two runs has.
      photo: of the mode "error"; None where the camera stands at no photo.
    """

    mode: str = COLOUR
    share: float = 0.5
    photo: Photo | None = None


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A picture for a browser.

    Attributes:
      image: sRGB.
      depth: along the optical axis, in the normalised world of the first run; it may have fewer
        pixels than the image.
    """

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h2 w2"]


def draw(
    runs: tuple[ShownRun, ...], camera: Cameras, should_stop: Callable[[], bool]
) -> Iterator[tuple[Frame, ...]]:
    """Yield the tiers of a frame of one run, or of two at once.

    Args:
      runs: one run or two.
      camera: of the finest tier, in the world of the first run.
      should_stop: see `FrameRenderer.frames`.
    """
    first = runs[0]
    tiers = first.renderer.frames(camera, should_stop)
    if len(runs) == 1:
        yield from ((frame,) for frame in tiers)
        return
    second = runs[1]
    there = in_world_of(second.transform, first.transform, camera)
    others = second.renderer.frames(there, should_stop)
    for one, two in pairs(tiers, others):
        yield one, in_units_of(first, second, dataclasses.replace(two, camera=one.camera))


def compose(frames: tuple[Frame, ...], look: Look, size: tuple[int, int]) -> Drawn:
    """Make the picture of a tier.

    Args:
      frames: of one run, or of two from the same camera.
      look: how they are shown.
      size: width and height of the finest tier.
    """
    first = frames[0]
    if len(frames) == 2 and look.mode == DIFFERENCE:
        shown = colour_error(first.picture["rgb"], np.clip(frames[1].picture["rgb"], 0.0, 1.0))
    else:
        limits = depth_limits(first.picture["depth"], first.picture["opacity"])
        parts = [_colour(frame, look, limits) for frame in frames]
        shown = parts[0] if len(parts) == 1 else joined(parts[0], parts[1], look.share)
    depth = depth_along_axis(first.picture, first.camera)
    step = max(-(-max(depth.shape) // MAX_DEPTH_SIDE), 1)
    return Drawn(enlarged(shown, size, first.stride), depth[::step, ::step])


def _colour(frame: Frame, look: Look, limits: tuple[float, float]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour the tier of one run."""
    if look.mode == DIFFERENCE or (look.mode == ERROR and look.photo is None):
        return colour_mode(COLOUR, frame.picture, frame.camera)
    if look.mode != ERROR:
        mode = look.mode if look.mode in mode_names(frame.picture) else COLOUR
        return colour_mode(mode, frame.picture, frame.camera, limits, frame.classes)
    assert look.photo is not None
    truth, known = look.photo(frame.camera)
    error = colour_error(frame.picture["rgb"], truth)
    return np.where(known[..., None], error, np.uint8(NO_PHOTO))
