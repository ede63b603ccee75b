"""Choose what splats should show: small pictures of training views, rendered from the field."""

import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras
from nerf.cameras.resizing import resized
from nerf.foundation.progress import track
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run

# Pixels along the longer side of a picture. A few thousand splats per picture show no more detail,
# and a step on some tiles of a small picture trains a large part of what it shows.
SIDE = 320
PIXELS = 2_000_000  # of all pictures together
MIN_PICTURES = 8  # that are rendered however long it takes
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
    """Render small pictures of random training views with the field of a run."""
    render = make_render_image(run.model, run.config["background"], run.config["chunk"])
    cameras = choose_cameras(run.cameras["train"], rng)
    views: list[View] = []
    began = time.monotonic()
    for camera in track(cameras, "pictures of the field", "picture", len(cameras)):
        if len(views) >= MIN_PICTURES and time.monotonic() - began > MAX_SECONDS:
            break
        views.append(View(camera, render(camera)["rgb"]))
        if len(views) == 1:
            began = time.monotonic()  # the first picture compiles
    return views


def choose_cameras(cameras: Cameras, rng: np.random.Generator) -> list[Cameras]:
    """Return random cameras whose pictures are small, none of them twice.

    Args:
      cameras: (n) cameras.
      rng: chooses cameras.
    """
    longer = np.asarray(cameras.size).max(-1)
    small = [resized(cameras[i], min(1.0, SIDE / longer[i])) for i in range(len(longer))]
    pixels = np.mean([camera.size.prod() for camera in small])
    count = min(max(MIN_PICTURES, int(PIXELS / pixels)), len(small))
    return [small[int(i)] for i in rng.permutation(len(small))[:count]]
