"""What the command-line programs share: one-line errors, signals, and an allocator that keeps its memory."""

import ctypes
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager

from absl import flags, logging

from nerf.building import ConfigError
from nerf.checkpoints import CheckpointError
from nerf.scenes import SceneError

_DEBUG = flags.DEFINE_bool("debug", False, "Show tracebacks and the libraries' log.")


def main_with_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """`main`, with the errors that a user can mend shown as lines on stderr and exit code 1."""

    def run(argv: list[str]) -> int:
        logging.set_verbosity(logging.INFO if _DEBUG.value else logging.ERROR)
        keep_freed_memory()
        try:
            return main(argv)
        except tuple(_mendable()) as error:
            if _DEBUG.value:
                raise
            print(str(error), file=sys.stderr)
            return 1

    return run


def _mendable() -> list[type[Exception]]:
    from nerf.training import TrainingError
    from nerf.video import VideoError
    from nerf.views import RenderingError

    return [ConfigError, CheckpointError, SceneError, TrainingError, VideoError, RenderingError]


class Stop:
    """Which signal asked the program to stop, if any."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        return 128 + (self.signal or 0)


@contextmanager
def stop_on_signal():
    """Within it, SIGTERM and SIGINT ask for a stop at the next good moment; a second one ends the program at once."""
    stop = Stop()

    def ask(number: int, _frame) -> None:
        stop.signal = number
        signal.signal(number, signal.SIG_DFL)

    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the kernel; elsewhere do nothing.

    XLA on a CPU allocates its temporaries anew in every step: getting fresh zeroed pages for them costs as much as the
    arithmetic (see docs/performance.md).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8  # of malloc.h
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 1 << 26)
        mallopt(arena_max, 1)
