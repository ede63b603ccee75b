"""The panel of the film: a keyframe editor that all browsers share, so that none can lose it."""

import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nerf.foundation.errors import UserError
from nerf.paths.video_cameras import film_size
from nerf.viewer.browser import Browser
from nerf.viewer.film_scene import FilmScene
from nerf.viewer.path_editor import PathEditor
from nerf.viewer.player import Player, show_frame

NONE = "–"
ADD, REPLACE, REMOVE = "Add", "Replace", "Remove"
EARLIER, LATER, GO, UNDO = "Earlier", "Later", "Go to", "Undo"
PLAY, STOP = "Play", "Stop"
SAVE, NERFSTUDIO, DOWNLOAD = "Save", "nerfstudio", "Download"
FOLDER_ORDER = 1e6  # below the controls of each browser


class FilmPanel:
    """The controls of the path, and its keyframes in the scene.

    Args:
      server: viser's server.
      editor: of the path.
      folder: where paths are saved.
      run_folder: the run, for the command that is shown.
      root: the scene's folder, see `read_keyframes`.
      find: returns the browser of one of viser's clients.
    """

    def __init__(
        self,
        server: Any,
        editor: PathEditor,
        folder: Path,
        run_folder: Path,
        root: str | None,
        find: Callable[[Any], Browser | None],
    ):
        self.gui, self.editor, self.folder = server.gui, editor, folder
        self.run_folder, self.root, self.find = run_folder, root, find
        self.player = Player()
        self.chosen: int | None = None
        self._lock = threading.RLock()
        self.scene = FilmScene(server.scene, editor, self.choose, self._drop)
        with self.gui.add_folder("Film", order=FOLDER_ORDER, expand_by_default=False):
            tabs = self.gui.add_tab_group()
            with tabs.add_tab("Keyframes"):
                self._add_key_controls()
            with tabs.add_tab("Timing"):
                self._add_path_controls()
            with tabs.add_tab("Files"):
                self._add_file_controls()
            self._add_play_controls()
        editor.on_change = self.refresh
        self.refresh()

    def _add_key_controls(self) -> None:
        add = self.gui
        self._keys = add.add_dropdown(
            "Keyframe", [NONE], initial_value=NONE, hint="The keyframe that is edited"
        )
        self._keys.on_update(_by_user(lambda event: self._choose_label(event.target.value)))
        buttons = (
            ((ADD, REPLACE, REMOVE), "Add the present camera after the keyframe, or replace it"),
            ((EARLIER, LATER), "Exchange the keyframe with the one before or after it"),
            ((GO, UNDO), "Fly to the keyframe; undo the last edit"),
        )
        for options, hint in buttons:
            group = add.add_button_group(" ", options, hint=hint)
            group.on_click(lambda event: self._guarded(event, self._press))
        self._name = add.add_text("Name", initial_value="", hint="Of the keyframe")
        self._name.on_update(_by_user(lambda event: self._edit(name=event.target.value)))
        self._fov = add.add_number(
            "View angle", 50.0, min=1.0, max=170.0, step=0.5, hint="Degrees from top to bottom"
        )
        self._fov.on_update(_by_user(lambda event: self._edit(fov=float(event.target.value))))
        self._time = add.add_number(
            "Time", 0.0, min=0.0, step=0.1, hint="Seconds; used with 'Times of keyframes'"
        )
        self._time.on_update(_by_user(lambda event: self._edit(time=float(event.target.value))))
        self._handle = add.add_checkbox(
            "Drag handle", initial_value=False, hint="Arrows and arcs that move the keyframe"
        )
        self._handle.on_update(lambda _: self.refresh())

    def _add_path_controls(self) -> None:
        add = self.gui
        self._loop = add.add_checkbox("Loop", initial_value=False, hint="Return to the first")
        self._loop.on_update(_by_user(lambda e: self.editor.change(loop=e.target.value)))
        self._timed = add.add_checkbox(
            "Times of keyframes", initial_value=False, hint="Otherwise the speed is constant"
        )
        self._timed.on_update(_by_user(lambda event: self._change_timed(event.target.value)))
        self._seconds = add.add_number(
            "Duration", 2.0, min=0.1, step=0.5, hint="Seconds at constant speed"
        )
        self._seconds.on_update(
            _by_user(lambda e: self.editor.change(seconds=float(e.target.value)))
        )
        self._fps = add.add_number("Frames/s", 30.0, min=1.0, max=120.0, step=1.0, hint="Of films")
        self._fps.on_update(_by_user(lambda e: self.editor.change(fps=float(e.target.value))))

    def _add_play_controls(self) -> None:
        add = self.gui
        self._frame = add.add_slider(
            "Frame", min=0, max=1, step=1, initial_value=0, hint="Fly to this frame of the film"
        )
        self._frame.on_update(_by_user(lambda event: self._guarded(event, self._show_frame)))
        play = add.add_button_group(" ", (PLAY, STOP), hint="Fly along the path, here only")
        play.on_click(lambda event: self._guarded(event, self._press))
        self._shown = add.add_checkbox("Show path", initial_value=True, hint="In the scene")
        self._shown.on_update(lambda _: self.refresh())
        self._told = add.add_markdown("")

    def _add_file_controls(self) -> None:
        add = self.gui
        self._file = add.add_text("File", initial_value="film", hint=f"Name, in {self.folder}")
        save = add.add_button_group(
            " ",
            (SAVE, NERFSTUDIO, DOWNLOAD),
            hint="Save for nerf render, for nerfstudio's viewer, or here",
        )
        save.on_click(lambda event: self._guarded(event, self._press))
        self._open = add.add_dropdown(
            "Open", self._saved(), initial_value=NONE, hint="Edit a path that was saved"
        )
        self._open.on_update(_by_user(lambda event: self._guarded(event, self._open_saved)))
        upload = add.add_upload_button(
            "Open from this computer", mime_type=".json", hint="Ours, nerfstudio's, instant-ngp's"
        )
        upload.on_upload(lambda event: self._guarded(event, self._open_upload))

    def _guarded(self, event: Any, work: Callable[[Any, Browser], None]) -> None:
        """Do what a browser's user asked for; an error is a line in the panel and the browser."""
        browser = None if event.client is None else self.find(event.client)
        if browser is None:
            return
        try:
            work(event, browser)
        except (UserError, OSError) as error:
            line = str(error).splitlines()[0]
            self._told.content = line
            browser.note(line)

    def _press(self, event: Any, browser: Browser) -> None:
        """Do what a button says."""
        button, keys = event.target.value, self.editor.path.keys
        chosen = self.chosen
        if button == ADD:
            c2w, fov = self._camera_of(browser)
            self.chosen = len(keys) if chosen is None else chosen + 1
            self.editor.add(c2w, fov, chosen)
        elif button == UNDO:
            self.editor.undo()
        elif button == PLAY:
            cameras, fps = self.editor.cameras(), self.editor.path.fps
            self.player.play(browser, cameras, fps, self._tell_frame, self.refresh)
            self.refresh()  # hides the path, which would be in the way
        elif button == STOP:
            self.player.stop()
        elif button in (SAVE, NERFSTUDIO, DOWNLOAD):
            self._save(button, browser)
        elif chosen is not None:
            self._press_on_key(button, chosen, browser)

    def _press_on_key(self, button: str, chosen: int, browser: Browser) -> None:
        """Do what a button says with the chosen keyframe."""
        key = self.editor.path.keys[chosen]
        if button == REPLACE:
            c2w, fov = self._camera_of(browser)
            self.editor.edit(chosen, c2w=c2w, fov=fov)
        elif button == REMOVE:
            self.editor.remove(chosen)
        elif button == GO:
            browser.place(self.editor.transform.poses(key.c2w), float(np.radians(key.fov)))
        elif button in (EARLIER, LATER):
            other = chosen + (1 if button == LATER else -1)
            if 0 <= other < len(self.editor.path.keys):
                self.chosen = other
                self.editor.swap(chosen, other)

    def _camera_of(self, browser: Browser) -> tuple[np.ndarray, float]:
        """Return the pose, in the file's world, and the field of view of a browser's camera."""
        camera = browser.camera()
        c2w = self.editor.transform.poses_back(np.asarray(camera.c2w, np.float64))
        return c2w, float(np.degrees(browser.client.camera.fov))

    def _save(self, button: str, browser: Browser) -> None:
        """Save the path, and tell the command that renders it."""
        name = re.sub(r"[^\w.-]+", "_", self._file.value).strip("._") or "film"
        file = self.folder / f"{name.removesuffix('.json')}.json"
        if button == DOWNLOAD:
            with tempfile.TemporaryDirectory() as place:
                copy = Path(place) / file.name
                self.editor.save(copy)
                content = copy.read_bytes()
            browser.client.send_file_download(file.name, content, save_immediately=True)
            return
        if button == NERFSTUDIO:
            file = file.with_name(f"{file.stem}_nerfstudio.json")
            notes = self.editor.save_for_nerfstudio(file, self.root)
            self._told.content = "\n\n".join([*notes, f"saved {file}"])
        else:
            self.editor.save(file)
            out = file.with_suffix(".mp4")
            command = f"nerf render --run={self.run_folder} --path={file} --out={out}"
            self._told.content = f"saved; render it with\n\n`{command}`"
        self._open.options = self._saved()

    def _saved(self) -> list[str]:
        """Return the names of the saved paths."""
        return [NONE, *sorted(file.name for file in self.folder.glob("*.json"))]

    def open_file(self, file: Path) -> None:
        """Edit the path in a file. Raises PathError if it has problems."""
        notes = self.editor.open(file, self.root)
        self.choose(0)
        self._told.content = "\n\n".join([f"opened {file.name}", *notes])

    def _open_saved(self, event: Any, _: Browser) -> None:
        if event.target.value != NONE:
            self.open_file(self.folder / event.target.value)

    def _open_upload(self, event: Any, _: Browser) -> None:
        uploaded = event.target.value
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / (Path(uploaded.name).name or "path.json")
            file.write_bytes(uploaded.content)
            self.open_file(file)

    def _show_frame(self, event: Any, browser: Browser) -> None:
        cameras = self.editor.cameras()
        show_frame(browser, cameras, min(int(event.target.value), len(cameras) - 1))

    def _tell_frame(self, number: int) -> None:
        if self._frame.value != number:
            self._frame.value = number

    def _drop(self, number: int, c2w: np.ndarray) -> None:
        self.editor.edit(number, c2w=c2w)

    def _edit(self, **values: Any) -> None:
        if self.chosen is not None:
            self.editor.edit(self.chosen, **values)

    def _change_timed(self, timed: bool) -> None:
        if timed:
            self.editor.time_evenly()
        else:
            self.editor.change(timed=False)

    def choose(self, number: int) -> None:
        """Choose the keyframe that is edited."""
        self.chosen = number
        self.refresh()

    def _choose_label(self, label: str) -> None:
        labels = self._labels()
        self.choose(labels.index(label)) if label in labels else None

    def _labels(self) -> list[str]:
        return [f"{i + 1}: {key.name}" for i, key in enumerate(self.editor.path.keys)]

    def refresh(self) -> None:
        """Show the state of the editor in the controls and in the scene."""
        with self._lock:
            path, labels = self.editor.path, self._labels()
            if not labels:
                self.chosen = None
            elif self.chosen is not None:
                self.chosen = min(self.chosen, len(labels) - 1)
            self._keys.options = labels or [NONE]
            if self.chosen is not None:
                key = path.keys[self.chosen]
                self._keys.value = labels[self.chosen]
                self._name.value, self._fov.value, self._time.value = key.name, key.fov, key.time
            self._loop.value, self._timed.value = path.loop, path.timed
            self._seconds.value, self._fps.value = max(path.duration, 0.1), path.fps
            self._time.disabled, self._seconds.disabled = not path.timed, path.timed
            self._frame.max = max(self._last_frame(), 1)
            width, height = film_size(self.editor.train)
            shown = self._shown.value and not self.player.playing
            self.scene.draw(self.chosen, width / height, shown, self._handle.value)

    def _last_frame(self) -> int:
        """Return the number of the last frame; 0, with the reason in the panel, without a path."""
        if not self.editor.path.keys:
            return 0
        try:
            return self.editor.path.keyframes().frames - 1
        except UserError as error:
            self._told.content = str(error).splitlines()[0]
            return 0


def _by_user(work: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a callback that ignores changes by the program itself."""

    def call(event: Any) -> None:
        if event.client is not None:
            work(event)

    return call
