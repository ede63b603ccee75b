"""The compare command itself, as a user runs it: trained, reused, refused."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support.made_up_runs import config_of, make_run

SMALL = "scene.max_side=20,chunk=400,batch_size=64"


def compare(*arguments, code=0):
    command = [sys.executable, "compare.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_sweep_is_trained_once_and_a_config_that_fails_is_a_row(tmp_path):
    question = [
        f"tests/support/one_stage.py:{SMALL}",
        "--sweep=config.model.stages.coarse.field.width=16,0",
        "--steps=20",
    ]
    question += [
        "--seeds=1",
        "--scene=data/tabletop",
        f"--runs={tmp_path / 'runs'}",
        "--frames=2",
        "--eval_times=2",
    ]
    first = compare(
        *question, f"--out={tmp_path / 'a.html'}", f"--json={tmp_path / 'a.json'}", "--path=orbit"
    )
    numbers = json.loads((tmp_path / "a.json").read_text())
    fine, broken = numbers["table"]
    assert fine["psnr"] > 3 and fine["failure"] is None
    assert broken["psnr"] is None and "exit code 1" in broken["failure"]
    assert "nothing to compare it with" in first.stdout
    page = (tmp_path / "a.html").read_text()
    assert (
        "exit code 1" in page
        and 'data-type="video/mp4"' in page
        and page.count('data-type="image/webp"') == 2 * 20
    )
    again = compare(*question, f"--out={tmp_path / 'b.html'}", "--path=orbit")
    assert "reused" in again.stderr and numbers["runs"][0]["note"] == "trained for this study"


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "give configs or runs"),
        (["configs/tiny.py", "--out=x.html", "--scene=data/tabletop"], "only one config"),
        (["configs/tiny.py", "configs/ngp.py", "--out=x.html"], "--scene"),
        (
            [
                "configs/tiny.py",
                "configs/ngp.py",
                "--out=x.html",
                "--budget=2s",
                "--jobs=2",
                "--scene=x",
            ],
            "--jobs=2",
        ),
        (
            ["configs/tiny.py", "configs/ngp.py", "--out=x.html", "--crop=r_1:3,4", "--scene=x"],
            "--crop=r_1:3,4: not VIEW",
        ),
        (
            ["configs/tiny.py", "configs/ngp.py", "--out=x.html", "--columns=psn", "--scene=x"],
            "no column 'psn'",
        ),
        (
            [
                "configs/tiny.py",
                "configs/ngp.py",
                "--out=x.html",
                "--figures=compare.py",
                "--scene=x",
            ],
            "a file: give",
        ),
        (
            ["configs/tiny.py", "configs/nowhere.py", "--out=x.html", "--scene=data/tabletop"],
            "nowhere.py",
        ),
    ],
)
def test_mistakes_get_one_line(arguments, says):
    done = compare(*arguments, code=1)
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_unlike_protocols_are_refused(tmp_path):
    a = make_run(tmp_path / "a", config_of(), [20.0, 21.0])
    b = make_run(tmp_path / "b", config_of(), [20.0, 21.0])
    results = json.loads((b / "results.json").read_text())
    results["protocol"]["background"] = [0.0, 0.0, 0.0]
    (b / "results.json").write_text(json.dumps(results))
    done = compare(a, b, f"--out={tmp_path / 'page.html'}", code=1)
    assert "unlike protocols, background: [1.0, 1.0, 1.0] -> [0.0, 0.0, 0.0]" in done.stderr
    assert not (tmp_path / "page.html").exists()
