"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY = 10.0  # seconds between lines where there is no terminal


class Meter:
    """Count finished units of work on stderr: a bar on a terminal, a line every ten seconds elsewhere.

    A line says what is done, the rate and the time left. Work that ends within ten seconds prints no line.
    """

    def __init__(self, what: str, unit: str, total: int, done: int = 0):
        self.what, self.unit, self.total, self.done = what, unit, total, done
        self.first: tuple[float, int] | None = (
            None  # when the first units were done, and how many there were then
        )
        self.began = self.last_line = time.monotonic()
        self.lines = not sys.stderr.isatty()
        self.bar = tqdm(
            total=total, initial=done, desc=what, unit=unit, disable=self.lines, file=sys.stderr
        )

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def add(self, count: int = 1, note: str = "") -> None:
        """Report that `count` more units are finished, with a `note` at the end of the line."""
        self.done += count
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(count)
        now = time.monotonic()
        if self.first is None:
            self.first = now, self.done
        if not self.lines or now - self.last_line < LINE_EVERY:
            return
        self.last_line = now
        line = f"{self.what} {self.done}/{self.total}, {self._speed(now)}"
        print(f"{line}, {note}" if note else line, file=sys.stderr, flush=True)

    def _speed(self, now: float) -> str:
        """Return the rate and the time left; of the first units, which may compile, only what they took."""
        assert self.first is not None
        counted = self.done - self.first[1]
        if counted <= 0:
            return f"{now - self.began:.0f} s so far"
        rate = counted / max(now - self.first[0], 1e-9)
        shown = f"{rate:.1f} {self.unit}s/s" if rate >= 1.0 else f"{1.0 / rate:.1f} s/{self.unit}"
        return f"{shown}, {max(self.total - self.done, 0) / rate:.0f} s left"


def track(items: Iterable[T], what: str, unit: str, total: int) -> Iterator[T]:
    """Yield `items` and count them with a `Meter`."""
    with Meter(what, unit, total) as meter:
        for item in items:
            yield item
            meter.add()


class Phases:
    """Show the progress of work in phases: a `Meter` for each, and lines also while nothing is finished."""

    def __init__(self) -> None:
        self.meter: Meter | None = None

    def __enter__(self) -> "Phases":
        return self

    def __exit__(self, *_) -> None:
        if self.meter is not None:
            self.meter.bar.close()

    def report(self, what: str, unit: str, done: int, total: int) -> None:
        """Report that `done` of `total` units of a phase are finished; called as often as one likes."""
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
