"""What made a run is known again.

Every source file counts, and a run made by two versions is like neither.
"""

import re
import shutil
import subprocess
import sys

import pytest

from nerf.runs import provenance
from nerf.runs.config_files import load_config
from nerf.runs.provenance import (
    MIXED,
    commit,
    loaded_files,
    mixed,
    processor,
    products_of,
    source_digests,
)


def test_every_source_file_of_the_package_and_of_plugins_has_a_digest(tmp_path, monkeypatch):
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    for name in ("__init__.py", "a.py", "inner/b.py"):
        (tmp_path / "mine" / name).write_text("x = 1")
    (tmp_path / "single.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_digests(("mine", "single", "not_there_at_all"))
    assert {
        "nerf/sampling/stratified.py",
        "nerf/scenes/__init__.py",
        "mine/a.py",
        "mine/inner/b.py",
        "single.py",
    } <= before.keys()
    (tmp_path / "mine" / "inner" / "b.py").write_text("x = 2")
    after = source_digests(("mine", "single"))
    assert {file for file in before if before[file] != after[file]} == {"mine/inner/b.py"}


def test_files_that_were_imported_are_named_as_digests_are():
    assert provenance.__name__ in sys.modules
    files = loaded_files()
    assert {"nerf/__init__.py", "nerf/runs/provenance.py"} <= files
    assert "nerf/cli/commands.py" not in files or "nerf.cli.commands" in sys.modules


def test_a_run_begun_with_one_code_and_ended_with_another_is_like_neither():
    old, new = {"a.py": "1", "b.py": "1", "c.py": "1"}, {"a.py": "1", "b.py": "2", "d.py": "1"}
    assert mixed(old, new) == {"a.py": "1", "b.py": MIXED, "c.py": MIXED, "d.py": MIXED}
    assert mixed(old, old) == old


CPUINFO = (
    "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R)  Gold 6126 CPU @ 2.60GHz\n"
    "stepping\t: 4\n"
)


def test_the_processor_is_named_with_the_cores_that_may_be_used(monkeypatch):
    assert provenance._model_name(CPUINFO) == "Intel(R) Xeon(R) Gold 6126 CPU @ 2.60GHz"
    assert provenance._model_name("processor\t: 0\nCPU implementer\t: 0x41\n") == "", (
        "ARM has no name there"
    )
    assert re.fullmatch(r"\d+ x \S.*", processor())
    monkeypatch.setattr(provenance.os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert processor().startswith("3 x ")


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_the_commit_is_that_of_this_code_and_says_whether_files_differ(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True
        )

    home = tmp_path / "nerf"
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(home / "runs" / "provenance.py"))
    assert commit() is None, "no repository"
    git("init")
    (tmp_path / "theirs.txt").write_text("another project")
    git("add", "theirs.txt")
    git("commit", "-m", "theirs")
    assert commit() is None, "in a repository that does not have it"
    git("add", ".")
    git("commit", "-m", "all")
    number = commit()
    assert re.fullmatch(r"[0-9a-f]{10}", number)
    (tmp_path / "elsewhere.txt").write_text("not of the code")
    assert commit() == number
    (home / "model.py").write_text("x = 1")
    assert commit() == f"{number} and changes"
    monkeypatch.setenv("PATH", "")
    assert commit() is None, "no git"


def test_results_say_which_products_are_not_in_float32():
    field = "model.stages.main.field"
    half = f"bfloat16 in {field}.colour, {field}.network; otherwise float32"
    assert products_of(load_config("ngp")) == half
    exact = [f"{field}.{part}.dtype=float32" for part in ("network", "colour")]
    assert products_of(load_config("ngp", exact)) == "float32"
    assert products_of(load_config("systems/siren")) == "float32"
