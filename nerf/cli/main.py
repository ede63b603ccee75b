"""The command `nerf`: train, render, view, compare, capture and demo.

    nerf train --scene=FOLDER --workdir=RUN     train a radiance field on photos with camera poses
    nerf render --run=RUN --out=video.mp4       render a video along a camera path
    nerf view RUN                               fly through a run in a browser
    nerf compare A B --scene=FOLDER --out=PAGE  train configs alike and report which is better
    nerf capture PHOTOS --out=FOLDER            estimate the poses of photos or a video
    nerf demo                                   train on a bundled scene for a minute and film it

`nerf COMMAND --help` lists the flags of a command.
"""

import importlib
import os
import sys
from typing import NoReturn

from nerf.foundation.instantiate import did_you_mean

COMMANDS = ("train", "render", "view", "compare", "capture", "demo")


def main(command: str | None = None) -> NoReturn:
    """Run a command with the words of the command line, and exit.

    Args:
      command: one of `COMMANDS`; None takes the first word of the command line.
    """
    if command is None:
        command, sys.argv = _take_command(sys.argv)
    sys.path.append(os.getcwd())  # for plugins; last, so that nothing there hides a library
    module = importlib.import_module(f"nerf.cli.{command}")
    from nerf.cli.commands import run

    run(module.main)


def _take_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the command and the rest of the words; print the usage and exit if there is none."""
    name = words[1] if len(words) > 1 else "--help"
    if name in COMMANDS:
        return name, [f"{words[0]} {name}", *words[2:]]
    if name == "--version":
        import nerf

        print(nerf.__version__)
        sys.exit(0)
    if name in ("--help", "-h", "help"):
        print(__doc__)
        sys.exit(0)
    print(f"nerf {name}: no such command: {did_you_mean(name, COMMANDS)}", file=sys.stderr)
    sys.exit(1)
