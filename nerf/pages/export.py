"""Export a trained run as a page that flies through its field in a browser."""

import math
import time
from pathlib import Path
from typing import NamedTuple

from nerf.foundation.errors import UserError
from nerf.pages.baking import bake
from nerf.pages.bricks import BRICK, CHANNELS
from nerf.pages.page import write_page
from nerf.runs.read import Run
from nerf.sampling.spaces import Box, Contracted, Cropped

STEPS = 320  # intervals of a ray
MEGABYTE = 1e6
SHELL = 0.2e6  # bytes of a page without bricks, at most
# Bytes of a stored brick as text, four characters for three bytes; often it compresses well.
BRICK_BYTES = math.ceil(BRICK**3 * CHANNELS * 4 / 3)
MIN_BRICKS = 500  # fewer are no picture of a scene


class ExportedPage(NamedTuple):
    """The result of an export.

    Attributes:
      path: the page.
      size: in bytes.
      seconds: time that baking took.
    """

    path: Path
    size: int
    seconds: float


def export_page(run: Run, path: Path, megabytes: float = 15.0) -> ExportedPage:
    """Bake the field of a run and write it as one HTML file, which needs no network.

    Args:
      run: the trained run; one with a `Cropped` space shows what is in its box.
      path: the page, an .html.
      megabytes: largest size of the file, in millions of bytes.

    Raises:
      UserError: the run has no box that bricks could fill, as of an image, or the size has no room
        for a picture.
    """
    if not isinstance(run.model.space, Box | Contracted | Cropped):
        reason = f"a page shows a bounded or a contracted scene, and this is a {_kind(run)}"
        raise UserError(f"--page={path}: {reason}: render a video or a picture instead")
    max_bricks = int((megabytes * MEGABYTE - SHELL) / BRICK_BYTES)
    if max_bricks < MIN_BRICKS:
        least = (MIN_BRICKS * BRICK_BYTES + SHELL) / MEGABYTE
        reason = f"too small for the {MIN_BRICKS} bricks of a coarse picture"
        raise UserError(f"--page_mb={megabytes:g}: {reason}: give {least + 0.005:.2f} or more")
    path.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    baked = bake(run.model, run.cameras["train"], STEPS, max_bricks)
    seconds = time.monotonic() - start
    return ExportedPage(path, write_page(run, baked, path), seconds)


def _kind(run: Run) -> str:
    return type(run.model.space).__name__.lower()
