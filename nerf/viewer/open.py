"""Open a viewer on run folders."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.foundation.errors import UserError
from nerf.foundation.progress import Phases
from nerf.runs.read import Run, load_run, reload_split
from nerf.scenes import Scene
from nerf.viewer.backdrop import make_backdrop
from nerf.viewer.modes import mode_names
from nerf.viewer.poses import pinhole
from nerf.viewer.server import Viewer
from nerf.viewer.shown_run import ShownRun, show_run
from nerf.viewer.turns import Turns
from nerf.viewer.views import Views, recorded_scores, views_of

WARM_FOV = 0.8  # radians, of the first frame, which nobody sees


def open_viewer(
    folders: Sequence[Path],
    host: str = "127.0.0.1",
    port: int = 8080,
    points: int = 60_000,
    scene: str | None = None,
    step: int | None = None,
    path: Path | None = None,
    plugins: tuple[str, ...] = (),
) -> Viewer:
    """Load runs, compile what renders them, and start a server that shows them.

    Args:
      folders: the folder of one run, or of two to compare.
      host: address to bind to.
      port: TCP port; 0 takes a free one.
      points: points shown while a camera moves; 0 shows coarse pictures.
      scene: the folder of the first run's scene; None: where it was at training.
      step: of the checkpoints; None: the newest.
      path: a camera path to edit.
      plugins: packages outside `nerf` that the runs' configs may name.

    Raises:
      UserError: one line, for a folder that is no run, a port in use or a missing package.
    """
    runs = [load_run(folder, plugins, step) for folder in folders]
    for run in runs:
        if not (run.folder / "results.json").exists():
            print(f"{run.folder}: not finished: this is its step {run.step}", file=sys.stderr)
    shown, modes = _compile(runs)
    first = runs[0]
    listed = views_of(first.cameras, first.names)
    scores = recorded_scores(first, listed)

    def load(split: str) -> Scene:
        return reload_split(first, split, scene, plugins)

    views = Views(listed, shown[0].renderer, first.config["background"], scores, load)
    backdrop = make_backdrop(first, points)
    if points and backdrop is None:
        print("points: the run has hardly any: moving shows coarse pictures", file=sys.stderr)
    root = scene or first.root
    viewer = Viewer(shown, views, backdrop, modes, first.folder, root, host, port)
    if path is not None:
        try:
            viewer.film.open_file(path)
        except UserError:
            viewer.stop()
            raise
    return viewer


def _compile(runs: Sequence[Run]) -> tuple[tuple[ShownRun, ...], list[str]]:
    """Compile what renders the frames of runs; return them and the modes of the first."""
    turns, modes = Turns(), list[str]()
    shown = tuple(show_run(run, turns) for run in runs)
    with Phases() as phases:
        for i, each in enumerate(shown):
            phases.report("compile", "run", i, len(shown))
            # The cameras of browsers have no distortion: compile for such a one.
            pose = np.asarray(each.train.c2w[0], np.float64)
            warm = each.renderer.warm_up(pinhole(pose, WARM_FOV, (64, 64)))
            modes = modes or mode_names(warm.picture)
        phases.report("compile", "run", len(shown), len(shown))
    return shown, modes
