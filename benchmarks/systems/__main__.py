"""Measure claims about representations, and write them into docs/systems.md.

    python -m benchmarks.systems                      # every row, three seeds: three quarters of an hour on one core
    python -m benchmarks.systems R3 wire --seeds=1    # some rows
    python -m benchmarks.systems --list               # what there is

A row that is measured again replaces its old numbers in docs/systems.json; the others stay.
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
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--steps", type=int, help="instead of what the configs say, for a quick look"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "systems.json", help="the numbers"
    )
    parser.add_argument(
        "--document", type=Path, help="the table; default: systems.md beside the numbers"
    )
    parser.add_argument("--list", action="store_true", help="say what there is and stop")
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
