"""Draw figures for a paper: held-out views with enlarged crops, as PDF, SVG and PNG.

Pictures are those of each config's first run, at full resolution.
"""

import base64
import dataclasses
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from nerf.comparing.comparison import Groups
from nerf.comparing.report.pictures import View, read_sheets
from nerf.foundation.files import write_bytes
from nerf.foundation.instantiate import ConfigError

DEFAULT_VIEWS = 3  # number of views in a figure without --crop
CONFIGS_PER_BAND = 5  # configs beside the truth; more configs continue below
CROPS_PER_SIDE = 5  # the shorter side of a picture in sides of a crop
PAGE_INCHES = 7.0  # text width of a page
MAX_PICTURE_INCHES = 1.45  # width of a picture, so that three views in two rows fit on a page
CAPTION = 0.16  # height of the text below a picture, in inches
DPI = 170
FRAME_COLOUR = "#e0301e"
FONTS: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "nerf",
    "font.size": 8,
}


@dataclasses.dataclass(frozen=True)
class Crop:
    """An enlarged square of a view.

    Attributes:
      view: the view.
      box: left, top and side of the square in pixels; None: where the configs differ most.
    """

    view: View
    box: tuple[int, int, int] | None = None


def split_crop(text: str) -> tuple[str, tuple[int, int, int] | None]:
    """Parse "VIEW" or "VIEW:X,Y,SIDE" as a view name and a square. Raises ConfigError."""
    name, colon, square = text.rpartition(":") if re.search(r":[\d, ]*$", text) else (text, "", "")
    numbers = [int(number) for number in re.findall(r"\d+", square)]
    if not name or (colon and len(numbers) != 3):
        raise ConfigError(
            f"--crop={text}: not VIEW or VIEW:X,Y,SIDE: write r_019:120,80,40, in pixels"
        )
    if not colon:
        return name, None
    left, top, side = numbers
    if side < 1:
        raise ConfigError(f"--crop={text}: a square without pixels: give a side of 1 or more")
    return name, (left, top, side)


def parse_crops(texts: Sequence[str], views: Sequence[View]) -> list[Crop]:
    """Return the crops that "VIEW" or "VIEW:X,Y,SIDE" ask for.

    Args:
      texts: the values of --crop. A view is given by its name or the last part of it.
      views: the held-out views of the study; the first ones are used if `texts` is empty.

    Raises:
      ConfigError: unknown views or malformed squares.
    """
    crops = []
    for text in texts:
        name, box = split_crop(text)
        named = [view for view in views if view.name == name or Path(view.name).name == name]
        if not named:
            some = ", ".join(view.name for view in views[:DEFAULT_VIEWS])
            raise ConfigError(f"--crop={text}: no held-out view '{name}': there are {some}, ...")
        crops.append(Crop(named[0], box))
    return crops or [Crop(view) for view in views[:DEFAULT_VIEWS]]


def differing_place(
    truth: UInt8[np.ndarray, "h w 3"], renders: Sequence[UInt8[np.ndarray, "h w 3"]], side: int
) -> tuple[int, int]:
    """Return left and top of the square in which the renders differ most.

    The errors of the renders are compared. With one render it is the square with the largest error.

    Args:
      truth: the held-out image, (h, w, 3).
      renders: the render of each config, (h, w, 3).
      side: side of the square in pixels.
    """
    # Mean absolute error of each render over the channels, and its range over the renders.
    errors = np.stack([np.abs(image.astype(np.float64) - truth).mean(-1) for image in renders])
    apart = errors.max(0) - errors.min(0) if len(renders) > 1 else errors[0]
    # Sum over all squares at once with a summed-area table.
    sums = np.pad(apart.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(squares.argmax(), squares.shape)
    return int(left), int(top)


def pictures_figure(groups: Groups, crops: Sequence[Crop]) -> Figure | None:
    """Draw each view for truth and all configs, with its crop below.

    Returns: None if the runs no longer have the pictures.

    Raises:
      ConfigError: if a crop lies outside its view.
    """
    rows = []
    for crop in crops:
        sheets = read_sheets([results[0] for results in groups.values()], crop.view)
        if sheets:
            rows.append((crop.view, sheets, _inside(crop, sheets)))
    if not rows:
        return None
    labels = list(groups)
    bands = [
        range(i, min(i + CONFIGS_PER_BAND, len(labels)))
        for i in range(0, len(labels), CONFIGS_PER_BAND)
    ]
    columns = 1 + max(len(band) for band in bands)
    width = min(PAGE_INCHES / columns, MAX_PICTURE_INCHES)
    per_band = 2 * len(rows)
    # The first row of each band also has the titles of the columns.
    title = 0.14 * max(len(_wrapped(label, columns).splitlines()) for label in labels) + 0.1
    shapes = [sheets[0].shape for _, sheets, _ in rows]
    heights = _heights(shapes, width, title) * len(bands)
    total = sum(heights)
    figure = Figure((width * columns, total))
    top = 1.0
    for number, height in enumerate(heights):
        band = bands[number // per_band]
        view, sheets, box = rows[number // 2 % len(rows)]
        enlarged = number % 2 == 1
        share = height / total
        shape = sheets[0].shape
        used = (width if enlarged else width * shape[0] / shape[1]) / total
        bottom = top - share + (0.0 if enlarged else CAPTION / total)
        for column, source in enumerate([None, *band]):
            left, across = column / columns + 0.005, 1.0 / columns - 0.01
            axes = figure.add_axes((left, bottom, across, used * (1.0 - 0.01 * columns)))
            _draw(axes, sheets[0 if source is None else 1 + source], box, enlarged)
            if not enlarged:
                _add_caption(axes, groups, view, None if source is None else labels[source])
            if number % per_band == 0:
                name = "truth" if source is None else _wrapped(labels[source], columns)
                axes.set_title(name, fontsize=8, pad=3)
        top -= share
    return figure


def _heights(shapes: Sequence[tuple[int, ...]], width: float, title: float) -> list[float]:
    """Return the heights of the rows of a band, in inches.

    A view has two rows: its pictures with a caption, and its crops.

    Args:
      shapes: height and width of the pictures of each view, in pixels.
      width: width of a column.
      title: height of the titles above the first row.
    """
    heights = []
    for shape in shapes:
        heights += [width * shape[0] / shape[1] + CAPTION, width]
    heights[0] += title
    return heights


def _add_caption(axes: Any, groups: Groups, view: View, label: str | None) -> None:
    """Write a view's name below its truth, or the PSNR below a render."""
    text = Path(view.name).name if label is None else _score(groups, label, view)
    axes.text(0.5, -0.02, text, ha="center", va="top", transform=axes.transAxes, fontsize=7)


def _wrapped(label: str, columns: int) -> str:
    """Return a label wrapped to the width of a column."""
    return "\n".join(textwrap.wrap(label, 20 if columns < 6 else 16)) or label


def _score(groups: Groups, label: str, view: View) -> str:
    """Return the PSNR of a config's first run on a view as text."""
    scores = groups[label][0].scores("psnr")
    return "" if scores is None else f"{scores[view.index]:.2f} dB"


def _inside(crop: Crop, sheets: Sequence[UInt8[np.ndarray, "h w 3"]]) -> tuple[int, int, int]:
    """Return the square of a crop; by default, where the configs differ most."""
    height, width = sheets[0].shape[:2]
    if crop.box is None:
        side = max(min(height, width) // CROPS_PER_SIDE, 1)
        return (*differing_place(sheets[0], sheets[1:], side), side)
    left, top, side = crop.box
    if left + side > width or top + side > height:
        asked = f"--crop={crop.view.name}:{left},{top},{side}"
        raise ConfigError(
            f"{asked}: outside of the view, which is {width}x{height}: choose a smaller square"
        )
    return crop.box


def _draw(
    axes: Any, image: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int], enlarged: bool
) -> None:
    """Draw an image with the frame of its crop, or the enlarged crop."""
    axes.set_axis_off()
    left, top, side = box
    shown = image[top : top + side, left : left + side] if enlarged else image
    axes.imshow(shown, interpolation="none", aspect="auto")
    if enlarged:
        axes.add_patch(
            Rectangle(
                (0, 0),
                1,
                1,
                fill=False,
                color=FRAME_COLOUR,
                linewidth=1.5,
                transform=axes.transAxes,
            )
        )
    else:
        axes.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5), side, side, fill=False, color=FRAME_COLOUR, linewidth=0.8
            )
        )


def saved(figure: Figure, kind: str) -> bytes:
    """Return a figure as a "pdf", "svg" or "png" file, reproducible byte for byte."""
    buffer = io.BytesIO()
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    with rc_context(FONTS):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def as_webp(figure: Figure) -> str:
    """Return a figure as a base64-encoded WebP."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(saved(figure, "png"))).convert("RGB").save(
        buffer, "WEBP", quality=88, method=4
    )
    return base64.b64encode(buffer.getvalue()).decode()


def write_figures(folder: Path, figures: Mapping[str, Figure | None]) -> list[Path]:
    """Write each figure as PDF, SVG and PNG, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures.items():
        for kind in ("pdf", "svg", "png") if figure is not None else ():
            assert figure is not None
            files.append(folder / f"{name}.{kind}")
            write_bytes(files[-1], saved(figure, kind))
    return files
