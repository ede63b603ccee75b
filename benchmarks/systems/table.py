"""Write the measured rows as JSON, and as the table and the sections of docs/systems.md.

Rows without measurements are marked as such.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.systems.claims import Row, declaration
from benchmarks.systems.judging import FAILS, FLAT, HOLDS, TIMES, UNDECIDED, doubling, doubts_rate
from nerf.foundation.files import write_bytes, write_json
from nerf.foundation.locks import exclusive

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SHOWN = {FAILS: "**does not hold**", UNDECIDED: "*undecided*"}
Result = Mapping[str, Any]


def keep(file: Path, name: str, result: Result, rows: Sequence[Row]) -> dict[str, Any]:
    """Add or replace one row in the JSON file and in the document beside it, if there is one.

    Several processes may do so at once.

    Args:
      file: the JSON file; the document has the suffix ".md" instead.
      name: name of the row.
      result: its measurements, see `laboratory.Laboratory.measure`.
      rows: all rows, in the order of the table.

    Returns: all measured rows.
    """
    with exclusive(file.with_name(f"{file.name}.lock")):
        results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        results[name] = dict(result)
        write_json(file, results)
        if (document := file.with_suffix(".md")).exists():
            write_document(document, rows, results)
    return results


def _decimals(check: Result) -> int:
    """Return how many decimals show a check's number beside its margin: 2, more for small ones."""
    margin = check["at_most"] if check["at_least"] is None else check["at_least"]
    small = min((abs(x) for x in (check["mean"], margin) if x), default=1.0)
    if check["metric"] == "psnr" or small >= 0.1:
        return 2
    return 2 - math.floor(math.log10(small))


def describe(check: Result) -> str:
    """Return a check's verdict, number, interval and margin in words."""
    at_least = check["at_least"] is not None
    bound = f"at least {check['at_least']:g}" if at_least else f"at most {check['at_most']:g}"
    sides = check["first"]
    if check["second"] is not None:
        sides += f" {'/' if check['ratio'] else 'minus'} {check['second']}"
    if check["mean"] is None:
        return f"*undecided*: {sides}: every seed diverged; {bound}"
    decimals = _decimals(check)

    def number(value: float) -> str:
        return f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:.0f}"

    between = "one seed"
    if check["low"] is not None and check["high"] is not None:
        between = f"{number(check['low'])} to {number(check['high'])}"
    if check["half"] is not None:
        between += f"; half the steps: {number(check['half'])}"
    unit = "" if check["ratio"] or check["metric"] != "psnr" else " dB"
    what = "" if check["metric"] == "psnr" else f", `{check['metric']}`"
    verdict = str(SHOWN.get(check["verdict"], check["verdict"]))
    if check["verdict"] == FAILS and check["metric"] not in TIMES:
        verdict += " at a converged size"
    if check["verdict"] == UNDECIDED and not check["settled"]:
        verdict += ", not settled"
    return f"{verdict}: {sides}{what}: {number(check['mean'])}{unit} ({between}); {bound}"


def markdown(rows: Sequence[Row], results: Mapping[str, Result]) -> str:
    """Return the table and the section of every measured row in Markdown."""
    lines = ["| row | claim | verdict: number (interval); margin |", "|---|---|---|"]
    results = {row.name: results[row.name] for row in rows if is_of(row, results.get(row.name))}
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


def is_of(row: Row, result: Result | None) -> bool:
    """Report whether measurements are of a row's present arms and checks."""
    return result is not None and (
        result.get("declared") == declaration(row)
        and len(result["checks"]) == len(row.checks)
        and all(
            one.items() >= dataclasses.asdict(check).items()
            for one, check in zip(result["checks"], row.checks, strict=True)
        )
    )


def summary(results: Mapping[str, Result]) -> str:
    """Return how many checks hold, do not hold and are undecided, in a sentence."""
    checks = [check for result in results.values() for check in result["checks"]]
    parts = []
    for added, name in ((False, "measured margins"), (True, "margins that were added later")):
        verdicts = [check["verdict"] for check in checks if check["added"] == added]
        counts = [verdicts.count(verdict) for verdict in (HOLDS, FAILS, UNDECIDED)]
        parts.append(
            f"Of {len(verdicts)} {name} {counts[0]} hold, {counts[1]} do not hold, and "
            f"{counts[2]} are undecided."
        )
    return " ".join(parts)


def _section(row: Row, result: Result) -> str:
    """Return the section of a measured row: arms, how it was measured, and the evidence."""
    lines = [f"### {row.name}: {row.system}", ""]
    if any(arm["curve"] and not arm.get("diverged") for arm in result["arms"].values()):
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
    path = config.replace(".", "/")
    link = f"{name} ([`{path}`](../configs/{path}.py))"
    if not arm["psnr"]:
        return f"{link}: all {arm['diverged']} seeds diverged"
    by_seed = np.mean(arm["psnr"], 1)
    spread = f" ± {by_seed.std(ddof=1):.2f}" if len(by_seed) > 1 else ""
    lost = f" ({arm['diverged']} more diverged)" if arm.get("diverged") else ""
    end = "" if arm["interior"] or not arm["tried_on_val"] else ", an end of the tried range"
    return (
        f"{link}: {by_seed.mean():.2f}{spread} dB over {len(by_seed)} seeds{lost}; "
        f"{arm['steps']} steps, {arm['parameters']} parameters, learning rate "
        f"×{arm['rate']:.3g}{end}; convergence: {_convergence(arm)}"
    )


def _convergence(arm: Result) -> str:
    """Return in words how much longer training changes an arm."""
    change = doubling(arm)
    if np.isnan(change):
        return "not checked"
    found = (
        f"{change:+.2f} dB by doubling the steps, {_last_quarter(arm):+.2f} dB in the last quarter"
    )
    if abs(change) < FLAT:
        return found
    best = change < 0.0 and not doubts_rate(arm)
    return f"{found}, {'worse at the best rate' if best else 'not converged'}"


def _last_quarter(arm: Result) -> float:
    """Return the change of PSNR on "val" in the last quarter of training, the mean over seeds."""
    return float(np.mean([after - before for before, after in arm["val"]]))


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
