"""Progress of long work: a bar on a terminal, plain lines elsewhere; and timers."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import jax
from tqdm import tqdm

from nerf.runs.budget import Budget

T = TypeVar("T")
LINE_EVERY = 10.0  # seconds between lines where there is no terminal


class Meter:
    """Count finished units of work on stderr: a bar on a terminal, a line every ten seconds elsewhere.

    A line says what is done, the rate and the time left. Work that ends within ten seconds prints no line.
    """

    def __init__(self, what: str, unit: str, total: int, done: int = 0):
        self.what, self.unit, self.total, self.done = what, unit, total, done
        self.first: tuple[float, int] | None = None  # when the first units were done, and how many there were then
        self.began = self.last_line = time.monotonic()
        self.lines = not sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, desc=what, unit=unit, disable=self.lines, file=sys.stderr)

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


class Progress:
    """Show how much of a run is done: a bar on a terminal, a line every ten seconds elsewhere.

    Args:
      budget: of the run.
      step, seconds: where it starts or resumes.
      shown: whether to show anything.
    """

    def __init__(self, budget: Budget, step: int, seconds: float, shown: bool = True):
        self.budget = budget
        self.started_at = step, seconds
        self.psnr: float | None = None
        self.last_line = time.monotonic()
        self.lines = shown and not sys.stderr.isatty()
        self.bar = tqdm(
            total=100.0,
            initial=100.0 * budget.fraction(step, seconds),
            disable=self.lines or not shown,
            bar_format="train {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left{postfix}",
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def update(self, step: int, seconds: float, psnr: float) -> None:
        """Show the state after a call of the step; `psnr` is the mean over its batches of training rays."""
        self.psnr = psnr if self.psnr is None else 0.9 * self.psnr + 0.1 * psnr
        taken, spent = step - self.started_at[0], seconds - self.started_at[1]
        rate = taken / max(spent, 1e-9)
        fraction = self.budget.fraction(step, seconds)
        self.bar.set_postfix_str(f"step {step}, {rate:.1f} steps/s, train PSNR {self.psnr:.2f}", refresh=False)
        self.bar.update(100.0 * fraction - self.bar.n)
        if self.lines and (time.monotonic() - self.last_line > LINE_EVERY or fraction >= 1.0):
            self.last_line = time.monotonic()
            # What is left is told by this process's own speed: an earlier one may have had another machine.
            done_here = fraction - self.budget.fraction(*self.started_at)
            left = spent * (1.0 - fraction) / max(done_here, 1e-9)
            shown = f"train {100.0 * fraction:.0f}%, step {step}, {rate:.1f} steps/s, {left:.0f} s left"
            print(f"{shown}, train PSNR {self.psnr:.2f}", file=sys.stderr, flush=True)


class Stopwatch:
    """Seconds spent on each of several things: `with watch("compile"): ...`."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - began


@contextmanager
def trace_calls(folder: Path | str | None, first: int = 3, last: int = 5) -> Iterator[Callable[[], None]]:
    """A function to be called before each call of something; calls `first` to `last` are traced by JAX's profiler.

    The trace goes to `folder`, for TensorBoard or https://ui.perfetto.dev; without a folder nothing is traced. A whole
    training run would be gigabytes, and its first calls are not typical.
    """
    count = 0

    def before_call() -> None:
        nonlocal count
        count += 1
        if folder and count == first:
            jax.profiler.start_trace(str(folder), create_perfetto_trace=True)
        if folder and count == last + 1:
            jax.profiler.stop_trace()

    try:
        yield before_call
    finally:
        if folder and first <= count <= last:
            jax.profiler.stop_trace()
