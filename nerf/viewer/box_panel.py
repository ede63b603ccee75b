"""The panel of the box that films and exports are limited to; all browsers share it."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nerf.foundation.errors import UserError
from nerf.paths.keyframe_reader import Crop
from nerf.scenes.base import Similarity
from nerf.viewer.crop_box import CropBox, edges

COLOUR = (200, 60, 160)
HANDLE_SIZE = 0.35
FOLDER_ORDER = 2e6  # below the film


class BoxPanel:
    """The controls of the box, and its edges in the scene.

    Args:
      server: viser's server.
      box: the first box.
      transform: from the file's world to the normalised one.
      folder: where boxes are saved.
      run_folder: the run, for the command that is shown.
      apply: called with the box that pictures are limited to, or None for all of the scene.
    """

    def __init__(
        self,
        server: Any,
        box: CropBox,
        transform: Similarity,
        folder: Path,
        run_folder: Path,
        apply: Callable[[Crop | None], None],
    ):
        self.server, self.box, self.transform = server, box, transform
        self.folder, self.run_folder, self.apply = folder, run_folder, apply
        self._lock = threading.RLock()
        self._handles: list[Any] = []
        gui = server.gui
        with gui.add_folder("Box", order=FOLDER_ORDER, expand_by_default=False):
            self._shown = gui.add_checkbox(
                "Show box", initial_value=False, hint="Its edges, and a handle to drag it"
            )
            self._only = gui.add_checkbox(
                "Only the box", initial_value=False, hint="Show nothing outside; compiles first"
            )
            self._center = self._add_vector("Centre", box.center, "Units of the scene's file")
            self._size = self._add_vector("Size", box.size, "Three sides, units of the file")
            self._rotation = self._add_vector("Turned", box.rotation, "Degrees about x, y, z")
            self._file = gui.add_text("File", initial_value="box", hint=f"Name, in {folder}")
            save = gui.add_button("Save box", hint="For nerf render --crop and its exports")
            self._told = gui.add_markdown("")
        self._shown.on_update(lambda _: self.draw())
        self._only.on_update(lambda _: self._limit())
        save.on_click(lambda _: self._save())

    def _add_vector(self, label: str, value: tuple[float, float, float], hint: str) -> Any:
        vector = self.server.gui.add_vector3(label, initial_value=value, step=0.01, hint=hint)
        vector.on_update(lambda event: self._read() if event.client is not None else None)
        return vector

    def _read(self) -> None:
        """Take the box from the controls."""
        self.change(CropBox(*(_three(v) for v in (self._center, self._size, self._rotation))))

    def change(self, box: CropBox) -> None:
        """Show another box; one without room is a line in the panel."""
        with self._lock:
            try:
                box.crop()
            except UserError as error:
                self._told.content = str(error).splitlines()[0]
                return
            self.box = box
            self._told.content = ""
        self.draw()
        if self.limits:
            self._limit()

    @property
    def limits(self) -> bool:
        """Return whether pictures are limited to the box."""
        return bool(self._only.value)

    def _limit(self) -> None:
        """Limit pictures to the box, or show the complete scene again."""
        self.apply(self.box.crop() if self.limits else None)

    def _save(self) -> None:
        name = re.sub(r"[^\w.-]+", "_", self._file.value).strip("._") or "box"
        file = self.folder / f"{name.removesuffix('.json')}.json"
        try:
            self.box.save(file)
        except OSError as error:
            self._told.content = f"{file}: {error.strerror}"
            return
        command = f"nerf render --run={self.run_folder} --export --crop={file} --out=exported"
        self._told.content = f"saved; export it with\n\n`{command}`"

    def draw(self) -> None:
        """Draw the edges of the box, and a handle that moves and turns it."""
        with self._lock:
            for handle in self._handles:
                handle.remove()
            self._handles = []
            if not self._shown.value:
                return
            scene, crop = self.server.scene, self.box.crop()
            line = scene.add_line_segments(
                "/box/edges",
                edges(crop, self.transform),
                COLOUR,
                thickness=2.0,
                thickness_units="screen",
            )
            rotation = self.transform.rotation @ crop.to_box.rotation.T
            x, y, z, w = Rotation.from_matrix(rotation).as_quat()
            control = scene.add_transform_controls(
                "/box/handle",
                scale=HANDLE_SIZE,
                wxyz=(w, x, y, z),
                position=self.transform.points(np.asarray(self.box.center)),
                depth_test=False,
            )
            control.on_update(lambda event: self._drop(control) if event.phase == "end" else None)
            self._handles = [line, control]

    def _drop(self, control: Any) -> None:
        """Take the place and the turn of the handle."""
        w, x, y, z = control.wxyz
        turned = self.transform.rotation.T @ Rotation.from_quat([x, y, z, w]).as_matrix()
        degrees = Rotation.from_matrix(turned).as_euler("xyz", degrees=True)
        center = self.transform.points_back(np.asarray(control.position, np.float64))
        self._center.value = tuple(float(f"{v:.6g}") for v in center)
        self._rotation.value = tuple(round(float(v), 3) + 0.0 for v in degrees)
        self._read()


def _three(vector: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector.value)
    return x, y, z
