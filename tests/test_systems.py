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

from benchmarks.systems.laboratory import Arm, Check, Row, Trainer, check_parameters, measure_row
from benchmarks.systems.rows import FIELD, ON_PICTURES, PICTURE, RELU_RAW, ROWS, SIREN, SIX, toys
from benchmarks.systems.table import BEGIN, END, keep, markdown, write_document
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
        assert len(arm.rates) * len(arm.tries) <= 4
        assert all(
            hasattr(import_module("benchmarks.systems.measures"), name) for name in arm.measures
        )
    for check in row.checks:
        assert check.first in names and check.second in (None, *names)
        assert (check.at_least is None) != (check.at_most is None)


def test_rows_have_names_of_their_own():
    assert len({row.name.lower() for row in ROWS}) == len(ROWS)


def test_arms_that_are_not_of_one_size_are_refused_before_training():
    row = Row(
        "R",
        "S",
        "C",
        [SIREN, dataclasses.replace(SIREN, name="large", changes={f"{FIELD}.network.width": 90})],
        [],
    )
    with pytest.raises(ConfigError, match="parameters differ"):
        measure_row(row, [0])
    check_parameters(dataclasses.replace(row, equal_parameters=False))
    with pytest.raises(ConfigError, match="no section 'nothing'"):
        Arm("a", "systems.siren", {"model.nothing.width": 3}).resolve()


@pytest.mark.parametrize(
    ("check", "mean", "holds"),
    [
        (Check("a", "b", at_least=2.0), 2.0, True),
        (Check("a", "b", at_least=2.1), 2.0, False),
        (Check("a", "b", at_most=1.9), 2.0, False),
        (Check("a", "b", at_least=1.2, ratio=True), (24 / 20 + 24 / 21 + 21 / 22) / 3, False),
        (Check("a", at_most=23.0), 23.0, True),
    ],
)
def test_checks_judge_the_mean_of_differences(check, mean, holds):
    arms = {
        "a": {"values": {"psnr": [24.0, 24.0, 21.0]}},
        "b": {"values": {"psnr": [20.0, 21.0, 22.0]}},
    }
    judged = check.judge(arms)
    assert judged["mean"] == pytest.approx(mean)
    assert judged["holds"] is holds


def test_a_row_measured_again_replaces_itself_alone(tmp_path):
    rows = [Row(name, "S", f"claim {name}", [], []) for name in ("A", "B", "C")]

    def result(value):
        check = {
            **dataclasses.asdict(Check("x", "y", at_least=1.0)),
            "mean": value,
            "spread": 0.1,
            "holds": value >= 1,
        }
        return {"arms": {k: {"values": {"psnr": [value, value]}} for k in "xy"}, "checks": [check]}

    file, document = tmp_path / "systems.json", tmp_path / "systems.md"
    keep(file, "A", result(1.5))
    keep(file, "B", result(1.25))
    measured = keep(file, "A", result(0.5))
    assert json.loads(file.read_text()) == measured
    document.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write_document(document, rows, measured)
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "0.50 ± 0.10: **does not hold**" in lines["A"]
    assert "1.25 ± 0.10: holds" in lines["B"]
    assert "not measured" in lines["C"]
    assert not re.search(r"\d", lines["C"].partition("not measured")[2])


def test_the_document_shows_what_the_file_says():
    file, document = ROOT / "docs" / "systems.json", ROOT / "docs" / "systems.md"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    shown = document.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert shown.strip() == markdown(ROWS, results).strip()


def test_a_seed_and_a_rate_are_arguments_of_one_compiled_step_and_sines_fit_where_relu_does_not():
    sines = Trainer(dataclasses.replace(SIREN, changes=QUICK).resolve())
    tried = ((0, 1.0), (0, 1.0), (1, 1.0), (0, 0.1))
    scores = [sines.score(sines.train(seed, rate)[0], "val") for seed, rate in tried]
    assert scores[0] == scores[1]
    assert len(set(scores)) == 3
    raw = Trainer(dataclasses.replace(RELU_RAW, changes={**RELU_RAW.changes, **QUICK}).resolve())
    assert scores[0] > raw.score(raw.train(0, 1.0)[0], "val") + 4.0


@pytest.mark.slow
def test_encoded_coordinates_show_texture_that_raw_ones_do_not():
    arms = [
        toys("positional", "positional", {**SIX, **SMALL}, SMALL_SCENE, rates=[1.0]),
        toys("raw", "none", {f"{FIELD}.width": 70, **SMALL}, SMALL_SCENE, rates=[1.0]),
    ]
    result = measure_row(Row("R1", "", "", arms, [Check("positional", "raw", at_least=1.0)]), [0])
    assert result["checks"][0]["holds"], result


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
