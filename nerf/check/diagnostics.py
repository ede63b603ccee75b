"""One thing that a look at a scene found: which views, what, why it is believed, and what fixes it."""

from collections.abc import Sequence
from typing import NamedTuple

MAX_NAMED_VIEWS = 5  # views that a line names


class Diagnostic(NamedTuple):
    """Shown as one line. `views` is empty where it is about all of them."""

    views: Sequence[str]
    what: str
    why: str
    fix: str

    def __str__(self) -> str:
        named = ", ".join(self.views[:MAX_NAMED_VIEWS])
        if len(self.views) > MAX_NAMED_VIEWS:
            named += f" and {len(self.views) - MAX_NAMED_VIEWS} more"
        return ": ".join(part for part in (named, self.what, self.why, self.fix) if part)
