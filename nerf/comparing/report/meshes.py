"""Show the meshes of compared runs: pictures from all around, and numbers."""

import base64
import dataclasses
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nerf.comparing.child_processes import last_line, run_child
from nerf.comparing.comparison import Groups
from nerf.comparing.engines import Interrupted
from nerf.comparing.report.pictures import lossless
from nerf.comparing.run_store import RunStore
from nerf.foundation.files import write_json


@dataclasses.dataclass(frozen=True)
class ShownMesh:
    """The mesh of a config's first run.

    Attributes:
      label: the config.
      numbers: as `nerf.comparing.mesh_child` writes them.
      picture: it from all around, as a base64-encoded WebP; "" if there is no mesh.
    """

    label: str
    numbers: dict[str, Any]
    picture: str

    @property
    def failure(self) -> str:
        """Return why there is no mesh; "" if there is one."""
        return self.numbers.get("failure", "")


def compare_meshes(groups: Groups, resolution: int, store: RunStore) -> list[ShownMesh]:
    """Extract, measure and draw the mesh of each config's first run in a child process.

    Args:
      groups: finished runs of each config.
      resolution: number of cells along the longest side of the box.
      store: its plugins, log and `should_stop` are used.

    Returns: a mesh for each config; empty if the process failed, which is reported.

    Raises:
      Interrupted: if asked to stop.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs = {label: str(results[0].folder.absolute()) for label, results in groups.items()}
        job = {"runs": runs, "resolution": resolution, "plugins": list(store.plugins)}
        write_json(folder / "job.json", job)
        store.say(f"meshes: {len(runs)} of {resolution} cells along the longest side")
        command = [sys.executable, "-P", "-m", "nerf.comparing.mesh_child", temporary]
        log = folder / "log"
        tell = partial(_tell, store)
        code = run_child(command, log, store.should_stop, on_progress=tell)
        if store.should_stop():
            raise Interrupted("stopped: run the same command again to make the missing meshes")
        if code:
            store.say(f"meshes: none, exit code {code}: {last_line(log.read_text())}")
            return []
        numbers = json.loads((folder / "meshes.json").read_text(encoding="utf-8"))
        return [_shown(folder / f"{i}.png", *item) for i, item in enumerate(numbers.items())]


def _tell(store: RunStore, line: str) -> None:
    """Log a line about the meshes."""
    store.say(f"meshes: {line}")


def _shown(file: Path, label: str, numbers: dict[str, Any]) -> ShownMesh:
    """Return a mesh with its picture, if there is one."""
    if not file.exists():
        return ShownMesh(label, numbers, "")
    with Image.open(file) as image:
        picture = lossless(np.asarray(image.convert("RGB")))
    return ShownMesh(label, numbers, base64.b64encode(picture).decode())
