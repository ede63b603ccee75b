"""A child process imports what this process imports."""

import os

from nerf.foundation.resources import child_environment
from tests.conftest import ROOT


def test_a_child_finds_the_library_and_the_plugins_beside_a_script(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    path = child_environment()["PYTHONPATH"].split(os.pathsep)
    assert path[0] == str(ROOT) and str(tmp_path) in path
    assert all(map(os.path.isabs, path))
