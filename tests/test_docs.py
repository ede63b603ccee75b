"""What the documents point to is there, and the commands they show have the flags they use."""

import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from website.docstrings import equation_lines, equations_html

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("*/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_every_promise_names_a_test_or_a_command_that_exists():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1:-1] for row in text.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 10 and all(len(row) == 4 for row in rows)
    for fault, _, verified, commit in rows:
        files = re.findall(r"tests/[\w/]+\.py(?:::\w+)?", verified)
        modules = re.findall(r"python -m ([\w.]+)", verified)
        assert files or modules, fault
        for file, _, name in (each.partition("::") for each in files):
            assert (
                f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
                if name
                else (ROOT / file).exists()
            ), name
        for module in modules:
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
        assert re.fullmatch(r" [0-9a-f]{7,12} | pending ", commit), fault


@pytest.mark.whole
@pytest.mark.parametrize("program", ["train", "render", "view", "compare", "capture"])
def test_flags_in_the_documents_exist(program):
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    modules = [*(ROOT / "configs").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    text += "\n".join(path.read_text(encoding="utf-8") for path in modules)
    commands = re.findall(rf"nerf {program}((?:\\\n|[^\n])*)", text)
    used = {flag for command in commands for flag in re.findall(r"--(\w+)(?![\w.])", command)}
    shown = subprocess.run(
        [sys.executable, "-m", "nerf", program, "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    used -= {"help"}
    assert used
    for flag in used:
        assert re.search(rf"--(\[no\])?{flag}\b", shown), flag


@pytest.mark.long
def test_one_ray_can_be_followed_as_the_document_shows(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "how-to-think.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"run by a test\. -->\n```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    found, expected = names["rendering"], names["expected"]
    np.testing.assert_allclose(found.rgb, expected.rgb, rtol=1e-6)
    np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-6)
    assert names["points"].shape == (1, 16, 3)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_equations_of_a_document_can_be_read(document):
    text = document.read_text(encoding="utf-8")
    for block in re.findall(r"^```equation\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        assert equation_lines(block.splitlines())
        equations_html(equation_lines(block.splitlines()))
