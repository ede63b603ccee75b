"""What the fuzzer would try: each target reads its own file, refuses noise, and says how to run."""

import subprocess
import sys
from functools import partial
from random import Random

import pytest

from tests.conftest import ROOT
from tests.support.fuzz import TARGETS, try_bytes
from tests.support.mutations import many_mutations, mutate_json


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_reads_what_is_whole_and_refuses_what_is_not(tmp_path, target):
    file, read = TARGETS[target](tmp_path)
    whole = file.read_bytes()
    assert try_bytes(file, read, whole)
    assert not any(
        try_bytes(file, read, data) for data in (b"", b"\0\xff" * 40, whole[: len(whole) // 2])
    )


@pytest.fixture(scope="module")
def keyframes(tmp_path_factory):
    """A file of keyframes, how it is read, and what is in it."""
    file, read = TARGETS["keyframes"](tmp_path_factory.mktemp("keyframes"))
    return file, read, file.read_text()


@partial(many_mutations, few=800)
def test_mutated_keyframes_are_read_or_refused(keyframes, seed):
    file, read, text = keyframes
    try_bytes(file, read, mutate_json(text, Random(seed)).encode(errors="replace"))


def test_the_command_says_what_it_can_do():
    command = [sys.executable, "-m", "tests.support.fuzz"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"say what to fuzz: {', '.join(TARGETS)}\n"
