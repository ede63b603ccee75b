"""The keyframes of a path in the scene: frusta, names, the way, and a handle to drag one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.foundation.errors import UserError
from nerf.viewer.path_editor import PathEditor
from nerf.viewer.poses import from_browser, to_browser

COLOUR, CHOSEN_COLOUR = (40, 110, 190), (230, 130, 20)
SIZE = 0.08  # of a keyframe's frustum, in units of the normalised world
HANDLE_SIZE = 0.25
WAY_POINTS = 200  # at most, of the line


class FilmScene:
    """Draws the path of an editor in a scene that all browsers share.

    Args:
      scene: viser's scene of the server.
      editor: of the path.
      on_choose: called with the number of a keyframe that was clicked.
      on_drag: called with the number and the pose, in the file's world, of one that was dragged.
    """

    def __init__(
        self,
        scene: Any,
        editor: PathEditor,
        on_choose: Callable[[int], None],
        on_drag: Callable[[int, np.ndarray], None],
    ):
        self.scene, self.editor = scene, editor
        self.on_choose, self.on_drag = on_choose, on_drag
        self._handles: list[Any] = []

    def draw(self, chosen: int | None, aspect: float, shown: bool, has_handle: bool) -> None:
        """Draw the path again.

        Args:
          chosen: number of the keyframe that is edited; None for none.
          aspect: width / height of the film.
          shown: False draws nothing.
          has_handle: whether the chosen keyframe can be dragged.
        """
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if not shown:
            return
        for number in range(len(self.editor.path.keys)):
            self._add_key(number, number == chosen, aspect)
        self._add_way()
        if chosen is not None and has_handle:
            self._add_handle(chosen)

    def _pose(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        key = self.editor.path.keys[number]
        return to_browser(self.editor.transform.poses(key.c2w))

    def _add_key(self, number: int, chosen: bool, aspect: float) -> None:
        key = self.editor.path.keys[number]
        wxyz, position = self._pose(number)
        frustum = self.scene.add_camera_frustum(
            f"/film/key {number}",
            fov=float(np.radians(key.fov)),
            aspect=aspect,
            scale=SIZE,
            thickness=3.0 if chosen else 2.0,
            thickness_units="screen",
            color=CHOSEN_COLOUR if chosen else COLOUR,
            wxyz=wxyz,
            position=position,
        )
        frustum.on_click(lambda _: self.on_choose(number))
        label = self.scene.add_label(f"/film/name {number}", key.name, position=position)
        self._handles += [frustum, label]

    def _add_way(self) -> None:
        """Add the line that the camera travels, if the path is one."""
        try:
            cameras = self.editor.cameras()
        except UserError:
            return  # the panel tells why
        way = np.asarray(cameras.position)[:: max(len(cameras) // WAY_POINTS, 1)]
        if len(way) > 1:
            segments: Float[np.ndarray, "n 2 3"] = np.stack([way[:-1], way[1:]], 1)
            line = self.scene.add_line_segments(
                "/film/way", segments, COLOUR, thickness=2.0, thickness_units="screen"
            )
            self._handles.append(line)

    def _add_handle(self, number: int) -> None:
        wxyz, position = self._pose(number)
        handle = self.scene.add_transform_controls(
            "/film/handle", scale=HANDLE_SIZE, wxyz=wxyz, position=position, depth_test=False
        )

        def drop(event: Any) -> None:
            # One change for each drag, so that one undo takes it back.
            if event.phase == "end":
                c2w = from_browser(np.asarray(handle.wxyz), np.asarray(handle.position))
                self.on_drag(number, self.editor.transform.poses_back(c2w))

        handle.on_update(drop)
        self._handles.append(handle)
