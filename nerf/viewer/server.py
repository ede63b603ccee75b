"""The viewer: a server whose browsers each fly with a camera of their own."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nerf.paths.keyframe_reader import Crop
from nerf.viewer.backdrop import Backdrop
from nerf.viewer.box_panel import BoxPanel
from nerf.viewer.browser import Browser
from nerf.viewer.crop_box import box_around
from nerf.viewer.film_panel import FilmPanel
from nerf.viewer.guard import close_server, open_server
from nerf.viewer.panel import ViewPanel
from nerf.viewer.path_editor import PathEditor
from nerf.viewer.poses import start_of
from nerf.viewer.shown_run import ShownRun
from nerf.viewer.views import Views

BRAND = (38, 98, 160)
UNIT_CUBE = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])  # of the normalised world
SCORE_PAUSE = 0.2  # seconds between two views that are scored while all browsers rest
IDLE_SECONDS = 2.0  # that all browsers must have rested before views are scored


class Viewer:
    """Shows one run, or two under a slider, to any number of browsers.

    Args:
      runs: one run or two.
      views: the views of the first run.
      backdrop: shown while a camera moves, or None.
      modes: names of the modes.
      folder: the first run's folder; what a user saves goes there.
      root: the scene's folder, see `nerf.paths.keyframes.read_keyframes`.
      host: address to bind to.
      port: TCP port; 0 takes a free one.
      finest_side: pixels of the longer side of the finest picture, until a user chooses.
      score: whether to score views while all browsers rest.

    Attributes:
      port: the port that is used.
      browsers: the connected browsers by viser's number.
      box: the panel of the box, which all browsers share.
      film: the panel of the keyframe editor, which all browsers share.
    """

    def __init__(
        self,
        runs: tuple[ShownRun, ...],
        views: Views,
        backdrop: Backdrop | None,
        modes: list[str],
        folder: Path,
        root: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        finest_side: int = 800,
        score: bool = True,
    ):
        self.finest_side = finest_side
        self.runs, self.views, self.backdrop, self.modes = runs, views, backdrop, modes
        self.browsers: dict[int, Browser] = {}
        self._panels: dict[int, ViewPanel] = {}
        self._lock, self._limiting = threading.Lock(), threading.Lock()
        self._stopped = threading.Event()
        self.server = open_server(host, port, " | ".join(run.name for run in runs))
        self.port: int = self.server.get_port()
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=BRAND)
        shown = runs[0]
        start = start_of(shown.train, shown.transform, shown.unbounded)
        self.server.scene.set_up_direction("+z")
        self.server.initial_camera.position = start.position
        self.server.initial_camera.look_at = start.look_at
        editor = PathEditor(shown.train, shown.transform)
        self.film = FilmPanel(self.server, editor, folder / "paths", folder, root, self._find)
        inside = UNIT_CUBE if backdrop is None else backdrop.points
        box = box_around(inside, shown.transform)
        self.box = BoxPanel(
            self.server, box, shown.transform, folder / "crops", folder, self._limit
        )
        self.server.on_client_connect(self._connect)
        self.server.on_client_disconnect(self._disconnect)
        if score:
            threading.Thread(target=self._score_views, name="scores", daemon=True).start()

    def serve(self, should_stop: Callable[[], bool]) -> None:
        """Wait until `should_stop` returns True, then end."""
        while not should_stop():
            time.sleep(0.1)
        self.stop()

    def stop(self) -> None:
        """Close all browsers' connections and free the port."""
        self._stopped.set()
        for browser in list(self.browsers.values()):
            browser.close()
        close_server(self.server)

    def _limit(self, crop: Crop | None) -> None:
        """Limit the pictures of all runs to a box, in a thread, as that compiles."""

        def work() -> None:
            with self._limiting:
                for run in self.runs:
                    if run.limit is not None:
                        run.limit(crop)
            for browser in list(self.browsers.values()):
                browser.redraw()

        threading.Thread(target=work, name="box", daemon=True).start()

    def panel_of(self, browser: Browser) -> ViewPanel:
        """Return the panel of a browser."""
        return self._panels[browser.client.client_id]

    def _find(self, client: Any) -> Browser | None:
        return self.browsers.get(client.client_id)

    def _connect(self, client: Any) -> None:
        browser = Browser(client, self.runs, self.backdrop, self.finest_side)
        panel = ViewPanel(browser, self.views, self.modes)
        with self._lock:
            self.browsers[client.client_id] = browser
            self._panels[client.client_id] = panel

    def _disconnect(self, client: Any) -> None:
        with self._lock:
            browser = self.browsers.pop(client.client_id, None)
            self._panels.pop(client.client_id, None)
        if browser is not None:
            browser.close()

    def _score_views(self) -> None:
        """Score views without a PSNR, one at a time, while all browsers rest."""
        rested = 0.0
        while not self._stopped.wait(SCORE_PAUSE):
            with self._lock:
                browsers, panels = list(self.browsers.values()), list(self._panels.values())
            busy = not browsers or any(not browser.at_rest for browser in browsers)
            rested = 0.0 if busy else rested + SCORE_PAUSE
            if rested >= IDLE_SECONDS:
                if self.views.score_next() is None:
                    return
                for panel in panels:
                    panel.colour_cameras()
