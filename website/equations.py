"""Convert equations from the plain notation of the docstrings to MathML.

The notation is close to AsciiMath:

    T_i = exp(-sum_(j<i) tau_j)

- A letter is a variable, a Greek name its letter, and any other word is set upright.
- `_` and `^` take one item, or several in parentheses: `w_(L-1)`, `2^(k/2)`.
- `/` takes the item on either side: `(a + b) / (c d)`. Parentheses that only group are not shown.
- A parenthesis that touches a name is its argument: `exp(-x) / 2` has `exp(-x)` above the bar.
- `sqrt(x)`, `floor(x)`, `ceil(x)`, `hat(x)`, `bar(x)`, `|x|` and `||x||` have signs of their own.
- `sum`, `prod`, `max`, `min` and `int` put what follows `_` and `^` below and above.
- A text in double quotes is set as it is.
"""

import re
from xml.etree import ElementTree

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "finalsigma sigma tau upsilon phi chi psi omega"
)
LETTERS = {name: chr(ord("α") + i) for i, name in enumerate(GREEK.split())}
LETTERS |= {name.capitalize(): chr(ord("Α") + i) for i, name in enumerate(GREEK.split())}

SIGNS = {
    "<-": "←", "->": "→", "<=": "≤", ">=": "≥", "!=": "≠", "+-": "±", "...": "…", "~": "∼",
    "*": "⋅", "-": "−", "in": "∈", "xor": "⊕", "xx": "×", "o.": "∘", "nabla": "∇", "infinity": "∞",
}  # fmt: skip
LARGE = {"sum": "∑", "prod": "∏", "int": "∫", "max": "max", "min": "min"}
WORDS_BETWEEN = {"for", "if", "otherwise", "where", "with", "and", "or", "mod", "else"}
OPENING = {"(", "[", "{"}
CLOSING = {")", "]", "}"}
AROUND = {"floor": ("⌊", "⌋"), "ceil": ("⌈", "⌉")}
ACCENTS = {"hat": "^", "bar": "¯"}

TOKEN = re.compile(
    r'(\s*)("[^"]*"|\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z]+|<-|->|<=|>=|!=|\+-|\.\.\.|o\.|\|\||'
    r"[-+*/^_=<>~,;:.!'|()\[\]{}])"
)

Node = ElementTree.Element


class EquationError(ValueError):
    """An equation that cannot be read; the message says where."""


def to_mathml(text: str, inline: bool = False) -> str:
    """Convert one equation to a `<math>` element, for a line of its own or `inline` in a text.

    Raises:
      EquationError: a bracket is not closed, an item is missing, or a sign is unknown.
    """
    parser = _Parser(text)
    row = parser.row(until=set())
    math = _node("math", row, display="inline" if inline else "block")
    # A reader without MathML gets the source.
    math.set("alttext", " ".join(text.split()))
    return ElementTree.tostring(math, encoding="unicode")


def variables(text: str) -> frozenset[str]:
    """Return the letters and words of an equation that are no signs."""
    return frozenset(token for token, _ in tokens(text) if token.isalpha() and token not in SIGNS)


def tokens(text: str) -> list[tuple[str, bool]]:
    """Split an equation into its tokens, each with whether it touches the one before it."""
    found: list[tuple[str, bool]] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise EquationError(f"{text}: {text[place:].strip()[0]!r} is not part of the notation")
        found.append((match[2], not match[1]))
        place = match.end()
    return found


def _node(tag: str, *children: Node | str, **attributes: str) -> Node:
    """Build an element of children, or of text."""
    node = Node(tag, attributes)
    for child in children:
        if isinstance(child, str):
            node.text = child
        else:
            node.append(child)
    return node


def _row(items: list[Node]) -> Node:
    """Wrap items in a row unless there is exactly one."""
    return items[0] if len(items) == 1 else _node("mrow", *items)


class _Parser:
    """Read one equation by recursive descent."""

    def __init__(self, text: str):
        pairs = tokens(text)
        self.text, self.place = text, 0
        self.tokens = [token for token, _ in pairs]
        self.touches = [touches for _, touches in pairs]

    @property
    def next(self) -> str:
        """The token at the current place, or "" at the end."""
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        """Return the token at the current place, and step over it."""
        token = self.next
        if not token:
            raise EquationError(f"{self.text}: ends where something should follow")
        self.place += 1
        return token

    def row(self, until: set[str]) -> Node:
        """Read items up to a token of `until`, or to the end if there is none."""
        items: list[Node] = []
        before = ""
        while self.next not in until:
            if not self.next:
                if until:
                    raise EquationError(f"{self.text}: {' or '.join(sorted(until))} is missing")
                break
            word = self.next
            item = self.fraction()
            # Words that stand beside another item need a gap; letters may touch.
            if items and (_is_name(word) and _ends_item(before) or _starts_after(before, word)):
                items.append(_node("mspace", width="0.25em"))
            items.append(item)
            before = self.tokens[self.place - 1] if not _is_name(word) else word
        return _row(items)

    def fraction(self) -> Node:
        """Read an item, and the denominator if a fraction bar follows."""
        item = self.application()
        if self.next != "/":
            return item
        self.take()
        self.check_follows()
        below = self.application()
        return _node("mfrac", _without_parentheses(item), _without_parentheses(below))

    def application(self) -> Node:
        """Read an item with its argument, if a bracket touches it."""
        is_name = self.next.isalpha() and self.next not in WORDS_BETWEEN
        item = self.scripts()
        if is_name and self.next in OPENING and self.touches[self.place]:
            return _node("mrow", item, self.scripts())
        return item

    def scripts(self) -> Node:
        """Read an item with what stands below and above it."""
        large = self.next in LARGE
        base = self.item()
        below = above = None
        while self.next in ("_", "^"):
            if self.take() == "_":
                below = self.group()
            else:
                above = self.group()
        kinds = ("munder", "mover", "munderover") if large else ("msub", "msup", "msubsup")
        if below is not None and above is not None:
            return _node(kinds[2], base, below, above)
        if below is not None:
            return _node(kinds[0], base, below)
        return base if above is None else _node(kinds[1], base, above)

    def group(self) -> Node:
        """Read one item whose parentheses only group."""
        self.check_follows()
        return _without_parentheses(self.item())

    def check_follows(self) -> None:
        """Raise an error unless an item comes next."""
        if self.next in CLOSING | {"", "=", ",", "+", "/", "^", "_"}:
            raise EquationError(f"{self.text}: nothing follows {self.tokens[self.place - 1]!r}")

    def item(self) -> Node:
        """Read a number, a name, a sign, or something in brackets."""
        token = self.take()
        if token in ("|", "||"):
            inside = self.row({token})
            self.take()
            bar = "|" if token == "|" else "‖"
            fence = {"fence": "true", "stretchy": "true"}
            return _node("mrow", _node("mo", bar, **fence), inside, _node("mo", bar, **fence))
        if token in OPENING:
            inside = self.row(CLOSING)
            return _node("mrow", _node("mo", token), inside, _node("mo", self.take()))
        if token in CLOSING:
            raise EquationError(f"{self.text}: {token} closes nothing")
        if token == "sqrt":
            return _node("msqrt", self.argument(token))
        if token in AROUND:
            left, right = AROUND[token]
            return _node("mrow", _node("mo", left), self.argument(token), _node("mo", right))
        if token in ACCENTS:
            return _node("mover", self.argument(token), _node("mo", ACCENTS[token]), accent="true")
        return _leaf(token)

    def argument(self, name: str) -> Node:
        """Read the parenthesis after the name of a function."""
        if self.next != "(":
            raise EquationError(f"{self.text}: ( is missing after {name}")
        return _without_parentheses(self.item())


def _leaf(token: str) -> Node:
    """Build the element of a number, a name, a sign or a text."""
    if token.startswith('"'):
        return _node("mtext", token.strip('"'))
    if token in WORDS_BETWEEN:
        return _node("mtext", f"\N{NO-BREAK SPACE}{token}\N{NO-BREAK SPACE}")
    if token in LARGE:
        return _node("mo", LARGE[token], movablelimits="false")
    if token in SIGNS:
        return _node("mo", SIGNS[token])
    if token in LETTERS:
        return _node("mi", LETTERS[token])
    if token[0].isdigit():
        return _node("mn", token)
    return _node("mi" if token[0].isalpha() else "mo", token)


def _is_name(token: str) -> bool:
    """Return whether a token is set as an upright word, which needs a gap beside other items."""
    special = token in SIGNS or token in LETTERS or token in WORDS_BETWEEN or token in AROUND
    return len(token) > 1 and token.isalpha() and not special and token not in ACCENTS


def _ends_item(token: str) -> bool:
    """Return whether a token is the end of something that is multiplied or applied."""
    return bool(token) and (token[-1].isalnum() or token in CLOSING) and token not in WORDS_BETWEEN


def _starts_after(before: str, token: str) -> bool:
    """Return whether a gap belongs between an upright word and the item after it."""
    return _is_name(before) and (token[0].isalnum() or token in LETTERS)


def _without_parentheses(node: Node) -> Node:
    """Remove a pair of parentheses around a node."""
    if node.tag == "mrow" and len(node) == 3 and (node[0].text, node[2].text) == ("(", ")"):
        return node[1]
    return node
