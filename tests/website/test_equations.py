"""The plain notation of equations: what it means as MathML, and that mistakes are errors."""

import re
from xml.etree import ElementTree

import pytest

from website.equations import EquationError, to_mathml


def shape(text):
    """MathML without its outermost element: tags and texts only."""
    inner = re.sub(r"^<math[^>]*>|</math>$", "", to_mathml(text))
    return re.sub(r"(<\w+) [^>]*?(/?>)", r"\1\2", inner)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        ("w_(L-1)", "<msub><mi>w</mi><mrow><mi>L</mi><mo>−</mo><mn>1</mn></mrow></msub>"),
        ("tau", "<mi>τ</mi>"),
        ("Sigma", "<mi>Σ</mi>"),
        ("omega", "<mi>ω</mi>"),
        ("1/2", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        ("sqrt(x)", "<msqrt><mi>x</mi></msqrt>"),
        ("rgb", "<mi>rgb</mi>"),
        ('"a b"', "<mtext>a b</mtext>"),
        ("hat(C)_s", "<msub><mover><mi>C</mi><mo>^</mo></mover><mi>s</mi></msub>"),
    ],
)
def test_notation(text, expected):
    assert shape(text) == expected


def test_parentheses_that_group_disappear_and_those_of_an_argument_stay():
    grouped, argument = shape("(a + b) / c"), shape("f(a) / c")
    assert "(" not in grouped
    assert argument.startswith("<mfrac><mrow><mi>f</mi><mrow><mo>(</mo><mi>a</mi>")
    # A space makes a factor of the parenthesis, which alone stands above the bar.
    assert shape("f (a) / c") == "<mrow><mi>f</mi><mfrac><mi>a</mi><mi>c</mi></mfrac></mrow>"


def test_a_sum_has_its_index_below():
    assert shape("sum_(j<i) t_j").startswith("<mrow><munder><mo>∑</mo><mrow><mi>j</mi>")


def test_a_bar_closes_the_bar_before_it():
    fence = "<mo>|</mo>"
    assert shape("|x|^2") == f"<msup><mrow>{fence}<mi>x</mi>{fence}</mrow><mn>2</mn></msup>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exp(x", "missing"),
        ("x)", "closes nothing"),
        ("x_", "nothing follows '_'"),
        ("a /", "nothing follows '/'"),
        ("|x", "| is missing"),
        ("a $ b", "'$' is not part of the notation"),
        ("sqrt x", "( is missing after sqrt"),
    ],
)
def test_a_mistake_is_an_error_that_quotes_the_equation(text, message):
    with pytest.raises(EquationError) as error:
        to_mathml(text)
    assert message in str(error.value) and text in str(error.value)


def test_the_source_is_kept_for_readers_without_mathml():
    source = "T_i = exp(-sum_(j<i) tau_j)"
    assert ElementTree.fromstring(to_mathml(source)).get("alttext") == source
