"""Make a contact sheet: one picture with small renders of some frames of a path."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from nerf.cameras.cameras import Cameras
from nerf.cameras.resizing import resized
from nerf.foundation.png import to_bytes, write_png
from nerf.foundation.progress import Meter
from nerf.output.labels import draw_label
from nerf.paths.coverage import evenly
from nerf.rendering.images import RenderingStopped, make_render_image
from nerf.runs.read import Run

MAX_TILES = 24  # frames on a sheet
TILE_SIDE = 160  # pixels of a tile's longer side
GAP = 2  # pixels between tiles


def render_contact_sheet(
    run: Run,
    cameras: Cameras,
    numbers: Sequence[int],
    out: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Path] | None:
    """Render a few frames of a path, small and evenly spaced, into one PNG with their numbers.

    Args:
      run: the trained run.
      cameras: the cameras of all frames of the path.
      numbers: numbers of the frames to choose from.
      out: the PNG.
      should_stop: asked while rendering; True stops.

    Returns: the file that was written; None if stopped.
    """
    chosen = [numbers[i] for i in evenly(len(numbers), MAX_TILES)]
    background, chunk = run.config["background"], run.config["chunk"]
    tiles = []
    try:
        with Meter("render", "frame", len(chosen)) as meter:
            render_image = make_render_image(
                run.model, background, chunk, should_stop, meter.within
            )
            for i in chosen:
                factor = min(1.0, TILE_SIDE / float(np.max(cameras.size[i])))
                tiles.append(to_bytes(render_image(resized(cameras[i], factor))["rgb"]))
                meter.add()
    except RenderingStopped:
        return None
    write_png(out, arrange(tiles, [str(i) for i in chosen]))
    return [out]


def arrange(
    tiles: Sequence[UInt8[np.ndarray, "h w 3"]], labels: Sequence[str]
) -> UInt8[np.ndarray, "H W 3"]:
    """Arrange pictures of one size in rows, each with a label in its upper left corner.

    The sheet has about as many columns as rows; unused places are black.
    """
    high, wide = tiles[0].shape[:2]
    columns = int(np.ceil(np.sqrt(len(tiles) * high / wide)))
    rows = -(-len(tiles) // columns)
    size = (columns * (wide + GAP) - GAP, rows * (high + GAP) - GAP)
    sheet = Image.new("RGB", size)
    draw = ImageDraw.Draw(sheet)
    for i, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        corner = (i % columns * (wide + GAP), i // columns * (high + GAP))
        sheet.paste(Image.fromarray(tile), corner)
        draw_label(draw, (corner[0] + 2, corner[1] + 2), label)
    return np.asarray(sheet)
