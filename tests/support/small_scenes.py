"""The bundled scene with fewer and smaller photos, for commands that are not judged by quality."""

import json
from pathlib import Path

from PIL import Image

from tests.conftest import ROOT


def write_small_tabletop(folder: Path, size: int = 40) -> Path:
    """Write every third training photo and two held-out ones, and return the folder.

    Args:
      folder: of the new scene; made if it is missing.
      size: of the photos, in pixels.
    """
    bundled = ROOT / "data" / "tabletop"
    for split, every in (("train", 3), ("test", 10)):
        file = f"transforms_{split}.json"
        record = json.loads((bundled / file).read_text())
        record["frames"] = record["frames"][::every]
        (folder / split).mkdir(parents=True)
        (folder / file).write_text(json.dumps(record))
        for frame in record["frames"]:
            name = f"{frame['file_path']}.png"
            with Image.open(bundled / name) as image:
                image.resize((size, size), Image.Resampling.BOX).save(folder / name)
    return folder
