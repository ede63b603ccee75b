"""The list of equivalent mutants quotes the present code."""

import pytest

from tests.support.equivalent_mutants import EQUIVALENT, Equivalent
from tests.support.mutants import ROOT, TESTS, Mutant, stale_entries


def test_every_entry_quotes_code_that_is_there():
    assert not stale_entries(EQUIVALENT)
    assert EQUIVALENT.keys() <= TESTS.keys()


def test_code_that_is_gone_or_there_twice_is_told(tmp_path):
    (tmp_path / "a.py").write_text("x = (\n    1 +\n    2)\ny = 3\ny = 3\n")
    entries = {"a.py": [Equivalent(code, "", "") for code in ("x = (1 + 2)", "x = 4", "y = 3")]}
    assert stale_entries(entries, tmp_path) == [
        "a.py: x = 4: 0 times in it: quote its present code",
        "a.py: y = 3: 2 times in it: quote its present code",
    ]


@pytest.mark.parametrize("module", EQUIVALENT)
def test_a_mutant_is_recognised_however_it_is_wrapped(module):
    for entry in EQUIVALENT[module]:
        source = (ROOT / module).read_text(encoding="utf-8")
        assert entry.code in source, "an entry is written as the code is"
        mutated = source.replace(entry.code, entry.mutant.replace(", ", ",\n    "))
        assert Mutant(module, "", 1, 0, mutated).equivalent() == entry.reason
        other = source.replace(entry.code, f"{entry.mutant} + 1")
        assert Mutant(module, "", 1, 0, other).equivalent() is None
