"""The table of a report: a row for each config, a cell for each number with its spread over seeds, and its copies."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from nerf import lpips, metrics
from nerf.answers import Groups, asked_axis, scores_of
from nerf.results import Result, checkpoint_bytes
from nerf.statistics import best, compare


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of a config.

    Attributes:
      title: for the heading; with its unit.
      higher: whether more is better; None: neither.
      show: a format.
      missing: what a cell says where a run has no such number.
      scale: what the number is multiplied by.
      certain: whether it is the same for every seed, so that one seed tells it.
    """

    key: str
    title: str
    higher: bool | None
    show: str
    missing: str = "not recorded"
    scale: float = 1.0
    certain: bool = False


SCORED_WITHOUT = "these runs were scored without it: --fresh trains them again"
PER_IMAGE = (
    Column("psnr", "PSNR, dB", True, "{:.2f}"),
    Column("psnr_corrected", "PSNR, colours corrected, dB", True, "{:.2f}"),
    Column("psnr_aligned", "PSNR, cameras aligned, dB", True, "{:.2f}", "no config learns poses"),
    Column("ssim", "SSIM", True, "{:.4f}", "views smaller than 11 pixels"),
    Column("flip", "FLIP", False, "{:.4f}", "not installed: pip install flip-evaluator"),
    Column("lpips", "LPIPS", False, "{:.4f}", f"not installed: pip install {lpips.REQUIREMENT}"),
)
FACTS = (
    Column("train_seconds", "training, s", False, "{:.1f}"),
    Column("steps_per_second", "steps/s", True, "{:.1f}"),
    Column("parameters", "parameters", False, "{:,.0f}", certain=True),
    Column("checkpoint", "checkpoint, MB", False, "{:.2f}", scale=1e-6, certain=True),
    Column("peak_memory", "peak memory, MB", False, "{:.0f}", scale=1e-6),
    Column("seconds_per_frame", "a frame, s", False, "{:.3f}"),
)
COLUMNS = PER_IMAGE + FACTS


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number of a config: its mean over seeds, their range, and whether it is the best by a real difference."""

    text: str
    spread: str = ""
    value: float | None = None
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    """A config: its cells, or why it has none."""

    label: str
    seeds: int
    cells: tuple[Cell, ...]
    failure: str = ""


def fact(result: Result, key: str) -> float | None:
    """A number of a whole run."""
    if key == "steps_per_second":
        return result.results["steps"] / max(result.results["train_seconds"], 1e-9)
    number = checkpoint_bytes(result.folder) if key == "checkpoint" else result.results.get(key)
    return None if number is None else float(number)


def make_table(groups: Groups, failures: Mapping[str, str]) -> list[Row]:
    """A row for each config of `groups`, and one for each of `failures`, those of which no run ended."""
    columns = [*(_scored(groups, column) for column in PER_IMAGE), *(_facts(groups, column) for column in FACTS)]
    rows = [
        Row(label, len(results), tuple(column[label] for column in columns), failures.get(label, ""))
        for label, results in groups.items()
    ]
    return rows + [Row(label, 0, (), failure) for label, failure in failures.items() if label not in groups]


def _scored(groups: Groups, column: Column) -> dict[str, Cell]:
    scores = scores_of(groups, column.key)
    if scores is None:
        missing = SCORED_WITHOUT if column.key in metrics.installed() and column.key != "ssim" else column.missing
        return {label: Cell(missing) for label in groups}
    leader = None
    if len(scores) > 1 and column.higher is not None:
        leader = best(scores, compare(scores), column.higher)
    return {label: _cell(column, score.mean(1), label == leader) for label, score in scores.items()}


def _facts(groups: Groups, column: Column) -> dict[str, Cell]:
    values: dict[str, np.ndarray] = {}
    for label, results in groups.items():
        numbers = [number for result in results if (number := fact(result, column.key)) is not None]
        if len(numbers) == len(results):
            values[label] = np.array(numbers, float)
    leader = None
    planned = column.key == "train_seconds" and asked_axis(groups) == "seconds"
    if len(values) == len(groups) > 1 and column.higher is not None and not planned:
        rows = {label: (np.repeat(v, 2) if column.certain else v)[:, None] for label, v in values.items()}
        leader = best(rows, compare(rows, fixed_views=True), column.higher)
    return {
        label: _cell(column, values[label], label == leader) if label in values else Cell(column.missing)
        for label in groups
    }


def _cell(column: Column, seeds: np.ndarray, is_best: bool) -> Cell:
    mean, low, high = (column.show.format(column.scale * x) for x in (seeds.mean(), seeds.min(), seeds.max()))
    return Cell(mean, f"{low} to {high}" if low != high else "", float(seeds.mean()), is_best)


def numbered(rows: Sequence[Row]) -> list[int]:
    """Places of the columns in which any config has a number."""
    return [i for i in range(len(COLUMNS)) if any(row.cells and row.cells[i].value is not None for row in rows)]


def narrowed(rows: Sequence[Row]) -> list[Row]:
    """The rows with the cells of these columns alone."""
    places = numbered(rows)
    return [dataclasses.replace(row, cells=tuple(row.cells[i] for i in places if row.cells)) for row in rows]


def without_numbers(rows: Sequence[Row]) -> list[str]:
    """The other columns, with why they are empty: "FLIP: not installed"."""
    cells = next((row.cells for row in rows if row.cells), ())
    places = numbered(rows)
    return [f"{COLUMNS[i].title}: {cell.text}" for i, cell in enumerate(cells) if i not in places]


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    """The table as words: mean (range), with a star behind what is best; columns without a number are left out."""
    titles = [COLUMNS[i].title for i in numbered(rows)]
    lines = [["config", "seeds", *titles]]
    for row in narrowed(rows):
        cells = [f"{c.text}{'*' if c.best else ''}{f' ({c.spread})' if c.spread else ''}" for c in row.cells]
        cells = cells or [f"failed: {row.failure}", *[""] * (len(titles) - 1)]
        lines.append([row.label, str(row.seeds), *cells])
    return lines


def as_markdown(rows: Sequence[Row]) -> str:
    """A pipe table."""
    lines = [[cell.replace("\\", "\\\\").replace("|", "\\|") for cell in line] for line in _lines(rows)]
    rule = "|" + "|".join(" --- " for _ in lines[0]) + "|"
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], rule, *shown[1:]]) + "\n"


LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def as_latex(rows: Sequence[Row]) -> str:
    """A tabular; what is best is bold."""
    head, *lines = [["".join(LATEX.get(c, c) for c in cell) for cell in line] for line in _lines(rows)]
    for line, row in zip(lines, narrowed(rows), strict=True):
        for i, cell in enumerate(row.cells):
            if cell.best:
                mean, _, rest = line[i + 2].partition("*")
                line[i + 2] = rf"\textbf{{{mean}}}{rest}"
    body = [" & ".join(line) + r" \\" for line in [head, *lines]]
    rules = [r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}", r"\hline", body[0], r"\hline"]
    return "\n".join([*rules, *body[1:], r"\hline", r"\end{tabular}"]) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Comma-separated, with numbers unrounded and the best named in a column of its own."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["config", "seeds", *(column.key for column in COLUMNS), "best_at", "failure"])
    for row in rows:
        values = ["" if cell.value is None else repr(cell.value) for cell in row.cells] or [""] * len(COLUMNS)
        at = " ".join(column.key for column, cell in zip(COLUMNS, row.cells, strict=False) if cell.best)
        writer.writerow([row.label, row.seeds, *values, at, row.failure])
    return buffer.getvalue()
