"""Choose what splats should show: windows of training views, rendered from the field."""

import dataclasses
import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras
from nerf.foundation.progress import track
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run

WHOLE = 256  # pixels along the sides of pictures that are one window
WINDOW = 128  # along the sides of the windows of larger ones
PIXELS = 2_000_000  # of all windows together
MIN_WINDOWS = 8  # that are rendered however long it takes
MAX_SECONDS = 40.0  # after which no more are rendered


class View(NamedTuple):
    """A picture that splats should show.

    Attributes:
      camera: without leading axes.
      picture: its pixels, sRGB.
    """

    camera: Cameras
    picture: Float[np.ndarray, "h w 3"]


def render_targets(run: Run, rng: np.random.Generator) -> list[View]:
    """Render windows of random training views with the field of a run."""
    render = make_render_image(run.model, run.config["background"], run.config["chunk"])
    windows = choose_windows(run.cameras["train"], rng)
    views: list[View] = []
    began = time.monotonic()
    for camera in track(windows, "pictures of the field", "picture", len(windows)):
        if len(views) >= MIN_WINDOWS and time.monotonic() - began > MAX_SECONDS:
            break
        views.append(View(camera, render(camera)["rgb"]))
        if len(views) == 1:
            began = time.monotonic()  # the first picture compiles
    return views


def choose_windows(cameras: Cameras, rng: np.random.Generator) -> list[Cameras]:
    """Return cameras that see windows of random views, evenly many of each view.

    Args:
      cameras: (n) cameras.
      rng: chooses views, and windows in them.
    """
    sizes = np.asarray(cameras.size)
    whole = (sizes <= WHOLE).all()
    sizes = sizes if whole else np.minimum(sizes, WINDOW)
    count = max(MIN_WINDOWS, int(PIXELS / sizes.prod(-1).mean()))
    if whole:
        count = min(count, len(cameras))  # a picture that is one window is needed only once
    order = np.concatenate(
        [rng.permutation(len(cameras)) for _ in range(-(-count // len(cameras)))]
    )
    return [_window(cameras[int(i)], sizes[i], rng) for i in order[:count]]


def _window(camera: Cameras, size: np.ndarray, rng: np.random.Generator) -> Cameras:
    """Return a camera that sees a random window of the picture of another."""
    corner = rng.integers(0, np.asarray(camera.size) - size + 1)
    K = np.array(camera.K)
    K[:2, 2] -= corner
    return dataclasses.replace(camera, K=K, size=size.astype(np.int32))
