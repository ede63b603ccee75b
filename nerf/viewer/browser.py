"""One browser: a thread that draws what its camera sees, coarse to fine, while the camera rests."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras
from nerf.foundation.errors import UserError
from nerf.foundation.png import to_bytes
from nerf.rendering.images import RenderingStopped
from nerf.viewer.backdrop import Backdrop, add_backdrop
from nerf.viewer.drawing import Drawn, Look, compose, draw
from nerf.viewer.frames import Frame, fitted
from nerf.viewer.modes import FAR_DEPTH
from nerf.viewer.poses import from_browser, pinhole, to_browser
from nerf.viewer.shown_run import ShownRun

REST_SECONDS = 0.05  # without a message of the camera, after which it rests; it sends 50 a second
MAX_TOLD = 20  # a page is told its field of view again at most this often
MOVING_SECONDS = 1.0 / 18.0  # for a picture while the camera moves; sending it takes time too
MAX_MOVING_SIDE = 400  # pixels of a picture while the camera moves
JPEG_QUALITY = 90
NOTE_SECONDS = 5.0  # that a message stays in the browser


class Browser:
    """Draws what one browser's camera sees.

    Args:
      client: viser's handle of the browser.
      runs: the run that is shown, and perhaps a second one beside it.
      backdrop: shown while the camera moves; None draws coarse pictures then.
      finest_side: pixels of the longer side of the finest picture.

    Attributes:
      look: how frames are shown; assign it with `show`.
      status: called with a line about each picture.
      latest: the frames of the last complete picture and their size; None before.
    """

    def __init__(
        self,
        client: Any,
        runs: tuple[ShownRun, ...],
        backdrop: Backdrop | None,
        finest_side: int,
    ):
        self.client, self.runs, self.finest_side = client, runs, finest_side
        self.look = Look()
        self.status: Callable[[str], None] = lambda line: None
        self.latest: tuple[tuple[Frame, ...], tuple[int, int]] | None = None
        self.closed = False
        self._changed = threading.Condition()
        self._wanted, self._drawn = 1, 0  # numbers of what was asked for and of what is shown
        self._moved_at = 0.0
        self._recompose, self._quiet = False, False
        self._covered = False  # whether a picture covers the backdrop
        self._points = None if backdrop is None else add_backdrop(client.scene, backdrop)
        self._uses_points = backdrop is not None
        self._fov: float | None = None  # the field of view that the page was told
        self._told = 0  # how often it was told again
        client.camera.on_update(lambda _: self._notice_camera())
        threading.Thread(target=self._work, name="frames", daemon=True).start()

    def close(self) -> None:
        """End the thread; the browser is gone."""
        with self._changed:
            self.closed = True
            self._changed.notify()

    def redraw(self, quiet: bool = False) -> None:
        """Render again, for example because the model or the size changed.

        Args:
          quiet: show only the finest tier, so that a picture that is there is replaced at once.
        """
        with self._changed:
            self._wanted += 1
            self._quiet = quiet
            self._changed.notify()

    def show(self, look: Look) -> None:
        """Show the frames that are there in another way, without rendering."""
        with self._changed:
            self.look = look
            self._recompose = True
            self._changed.notify()

    def use_points(self, wanted: bool) -> None:
        """Choose between points and coarse pictures while the camera moves."""
        self._uses_points = wanted and self._points is not None
        self.redraw()

    @property
    def has_points(self) -> bool:
        """Return whether there are points to show while the camera moves."""
        return self._points is not None

    @property
    def at_rest(self) -> bool:
        """Return whether nothing is left to draw."""
        return self._drawn == self._wanted

    def place(self, c2w: Float[np.ndarray, "3 4"], fov: float | None = None) -> None:
        """Move the browser's camera.

        Args:
          c2w: its pose, in the normalised world.
          fov: vertical field of view in radians; None keeps the present one.
        """
        wxyz, position = to_browser(c2w)
        state = self.client.camera
        with self.client.atomic():
            state.wxyz, state.position = wxyz, position
            if fov is not None:
                self.look_with(fov)

    def look_with(self, fov: float) -> None:
        """Set the vertical field of view of the browser's camera, in radians."""
        self._fov, self._told = fov, 0
        self.client.camera.fov = fov

    def _insist_on_fov(self) -> None:
        """Set the field of view again if the page has another: while it opens, it may miss one."""
        state = self.client.camera
        if self._fov is not None and abs(state.fov - self._fov) > 1e-3 and self._told < MAX_TOLD:
            self._told += 1
            state.fov = self._fov

    def camera(self) -> Cameras:
        """Return the browser's camera with the finest picture's size."""
        state = self.client.camera
        width, height = max(state.image_width, 1), max(state.image_height, 1)
        factor = min(self.finest_side / max(width, height), 1.0)
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        return pinhole(from_browser(state.wxyz, state.position), state.fov, size)

    def _notice_camera(self) -> None:
        self._insist_on_fov()
        with self._changed:
            self._wanted += 1
            self._quiet = False
            self._moved_at = time.perf_counter()
            self._changed.notify()

    def _work(self) -> None:
        """Draw until the browser is gone."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.closed or self._recompose or not self.at_rest)
                if self.closed:
                    return
                wanted, recompose = self._wanted, self._recompose
                self._recompose = False
            try:
                self._draw(wanted, recompose)
            except RenderingStopped:
                continue
            except UserError as error:
                self._drawn = wanted
                self.note(str(error))
            except Exception as error:  # a browser that goes away in the middle, for example
                self._drawn = wanted
                if not self.closed:
                    print(f"viewer: a frame failed ({error!r})", file=sys.stderr)

    def _draw(self, wanted: int, recompose: bool) -> None:
        """Do the next thing that there is to draw."""
        if wanted == self._drawn:
            if recompose and self.latest is not None:
                frames, size = self.latest
                self._send(compose(frames, self.look, size))
            return
        rests_in = self._moved_at + REST_SECONDS - time.perf_counter()
        if rests_in <= 0.0:
            self._refine(wanted)
        elif self._uses_points:
            self._uncover()
            self._wait(rests_in)
        else:
            self._draw_moving()

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.closed, timeout=seconds)

    def _refine(self, wanted: int) -> None:
        """Draw all tiers of a frame, unless the camera moves again."""
        camera = self.camera()
        size = int(camera.size[0]), int(camera.size[1])

        def moved() -> bool:
            return self.closed or self._wanted != wanted

        began, frames = time.perf_counter(), None
        for frames in draw(self.runs, camera, moved):
            self._hide_points()
            if not (self._quiet and frames[0].stride > 1):
                self._send(compose(frames, self.look, size))
                self._report(frames[0], size, time.perf_counter() - began)
        if frames is not None:
            self.latest = frames, size
        self._hide_points()
        self._drawn = wanted

    def _draw_moving(self) -> None:
        """Draw one picture while the camera moves, at the resolution that time allows."""
        camera = self.camera()
        full = int(camera.size[0]), int(camera.size[1])
        factor = min(MAX_MOVING_SIDE / max(full), 1.0)
        most = max(round(full[0] * factor), 1), max(round(full[1] * factor), 1)
        size = self.runs[0].renderer.moving_size(most, MOVING_SECONDS / len(self.runs))
        small = fitted(camera, *size)
        began = time.perf_counter()
        for frames in draw(self.runs, small, lambda: self.closed):
            last = frames
        self._send(compose(last, self.look, size))
        self._report(last[0], size, time.perf_counter() - began)

    def _hide_points(self) -> None:
        """Hide the backdrop once a picture covers it, which its points would pierce."""
        if self._covered and self._points is not None and not self.closed:
            self._points.visible = False

    def _uncover(self) -> None:
        """Show the backdrop in place of the last picture, which no longer fits the camera."""
        if self._points is None or not self._covered or self.closed:
            return
        self._covered = False
        colour = to_bytes(np.asarray(self.runs[0].background, np.float32))
        far = np.full((1, 1), FAR_DEPTH)
        with self.client.atomic():
            self._points.visible = True
            self.client.scene.set_background_image(colour[None, None], "png", depth=far)
        self.client.flush()

    def _send(self, drawn: Drawn) -> None:
        """Send a picture to the browser."""
        if self.closed:
            return
        self._covered = True
        self.client.scene.set_background_image(
            drawn.image, "jpeg", jpeg_quality=JPEG_QUALITY, depth=drawn.depth
        )
        self.client.flush()

    def _report(self, frame: Frame, size: tuple[int, int], seconds: float) -> None:
        """Tell the resolution and the time of a picture."""
        width, height = (int(side) for side in frame.camera.size)
        done = "" if (width, height) == size else f" of {size[0]}×{size[1]}"
        self.status(f"{width}×{height}{done}, {seconds:.2f} s")

    def note(self, line: str) -> None:
        """Show a line in the browser for a while."""
        if not self.closed:
            self.client.add_notification("Viewer", line, auto_close_seconds=NOTE_SECONDS)
