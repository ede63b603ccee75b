"""Write a baked field, its shader and its controls into one HTML file."""

import base64
import html
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from nerf.cameras.cameras import Cameras
from nerf.foundation.files import write_bytes
from nerf.output.video_plan import plan
from nerf.pages.bricks import BRICK, LEVELS, LOG_DENSITY, Bricks
from nerf.paths.paths import subject
from nerf.rendering.model import Model, last_field
from nerf.runs.read import Run
from nerf.sampling.spaces import Contracted

ASSETS = Path(__file__).parent / "assets"
MAX_BOOKMARKS = 60  # training views that the page lists; more are thinned out evenly
TOUR_POSES = 96
TOUR_SECONDS = 24.0
PARTS = {"shader": "march.glsl", "load": "load.js", "controls": "controls.js", "view": "view.js"}


def write_page(run: Run, baked: Model, out: Path) -> int:
    """Write the page of a baked run and return its size in bytes.

    Args:
      run: the trained run, for its cameras and its background.
      baked: the model that renders its bricks, see `nerf.pages.baking`.
      out: the page, an .html.
    """
    parts = {name: (ASSETS / file).read_text("utf-8") for name, file in PARTS.items()}
    parts["title"] = html.escape(run.folder.resolve().name)
    parts["bricks"] = base64.b64encode(pack_bricks(last_field(baked))).decode("ascii")
    # "<" is escaped, so that no name can end the script element.
    parts["scene"] = json.dumps(describe(run, baked), separators=(",", ":")).replace("<", "\\u003c")
    page = (ASSETS / "page.html").read_text("utf-8")
    for name, text in parts.items():
        page = page.replace(f"${name}", text, 1)
    data = page.encode("utf-8")
    write_bytes(out, data)
    return len(data)


def pack_bricks(field: Bricks) -> bytes:
    """Return the stored bricks as a zlib stream.

    It holds one bit for each brick of the box, whether it is stored, in the order of its index; and
    then, channel by channel, the 8-bit numbers of the vertices of the stored bricks.
    """
    stored = np.packbits(np.asarray(field.slots[...]) > 0)
    u = np.asarray(field.values[...])[BRICK**3 :]
    values = np.round(np.clip(u, 0.0, 1.0) * LEVELS).astype(np.uint8)
    return zlib.compress(stored.tobytes() + values.T.tobytes(), 9)


def describe(run: Run, baked: Model) -> dict[str, Any]:
    """Return what the page needs beside the bricks, as plain data."""
    field, space = last_field(baked), baked.space
    sampler: Any = baked.stages[0].sampler
    contraction = [0.0, 0.0, 0.0]
    if isinstance(space, Contracted):
        contraction = [space.near, space.linear, space.far]
    train = run.cameras["train"]
    tour = plan(run, None, frames=TOUR_POSES)
    chosen = np.unique(np.linspace(0, len(train) - 1, MAX_BOOKMARKS).astype(int))
    return {
        "bricks": field.bricks,
        "steps": sampler.num_samples,
        "log_density": LOG_DENSITY,
        "background": list(run.config["background"]),
        "contraction": contraction,
        "basis": np.asarray(field.basis[...], np.float64).round(5).reshape(-1).tolist(),
        "focal": _relative_focal(train),
        "up": [0.0, 0.0, 1.0],
        "focus": subject(np.asarray(train.c2w, np.float64)).round(5).tolist(),
        "views": [{"name": run.names["train"][i], "pose": _numbers(train.c2w[i])} for i in chosen],
        "tour": {
            "poses": [_numbers(pose) for pose in tour.cameras.c2w],
            "duration": TOUR_SECONDS,
        },
    }


def _numbers(pose: Float[Array | np.ndarray, "3 4"]) -> list[float]:
    """Return a pose as 12 numbers by rows."""
    return np.asarray(pose, np.float64).round(5).reshape(-1).tolist()


def _relative_focal(cameras: Cameras) -> float:
    """Return the median focal length of the views, in units of the shorter side of an image."""
    focal = np.sqrt(np.asarray(cameras.K)[:, 0, 0] * np.asarray(cameras.K)[:, 1, 1])
    return float(np.median(focal / np.asarray(cameras.size).min(-1)))
