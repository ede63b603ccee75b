"""Files and programs that come with the library: configs, the bundled scene, the command `nerf`.

In a clone they lie beside the package, in `configs/` and `data/`; a wheel carries them inside it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from nerf.foundation.errors import UserError

PACKAGE = Path(__file__).parents[1]


def find_resource(name: str) -> Path:
    """Return a folder that comes with the library.

    Args:
      name: its path in a clone, as "configs".

    Raises:
      UserError: it was not installed.
    """
    # Inside the package first: beside an installed one lie the packages of others.
    for place in (PACKAGE / name, PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise UserError(f"{PACKAGE / name}: missing: install the package again")


def configs_folder() -> Path:
    """Return the folder of the configs that come with the library."""
    return find_resource("configs")


def bundled_scene() -> Path:
    """Return the folder of the bundled scene."""
    return find_resource("data/tabletop")


def nerf_command(*words: str) -> list[str]:
    """Return the command line that runs `nerf` with these words, by this Python."""
    # -P: a folder called nerf in the working directory must not be taken for the library.
    return [sys.executable, "-P", "-m", "nerf", *words]


def child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child process that finds the modules that this one finds.

    They are this copy of the library, and plugins beside a script or in a notebook's folder.

    Args:
      variables: others to set; None sets none.
    """
    # An empty entry is the working directory.
    path = [str(PACKAGE.parent), *(str(Path(entry).absolute()) for entry in sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **(variables or {})}
