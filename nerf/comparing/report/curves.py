"""Plot held-out PSNR against seconds and steps: a line for each config, a band over its seeds.

Slow configs are evaluated on fewer views while they train. All lines are then means over the views
that every evaluation has.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from nerf.comparing.comparison import Groups
from nerf.runs.results import Point, Result

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 12, 56
GRID = 64  # points of a line
# The same colours as .s0 to .s7 in the style sheet.
PALETTE = ("#0b5cad", "#b34700", "#0b7a53", "#8a2f86", "#8f6b00", "#c2185b", "#00798c", "#5a5f66")
AXES = {"seconds": "seconds of training", "step": "steps"}
DASHES = ("", "7 4", "2 3", "9 3 2 3")  # not everybody can distinguish the lines by colour


def line_style(i: int) -> tuple[str, str]:
    """Return CSS class and dashes of the i-th config's line; the first 16 differ."""
    return f"s{i % len(PALETTE)}", DASHES[i // 4 % len(DASHES)]


def shared_views(groups: Groups) -> Bool[np.ndarray, " v"] | None:
    """Return the mask of views that every evaluation of every run has.

    Returns: None if an evaluation recorded only its mean.
    """
    points = [
        point.per_image
        for results in groups.values()
        for result in results
        for point in result.curve
    ]
    lists = [values for values in points if values is not None]
    if not lists or len(lists) < len(points):
        return None
    return np.isfinite(np.stack(lists)).all(0)


def band(
    results: Sequence[Result], axis: str, views: Bool[np.ndarray, " v"] | None = None
) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, "3 g"]] | None:
    """Return the range of PSNR over seeds along an axis.

    Between evaluations a run's line is linear. The grid covers the range that every seed reached.

    Args:
      results: the runs of one config.
      axis: "seconds" or "step".
      views: mask of the views to average over; None: all views of each evaluation.

    Returns: grid positions (g), and the lowest, mean and highest PSNR there (3, g); None if a run
    has fewer than two evaluations or the ranges do not overlap.
    """
    lines = [
        ([float(getattr(p, axis)) for p in r.curve], [_mean(p, views) for p in r.curve])
        for r in results
    ]
    if not lines or any(len(places) < 2 for places, _ in lines):
        return None
    start, end = max(places[0] for places, _ in lines), min(places[-1] for places, _ in lines)
    if start >= end:
        return None
    grid = np.linspace(start, end, GRID)
    values = np.stack([np.interp(grid, places, psnr) for places, psnr in lines])
    return grid, np.stack([values.min(0), values.mean(0), values.max(0)])


def _mean(point: Point, views: Bool[np.ndarray, " v"] | None) -> float:
    """Return the mean PSNR of an evaluation over some views."""
    if views is None or point.per_image is None:
        return point.psnr
    return float(point.per_image[views].mean())


def bands(
    groups: Groups, axis: str
) -> dict[str, tuple[Float[np.ndarray, " g"], Float[np.ndarray, "3 g"]]]:
    """Return the `band` of each config over the views that all share."""
    views = shared_views(groups)
    if views is not None and not views.any():
        return {}
    return {
        label: found
        for label, results in groups.items()
        if (found := band(results, axis, views)) is not None
    }


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers between two limits.

    Args:
      low: lower limit.
      high: upper limit.
      count: approximate number of ticks.
    """
    span = max(high - low, 1e-9)
    # Round the step up to 1, 2, 5 or 10 times a power of ten.
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    return [
        float(round(i * step, 10))
        for i in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def curves(groups: Groups, axis: str) -> str:
    """Return the plot as SVG; "" if no config has two evaluations."""
    lines = bands(groups, axis)
    if not lines:
        return ""
    right = max(grid[-1] for grid, _ in lines.values())
    low = min(values[0].min() for _, values in lines.values())
    high = max(values[2].max() for _, values in lines.values())
    margin = 0.05 * max(high - low, 0.1)
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / right

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    name = AXES[axis]
    parts = draw_axes(
        y, low, high, name, [(x(value), f"{value:,g}") for value in ticks(0.0, right)]
    )
    for i, label in enumerate(groups):
        if label in lines:
            parts += _line(x, y, *lines[label], i, label)
    ends = "; ".join(
        f"{label} ends at {values[1][-1]:.2f} dB" for label, (_, values) in lines.items()
    )
    title = escape(f"Held-out PSNR against {name}: {ends}")
    return as_svg(parts, title)


def as_svg(parts: Sequence[str], title: str) -> str:
    """Return a plot from its SVG elements; `title` describes it to screen readers."""
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return f"{head}{''.join(parts)}</svg>"


def draw_axes(
    y: Callable, low: float, high: float, name: str, marks: Sequence[tuple[float, str]]
) -> list[str]:
    """Return the SVG elements of the grid, the axes and their labels.

    Args:
      y: maps PSNR to a vertical coordinate.
      low: lowest PSNR, in dB.
      high: highest PSNR, in dB.
      name: label of the horizontal axis.
      marks: horizontal coordinate and text of each tick.
    """
    parts = []
    for value in ticks(low, high):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
            f'y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for place, text in marks:
        parts.append(
            f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 20}" '
            f'text-anchor="middle">{escape(text)}</text>'
        )
    bottom = HEIGHT - BOTTOM
    parts.append(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    )
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(name)}</text>'
    )
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 16 {middle:.0f})"'
    return [
        *parts,
        f'<text x="16" y="{middle:.0f}" text-anchor="middle" {turned}>held-out PSNR, dB</text>',
    ]


def _line(
    x: Callable[[float], float],
    y: Callable[[float], float],
    grid: Float[np.ndarray, " g"],
    values: Float[np.ndarray, "3 g"],
    i: int,
    label: str,
) -> list[str]:
    """Return the SVG elements of one config's line and band.

    Args:
      x: maps places to horizontal coordinates.
      y: maps PSNR to vertical coordinates.
      grid: places along the horizontal axis.
      values: lowest, mean and highest PSNR at each place.
      i: number of the config, which chooses its style.
      label: label of the config.
    """

    def path(numbers: Float[np.ndarray, " g"]) -> str:
        return " ".join(f"{x(g):.1f},{y(v):.1f}" for g, v in zip(grid, numbers, strict=True))

    upper = path(values[2])
    lower = " ".join(reversed(path(values[0]).split(" ")))
    colour, dashes = line_style(i)
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return [
        f'<g class="series {colour}"><title>{escape(label)}</title>',
        f'<polygon class="band" points="{upper} {lower}"/>',
        f'<polyline points="{path(values[1])}"{dash}/></g>',
    ]


def curves_figure(groups: Groups, axis: str) -> Figure | None:
    """Draw the plot for a paper; None if no config has two evaluations."""
    lines = bands(groups, axis)
    if not lines:
        return None
    figure = Figure((3.4, 2.3 + 0.13 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for i, label in enumerate(groups):
        if label in lines:
            grid, (low, mean, high) = lines[label]
            colour, dashes = PALETTE[i % len(PALETTE)], line_style(i)[1]
            style = (0, tuple(map(float, dashes.split()))) if dashes else "-"
            axes.fill_between(grid, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(grid, mean, color=colour, linestyle=style, linewidth=1.2, label=label)
    finish(axes, AXES[axis])
    return figure


def finish(axes: Any, name: str) -> None:
    """Set labels, grid and legend of a paper's plot; `name` labels the horizontal axis."""
    axes.set_xlabel(name, fontsize=8)
    axes.set_ylabel("held-out PSNR, dB", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.figure.legend(fontsize=6.5, frameon=False, loc="outside lower left")
