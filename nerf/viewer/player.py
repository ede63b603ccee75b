"""Play a path in one browser: move its camera along the frames, at the film's rate."""

import threading
import time
from collections.abc import Callable

import numpy as np

from nerf.cameras.cameras import Cameras
from nerf.viewer.browser import Browser

MAX_RATE = 30.0  # positions a second that a browser is sent


class Player:
    """Plays paths; a new path ends the one that plays.

    Attributes:
      playing: whether a path plays.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._stop.set()

    @property
    def playing(self) -> bool:
        """Return whether a path plays."""
        return not self._stop.is_set()

    def stop(self) -> None:
        """End what plays, where it is."""
        self._stop.set()

    def play(
        self,
        browser: Browser,
        cameras: Cameras,
        fps: float,
        on_frame: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        """Play a path from its first frame, in a thread of its own.

        Args:
          browser: whose camera moves.
          cameras: of all frames, in the normalised world.
          fps: frames per second.
          on_frame: called with the number of each frame that is shown.
          on_end: called when it is over.
        """
        self.stop()
        self._stop = threading.Event()
        arguments = (self._stop, browser, cameras, fps, on_frame, on_end)
        threading.Thread(target=_play, args=arguments, name="film", daemon=True).start()


def _play(
    stop: threading.Event,
    browser: Browser,
    cameras: Cameras,
    fps: float,
    on_frame: Callable[[int], None],
    on_end: Callable[[], None],
) -> None:
    """Show frames in their time; late ones are skipped, the last one is not."""
    began, last = time.perf_counter(), len(cameras) - 1
    number = 0
    while not stop.is_set() and not browser.closed:
        number = min(int((time.perf_counter() - began) * fps), last)
        show_frame(browser, cameras, number)
        on_frame(number)
        if number == last:
            break
        stop.wait(1.0 / min(fps, MAX_RATE))
    stop.set()
    on_end()


def show_frame(browser: Browser, cameras: Cameras, number: int) -> None:
    """Move a browser's camera to a frame of a film.

    Args:
      browser: whose camera moves.
      cameras: of all frames, in the normalised world.
      number: of the frame.
    """
    fov = 2.0 * np.arctan(0.5 * cameras.size[number, 1] / cameras.K[number, 1, 1])
    browser.place(np.asarray(cameras.c2w[number], np.float64), float(fov))
