"""Write the measured rows as JSON and as the table of docs/systems.md.

Rows without measurements are marked as such.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.systems.laboratory import Row
from nerf.foundation.files import write_bytes, write_json
from nerf.foundation.locks import exclusive

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
UNITS = {"psnr": "dB"}


def keep(file: Path, name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Add or replace one row in the JSON file; several processes may do so at once.

    Args:
      file: the JSON file.
      name: name of the row.
      result: its measurements, see `laboratory.measure_row`.

    Returns: all rows of the file.
    """
    with exclusive(file.with_name(f"{file.name}.lock")):
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        rows[name] = dict(result)
        write_json(file, rows)
    return rows


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def _with_spread(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    if len(values) < 2:
        return _number(mean)
    spread = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return f"{_number(mean)} ± {_number(spread)}"


def _lines(row: Row, result: Mapping[str, Any] | None) -> list[str]:
    """Return the table lines of one row, one per check."""
    if result is None:
        return [f"| {row.name} | {row.system}: {row.claim} | not measured | | | |"]
    lines = []
    for i, check in enumerate(result["checks"]):
        metric, unit = check["metric"], UNITS.get(check["metric"], "")
        value = _with_spread(result["arms"][check["first"]]["values"][metric])
        first = f"{check['first']}: {value} {unit}".strip()
        second = ""
        if check["second"] is not None:
            value = _with_spread(result["arms"][check["second"]]["values"][metric])
            second = f"{check['second']}: {value} {unit}".strip()
        bound = (
            f"≥ {check['at_least']:g}"
            if check["at_least"] is not None
            else f"≤ {check['at_most']:g}"
        )
        verdict = "holds" if check["holds"] else "**does not hold**"
        said = f"{row.name} | {row.system}: {row.claim}" if i == 0 else " |"
        shown = f"{metric}: {bound}" if metric != "psnr" else f"{bound} dB"
        difference = f"{_number(check['mean'])} ± {_number(check['spread'])}"
        lines.append(f"| {said} | {first} | {second} | {shown} | {difference}: {verdict} |")
    return lines


def markdown(rows: Sequence[Row], results: Mapping[str, Any]) -> str:
    """Return the table in Markdown."""
    head = [
        "| row | claim | measured | control | margin | difference, verdict |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(head + [line for row in rows for line in _lines(row, results.get(row.name))])


def write_document(file: Path, rows: Sequence[Row], results: Mapping[str, Any]) -> None:
    """Write the table between the markers of the document.

    Args:
      file: the Markdown document.
      rows: all rows, in the order of the table.
      results: their measurements by name.
    """
    text = file.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_bytes(file, f"{before}{BEGIN}\n{markdown(rows, results)}\n{END}{after}".encode())
