"""Held-out quality against seconds and against steps, as SVG: a line for each config, a band over its seeds."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from nerf.answers import Groups
from nerf.results import Result

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 12, 56
GRID = 64  # places of a line
COLOURS = 8  # of the style sheet: .s0 to .s7
DASHES = ("", "7 4", "2 3", "9 3 2 3")  # colours alone would not tell lines apart for everybody


def look(i: int) -> tuple[str, str]:
    """Class and dashes of the i-th config's line; the first 16 differ."""
    return f"s{i % COLOURS}", DASHES[i // 4 % len(DASHES)]


def band(results: Sequence[Result], axis: str) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, "3 g"]] | None:
    """Places along "seconds" or "step", and lowest, mean and highest PSNR there; None without two scorings of each.

    Between its scorings a run's line is straight. The places are those that every seed reached.
    """
    lines = [([float(getattr(p, axis)) for p in r.curve], [p.psnr for p in r.curve]) for r in results]
    if not lines or any(len(places) < 2 for places, _ in lines):
        return None
    start, end = max(places[0] for places, _ in lines), min(places[-1] for places, _ in lines)
    if start >= end:
        return None
    grid = np.linspace(start, end, GRID)
    values = np.stack([np.interp(grid, places, psnr) for places, psnr in lines])
    return grid, np.stack([values.min(0), values.mean(0), values.max(0)])


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two."""
    span = max(high - low, 1e-9)
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    return [float(round(i * step, 10)) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def curves(groups: Groups, axis: str) -> str:
    """The SVG, or "" where runs were scored at their end only."""
    bands = {label: found for label, results in groups.items() if (found := band(results, axis)) is not None}
    if not bands:
        return ""
    right = max(grid[-1] for grid, _ in bands.values())
    low = min(values[0].min() for _, values in bands.values())
    high = max(values[2].max() for _, values in bands.values())
    margin = 0.05 * max(high - low, 0.1)
    low, high = low - margin, high + margin

    def x(value) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / right

    def y(value) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    name = "seconds of training" if axis == "seconds" else "steps"
    parts = _axes(x, y, right, low, high, name)
    for i, label in enumerate(groups):
        if label in bands:
            parts += _line(x, y, *bands[label], i, label)
    told = "; ".join(f"{label} ends at {values[1][-1]:.2f} dB" for label, (_, values) in bands.items())
    title = escape(f"Held-out PSNR against {name}: {told}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def _axes(x, y, right: float, low: float, high: float, name: str) -> list[str]:
    parts = []
    for value in ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(0.0, right):
        parts.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{f"{value:,g}"}</text>')
    bottom = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>')
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 16 {middle:.0f})"'
    return [*parts, f'<text x="16" y="{middle:.0f}" text-anchor="middle" {turned}>held-out PSNR, dB</text>']


def _line(x, y, grid, values, i: int, label: str) -> list[str]:
    def path(numbers) -> str:
        return " ".join(f"{x(g):.1f},{y(v):.1f}" for g, v in zip(grid, numbers, strict=True))

    upper = path(values[2])
    lower = " ".join(reversed(path(values[0]).split(" ")))
    colour, dashes = look(i)
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return [
        f'<g class="series {colour}"><title>{escape(label)}</title>',
        f'<polygon class="band" points="{upper} {lower}"/>',
        f'<polyline points="{path(values[1])}"{dash}/></g>',
    ]
