"""Docstrings become Markdown that says the same."""

import pytest

from website.docstrings import Equation, equations_of, to_markdown

DOCSTRING = """Do a thing (2003.08934, eq. 4).

Equation:
  (1) y = a x   the line
  z = f(
    y)

Shapes are (*b, 3) and *not emphasis*, a < b; a block follows:

  kept   as it is

Args:
  width: W, the width in [-1, 1].
  **options: passed on to `nerf.losses`.

Returns: a number, and
what belongs to it.

Afterwards.
"""


def test_equations_have_numbers_remarks_and_continued_lines():
    first, second = equations_of(DOCSTRING)
    assert first == Equation("1", "y = a x", "the line")
    assert second == Equation("", "z = f( y)", "")
    assert equations_of("No section.\n\n  y = x\n") == []


def test_every_part_of_a_docstring_is_converted():
    text = to_markdown(DOCSTRING)
    assert "[2003.08934](https://arxiv.org/abs/2003.08934)" in text
    assert '<span class="remark">the line</span><span class="number">(1)</span>' in text
    assert "`(*b, 3)` and \\*not emphasis\\*, a &lt; b" in text
    assert "\n\n    kept   as it is\n" in text
    assert "\n  width: <span" in text and ", the width in \\[-1, 1\\]." in text
    assert "\n  **options: passed on to [`nerf.losses`][nerf.losses]." in text
    assert "\nReturns:\n  a number, and\n    what belongs to it.\n\nAfterwards." in text
    assert "Equation:" not in text


@pytest.mark.parametrize(
    ("text", "is_variable"),
    [
        ("tau is small", True),  # a letter of the equation
        ("alpha is small", False),  # a word: no equation has it
        ("w_k is small", True),
        ("num_freqs is small", False),
        ("`w_k` is code", False),
        ("2^d corners", True),
        ("N_min cells", True),
        ("[-1, 1]^3 is the box", True),
        ("[-1, 1]^num_dims is the box", False),
    ],
)
def test_variables_of_the_text_are_set_as_such(text, is_variable):
    shown = to_markdown(f"{text}.\n\nEquation:\n  tau = 1\n").split("<div")[0]
    assert ("<math" in shown) is is_variable
