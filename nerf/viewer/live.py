"""Watch a training: frames of the model as it is now, in a bounded share of the time.

The thread that trains holds the turn (`nerf.viewer.turns`) and gives it away only between two calls
of the jitted step, and only to browsers that wait for a frame. So a frame never runs beside a step,
its seconds are not seconds of training, and without a browser nothing is rendered at all.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from nerf.rendering.images import rays_per_chunk
from nerf.rendering.model import classes_of
from nerf.scenes import Scene, SceneError
from nerf.scenes.base import Problem
from nerf.training.session import Call, Session
from nerf.viewer.frames import FrameRenderer
from nerf.viewer.guard import describe
from nerf.viewer.modes import mode_names
from nerf.viewer.poses import pinhole
from nerf.viewer.server import Viewer
from nerf.viewer.shown_run import ShownRun
from nerf.viewer.turns import Turns
from nerf.viewer.views import Views, views_of

SHARE = 0.1  # of the time, for frames
MAX_CREDIT = 0.5  # seconds that frames may save up, and that one of them may owe
REFRESH_SECONDS = 2.0  # between two frames of a camera that rests
PAUSE = 0.002  # seconds in which a browser's thread can ask for its next turn
FINEST_SIDE = 200  # pixels, until a user chooses


class LiveView:
    """A viewer of a training; pass `after_call` to `nerf.train` as `on_call`.

    Args:
      folder: the run folder.
      host: address to bind to.
      port: TCP port; 0 takes a free one.
      share: of the time that frames may take, below 1.
      tell: called with the lines that a user should see.

    Attributes:
      viewer: the server; None before the first call of the jitted step.
      spent: seconds that frames have taken.

    Example:
      >>> live = LiveView(Path("runs/mine"))
      >>> live.viewer is None
      True
    """

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        port: int = 8080,
        share: float = SHARE,
        tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ):
        self.folder, self.host, self.port, self.share, self.tell = folder, host, port, share, tell
        self.viewer: Viewer | None = None
        self.spent = 0.0
        self._turns = Turns()
        self._turn = ExitStack()
        self._credit, self._seconds, self._refreshed = 0.0, 0.0, 0.0
        self._failed = False

    def after_call(self, call: Call, session: Session) -> None:
        """Give browsers their share of the time; an error ends the viewer, not the training."""
        if self._failed:
            return
        try:
            if self.viewer is None:
                self._open(session)
                self._seconds = call.seconds
            self._give_turns(call.seconds)
        except Exception as error:
            self._failed = True
            self.close()
            self.tell(f"viewer ended, the training goes on: {' '.join(str(error).split())}")

    def close(self) -> None:
        """End the viewer."""
        self._turn.close()
        if self.viewer is not None:
            self.viewer.stop()
            self.viewer = None

    def _open(self, session: Session) -> None:
        """Start the server, and take the turn."""
        shown = show_session(session, self.folder.name, self._turns)
        scene = session.scene
        views = Views(
            views_of({"train": scene.cameras}, {"train": scene.names}),
            shown.renderer,
            shown.background,
            {},
            lambda split: _training_views(split, scene),
        )
        modes = mode_names(shown.renderer.quantities(pinhole(np.eye(3, 4), 1.0, (8, 8))))
        self.viewer = Viewer(
            (shown,),
            views,
            None,
            modes,
            self.folder,
            host=self.host,
            port=self.port,
            finest_side=FINEST_SIDE,
            score=False,
        )
        for line in describe(self.host, self.viewer.port):
            self.tell(line)
        self._turn.enter_context(self._turns.turn())

    def _give_turns(self, seconds: float) -> None:
        """Let browsers render as long as their share lasts.

        Args:
          seconds: of training so far.
        """
        assert self.viewer is not None
        earned = (seconds - self._seconds) * self.share / (1.0 - self.share)
        self._seconds = seconds
        self._credit = min(self._credit + earned, MAX_CREDIT)
        browsers = list(self.viewer.browsers.values())
        if browsers and time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._refreshed = time.monotonic()
            for browser in browsers:
                if browser.at_rest:
                    browser.redraw(quiet=True)
        while self._credit > 0.0 and any(not browser.at_rest for browser in browsers):
            began = time.perf_counter()
            self._turn.close()
            time.sleep(PAUSE)
            self._turn.enter_context(self._turns.turn())
            taken = time.perf_counter() - began
            self.spent += taken
            # The first frame compiles; owing all of that would show no other for minutes.
            self._credit -= min(taken, MAX_CREDIT)


def show_session(session: Session, name: str, turns: Turns) -> ShownRun:
    """Prepare a training for the viewer.

    Args:
      session: the model in training.
      name: shown to the user.
      turns: given away by the thread that trains.
    """

    def now() -> tuple[nnx.GraphDef, PyTree]:
        # The next call of the step consumes the buffers of the state: copy them.
        graph, state = nnx.split(session.model())
        return graph, jax.block_until_ready(jax.tree.map(jnp.copy, state))

    config, model = session.config, session.model()
    chunk = rays_per_chunk(model, config["chunk"])
    options: dict[str, Any] = {"turns": turns, "in_flight": 1, "classes": classes_of(model)}
    renderer = FrameRenderer(now, config["background"], chunk, model.edge_rays, **options)
    red, green, blue = (float(part) for part in config["background"])
    scene = session.scene
    return ShownRun(
        name=f"{name} (training)",
        renderer=renderer,
        transform=scene.transform,
        train=scene.cameras,
        unbounded=scene.unbounded,
        background=(red, green, blue),
    )


def _training_views(split: str, scene: Scene) -> Scene:
    """Return the training views; no others are shown while a run trains."""
    if split != "train":
        raise SceneError([Problem("scene", "", f"no views of split {split}", "wait for the end")])
    return scene
