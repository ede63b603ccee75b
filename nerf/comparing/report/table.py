"""Build the table of a report, and its copies as Markdown, LaTeX and CSV."""

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
    """A number of a config.

    Attributes:
      key: its name in results.json.
      title: heading, with the unit.
      higher: whether higher is better; None: neither.
      show: format of the number.
      missing: text of a cell without a number.
      scale: factor from the recorded unit to that of the heading.
    """

    key: str
    title: str
    higher: bool | None
    show: str
    missing: str = "not recorded"
    scale: float = 1.0


SCORED_WITHOUT = "these runs were scored without it: --fresh trains them again"
NO_LPIPS = f"not installed: pip install {lpips.REQUIREMENT}"
QUALITY = (  # metrics of the pictures of held-out views
    Column("psnr", "PSNR, dB", True, "{:.2f}"),
    Column("psnr_corrected", "PSNR, colours corrected, dB", True, "{:.2f}"),
    Column("psnr_aligned", "PSNR, cameras aligned, dB", True, "{:.2f}", "no config learns poses"),
    Column("ssim", "SSIM", True, "{:.4f}", "views smaller than 11 pixels"),
    Column("flip", "FLIP", False, "{:.4f}", "not installed: pip install flip-evaluator"),
    Column("lpips", "LPIPS, AlexNet", False, "{:.4f}", NO_LPIPS),
    Column("lpips_vgg", "LPIPS, VGG", False, "{:.4f}", NO_LPIPS),
)
SURFACE = (  # metrics of the surfaces in held-out views
    Column("normal_degrees", "normal error, degrees", False, "{:.1f}", "no true normals"),
    Column("depth_error", "depth error, %", False, "{:.2f}", "no true depth", scale=100.0),
)
CLASSES = (  # metrics of the labels in held-out views
    Column("miou", "mIoU, %", True, "{:.1f}", "not every config has classes", scale=100.0),
    Column(
        "instance_iou",
        "IoU of objects, %",
        True,
        "{:.1f}",
        "not every config has objects",
        scale=100.0,
    ),
)
PER_IMAGE = QUALITY + SURFACE + CLASSES
FACTS = (  # costs and counts of a run
    Column("train_seconds", "training, s", False, "{:.1f}"),
    Column("steps_per_second", "steps/s", True, "{:.1f}"),
    Column("parameters", "parameters", False, "{:,.0f}"),
    Column("checkpoint", "checkpoint, MB", False, "{:.2f}", scale=1e-6),
    Column("peak_memory", "peak memory, MB", False, "{:.0f}", scale=1e-6),
    Column("seconds_per_frame", "render time, s/frame", False, "{:.3f}"),
)
COLUMNS = PER_IMAGE + FACTS


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number of a config.

    Attributes:
      text: the mean over seeds, or why there is no number.
      spread: the range over seeds; "" if there is none.
      value: the mean over seeds in the recorded unit; None if there is no number.
      best: whether it is significantly better than that of every other config.
    """

    text: str
    spread: str = ""
    value: float | None = None
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    """A config in the table.

    Attributes:
      label: the config.
      seeds: number of finished runs.
      cells: a cell for each column; empty if no run finished.
      failure: why runs failed; "" if none did.
    """

    label: str
    seeds: int
    cells: tuple[Cell, ...]
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns, and rows with a cell for each column."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def only(self, columns: Sequence[Column]) -> "Table":
        """Return the table with only these columns, in this order."""
        places = [self.columns.index(column) for column in columns if column in self.columns]
        rows = [
            dataclasses.replace(row, cells=tuple(row.cells[i] for i in places if row.cells))
            for row in self.rows
        ]
        return Table(tuple(self.columns[i] for i in places), tuple(rows))

    def numbered(self) -> "Table":
        """Return the table with only the columns in which any config has a number."""
        kept = [
            column
            for i, column in enumerate(self.columns)
            if any(row.cells and row.cells[i].value is not None for row in self.rows)
        ]
        return self.only(kept)

    def without_numbers(self) -> list[str]:
        """Return why the other columns are empty: "FLIP: not installed"."""
        cells = next((row.cells for row in self.rows if row.cells), ())
        kept = self.numbered().columns
        pairs = zip(self.columns, cells, strict=False)
        return [f"{column.title}: {cell.text}" for column, cell in pairs if column not in kept]


def parse_columns(text: str) -> tuple[Column, ...]:
    """Return the columns named by "psnr,ssim", in this order. Raises ConfigError."""
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
    """Return a number of a complete run, or None if it was not recorded."""
    if key == "steps_per_second":
        return result.results["steps"] / max(result.results["train_seconds"], 1e-9)
    number = checkpoint_bytes(result.folder) if key == "checkpoint" else result.results.get(key)
    return None if number is None else float(number)


def make_table(judged: Judgement, failures: Mapping[str, str]) -> Table:
    """Return a row for each judged config and each config without a finished run."""
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


def table_of_classes(groups: Groups) -> Table:
    """Return the intersection over union of each class, from all held-out pixels.

    Args:
      groups: the finished runs of each config; those without classes get no row.
    """
    found = {
        label: [result.results["labels"]["iou"] for result in results]
        for label, results in groups.items()
        if all("labels" in result.results for result in results)
    }
    names = dict.fromkeys(name for runs in found.values() for run in runs for name in run)
    columns = tuple(Column(name, name, True, "{:.1f}", "-", scale=100.0) for name in names)
    rows = []
    for label, runs in found.items():
        numbers = [[run.get(column.key) for run in runs] for column in columns]
        cells = [
            Cell(column.missing) if None in row else _cell(column, np.array(row, float), False)
            for column, row in zip(columns, numbers, strict=True)
        ]
        rows.append(Row(label, len(runs), tuple(cells)))
    return Table(columns, tuple(rows))


def _scored(judged: Judgement, column: Column) -> dict[str, Cell]:
    """Return the cells of a metric, with the significantly best one marked."""
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
    """Return the cells of a cost or count.

    None is marked as best, since it is not quality.
    """
    out = {}
    for label, results in groups.items():
        numbers = [number for result in results if (number := fact(result, column.key)) is not None]
        complete = len(numbers) == len(results)
        out[label] = (
            _cell(column, np.array(numbers, float), False) if complete else Cell(column.missing)
        )
    return out


def _cell(column: Column, seeds: np.ndarray, is_best: bool) -> Cell:
    """Return the cell of a config from its numbers, one for each seed."""
    mean, low, high = (
        column.show.format(column.scale * x) for x in (seeds.mean(), seeds.min(), seeds.max())
    )
    return Cell(mean, f"{low} to {high}" if low != high else "", float(seeds.mean()), is_best)


def _lines(table: Table) -> list[list[str]]:
    """Return the table as text.

    A cell has the mean, a star if it is best, and the range over seeds in brackets.
    """
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
    """Return the table as a Markdown pipe table, without columns that have no number."""
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
    """Return the table as a LaTeX tabular with the best in bold."""
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
    """Return the table as CSV with unrounded numbers; column best_at lists metrics."""
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
