"""Take turns: a lock that threads get in the order in which they ask for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that threads get in the order in which they ask for it.

    With an ordinary lock a thread that asks again at once may get it every time, so that one
    browser would wait for the frames of another.

    Example:
      >>> turns = Turns()
      >>> with turns.turn():
      ...     turns.waiting
      0
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next, self._serving = 0, 0

    @property
    def waiting(self) -> int:
        """Return the number of threads that wait, without the one whose turn it is."""
        with self._changed:
            return max(self._next - self._serving - 1, 0)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it inside the context."""
        with self._changed:
            number = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._serving == number)
        try:
            yield
        finally:
            with self._changed:
                self._serving += 1
                self._changed.notify_all()
