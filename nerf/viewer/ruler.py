"""Measure in one browser: two clicks, and their distance in the units of the scene's file."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.viewer.browser import Browser
from nerf.viewer.crop_box import distance_text
from nerf.viewer.turns import Turns

COLOUR = (230, 60, 40)
SIZE = 0.012  # of an end, in units of the normalised world


class Ruler:
    """Measures the distance of points that a user clicks.

    Args:
      browser: whose clicks count while it is switched on.
      tell: called with the distance, or what to do.
    """

    def __init__(self, browser: Browser, tell: Callable[[str], None]):
        self.browser, self.tell = browser, tell
        self.points: list[Float[np.ndarray, 3]] = []
        self._handles: list[Any] = []
        # Each click comes in a thread of its own, and the second may come before the first is done.
        self._turns = Turns()

    def switch(self, on: bool) -> None:
        """Begin to measure, or end it."""
        scene = self.browser.client.scene
        self.clear()
        if on:
            scene.on_click()(self._click)
            self.tell("click two points")
        else:
            scene.remove_click_callback()
            self.tell("")

    def clear(self) -> None:
        """Forget the points."""
        for handle in self._handles:
            handle.remove()
        self.points, self._handles = [], []

    def _click(self, event: Any) -> None:
        x, y = event.screen_pos
        with self._turns.turn():
            self.add((float(x), float(y)))

    def add(self, share: tuple[float, float]) -> None:
        """Add the point that a place of the screen shows.

        Args:
          share: of the screen's width and height, from the top left corner.
        """
        if len(self.points) == 2:
            self.clear()
        camera = self.browser.camera()
        place = share[0] * float(camera.size[0]), share[1] * float(camera.size[1])
        point = self.browser.runs[0].renderer.pick(camera, place)
        if point is None:
            self.browser.note("nothing is there: click on a surface")
            return
        self.points.append(point)
        self._draw()

    def _draw(self) -> None:
        """Show the points, and the distance of two."""
        scene, number = self.browser.client.scene, len(self.points)
        end = scene.add_icosphere(
            f"/ruler/end {number}", radius=SIZE, color=COLOUR, position=self.points[-1]
        )
        self._handles.append(end)
        if number == 1:
            self.tell("click the second point")
            return
        one, two = self.points
        text = distance_text(one, two, self.browser.runs[0].transform)
        line = scene.add_line_segments(
            "/ruler/line",
            np.stack([one, two])[None],
            COLOUR,
            thickness=3.0,
            thickness_units="screen",
        )
        label = scene.add_label("/ruler/text", text.split(" ")[0], position=0.5 * (one + two))
        self._handles += [line, label]
        self.tell(f"distance {text}, in units of the scene's file")
