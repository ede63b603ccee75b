"""Write the measured rows as JSON, and as the table and the sections of docs/systems.md.

Rows without measurements are marked as such.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.systems.claims import Row
from benchmarks.systems.judging import FAILS, FLAT, HOLDS, UNDECIDED, last_quarter
from nerf.foundation.files import write_bytes, write_json
from nerf.foundation.locks import exclusive

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SHOWN = {FAILS: "**does not hold** at a converged size", UNDECIDED: "*undecided*"}
Result = Mapping[str, Any]


def keep(file: Path, name: str, result: Result) -> dict[str, Any]:
    """Add or replace one row in the JSON file; several processes may do so at once.

    Args:
      file: the JSON file.
      name: name of the row.
      result: its measurements, see `laboratory.Laboratory.measure`.

    Returns: all rows of the file.
    """
    with exclusive(file.with_name(f"{file.name}.lock")):
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        rows[name] = dict(result)
        write_json(file, rows)
    return rows


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def describe(check: Result) -> str:
    """Return a check's verdict, number, interval and margin in words."""
    at_least = check["at_least"] is not None
    bound = f"at least {check['at_least']:g}" if at_least else f"at most {check['at_most']:g}"
    sides = check["first"]
    if check["second"] is not None:
        sides += f" {'/' if check['ratio'] else 'minus'} {check['second']}"
    between = "one seed"
    if check["low"] is not None:
        between = f"{_number(check['low'])} to {_number(check['high'])}"
    unit = "" if check["ratio"] or check["metric"] != "psnr" else " dB"
    what = "" if check["metric"] == "psnr" else f", `{check['metric']}`"
    verdict = SHOWN.get(check["verdict"], check["verdict"])
    return f"{verdict}: {sides}{what}: {_number(check['mean'])}{unit} ({between}); {bound}"


def markdown(rows: Sequence[Row], results: Mapping[str, Result]) -> str:
    """Return the table and the section of every measured row in Markdown."""
    lines = ["| row | claim | verdict: number (95 % interval); margin |", "|---|---|---|"]
    for row in rows:
        result = results.get(row.name)
        said = f"| {row.name} | {row.system}: {row.claim} |"
        lines += (
            [f"{said} not measured |"]
            if result is None
            else [
                f"{said if i == 0 else '| | |'} {describe(check)} |"
                for i, check in enumerate(result["checks"])
            ]
        )
    sections = [_section(row, results[row.name]) for row in rows if row.name in results]
    return "\n".join([summary(results), "", *lines, "", *sections]).rstrip()


def summary(results: Mapping[str, Result]) -> str:
    """Return how many checks hold, do not hold and are undecided, in a sentence."""
    checks = [check for result in results.values() for check in result["checks"]]
    verdicts = [check["verdict"] for check in checks]
    held = [check for check in checks if check["verdict"] == HOLDS]
    return (
        f"Of {len(verdicts)} margins {len(held)} hold, "
        f"{sum(check['converged'] for check in held)} of them at a converged size; "
        f"{verdicts.count(FAILS)} do not hold at a converged size, and "
        f"{verdicts.count(UNDECIDED)} are undecided."
    )


def _section(row: Row, result: Result) -> str:
    """Return the section of a measured row: arms, how it was measured, and the evidence."""
    lines = [f"### {row.name}: {row.system}", ""]
    if any(arm["curve"] for arm in result["arms"].values()):
        lines += [f"![{row.claim}](systems/{row.name}.webp)", ""]
    for arm in row.arms:
        lines.append(f"- {_describe_arm(arm.config, arm.name, result['arms'][arm.name])}")
    lines += ["", f"`python -m benchmarks.systems {row.name}` measures this row.", ""]
    return "\n".join(lines + ([row.evidence, ""] if row.evidence else []))


def _describe_arm(config: str, name: str, arm: Result) -> str:
    """Return the measurements of an arm in words.

    Args:
      config: module of the config below `configs`.
      name: name of the arm.
      arm: its measurements.
    """
    by_seed = np.mean(arm["psnr"], 1)
    spread = f" ± {by_seed.std(ddof=1):.2f}" if len(by_seed) > 1 else ""
    path = config.replace(".", "/")
    change = last_quarter(arm)
    flat = (
        "not checked"
        if np.isnan(change)
        else f"{change:+.2f} dB{'' if abs(change) < FLAT else ', not converged'}"
    )
    end = "" if arm["interior"] or not arm["tried_on_val"] else ", an end of the tried range"
    return (
        f"{name} ([`{path}`](../configs/{path}.py)): {by_seed.mean():.2f}{spread} dB over "
        f"{len(by_seed)} seeds; {arm['steps']} steps, {arm['parameters']} parameters, learning "
        f"rate ×{arm['rate']:.3g}{end}; last quarter of training: {flat}"
    )


def write_document(file: Path, rows: Sequence[Row], results: Mapping[str, Result]) -> None:
    """Write the table and the sections between the markers of the document.

    Args:
      file: the Markdown document.
      rows: all rows, in the order of the table.
      results: their measurements by name.
    """
    text = file.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_bytes(file, f"{before}{BEGIN}\n{markdown(rows, results)}\n{END}{after}".encode())
