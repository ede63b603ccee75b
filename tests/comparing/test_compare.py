"""The compare command itself, as a user runs it: trained, reused, refused."""

import json

import pytest

from tests.support.children import Child
from tests.support.made_up_runs import config_of, make_run
from tests.support.small_scenes import write_small_tabletop

SMALL = "chunk=400,batch_size=64"


@pytest.fixture
def compare(tmp_path):
    """Run the command and return what it says."""

    def run(*arguments, code=0):
        child = Child("compare.py", arguments, tmp_path / "log")
        assert child.code(300) == code, child.said()
        assert "Traceback" not in child.said()
        return child.said()

    return run


def test_a_sweep_is_trained_once_and_a_config_that_fails_is_a_row(compare, tmp_path):
    question = [
        f"tests/support/one_stage.py:{SMALL}",
        "--sweep=config.model.stages.coarse.field.width=16,0",
        "--steps=20",
    ]
    question += [
        "--seeds=1",
        f"--scene={write_small_tabletop(tmp_path / 'scene', size=20)}",
        f"--runs={tmp_path / 'runs'}",
        "--eval_times=2",
    ]
    film = ["--frames=2", "--path=orbit"]
    first = compare(
        *question,
        f"--out={tmp_path / 'a.html'}",
        f"--json={tmp_path / 'a.json'}",
        *film,
        "--mesh",
        "--resolution=16",
    )
    numbers = json.loads((tmp_path / "a.json").read_text())
    fine, broken = numbers["table"]
    assert fine["psnr"] > 3 and fine["failure"] is None
    assert broken["psnr"] is None and "exit code 1" in broken["failure"]
    assert "nothing to compare it with" in first
    page = (tmp_path / "a.html").read_text()
    assert (
        "exit code 1" in page
        and 'data-type="video/mp4"' in page
        and page.count('data-type="image/webp"') == 3 * 2
    )
    again = compare(*question, f"--out={tmp_path / 'b.html'}", "--frames=0")
    assert "reused" in again and numbers["runs"][0]["note"] == "trained for this study"


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
def test_mistakes_get_one_line(compare, arguments, says):
    told = compare(*arguments, code=1)
    assert says in told and len(told.strip().splitlines()) == 1


def test_unlike_protocols_are_refused(compare, tmp_path):
    a = make_run(tmp_path / "a", config_of(), [20.0, 21.0])
    b = make_run(tmp_path / "b", config_of(), [20.0, 21.0])
    results = json.loads((b / "results.json").read_text())
    results["protocol"]["background"] = [0.0, 0.0, 0.0]
    (b / "results.json").write_text(json.dumps(results))
    told = compare(a, b, f"--out={tmp_path / 'page.html'}", code=1)
    assert "unlike protocols, background: [1.0, 1.0, 1.0] -> [0.0, 0.0, 0.0]" in told
    assert not (tmp_path / "page.html").exists()
