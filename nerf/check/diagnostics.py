"""A problem of a scene, with its reason and its fix."""

from collections.abc import Sequence
from typing import NamedTuple

MAX_NAMED_VIEWS = 5  # number of views that a line names; it counts the others


class Diagnostic(NamedTuple):
    """A problem, shown as one line.

    Attributes:
      views: names of the views that it is about; empty if it is about all of them.
      what: the problem.
      why: the observation behind it.
      fix: how to fix it.
    """

    views: Sequence[str]
    what: str
    why: str
    fix: str

    def __str__(self) -> str:
        """Return the line that is shown to the user."""
        named = ", ".join(self.views[:MAX_NAMED_VIEWS])
        if len(self.views) > MAX_NAMED_VIEWS:
            named += f" and {len(self.views) - MAX_NAMED_VIEWS} more"
        return ": ".join(part for part in (named, self.what, self.why, self.fix) if part)
