"""Show the progress of long work: a bar on a terminal or in a notebook, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY = 10.0  # seconds between lines if there is no bar
NOTEBOOK_COLUMNS = 100  # width of a bar in a notebook, which has no terminal to ask


def make_bar(shown: bool = True, **options: Any) -> tqdm:
    """Return a tqdm bar for a terminal or a notebook; elsewhere it is disabled.

    Args:
      shown: False returns a disabled bar everywhere.
      **options: of `tqdm.tqdm`.
    """
    if in_notebook():
        return NotebookBar(disable=not shown, **options)
    return tqdm(disable=not shown or not sys.stderr.isatty(), **options)


def in_notebook() -> bool:
    """Report whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class NotebookBar(tqdm):
    """A bar of text that is redrawn in place in the output of its cell.

    It needs no widgets, and a saved notebook keeps its last state. tqdm's text would fill the
    output of the cell with a line for every state, on a red background.
    """

    def __init__(self, **options: Any):
        self.output: Any = None  # the bar's place in the output of the cell
        super().__init__(gui=True, ncols=NOTEBOOK_COLUMNS, **options)
        if not self.disable:
            self.display()

    def display(self, *_: Any, **__: Any) -> None:
        """Show the current state."""
        from IPython.display import display

        text = {"text/plain": str(self)}
        if self.output is None:
            self.output = display(text, raw=True, display_id=True)
        else:
            self.output.update(text, raw=True)

    def close(self) -> None:
        """Show the last state and end."""
        if not self.disable:
            self.display()
        super().close()


class Meter:
    """Show the number of finished units of work.

    On a terminal and in a notebook this is a bar, elsewhere a line on stderr every ten seconds with
    the number of finished units, the rate and the time left. Work that ends within ten seconds
    prints no line. Where one unit takes long, `within` reports how much of it is done.

    Args:
      what: the name of the work.
      unit: the name of one unit, singular.
      total: number of units.
      done: number of units that are finished already, e.g. by an earlier process.
    """

    def __init__(self, what: str, unit: str, total: int, done: int = 0):
        self.what, self.unit, self.total, self.done = what, unit, total, done
        self.share, self.note = 0.0, ""  # share of the current unit that is done; the last note
        self.initial = done
        # Time and finished work, in units, at the first report, and again once the first unit is
        # finished: the rate counts from there.
        self.first: tuple[float, float] | None = None
        self.began = self.last_line = time.monotonic()
        self.bar = make_bar(total=total, initial=done, desc=what, unit=unit)
        self.lines = self.bar.disable

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def add(self, count: int = 1, note: str = "") -> None:
        """Report that `count` more units are finished, with a `note` at the end of the line."""
        if self.done == self.initial:
            self.first = None
        self.done += count
        self.share, self.note = 0.0, note
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(count)
        self._print()

    def within(self, share: float) -> None:
        """Report that a share of the current unit, in [0, 1], is done."""
        self.share = max(self.share, share)
        if share < 1.0:  # otherwise `add` follows
            self.bar.set_postfix_str(f"{self.unit} {share:.0%}  {self.note}")
            self._print()

    def _print(self) -> None:
        """Print a line if the last one is ten seconds old and there is no bar."""
        now = time.monotonic()
        if self.first is None:
            self.first = now, self.done + self.share
        if not self.lines or now - self.last_line < LINE_EVERY:
            return
        self.last_line = now
        line = f"{self.what} {self.done}/{self.total}, {self._speed(now)}"
        print(f"{line}, {self.note}" if self.note else line, file=sys.stderr, flush=True)

    def _speed(self, now: float) -> str:
        """Return the rate and the time left.

        What came before may include compilation: it does not count for the rate, and until more is
        done only the elapsed time is returned.
        """
        assert self.first is not None
        done = self.done + self.share
        counted = done - self.first[1]
        if counted <= 0:
            return f"{now - self.began:.0f} s so far"
        rate = counted / max(now - self.first[0], 1e-9)
        shown = f"{rate:.1f} {self.unit}s/s" if rate >= 1.0 else f"{1.0 / rate:.1f} s/{self.unit}"
        return f"{shown}, {max(self.total - done, 0) / rate:.0f} s left"


def track(items: Iterable[T], what: str, unit: str, total: int) -> Iterator[T]:
    """Yield `items` and count them with a `Meter`.

    Args:
      items: the items.
      what: the name of the work.
      unit: the name of one item, singular.
      total: number of items.
    """
    with Meter(what, unit, total) as meter:
        for item in items:
            yield item
            meter.add()


class Phases:
    """Show the progress of work in phases, with a `Meter` for each phase.

    Unlike a `Meter` it also prints lines while no unit is finished.
    """

    def __init__(self) -> None:
        self.meter: Meter | None = None

    def __enter__(self) -> "Phases":
        return self

    def __exit__(self, *_: object) -> None:
        if self.meter is not None:
            self.meter.bar.close()

    def report(self, what: str, unit: str, done: int, total: int) -> None:
        """Report that `done` of `total` units of a phase are finished; may be called often.

        Args:
          what: the name of the phase; a new name starts a new phase.
          unit: the name of one unit, singular.
          done: number of finished units.
          total: number of units of the phase.
        """
        if self.meter is None or self.meter.what != what:
            self.__exit__()
            self.meter = Meter(what, unit, total)
        meter = self.meter
        if meter.done or done:
            meter.add(max(0, done - meter.done))
        elif meter.lines and time.monotonic() - meter.last_line >= LINE_EVERY:
            meter.last_line = time.monotonic()
            seconds = meter.last_line - meter.began
            print(f"{what} 0/{total}, {seconds:.0f} s so far", file=sys.stderr, flush=True)
