"""Ctrl-C inside a library call: a wish to stop between two steps, so that they can be saved, and then an exception."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt(should_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Yield a `should_stop` that Ctrl-C makes true as well, and raise KeyboardInterrupt at the end of the block.

    An exception in the middle of a jitted call would lose the state that the call was given. Until the function is
    asked for the first time there is nothing to save, and Ctrl-C raises at once; a second Ctrl-C always does. Programs
    with a handler of their own, and other threads than the main one, get `should_stop` as it is.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield should_stop
        return
    asked = interrupted = False

    def handle(_number, _frame) -> None:
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
    """Call `save` where the block is left by KeyboardInterrupt, which then goes on its way."""
    try:
        yield
    except KeyboardInterrupt:
        save()
        raise
