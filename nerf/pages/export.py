"""Export a trained run as a page that flies through its field in a browser."""

import time
from pathlib import Path
from typing import NamedTuple

from nerf.foundation.errors import UserError
from nerf.pages.baking import bake
from nerf.pages.page import write_page
from nerf.runs.read import Run
from nerf.sampling.spaces import Box, Contracted

STEPS = 320  # intervals of a ray


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


def export_page(run: Run, path: Path) -> ExportedPage:
    """Bake the field of a run and write it as one HTML file, which needs no network.

    Args:
      run: the trained run.
      path: the page, an .html.

    Raises:
      UserError: the run has no box that bricks could fill, as of an image.
    """
    if not isinstance(run.model.space, Box | Contracted):
        reason = f"a page shows a bounded or a contracted scene, and this is a {_kind(run)}"
        raise UserError(f"--page={path}: {reason}: render a video or a picture instead")
    path.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    baked = bake(run.model, run.cameras["train"], STEPS)
    seconds = time.monotonic() - start
    return ExportedPage(path, write_page(run, baked, path), seconds)


def _kind(run: Run) -> str:
    return type(run.model.space).__name__.lower()
