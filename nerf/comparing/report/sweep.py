"""Plot held-out PSNR against a swept key: a dot for each seed, a line through the medians.

Scores are those at the end of each run.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure

from nerf.comparing.comparison import Groups
from nerf.comparing.report.curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    PALETTE,
    RIGHT,
    TOP,
    WIDTH,
    as_svg,
    draw_axes,
    finish,
    line_style,
)
from nerf.comparing.studies import short_name

# The axis is logarithmic if the ratio of the largest value to the smallest is at least this.
LOG_AXIS_RATIO = 8.0
EDGE_FRACTION = 0.06  # fraction of the axis left free on either side


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Scores of the values of a swept key.

    Attributes:
      key: the dotted key.
      values: its values, in order.
      lines: for each line of the plot, the PSNR of each seed at each value; values without results
        are missing.
    """

    key: str
    values: list[str]
    lines: dict[str, dict[str, list[float]]]

    def places(self) -> tuple[list[float], bool]:
        """Return the position of each value on the axis.

        Values that are not numbers have a distance of 1.

        Returns: the positions, and whether the axis is logarithmic.
        """
        try:
            numbers = [float(value) for value in self.values]
        except ValueError:
            return [float(i) for i in range(len(self.values))], False
        log = min(numbers) > 0.0 and max(numbers) / min(numbers) >= LOG_AXIS_RATIO
        return ([math.log10(number) for number in numbers] if log else numbers), log

    def medians(self, name: str) -> tuple[list[float], list[float]]:
        """Return the positions of a line's values and the median PSNR at each."""
        points = [
            (place, float(np.median(self.lines[name][value])))
            for place, value in zip(self.places()[0], self.values, strict=True)
            if value in self.lines[name]
        ]
        return [place for place, _ in points], [psnr for _, psnr in points]


def find_sweeps(
    groups: Groups, points: Mapping[str, tuple[str, Sequence[tuple[str, str]]]], together: bool
) -> list[Sweep]:
    """Return a sweep for each swept key.

    It has a line for each combination of config and values of the other keys.

    Args:
      groups: finished runs of each config.
      points: for each label, the label of the swept config and the value of each key.
      together: whether the keys were stepped through together; then only the first key is plotted.
    """
    keys = list(dict.fromkeys(key for _, point in points.values() for key, _ in point))
    out = []
    for key in keys[:1] if together else keys:
        values: dict[str, None] = {}
        lines: dict[str, dict[str, list[float]]] = {}
        for label, (base, point) in points.items():
            if key not in dict(point):
                continue
            value = dict(point)[key]
            values[value] = None
            others = [] if together else [short_name(f"{k}={v}") for k, v in point if k != key]
            if label in groups:
                scores = [float(result.results["psnr"]) for result in groups[label]]
                lines.setdefault(" ".join([base, *others]), {})[value] = scores
        found = Sweep(key, _ordered(list(values)), lines)
        if sum(len(line) for line in lines.values()) > 1:
            out.append(found)
    return out


def _ordered(values: list[str]) -> list[str]:
    """Sort values that are all numbers; leave others in their order."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return values


def sweep_svg(sweep: Sweep) -> str:
    """Return the plot of a sweep as SVG."""
    places, _ = sweep.places()
    scores = [score for line in sweep.lines.values() for seeds in line.values() for score in seeds]
    margin = 0.05 * max(max(scores) - min(scores), 0.1)
    low, high = min(scores) - margin, max(scores) + margin
    first, span = min(places), max(max(places) - min(places), 1e-9)

    def x(place: float) -> float:
        inside = EDGE_FRACTION + (1.0 - 2.0 * EDGE_FRACTION) * (place - first) / span
        return LEFT + (WIDTH - LEFT - RIGHT) * inside

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    marks = [(x(place), value) for place, value in zip(places, sweep.values, strict=True)]
    parts = draw_axes(y, low, high, sweep.key, marks)
    for i, (name, line) in enumerate(sweep.lines.items()):
        colour, dashes = line_style(i)
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        middle = " ".join(
            f"{x(p):.1f},{y(v):.1f}" for p, v in zip(*sweep.medians(name), strict=True)
        )
        dots = [
            f'<circle cx="{x(place):.1f}" cy="{y(score):.1f}" r="3.5"/>'
            for place, value in zip(places, sweep.values, strict=True)
            for score in line.get(value, [])
        ]
        parts.append(f'<g class="series {colour}"><title>{escape(name)}</title>')
        parts.append(f'<polyline points="{middle}"{dash}/>{"".join(dots)}</g>')
    described = "; ".join(f"{name}: {_in_words(sweep, name)}" for name in sweep.lines)
    title = escape(f"Held-out PSNR against {sweep.key}: {described}")
    return as_svg(parts, title)


def _in_words(sweep: Sweep, name: str) -> str:
    """Describe a line of the plot for screen readers."""
    line = sweep.lines[name]
    shown = [
        f"{np.median(line[value]):.2f} dB at {value}" for value in sweep.values if value in line
    ]
    return ", ".join(shown)


def sweep_figure(sweep: Sweep) -> Figure:
    """Draw a sweep for a paper."""
    places, _ = sweep.places()
    figure = Figure((3.4, 2.3 + 0.13 * len(sweep.lines)), layout="constrained")
    axes = figure.subplots()
    for i, (name, line) in enumerate(sweep.lines.items()):
        colour, dashes = PALETTE[i % len(PALETTE)], line_style(i)[1]
        style = (0, tuple(map(float, dashes.split()))) if dashes else "-"
        axes.plot(*sweep.medians(name), color=colour, linestyle=style, linewidth=1.2, label=name)
        for place, value in zip(places, sweep.values, strict=True):
            seeds = line.get(value, [])
            axes.plot(
                [place] * len(seeds),
                seeds,
                "o",
                color=colour,
                markersize=3,
                alpha=0.6,
                markeredgewidth=0,
            )
    axes.set_xticks(places, sweep.values)
    finish(axes, sweep.key)
    return figure
