"""Progress of a training run, timers, and profiler traces."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from nerf.foundation.progress import LINE_EVERY, make_bar
from nerf.runs.budget import Budget


class Progress:
    """Progress display of a run: a bar, or a line every ten seconds where there can be none.

    Args:
      budget: the run's budget.
      step: number of steps when this process starts or resumes the run.
      seconds: seconds of training at that point.
      shown: whether to show anything.
    """

    def __init__(self, budget: Budget, step: int, seconds: float, shown: bool = True):
        self.budget = budget
        self.started_at = step, seconds
        self.psnr: float | None = None
        self.last_line = time.monotonic()
        self.bar = make_bar(
            shown,
            total=100.0,
            initial=100.0 * budget.fraction(step, seconds),
            bar_format=(
                "train {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left{postfix}"
            ),
        )
        self.lines = shown and self.bar.disable

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, step: int, seconds: float, psnr: float) -> None:
        """Show the state after a call of the training step.

        Args:
          step: number of steps so far.
          seconds: seconds of training so far.
          psnr: mean PSNR of the call's batches in dB; an exponential moving average is shown.
        """
        self.psnr = psnr if self.psnr is None else 0.9 * self.psnr + 0.1 * psnr
        taken, spent = step - self.started_at[0], seconds - self.started_at[1]
        rate = taken / max(spent, 1e-9)
        fraction = self.budget.fraction(step, seconds)
        self.bar.set_postfix_str(
            f"step {step}, {rate:.1f} steps/s, train PSNR {self.psnr:.2f}", refresh=False
        )
        self.bar.update(100.0 * fraction - self.bar.n)
        if self.lines and (time.monotonic() - self.last_line > LINE_EVERY or fraction >= 1.0):
            self.last_line = time.monotonic()
            # Estimate the time left from this process's own speed, since an earlier process of the
            # run may have used another machine.
            done_here = fraction - self.budget.fraction(*self.started_at)
            left = spent * (1.0 - fraction) / max(done_here, 1e-9)
            shown = (
                f"train {100.0 * fraction:.0f}%, step {step}, {rate:.1f} steps/s, {left:.0f} s left"
            )
            print(f"{shown}, train PSNR {self.psnr:.2f}", file=sys.stderr, flush=True)


class Stopwatch:
    """Timer of named activities, in seconds: `with watch("compile"): ...`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside the context to those of `name`."""
        began = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - began


@contextmanager
def trace_calls(
    folder: Path | str | None, first: int = 3, last: int = 5
) -> Iterator[Callable[[], None]]:
    """Trace calls `first` to `last` of a function with JAX's profiler.

    A trace of a complete training run would be gigabytes, and the first calls are not typical. View
    it in TensorBoard or at https://ui.perfetto.dev.

    Args:
      folder: where to write the trace; None traces nothing.
      first: number of the first call to trace, from 1.
      last: number of the last call to trace.

    Yields:
      A function to call before each call.
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
