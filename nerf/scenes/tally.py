"""Count observations that many frames share, so that one note reports each of them."""

from nerf.scenes.base import one_line


class Tally:
    """Counts observations that many frames of a scene share, to report each in one note.

    >>> tally = Tally()
    >>> for name in ("a", "b", "c"):
    ...     tally.add("pose is rounded", name)
    >>> tally.notes("transforms.json")
    ['transforms.json: pose is rounded: a, and 2 more']
    """

    def __init__(self) -> None:
        self._examples: dict[str, list[str]] = {}

    def add(self, what: str, example: str = "") -> None:
        """Count one frame with the observation `what`; the note shows the first `example`."""
        self._examples.setdefault(what, []).append(example)

    def notes(self, file: str) -> list[str]:
        """Return one line for each observation, with `file` as its prefix."""
        lines = []
        for what, examples in self._examples.items():
            more = f", and {len(examples) - 1} more" if len(examples) > 1 else ""
            shown = one_line(f"{what}: {examples[0]}" if examples[0] else what)
            lines.append(f"{file}: {shown}{more if examples[0] else ''}")
        return lines
