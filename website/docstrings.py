"""Turn the docstrings of the library into Markdown.

Docstrings are written to be read in a terminal. This module renders their section `Equation:` as
mathematics, and so the variables of its equations in the text. It shows other indented blocks as
they are, sets shapes such as `(*b, 3)` in the font of code, links papers by their arXiv number and
modules by their name, and protects everything else from being read as Markdown.
"""

import html
import re
import textwrap
from collections.abc import Callable, Set
from typing import NamedTuple

from website.equations import LETTERS, to_mathml, variables

EQUATION = "Equation:"
# The sections of Google's style, whose indented lines mkdocstrings reads.
SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:")

ARXIV = re.compile(r"(?<![\d.\w/])(\d{4}\.\d{5})(?![\d.]*\d)")
SHAPE = re.compile(r"\(\*#?b(?:, [\w +*/^()]*?)?,?\)")
MODULE = re.compile(r"`(nerf(?:\.\w+)+)`")
CODE = re.compile(r"``?[^`\n]+``?")
# A letter with something below or above it: `w_k`, `N_min`, `x_(i-1)`, `2^d`, `[-1, 1]^d`.
_BASE = rf"(?<![\w.^])(?:[A-Za-z]|hat\(\w\)|{'|'.join(LETTERS)}|\d|\[-?[01], 1\])"
_SCRIPT = r"(?:_[A-Za-z]+|\^[A-Za-z]|[_^](?:\d+|\([\w +-]+\)))"
SCRIPTED = re.compile(rf"{_BASE}{_SCRIPT}+(?![\w(])")
WORD = re.compile(r"(?<![\w.'-])[A-Za-z]+(?![\w'-])")
INLINE = re.compile(
    f"(?P<paper>{ARXIV.pattern})|(?P<shape>{SHAPE.pattern})"
    f"|(?P<scripted>{SCRIPTED.pattern})|(?P<word>{WORD.pattern})"
)
SPECIAL = re.compile(r"([\\*_\[\]#])")


class Equation(NamedTuple):
    """One line of a section `Equation:`.

    Attributes:
      number: the number by which comments of the code refer to it, or "".
      text: the equation in the notation of `website.equations`.
      remark: what it is, or "".
    """

    number: str
    text: str
    remark: str


def equations_of(docstring: str) -> list[Equation]:
    """Return the equations of a docstring.

    Each line of a section `Equation:` is one equation: `(1) a = b   remark`, where the number and
    the remark, after three spaces, are optional. A line that is indented further continues the
    line before it.
    """
    found: list[Equation] = []
    for section, lines in _blocks(docstring):
        if section == EQUATION:
            found += equation_lines(lines)
    return found


def equation_lines(lines: list[str]) -> list[Equation]:
    """Return the equations of the lines of a section `Equation:`."""
    return [_parse(line) for line in _join(lines)]


def to_markdown(docstring: str) -> str:
    """Convert a docstring without its indentation to Markdown with sections of Google's style.

    Raises:
      EquationError: an equation cannot be read.
    """
    parts: list[str] = []
    known = frozenset().union(*(variables(each.text) for each in equations_of(docstring)))
    for section, lines in _blocks(docstring):
        if section == EQUATION:
            parts += ["", equations_html(equation_lines(lines)), ""]
        elif section in SECTIONS:
            parts += [section, *(_section_line(line, known) for line in lines)]
        elif section == "indented":
            parts += [
                "",
                *textwrap.indent(textwrap.dedent("\n".join(lines)), "    ").split("\n"),
                "",
            ]
        else:
            parts += _protect("\n".join(lines), known).split("\n")
    return "\n".join(parts)


def equations_html(equations: list[Equation]) -> str:
    """Render equations one below the other, as one line of HTML."""
    rows = []
    for number, text, remark in equations:
        cells = [to_mathml(text)]
        if remark:
            shown = _remark(remark, variables(text))
            cells.append(f'<span class="remark">{shown}</span>')
        cells += [f'<span class="number">({number})</span>'] if number else []
        rows.append(f'<div class="row">{"".join(cells)}</div>')
    return f'<div class="equation">{"".join(rows)}</div>'


def linked(text: str) -> str:
    """Escape a text for Markdown, and link its papers and modules."""
    return _protect(text)


def _blocks(docstring: str) -> list[tuple[str, list[str]]]:
    """Split a docstring into blocks: its sections, other indented lines, and text.

    Returns:
      (kind, lines) of each block: the header of a section, "indented" or "text".
    """
    blocks: list[tuple[str, list[str]]] = [("text", [])]
    for line in docstring.split("\n"):
        kind, lines = blocks[-1]
        # `Returns: text` begins a section as `Returns:` does.
        header, _, rest = line.partition(": ")
        if line in (*SECTIONS, EQUATION):
            blocks.append((line, []))
        elif f"{header}:" in SECTIONS:
            blocks.append((f"{header}:", [f"  {rest}"]))
        elif not line.strip():
            lines.append("")
        elif kind in SECTIONS and any(lines[-1:]) and not line.startswith("  "):
            lines.append(f"    {line}")  # continues `Returns: text`
        elif not line.startswith("  "):
            if kind != "text":
                blocks.append(("text", []))
            blocks[-1][1].append(line)
        elif kind == "text" and not _continues_list(lines):
            blocks.append(("indented", [line]))
        else:
            lines.append(line)
    return blocks


def _continues_list(lines: list[str]) -> bool:
    """Return whether the last line of a text is of a list item, whose lines are indented."""
    return bool(lines) and (lines[-1].startswith(("- ", "  ")))


def _join(lines: list[str]) -> list[str]:
    """Join the lines of a section that continue the line before."""
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    joined: list[str] = []
    for line in (line[indent:].rstrip() for line in lines if line.strip()):
        if line.startswith(" "):
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
    return joined


def _parse(line: str) -> Equation:
    """Split a line into number, equation and remark."""
    number, rest = re.fullmatch(r"(?:\((\d+)\) )?(.*)", line).groups()  # type: ignore[union-attr]
    text, _, remark = rest.strip().partition("   ")
    return Equation(number or "", text, remark.strip())


def _section_line(line: str, known: Set[str]) -> str:
    """Protect a line of a section, except the name of an argument before its colon."""
    name = re.match(r"\s+(?:\*{0,2}\w+: )?", line)
    start = name.end() if name else 0
    # `num_levels: L, the number of grids` names the variable of an argument.
    symbol = re.match(r"([A-Za-z]), ", line[start:])
    if symbol:
        return line[:start] + _variable(symbol[1]) + _protect(line[start + 1 :], known)
    return line[:start] + _protect(line[start:], known)


def _protect(text: str, known: Set[str] = frozenset()) -> str:
    """Escape what Markdown would read, set shapes as code and variables as such, and add links.

    Args:
      text: the text.
      known: the variables of the equations beside it; their Greek letters are set as such.
    """

    def plain(part: str) -> str:
        return _convert(part, INLINE, _escape, inline)

    def inline(match: re.Match) -> str:
        if match["paper"]:
            return f"[{match[0]}](https://arxiv.org/abs/{match[0]})"
        return f"`{match[0]}`" if match["shape"] else _variable_or_word(match, known)

    return _convert(text, CODE, plain, lambda match: _link_module(match[0]))


def _remark(text: str, known: Set[str]) -> str:
    """Return the HTML of a remark, with the variables `known` from its equation."""
    return _convert(text, INLINE, html.escape, lambda match: _variable_or_word(match, known))


def _convert(
    text: str,
    pattern: re.Pattern,
    between: Callable[[str], str],
    inside: Callable[[re.Match], str],
) -> str:
    """Convert the matches of a pattern in one way and the text between them in another.

    Args:
      text: the text.
      pattern: what to find.
      between: conversion of the text between two matches.
      inside: conversion of a match.
    """
    parts, place = [], 0
    for match in pattern.finditer(text):
        parts += [between(text[place : match.start()]), inside(match)]
        place = match.end()
    return "".join([*parts, between(text[place:])])


def _escape(text: str) -> str:
    """Protect a text from being read as Markdown."""
    return SPECIAL.sub(r"\\\1", html.escape(text, quote=False))


def _variable_or_word(match: re.Match, known: Set[str]) -> str:
    """Return the HTML of a variable with scripts, of a known Greek letter, or the word itself."""
    greek = match[0] in LETTERS and match[0] in known
    return _variable(match[0]) if greek or match["scripted"] else match[0]


def _variable(text: str) -> str:
    """Return the HTML of a variable in a text."""
    # Markdown would take a line that begins with <math> for a block.
    return f'<span class="variable">{to_mathml(text, inline=True)}</span>'


def _link_module(code: str) -> str:
    """Link the name of a module or of something in it."""
    match = MODULE.fullmatch(code)
    return f"[{code}][{match[1]}]" if match else code
