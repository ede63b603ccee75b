"""Figures for a paper: held-out views of all configs with enlarged crops, and curves, as PDF, SVG and PNG.

Pictures are those of each config's first run, and every pixel of them is kept.
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

DEFAULT_VIEWS = 3  # of a figure, where nobody chose
CONFIGS_PER_BAND = 5  # configs beside the truth; more continue below
CROPS_PER_SIDE = 5  # the shorter side of a picture is this many sides of a crop
PAGE_INCHES = 7.0  # width of a page of text
MAX_PICTURE_INCHES = 1.45  # inches of a picture's width: three views of two rows fit on a page
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
    """A square of a view that is enlarged: its left, top and side in pixels; None for where configs differ most."""

    view: View
    box: tuple[int, int, int] | None = None


def split_crop(text: str) -> tuple[str, tuple[int, int, int] | None]:
    """Return the name of a view and the square in "VIEW" or "VIEW:X,Y,SIDE". Raises ConfigError for anything else."""
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
    """Return the crops that "VIEW" or "VIEW:X,Y,SIDE" ask for. Raises ConfigError for views that are not there.

    Args:
      texts: as given to --crop. A view is named by its name or the end of it.
      views: those of the study; the first are taken where nothing is asked for.
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
    """Return left and top of the square in which the errors of the renders are furthest apart.

    With one render it is the square in which its error is largest.
    """
    errors = np.stack([np.abs(image.astype(np.float64) - truth).mean(-1) for image in renders])
    apart = errors.max(0) - errors.min(0) if len(renders) > 1 else errors[0]
    # Sums over all squares at once: differences of a table of sums over rectangles.
    sums = np.pad(apart.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(squares.argmax(), squares.shape)
    return int(left), int(top)


def pictures_figure(groups: Groups, crops: Sequence[Crop]) -> Figure | None:
    """Draw each view, truth and all configs, with its crop below; None where the runs no longer have the pictures.

    Raises ConfigError where a crop lies outside of its view.
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
    shapes = [sheets[0].shape for _, sheets, _ in rows]
    heights = [
        height for shape in shapes for height in (width * shape[0] / shape[1] + 0.16, width)
    ] * len(bands)
    title = 0.14 * max(len(_wrapped(label, columns).splitlines()) for label in labels) + 0.1
    heights[:: 2 * len(rows)] = [height + title for height in heights[:: 2 * len(rows)]]
    figure = Figure((width * columns, sum(heights)))
    top = 1.0
    for number, height in enumerate(heights):
        band, (view, sheets, box) = bands[number // (2 * len(rows))], rows[number // 2 % len(rows)]
        first, enlarged = number % (2 * len(rows)) == 0, number % 2 == 1
        share = height / sum(heights)
        used = (width if enlarged else width * sheets[0].shape[0] / sheets[0].shape[1]) / sum(
            heights
        )
        bottom = top - share + (0.0 if enlarged else 0.16 / sum(heights))
        for column, source in enumerate([None, *band]):
            place = (
                column / columns + 0.005,
                bottom,
                1.0 / columns - 0.01,
                used * (1.0 - 0.01 * columns),
            )
            axes = figure.add_axes(place)
            axes.set_axis_off()
            image = sheets[0] if source is None else sheets[1 + source]
            _draw(axes, image, box, enlarged)
            if not enlarged:
                score = (
                    Path(view.name).name if source is None else _score(groups, labels[source], view)
                )
                axes.text(
                    0.5, -0.02, score, ha="center", va="top", transform=axes.transAxes, fontsize=7
                )
            if first:
                axes.set_title(
                    "truth" if source is None else _wrapped(labels[source], columns),
                    fontsize=8,
                    pad=3,
                )
        top -= share
    return figure


def _wrapped(label: str, columns: int) -> str:
    return "\n".join(textwrap.wrap(label, 20 if columns < 6 else 16)) or label


def _score(groups: Groups, label: str, view: View) -> str:
    scores = groups[label][0].scores("psnr")
    return "" if scores is None else f"{scores[view.index]:.2f} dB"


def _inside(crop: Crop, sheets: Sequence[UInt8[np.ndarray, "h w 3"]]) -> tuple[int, int, int]:
    """Return the square of a crop, found where none was chosen."""
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
    """Return a figure as a file, "pdf", "svg" or "png", the same bytes each time."""
    buffer = io.BytesIO()
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    with rc_context(FONTS):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def as_webp(figure: Figure) -> str:
    """Return a figure as base64 of a WebP."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(saved(figure, "png"))).convert("RGB").save(
        buffer, "WEBP", quality=88, method=4
    )
    return base64.b64encode(buffer.getvalue()).decode()


def write_figures(folder: Path, figures: Mapping[str, Figure | None]) -> list[Path]:
    """Write each figure by its name as PDF, SVG and PNG, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures.items():
        for kind in ("pdf", "svg", "png") if figure is not None else ():
            assert figure is not None
            files.append(folder / f"{name}.{kind}")
            write_bytes(files[-1], saved(figure, kind))
    return files
