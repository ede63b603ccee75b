"""Measure claims about representations, and write them into docs/systems.md.

    python -m benchmarks.systems                    # all rows, three seeds: 45 minutes on one core
    python -m benchmarks.systems R3 wire --seeds=1  # some rows
    python -m benchmarks.systems --list             # print all rows

A measured row replaces its old numbers in docs/systems.json; all other rows are kept.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.systems.laboratory import measure_row
from benchmarks.systems.rows import ROWS
from benchmarks.systems.table import keep, write_document
from nerf.cli.commands import keep_freed_memory
from nerf.foundation.instantiate import ConfigError, did_you_mean

ROOT = Path(__file__).parent.parent.parent


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systems", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", help="rows; default: all")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument(
        "--steps", type=int, help="overrides the steps of the configs, for a quick test"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "systems.json", help="JSON file of the numbers"
    )
    parser.add_argument(
        "--document",
        type=Path,
        help="document with the table; default: systems.md next to the numbers",
    )
    parser.add_argument("--list", action="store_true", help="print all rows and exit")
    flags = parser.parse_args(argv)
    known = {row.name.lower(): row for row in ROWS}
    if flags.list:
        print("\n".join(f"{row.name:<10} {row.system}: {row.claim}" for row in ROWS))
        return 0
    if missing := [name for name in flags.names if name.lower() not in known]:
        print(
            f"{missing[0]}: no such row: {did_you_mean(missing[0], [row.name for row in ROWS])}",
            file=sys.stderr,
        )
        return 1
    keep_freed_memory()
    document = flags.document or flags.out.with_suffix(".md")
    for row in [known[name.lower()] for name in flags.names] or ROWS:
        try:
            result = measure_row(row, range(flags.seeds), flags.steps)
        except ConfigError as error:
            print(error, file=sys.stderr)
            return 1
        rows = keep(flags.out, row.name, result)
        print(json.dumps({row.name: result["checks"], "minutes": result["minutes"]}), flush=True)
        if document.exists():
            write_document(document, ROWS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
