"""Measure claims of papers, and write them into docs/systems.md.

    python -m benchmarks.systems                    # all rows that are not measured yet
    python -m benchmarks.systems R3 wire            # some rows, again
    python -m benchmarks.systems --jobs=2           # two rows at a time, each on one core
    python -m benchmarks.systems --list             # print all rows and exit

A measured row replaces its old numbers in docs/systems.json; all other rows are kept. Every run is
kept in --runs too, so a command that was interrupted goes on where it stopped, and a row that is
asked for again repeats only the runs whose config or code has changed. Times, as in R34, are best
measured with nothing else running.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.systems.claims import Row
from benchmarks.systems.figures import draw_row
from benchmarks.systems.laboratory import Laboratory
from benchmarks.systems.rows import ROWS
from benchmarks.systems.store import Store
from benchmarks.systems.table import describe, is_of, keep
from nerf.cli.commands import keep_freed_memory
from nerf.foundation.instantiate import ConfigError, did_you_mean
from nerf.foundation.progress import Meter

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "systems.md"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the flags of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systems", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", help="rows; default: all that are not measured yet")
    parser.add_argument("--seeds", type=int, help="seeds of each arm; default: 3, close rows 5")
    parser.add_argument(
        "--steps", type=int, help="steps of every run, for a quick test; with --out"
    )
    parser.add_argument("--jobs", type=int, default=1, help="rows to measure at a time")
    parser.add_argument("--out", type=Path, help="JSON file of the numbers")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs" / "laboratory", help="folder of the kept runs"
    )
    parser.add_argument("--list", action="store_true", help="print all rows and exit")
    flags = parser.parse_args(argv)
    for name in ("seeds", "steps"):
        if getattr(flags, name) is not None and flags.out is None:
            parser.error(f"--{name} is for tests, not for docs/systems.json: add --out=FILE")
        if getattr(flags, name) is not None and getattr(flags, name) < 1:
            parser.error(f"--{name} must be at least 1")
    # Children have another working directory.
    flags.out = (flags.out or DOCUMENT.with_suffix(".json")).absolute()
    flags.runs = flags.runs.absolute()
    return flags


def main(argv: list[str]) -> int:
    flags = parse(argv)
    known = {row.name.lower(): row for row in ROWS}
    if flags.list:
        print("\n".join(f"{row.name:<12} {row.system}: {row.claim}" for row in ROWS))
        return 0
    if missing := [name for name in flags.names if name.lower() not in known]:
        print(
            f"{missing[0]}: no such row: {did_you_mean(missing[0], [row.name for row in ROWS])}",
            file=sys.stderr,
        )
        return 1
    measured = json.loads(flags.out.read_text(encoding="utf-8")) if flags.out.exists() else {}
    rows = [known[name.lower()] for name in flags.names]
    rows = rows or [row for row in ROWS if not is_of(row, measured.get(row.name))]
    if len(rows) > 1:
        return in_children(rows, flags)
    keep_freed_memory()
    for row in rows:
        try:
            measure(row, flags)
        except ConfigError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def measure(row: Row, flags: argparse.Namespace) -> None:
    """Measure a row and write it down.

    Args:
      row: the row.
      flags: those of the command line.

    Raises:
      ConfigError: the arms have different numbers of parameters.
    """

    def say(line: str) -> None:
        print(f"{row.name}: {line}", flush=True)

    result = Laboratory(Store(flags.runs), say).measure(row, flags.seeds, flags.steps)
    # The pictures are in the figure alone.
    arms = {
        name: {key: value for key, value in arm.items() if key != "picture"}
        for name, arm in result["arms"].items()
    }
    draw_row(flags.out.with_suffix("") / f"{row.name}.webp", row, result)
    keep(flags.out, row.name, {**result, "arms": arms}, ROWS)
    for check in result["checks"]:
        say(describe(check))


def in_children(rows: Sequence[Row], flags: argparse.Namespace) -> int:
    """Measure each row in a process of its own, several at a time.

    Args:
      rows: the rows.
      flags: those of the command line, which the processes get; the cores are divided among
        `flags.jobs` processes at a time.

    Returns: 1 if a process failed, otherwise 0.
    """
    values = {name: getattr(flags, name) for name in ("seeds", "steps", "out", "runs")}
    given = [f"--{name}={value}" for name, value in values.items() if value is not None]
    # Each process computes on cores of its own, so that they do not wait for each other.
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    slots: queue.Queue[set[int]] = queue.Queue()
    for i in range(flags.jobs):
        slots.put(set(cores[i :: flags.jobs]))

    def run(row: Row) -> int:
        slot = slots.get()
        try:
            command = [sys.executable, "-m", "benchmarks.systems", row.name, *given]
            child = subprocess.Popen(command, cwd=ROOT)
            if slot:
                os.sched_setaffinity(child.pid, slot)
            return child.wait()
        finally:
            slots.put(slot)

    with Meter("measure", "row", len(rows)) as meter, ThreadPoolExecutor(flags.jobs) as pool:
        worst = 0
        for row, status in zip(rows, pool.map(run, rows), strict=True):
            worst = worst or int(status != 0)  # a killed process has a negative status
            meter.add(note=row.name if status == 0 else f"{row.name} failed")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
