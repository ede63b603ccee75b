"""What made a run is known again: every source file counts, and a run made by two versions is like neither."""

import sys

from nerf import provenance
from nerf.provenance import MIXED, loaded_files, mixed, source_digests


def test_every_source_file_of_the_package_and_of_plugins_has_a_digest(tmp_path, monkeypatch):
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    for name in ("__init__.py", "a.py", "inner/b.py"):
        (tmp_path / "mine" / name).write_text("x = 1")
    (tmp_path / "single.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_digests(("mine", "single", "not_there_at_all"))
    assert {"nerf/sampling.py", "nerf/scenes/__init__.py", "mine/a.py", "mine/inner/b.py", "single.py"} <= before.keys()
    (tmp_path / "mine" / "inner" / "b.py").write_text("x = 2")
    after = source_digests(("mine", "single"))
    assert {file for file in before if before[file] != after[file]} == {"mine/inner/b.py"}


def test_files_that_were_imported_are_named_as_digests_are():
    assert provenance.__name__ in sys.modules
    files = loaded_files()
    assert {"nerf/__init__.py", "nerf/provenance.py"} <= files
    assert "nerf/commands.py" not in files or "nerf.commands" in sys.modules


def test_a_run_begun_with_one_code_and_ended_with_another_is_like_neither():
    old, new = {"a.py": "1", "b.py": "1", "c.py": "1"}, {"a.py": "1", "b.py": "2", "d.py": "1"}
    assert mixed(old, new) == {"a.py": "1", "b.py": MIXED, "c.py": MIXED, "d.py": MIXED}
    assert mixed(old, old) == old
