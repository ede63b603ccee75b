"""Claims of papers that hold here, each against its own margin.

Each has one seed and the choices of docs/systems.json. The formulas behind the claims are tested
in tests/networks and tests/encodings.
"""

import dataclasses
import json

import pytest

from benchmarks.systems.laboratory import measure_arm
from benchmarks.systems.rows import ROWS
from tests.conftest import ROOT

MEASURED = json.loads((ROOT / "docs" / "systems.json").read_text(encoding="utf-8"))
QUICK = ["R2", "R3", "R6", "R18", "Gaussian", "KiloNeRF", "mip-NeRF", "FINER"]
TIMED = ("ms_per_step", "lattice_64_ms", "lattice_128_ms")


def claims():
    """(row, check) of all checks of quick rows that held when they were measured."""
    for row in (row for row in ROWS if row.name in QUICK):
        judged = MEASURED[row.name]["checks"]
        held = [check for check, one in zip(row.checks, judged, strict=True) if one["holds"]]
        yield from (pytest.param(row, check) for check in held if check.metric not in TIMED)


def as_chosen(arm, row):
    """The arm with the try and the learning rate that its measurement chose, and no other."""
    measured = MEASURED[row.name]["arms"][arm.name]
    scores = measured["chosen_on_val"]
    chosen = int(max(scores, key=scores.get).split(",")[0].removeprefix("try ")) if scores else 0
    return dataclasses.replace(arm, tries=[arm.tries[chosen]], rates=[measured["rate"]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "check"),
    list(claims()),
    ids=lambda part: getattr(part, "name", None) or f"{part.first} - {part.second}",
)
def test_what_held_still_holds(row, check):
    arms = {
        arm.name: as_chosen(arm, row) for arm in row.arms if arm.name in (check.first, check.second)
    }
    found = check.judge({name: measure_arm(arm, seeds=[0]) for name, arm in arms.items()})
    assert found["holds"], found
