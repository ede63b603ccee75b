"""Handle Ctrl-C in library calls: stop between two steps, save, then raise KeyboardInterrupt."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt(should_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Yield a `should_stop` that Ctrl-C also makes true; raise KeyboardInterrupt afterwards.

    An exception in the middle of a jitted call would lose the state that was passed to the call.
    Therefore Ctrl-C only makes the yielded function return True, and KeyboardInterrupt is raised at
    the end of the block. Ctrl-C raises at once if the function has not been called yet, since there
    is nothing to save then; a second Ctrl-C always does. `should_stop` is yielded unchanged if the
    program has its own handler, and in threads other than the main one.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield should_stop
        return
    asked = interrupted = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not asked:
            raise KeyboardInterrupt

    def stop() -> bool:
        nonlocal asked
        asked = True
        return interrupted or should_stop()

    signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupted:
        raise KeyboardInterrupt


@contextmanager
def rescue(save: Callable[[], None]) -> Iterator[None]:
    """Call `save` if KeyboardInterrupt leaves the block, then raise it again."""
    try:
        yield
    except KeyboardInterrupt:
        save()
        raise
