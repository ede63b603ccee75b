"""Fly through a trained run in a browser, or through two under one slider.

    nerf view runs/tabletop
    nerf view runs/tabletop runs/other
    nerf view runs/tabletop --path=runs/tabletop/paths/film.json

The address is printed. The viewer answers this computer only: from another one, the line with ssh
that is printed opens a tunnel. Drag to orbit, scroll to zoom, W A S D to walk.
"""

import sys
from pathlib import Path

from absl import flags

from nerf.cli.commands import stop_on_signal
from nerf.foundation.errors import UserError

_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to bind to; others than this let other computers in."
)
_PORT = flags.DEFINE_integer("port", 8080, "TCP port; 0 takes a free one.", lower_bound=0)
_SCENE = flags.DEFINE_string(
    "scene", None, "The scene's folder, where its images are; default: where it was at training."
)
_POINTS = flags.DEFINE_integer(
    "points",
    60_000,
    "Points that the browser shows while the camera moves; 0 shows coarse pictures.",
    lower_bound=0,
)
_PATH = flags.DEFINE_string(
    "path", None, "Camera path to edit: a .json of nerf render --path, nerfstudio or instant-ngp."
)
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to show; default: the newest.")
_PLUGIN = flags.DEFINE_multi_string(
    "plugin", [], "Package outside `nerf` that names may come from; repeatable."
)


def main(argv: list[str]) -> int:
    """Show the runs until a signal, and return the exit code."""
    folders = argv[1:]
    if not 1 <= len(folders) <= 2:
        raise UserError("nerf view RUN [RUN_B]: give the folder of one run, or of two to compare")
    with stop_on_signal() as stop:
        from nerf.viewer.guard import check_port, describe, require_viser  # takes seconds
        from nerf.viewer.open import open_viewer

        require_viser()
        if _PORT.value:
            check_port(_HOST.value, _PORT.value)
        viewer = open_viewer(
            [Path(folder) for folder in folders],
            host=_HOST.value,
            port=_PORT.value,
            points=_POINTS.value,
            scene=_SCENE.value,
            step=_STEP.value,
            path=None if _PATH.value is None else Path(_PATH.value),
            plugins=tuple(_PLUGIN.value),
        )
        lines = [*describe(_HOST.value, viewer.port), "Ctrl-C ends it"]
        print("\n".join(lines), flush=True)
        viewer.serve(stop)
    print("viewer ended", file=sys.stderr)
    return stop.exit_code
