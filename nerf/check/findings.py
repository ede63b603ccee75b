"""One thing that a look at a scene found: which views, what, why it is believed, and what fixes it."""

from collections.abc import Sequence
from typing import NamedTuple

NAMED = 5  # views that a line names


class Finding(NamedTuple):
    """Shown as one line. `views` is empty where it is about all of them."""

    views: Sequence[str]
    what: str
    why: str
    fix: str

    def __str__(self) -> str:
        named = ", ".join(self.views[:NAMED])
        if len(self.views) > NAMED:
            named += f" and {len(self.views) - NAMED} more"
        return ": ".join(part for part in (named, self.what, self.why, self.fix) if part)
