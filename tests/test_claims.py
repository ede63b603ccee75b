"""Claims of papers that hold here, each against its own margin.

Each has one seed and the choices of docs/systems.json. The formulas behind the claims are tested
in tests/networks and tests/encodings.
"""

import dataclasses
import json

import pytest

from benchmarks.systems.judging import HOLDS, TIMES, interval
from benchmarks.systems.laboratory import Laboratory
from benchmarks.systems.rows import ROWS
from benchmarks.systems.store import Store
from benchmarks.systems.table import is_of
from tests.conftest import ROOT

MEASURED = json.loads((ROOT / "docs" / "systems.json").read_text(encoding="utf-8"))
QUICK = ["R2", "R3", "R6", "R18", "Gaussian", "KiloNeRF", "mip-NeRF", "FINER"]


def claims():
    """(row, check) of all checks of quick rows that held."""
    for row in (row for row in ROWS if row.name in QUICK):
        judged = MEASURED[row.name]["checks"] if is_of(row, MEASURED.get(row.name)) else []
        for check, one in zip(row.checks, judged, strict=False):
            if one["verdict"] == HOLDS and check.metric not in TIMES:
                yield pytest.param(row, check)


def test_some_claims_held():
    assert list(claims()), "there is nothing to test: measure the quick rows"


def as_chosen(arm, row):
    """The arm with the try and the learning rate that its measurement chose, and no other."""
    measured = MEASURED[row.name]["arms"][arm.name]
    return dataclasses.replace(arm, tries=[arm.tries[measured["trial"]]], rates=[measured["rate"]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "check"),
    list(claims()),
    ids=lambda part: getattr(part, "name", None) or f"{part.first} - {part.second}",
)
def test_what_held_still_holds(row, check, tmp_path):
    arms = [as_chosen(arm, row) for arm in row.arms if arm.name in (check.first, check.second)]
    steps = MEASURED[row.name]["arms"][check.first]["steps"]
    alone = dataclasses.replace(row, arms=arms, checks=[check])
    found = Laboratory(Store(tmp_path)).measure(alone, seeds=1, steps=steps)
    mean, _, _ = interval(check, found["arms"])
    assert mean >= check.at_least if check.at_least is not None else mean <= check.at_most, found
