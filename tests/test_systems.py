"""The laboratory of docs/systems.md: claims are well posed and judged right.

A few hold in a small form.
"""

import dataclasses
import json
import re
import sys
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from benchmarks.systems.claims import Arm, Check, Row, check_parameters, declaration
from benchmarks.systems.judging import HOLDS, judge
from benchmarks.systems.laboratory import Laboratory
from benchmarks.systems.rows import ROWS
from benchmarks.systems.rows.common import FIELD, ON_PICTURES, PICTURE
from benchmarks.systems.rows.pictures import RELU_RAW, SIREN
from benchmarks.systems.store import Store
from benchmarks.systems.table import BEGIN, END, describe, keep, markdown
from benchmarks.systems.training import Trainer, module_of
from nerf.foundation.instantiate import ConfigError
from nerf.scenes import picture
from nerf.training.loop import train
from tests.conftest import ROOT
from tests.training.test_image_task import waves

QUICK = {**ON_PICTURES, "steps": 200}
SMALL = {
    "batch_size": 128,
    "steps": 150,
    "steps_per_call": 50,
    "log_every": 50,
    "save_every": 50,
    "chunk": 1024,
}
TRIANGLE = {"name": "ideas.triangle:Triangle", "num_freqs": 3}
SMALL_SCENE = {"cycles": 6, "sizes": (32,), "views": 16, "held_out": 2}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_well_posed(row):
    """Every arm's config builds, arms are of one size where they must be, checks are of arms."""
    check_parameters(row)
    names = [arm.name for arm in row.arms]
    assert len(names) == len(set(names))
    for arm in row.arms:
        assert all(hasattr(import_module(module_of(name)), name) for name in arm.measures)
    for check in row.checks:
        assert check.first in names and check.second in (None, *names)
        assert (check.at_least is None) != (check.at_most is None)


def test_rows_have_names_of_their_own():
    assert len({row.name.lower() for row in ROWS}) == len(ROWS)


def test_arms_that_are_not_of_one_size_are_refused_before_training(tmp_path):
    row = Row(
        "R",
        "S",
        "C",
        [SIREN, dataclasses.replace(SIREN, name="large", changes={f"{FIELD}.network.width": 90})],
        [],
    )
    with pytest.raises(ConfigError, match="parameters differ"):
        Laboratory(Store(tmp_path)).measure(row)
    check_parameters(dataclasses.replace(row, equal_parameters=False))
    with pytest.raises(ConfigError, match="no section 'nothing'"):
        Arm("a", "systems.siren", {"model.nothing.width": 3}).resolve()


ARMS = [Arm("x", "systems.siren"), Arm("y", "systems.relu")]
DECLARED = declaration(Row("", "", "", ARMS, []))


def result_of(*checks, **arms):
    """Return the measurements of a row from the scores of its arms, one list over seeds each."""
    measured = {
        name: {
            "psnr": [[score] for score in scores],
            "val": [[20.0, 20.1]] * len(scores),
            "numbers": {},
            "diverged": 0,
            "half": {"psnr": [[scores[0] - 0.1]], "val": [[0.0, 20.0]], "numbers": {}},
            "curve": [],
            "steps": 40,
            "parameters": 12,
            "rate": 3.0,
            "interior": name == "x",
            "tried_on_val": [{"part": 1 / 2, "rate": 3.0}],
        }
        for name, scores in arms.items()
    }
    judged = [judge(check, measured) for check in checks]
    return {"arms": measured, "checks": judged, "declared": DECLARED}


def test_small_numbers_have_as_many_decimals_as_their_margin_needs():
    def line(mean, **margin):
        check = Check("x", metric="chamfer", **margin)
        numbers = {"mean": mean, "low": 0.8 * mean, "high": 1.2 * mean, "half": None}
        state = {"verdict": HOLDS, "settled": True}
        return describe({**dataclasses.asdict(check), **numbers, **state})

    assert "0.01270 (0.01016 to 0.01524); at most 0.005" in line(0.0127, at_most=0.005)
    assert "0.85 (0.68 to 1.02); at least 0.8" in line(0.85, at_least=0.8)
    assert "0.00110 (0.00088 to 0.00132); at most 0" in line(0.0011, at_most=0.0)
    assert "0.00 (0.00 to 0.00); at most 0" in line(0.0, at_most=0.0)


def test_a_row_measured_again_replaces_itself_alone(tmp_path):
    check = Check("x", "y", at_least=1.0)
    rows = [Row(name, "S", f"claim {name}", ARMS, [check]) for name in ("A", "B", "C")]
    file, document = tmp_path / "systems.json", tmp_path / "systems.md"
    document.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    keep(file, "A", result_of(check, x=[25.0, 25.0], y=[20.0, 20.1]), rows)
    keep(file, "B", result_of(check, x=[22.0, 22.1], y=[20.0, 20.1]), rows)
    measured = keep(file, "A", result_of(check, x=[20.5, 20.6], y=[20.0, 20.1]), rows)
    assert json.loads(file.read_text()) == measured
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert (
        "**does not hold** at a converged size: x minus y: 0.50 dB (0.06 to 0.94; half the"
        in lines["A"]
    )
    assert (
        "| holds: x minus y: 2.00 dB (1.56 to 2.44; half the steps: 2.00); at least 1 |"
        in lines["B"]
    )
    assert "not measured" in lines["C"]
    assert not re.search(r"\d", lines["C"].partition("not measured")[2])
    assert "Of 2 measured margins 1 hold, 1 do not hold, and 0 are undecided" in text
    assert text.count("×3, an end of the tried range;") == text.count("×3;") == 2
    assert "+0.10 dB by doubling the steps, +0.10 dB in the last quarter" in text
    assert "### C" not in text


def test_a_row_says_which_arms_have_not_converged_or_were_not_checked():
    check = Check("x", "y", at_least=9.0)
    result = result_of(check, x=[25.0, 25.1], y=[20.0, 20.1])
    result["arms"]["x"]["half"]["val"], result["arms"]["y"]["half"] = [[0.0, 19.5]], None
    row = Row("A", "S", "C", ARMS, [check])
    text = markdown([row], {"A": result})
    assert "+0.60 dB by doubling the steps, +0.10 dB in the last quarter, not converged" in text
    assert "convergence: not checked" in text
    result["arms"]["x"]["half"]["val"] = [[0.0, 20.7]]
    assert "-0.60 dB by doubling the steps, +0.10 dB in the last quarter, not converged" in (
        markdown([row], {"A": result})
    )
    result["arms"]["x"]["tried_on_val"] = [{"part": 1.0, "rate": 3.0}]
    assert "last quarter, worse at the best rate" in markdown([row], {"A": result})
    result["checks"] = [judge(check, result["arms"])]
    assert "*undecided*, not settled: x minus y" in markdown([row], {"A": result})


def test_a_row_of_other_arms_or_margins_is_not_shown():
    check = Check("x", "y", at_least=1.0)
    row = Row("A", "S", "C", ARMS, [check])
    result = result_of(check, x=[25.0, 25.1], y=[20.0, 20.1])
    assert "holds" in markdown([row], {"A": result})
    for other in (
        dataclasses.replace(row, arms=[*row.arms, Arm("z", "systems.relu")]),
        dataclasses.replace(row, arms=[row.arms[0], Arm("y", "systems.relu", {"steps": 9})]),
        dataclasses.replace(row, checks=[dataclasses.replace(check, at_least=2.0)]),
    ):
        text = markdown([other], {"A": result})
        assert "| not measured |" in text and "Of 0 measured margins 0 hold" in text


def test_margins_that_were_added_are_counted_apart():
    checks = [Check("x", "y", at_least=1.0, added=added) for added in (False, True, True)]
    row = Row("A", "S", "C", ARMS, checks)
    result = result_of(*checks, x=[25.0, 25.1], y=[20.0, 20.1])
    text = markdown([row], {"A": result})
    assert text.startswith("Of 1 measured margins 1 hold")
    assert "Of 2 margins that were added later 2 hold" in text


def test_the_document_shows_what_the_file_says():
    file, document = ROOT / "docs" / "systems.json", ROOT / "docs" / "systems.md"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    shown = document.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert shown.strip() == markdown(ROWS, results).strip()


def trainer_of(arm: Arm) -> Trainer:
    """Return an arm, compiled."""
    return Trainer(arm.resolve(), arm.scenes())


def test_a_seed_and_a_rate_are_arguments_of_one_compiled_step_and_sines_fit_where_relu_does_not():
    sines = trainer_of(dataclasses.replace(SIREN, changes=QUICK))
    tried = ((0, 1.0), (0, 1.0), (1, 1.0), (0, 0.1))
    scores = [sines.choose(seed, rate, 200) for seed, rate in tried]
    assert scores[0] == scores[1]
    assert len(set(scores)) == 3
    raw = trainer_of(dataclasses.replace(RELU_RAW, changes={**RELU_RAW.changes, **QUICK}))
    assert scores[0] > raw.choose(0, 1.0, 200) + 4.0


def test_the_idea_of_the_guide_is_short_and_works(tmp_path, monkeypatch):
    """The document's own code, as a plugin, learns a picture: it is far closer than a constant."""
    guide = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", guide, re.S).group(1)
    assert len(code.splitlines()) < 40
    (tmp_path / "ideas").mkdir()
    (tmp_path / "ideas" / "triangle.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ideas", raising=False)
    arm = dataclasses.replace(RELU_RAW, changes={**QUICK, f"{FIELD}.encoding": TRIANGLE})
    Image.fromarray(waves(64)).save(tmp_path / "waves.png")
    config = {**arm.resolve(), "save_every": 200, "scene": PICTURE}
    psnr = train(config, tmp_path / "waves.png", tmp_path / "run", plugins=("ideas",))["psnr"]
    truth = picture.load(None, "test", source=waves(64)).images[0] / 255.0
    constant = -10.0 * np.log10(np.square(truth - truth.mean((0, 1))).mean())
    assert psnr > constant + 6.0
