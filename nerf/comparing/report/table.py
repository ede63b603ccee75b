"""The table of a report: a row for each config, a cell for each number with its spread over seeds, and its copies."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from nerf.comparing.comparison import Groups, Judgement, scores_of
from nerf.comparing.statistics import best
from nerf.evaluation import lpips, metrics
from nerf.foundation.instantiate import ConfigError, did_you_mean
from nerf.runs.results import Result, checkpoint_bytes


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of a config.

    Attributes:
      title: for the heading; with its unit.
      higher: whether more is better; None: neither.
      show: a format.
      missing: what a cell says where a run has no such number.
      scale: what the number is multiplied by.
    """

    key: str
    title: str
    higher: bool | None
    show: str
    missing: str = "not recorded"
    scale: float = 1.0


SCORED_WITHOUT = "these runs were scored without it: --fresh trains them again"
PER_IMAGE = (
    Column("psnr", "PSNR, dB", True, "{:.2f}"),
    Column("psnr_corrected", "PSNR, colours corrected, dB", True, "{:.2f}"),
    Column("psnr_aligned", "PSNR, cameras aligned, dB", True, "{:.2f}", "no config learns poses"),
    Column("ssim", "SSIM", True, "{:.4f}", "views smaller than 11 pixels"),
    Column("flip", "FLIP", False, "{:.4f}", "not installed: pip install flip-evaluator"),
    Column(
        "lpips",
        "LPIPS, AlexNet",
        False,
        "{:.4f}",
        f"not installed: pip install {lpips.REQUIREMENT}",
    ),
    Column(
        "lpips_vgg",
        "LPIPS, VGG",
        False,
        "{:.4f}",
        f"not installed: pip install {lpips.REQUIREMENT}",
    ),
)
FACTS = (
    Column("train_seconds", "training, s", False, "{:.1f}"),
    Column("steps_per_second", "steps/s", True, "{:.1f}"),
    Column("parameters", "parameters", False, "{:,.0f}"),
    Column("checkpoint", "checkpoint, MB", False, "{:.2f}", scale=1e-6),
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


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows whose cells are those of the columns."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def only(self, columns: Sequence[Column]) -> "Table":
        """Return the table with these columns of it alone, in this order."""
        places = [self.columns.index(column) for column in columns if column in self.columns]
        rows = [
            dataclasses.replace(row, cells=tuple(row.cells[i] for i in places if row.cells))
            for row in self.rows
        ]
        return Table(tuple(self.columns[i] for i in places), tuple(rows))

    def numbered(self) -> "Table":
        """Return the table with the columns in which any config has a number."""
        kept = [
            column
            for i, column in enumerate(self.columns)
            if any(row.cells and row.cells[i].value is not None for row in self.rows)
        ]
        return self.only(kept)

    def without_numbers(self) -> list[str]:
        """Return the other columns, with why they are empty: "FLIP: not installed"."""
        cells = next((row.cells for row in self.rows if row.cells), ())
        kept = self.numbered().columns
        pairs = zip(self.columns, cells, strict=False)
        return [f"{column.title}: {cell.text}" for column, cell in pairs if column not in kept]


def parse_columns(text: str) -> tuple[Column, ...]:
    """Return the columns with these keys, "psnr,ssim", in this order. Raises ConfigError for unknown ones."""
    known = {column.key: column for column in COLUMNS}
    keys = list(dict.fromkeys(key.strip() for key in text.split(",") if key.strip()))
    for key in keys:
        if key not in known:
            raise ConfigError(
                f"--columns={text}: no column '{key}': {did_you_mean(key, list(known))}"
            )
    if not keys:
        raise ConfigError(f"--columns={text}: no column: choose some of {', '.join(known)}")
    return tuple(known[key] for key in keys)


def fact(result: Result, key: str) -> float | None:
    """A number of a whole run."""
    if key == "steps_per_second":
        return result.results["steps"] / max(result.results["train_seconds"], 1e-9)
    number = checkpoint_bytes(result.folder) if key == "checkpoint" else result.results.get(key)
    return None if number is None else float(number)


def make_table(judged: Judgement, failures: Mapping[str, str]) -> Table:
    """A row for each config that was judged, and one for each of `failures`, those of which no run ended."""
    groups = judged.groups
    columns = [
        *(_scored(judged, column) for column in PER_IMAGE),
        *(_facts(groups, column) for column in FACTS),
    ]
    rows = [
        Row(
            label, len(results), tuple(column[label] for column in columns), failures.get(label, "")
        )
        for label, results in groups.items()
    ]
    rows += [
        Row(label, 0, (), failure) for label, failure in failures.items() if label not in groups
    ]
    return Table(COLUMNS, tuple(rows))


def _scored(judged: Judgement, column: Column) -> dict[str, Cell]:
    """Return the cells of a metric, of which the best is marked where its differences are real."""
    groups = judged.groups
    scores = scores_of(groups, column.key)
    if scores is None:
        missing = (
            SCORED_WITHOUT
            if column.key in metrics.installed() and column.key != "ssim"
            else column.missing
        )
        return {label: Cell(missing) for label in groups}
    leader = None
    if len(scores) > 1 and column.higher is not None:
        leader = best(scores, judged.columns[column.key], column.higher)
    return {label: _cell(column, score.mean(1), label == leader) for label, score in scores.items()}


def _facts(groups: Groups, column: Column) -> dict[str, Cell]:
    """Cells of a column of counts and costs. None is best: they are not quality."""
    out = {}
    for label, results in groups.items():
        numbers = [number for result in results if (number := fact(result, column.key)) is not None]
        complete = len(numbers) == len(results)
        out[label] = (
            _cell(column, np.array(numbers, float), False) if complete else Cell(column.missing)
        )
    return out


def _cell(column: Column, seeds: np.ndarray, is_best: bool) -> Cell:
    mean, low, high = (
        column.show.format(column.scale * x) for x in (seeds.mean(), seeds.min(), seeds.max())
    )
    return Cell(mean, f"{low} to {high}" if low != high else "", float(seeds.mean()), is_best)


def _lines(table: Table) -> list[list[str]]:
    """The table as words: mean (range), with a star behind what is best; columns without a number are left out."""
    titles = [column.title for column in table.columns]
    lines = [["config", "seeds", *titles]]
    for row in table.rows:
        cells = [
            f"{c.text}{'*' if c.best else ''}{f' ({c.spread})' if c.spread else ''}"
            for c in row.cells
        ]
        cells = cells or [f"failed: {row.failure}", *[""] * (len(titles) - 1)]
        lines.append([row.label, str(row.seeds), *cells])
    return lines


def as_markdown(table: Table) -> str:
    """A pipe table."""
    lines = [
        [cell.replace("\\", "\\\\").replace("|", "\\|") for cell in line]
        for line in _lines(table.numbered())
    ]
    rule = "|" + "|".join(" --- " for _ in lines[0]) + "|"
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], rule, *shown[1:]]) + "\n"


LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def as_latex(table: Table) -> str:
    """A tabular; what is best is bold."""
    table = table.numbered()
    head, *lines = [
        ["".join(LATEX.get(c, c) for c in cell) for cell in line] for line in _lines(table)
    ]
    for line, row in zip(lines, table.rows, strict=True):
        for i, cell in enumerate(row.cells):
            if cell.best:
                mean, _, rest = line[i + 2].partition("*")
                line[i + 2] = rf"\textbf{{{mean}}}{rest}"
    body = [" & ".join(line) + r" \\" for line in [head, *lines]]
    rules = [r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}", r"\hline", body[0], r"\hline"]
    return "\n".join([*rules, *body[1:], r"\hline", r"\end{tabular}"]) + "\n"


def as_csv(table: Table) -> str:
    """Comma-separated, with numbers unrounded and the best named in a column of its own."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["config", "seeds", *(column.key for column in table.columns), "best_at", "failure"]
    )
    for row in table.rows:
        values = ["" if cell.value is None else repr(cell.value) for cell in row.cells] or [
            ""
        ] * len(table.columns)
        at = " ".join(
            column.key for column, cell in zip(table.columns, row.cells, strict=False) if cell.best
        )
        writer.writerow([row.label, row.seeds, *values, at, row.failure])
    return buffer.getvalue()
