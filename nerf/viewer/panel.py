"""The panel of one browser: mode, resolution, cameras of all views, and photo | render | error."""

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from scipy.spatial import cKDTree

from nerf.cameras.cameras import Cameras
from nerf.viewer.browser import Browser
from nerf.viewer.modes import COLOUR, DIFFERENCE, ERROR
from nerf.viewer.poses import fitting_fov, to_browser
from nerf.viewer.ruler import Ruler
from nerf.viewer.views import UNKNOWN_COLOUR, View, Views, score_colours

SIDES = (200, 400, 800, 1600)  # pixels of the longer side of the finest picture
MAX_FRUSTUM = 0.06  # in units of the normalised world, whose box has sides of 2
FRUSTUM_SHARE = 0.5  # of the distance to the nearest camera
POINTS, PICTURES = "points", "coarse pictures"
NOBODY = "–"
# A window of viser is 440 pixels wide, too narrow for three pictures.
WINDOW_PIXELS = 1000
WIDE_WINDOW = "<style>.mantine-Modal-content {flex: 0 1 64rem; max-width: 94vw}</style>"


class ViewPanel:
    """The controls of one browser, and the frusta in its scene.

    Args:
      browser: draws for the panel.
      views: of the run.
      modes: names of the modes.

    Attributes:
      frusta: viser's handles of the views' frusta by label.
      ruler: measures distances.
    """

    def __init__(self, browser: Browser, views: Views, modes: list[str]):
        self.browser, self.views = browser, views
        self.gui: Any = browser.client.gui
        self.frusta: dict[str, Any] = {}
        self._near: View | None = None
        self._frusta_shown = True
        camera = browser.client.camera
        browser.look_with(fitting_fov(browser.runs[0].train[0], camera.aspect))
        self._status = self.gui.add_markdown("")
        browser.status = self._show_status
        self._add_view_controls(modes)
        self._add_ruler()
        self._add_camera_controls()
        self._add_frusta()
        self.colour_cameras()
        camera.on_update(lambda _: self._notice_place())
        browser.redraw()

    def _show_status(self, line: str) -> None:
        """Show a line about the last picture."""
        self._status.content = line

    def _add_view_controls(self, modes: list[str]) -> None:
        two = len(self.browser.runs) == 2
        names = [*modes, ERROR, *([DIFFERENCE] if two else [])]
        self._mode = self.gui.add_dropdown(
            "Show",
            names,
            initial_value=COLOUR,
            hint="What each pixel shows; error needs a photo's camera",
        )
        self._mode.on_update(lambda _: self._change_look())
        self._share: Any = None
        if two:
            left, right = (run.name for run in self.browser.runs)
            hint = f"Left of the line: {left}; right of it: {right}"
            self._share = self.gui.add_slider(
                "A | B", min=0.0, max=1.0, step=0.01, initial_value=0.5, hint=hint
            )
            self._share.on_update(lambda _: self._change_look())
        degrees = round(float(np.degrees(self.browser.client.camera.fov)), 1)
        self._fov = self.gui.add_slider(
            "Field of view",
            min=5.0,
            max=120.0,
            step=0.5,
            initial_value=degrees,
            hint="From top to bottom, in degrees",
        )
        self._fov.on_update(lambda _: self._change_fov())
        side = self.gui.add_dropdown(
            "Finest",
            [str(side) for side in SIDES],
            initial_value=str(self.browser.finest_side),
            hint="Pixels of the longer side when the camera rests; fewer are complete sooner",
        )
        side.on_update(lambda event: self._change_side(int(event.target.value)))
        if self.browser.has_points:
            moving = self.gui.add_dropdown(
                "Moving",
                [POINTS, PICTURES],
                initial_value=POINTS,
                hint="What is shown while the camera moves",
            )
            moving.on_update(lambda event: self.browser.use_points(event.target.value == POINTS))

    def _add_camera_controls(self) -> None:
        with self.gui.add_folder("Cameras", expand_by_default=False):
            shown = self.gui.add_checkbox(
                "Show cameras",
                initial_value=True,
                hint="Click one for its photo; red is a low PSNR, green high",
            )
            shown.on_update(lambda event: self._show_frusta(event.target.value))
            labels = [NOBODY, *(view.label for view in self.views.views)]
            chosen = self.gui.add_dropdown(
                "Go to", labels, initial_value=NOBODY, hint="Fly to where a photo was taken"
            )
            chosen.on_update(lambda event: self._choose(event.target.value))
            beside = self.gui.add_button(
                "Photo | render | error",
                hint="Of the photo's camera that you stand at; or click a camera in the scene",
            )
            beside.on_click(lambda _: self._compare_here())

    def _add_ruler(self) -> None:
        measure = self.gui.add_checkbox(
            "Measure", initial_value=False, hint="Click two points: units of the scene's file"
        )
        told = self.gui.add_markdown("", visible=False)

        def tell(line: str) -> None:
            told.content, told.visible = line, bool(line)

        self.ruler = Ruler(self.browser, tell)
        measure.on_update(lambda event: self.ruler.switch(event.target.value))

    def _change_look(self) -> None:
        share = 0.5 if self._share is None else float(self._share.value)
        photo = None
        if self._mode.value == ERROR:
            if self._near is None:
                self.browser.note("error: the camera stands at no photo: click a camera")
            else:
                photo = self.views.photo_from(self._near)
                if photo is None:
                    self.browser.note(self.views.problem)
        self.browser.show(
            dataclasses.replace(self.browser.look, mode=self._mode.value, share=share, photo=photo)
        )

    def show_mode(self, mode: str) -> None:
        """Show a mode, as if a user had chosen it."""
        self._mode.value = mode

    def show_share(self, share: float) -> None:
        """Move the line between two runs, as if a user had."""
        assert self._share is not None
        self._share.value = share

    def _change_fov(self) -> None:
        self.browser.look_with(float(np.radians(self._fov.value)))

    def _change_side(self, side: int) -> None:
        self.browser.finest_side = side
        self.browser.redraw()

    def _notice_place(self) -> None:
        """Follow whether the camera stands where a photo was taken, for the mode "error"."""
        near = self.views.nearest(np.asarray(self.browser.client.camera.position))
        if near is not self._near:
            # The lines of a camera that one stands in would cross the picture.
            for view, visible in ((self._near, True), (near, False)):
                if view is not None:
                    self.frusta[view.label].visible = visible and self._frusta_shown
            self._near = near
            if self._mode.value == ERROR:
                self._change_look()

    def _add_frusta(self) -> None:
        size = frustum_size([view.camera for view in self.views.views])
        for view in self.views.views:
            width, height = (float(side) for side in view.camera.size)
            wxyz, position = to_browser(np.asarray(view.camera.c2w, np.float64))
            handle = self.browser.client.scene.add_camera_frustum(
                f"/cameras/{view.split}/{view.index}",
                fov=float(2.0 * np.arctan(0.5 * height / view.camera.K[1, 1])),
                aspect=width / height,
                scale=size,
                thickness=1.5,
                thickness_units="screen",
                color=UNKNOWN_COLOUR,
                wxyz=wxyz,
                position=position,
            )
            handle.on_click(lambda _, view=view: self.compare(view))
            self.frusta[view.label] = handle

    def colour_cameras(self) -> None:
        """Colour the frusta by the PSNRs that are known."""
        for label, colour in score_colours(self.views.scores).items():
            self.frusta[label].color = colour

    def _show_frusta(self, visible: bool) -> None:
        self._frusta_shown = visible
        for label, handle in self.frusta.items():
            handle.visible = visible and (self._near is None or label != self._near.label)

    def _choose(self, label: str) -> None:
        view = self.views.find(label)
        if view is not None:
            self.fly_to(view)

    def _compare_here(self) -> None:
        if self._near is None:
            self.browser.note("the camera stands at no photo: choose one under 'Go to'")
        else:
            self.compare(self._near)

    def fly_to(self, view: View) -> None:
        """Move the camera to that of a view, whose whole picture is then in sight."""
        degrees = np.degrees(fitting_fov(view.camera, self.browser.client.camera.aspect))
        self.browser.place(np.asarray(view.camera.c2w, np.float64))
        self._fov.value = float(degrees)

    def compare(self, view: View) -> None:
        """Show photo | render | error of a view in a window, in a thread of its own."""
        threading.Thread(target=self._compare, args=(view,), daemon=True).start()

    def _compare(self, view: View) -> None:
        pictures, score = self.views.compare(view)
        self.colour_cameras()
        shown = "no PSNR" if score is None else f"PSNR {score:.2f} dB"
        window = self.gui.add_modal(f"{view.label}   {shown}")
        wide = self.browser.client.camera.aspect > 1.0
        with window:
            self.gui.add_html(WIDE_WINDOW)
            if self.views.problem:
                self.gui.add_markdown(self.views.problem)
            self.gui.add_markdown(" | ".join(pictures) if wide else ", ".join(pictures))
            self.gui.add_image(_side_by_side(list(pictures.values()), wide))
            fly = self.gui.add_button("Fly there", hint="Move the camera to where it was taken")
            close = self.gui.add_button("Close", hint="Close this window")
        close.on_click(lambda _: window.close())

        def leave(_: Any) -> None:
            window.close()
            self.fly_to(view)

        fly.on_click(leave)


def frustum_size(cameras: Sequence[Cameras]) -> float:
    """Return a size of frusta at which those of neighbours do not hide each other."""
    places = np.stack([np.asarray(camera.position) for camera in cameras])
    if len(places) < 2:
        return MAX_FRUSTUM
    apart = float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))
    return min(max(FRUSTUM_SHARE * apart, 0.1 * MAX_FRUSTUM), MAX_FRUSTUM)


def _side_by_side(
    pictures: list[UInt8[np.ndarray, "h w 3"]], wide: bool
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Join pictures from left to right, or from top to bottom on a narrow screen.

    Small ones are enlarged, as a browser would not.
    """
    factor = max(WINDOW_PIXELS // (len(pictures) * pictures[0].shape[1]), 1)
    joined = np.concatenate(pictures, 1 if wide else 0)
    return joined.repeat(factor, 0).repeat(factor, 1)
