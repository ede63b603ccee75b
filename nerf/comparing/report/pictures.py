"""The pictures of a report: truth, renders and depth of each held-out view, and videos, as text inside the page.

Truth and renders are WebP without loss, so an error that the page shows is the error that was scored. Depth is coloured
on one scale for all configs of a view. Where all of it would be too large, the views that the configs agree on most are
left out, and the page says how many.
"""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from nerf.comparing.comparison import Groups, scores_of
from nerf.evaluation.evaluate import picture_name
from nerf.rendering.images import colour_depth
from nerf.runs.results import Result

BLOB_OVERHEAD = 400  # characters, at most, that the page needs around a file and to tell of a view
DEPTH_COLOURS = 255  # of depth; number 0 is black, for "nothing there"


@dataclasses.dataclass(frozen=True)
class View:
    """A held-out view: PSNR of each config, a mean over its seeds, and by how much two of them differ at most."""

    index: int
    name: str
    psnr: dict[str, float]
    apart: float


@dataclasses.dataclass(frozen=True)
class Blob:
    """A file inside the page."""

    key: str
    type: str
    base64: str


def sorted_views(groups: Groups) -> list[View]:
    """The held-out views, the one on which the configs differ most first."""
    scores = scores_of(groups, "psnr") or {}
    names = next(iter(groups.values()))[0].names
    means = {label: score.mean(0) for label, score in scores.items()}
    views = []
    for i, name in enumerate(names):
        psnr = {label: float(mean[i]) for label, mean in means.items()}
        views.append(View(i, name, psnr, max(psnr.values()) - min(psnr.values())))
    return sorted(views, key=lambda view: (-view.apart, view.index))


def _read_picture(run: Result, view: View) -> UInt8[np.ndarray, "h w 3"] | None:
    file = run.folder / "eval" / f"{picture_name(view.index, view.name)}.png"
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def _read_depth(run: Result, view: View) -> Float[np.ndarray, "h w"] | None:
    file = run.folder / "eval" / f"{picture_name(view.index, view.name)}.npz"
    try:
        with np.load(file) as data:
            return data["array"]
    except (OSError, ValueError, KeyError):
        return None


def lossless(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """WebP that gives back every pixel as it is."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=70, method=4)
    return buffer.getvalue()


def coloured_depth(depth: Float[np.ndarray, "h w"], low: float, high: float) -> bytes:
    """PNG of palette colours: near is bright, far is dark, black where nothing is (0)."""
    near = 1.0 - np.clip((depth - low) / max(high - low, 1e-9), 0.0, 1.0)
    index = np.where(depth > 0.0, 1 + np.rint(near * (DEPTH_COLOURS - 1)), 0).astype(np.uint8)
    ramp = np.linspace(1.0, 0.0, DEPTH_COLOURS)[None]
    palette = np.concatenate(
        [np.zeros((1, 3)), colour_depth(ramp, np.ones_like(ramp), (0.0, 1.0))[0]]
    )
    image = Image.fromarray(index, "P")
    image.putpalette(np.rint(palette * 255).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_sheets(runs: Sequence[Result], view: View) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return the truth of a view and the render of each run; [] where a run no longer has its pictures."""
    sheets = [_read_picture(run, view) for run in runs]
    first = sheets[0]
    if first is None:
        return []
    wide = first.shape[1] // 4  # truth | render | error | depth
    images = [np.ascontiguousarray(first[:, :wide])]
    for sheet in sheets:
        if sheet is None or sheet.shape != first.shape:
            return []
        images.append(np.ascontiguousarray(sheet[:, wide : 2 * wide]))
    return images


def view_blobs(groups: Groups, view: View) -> list[Blob]:
    """Truth, render and depth of a view, of each config's first run; [] where a run no longer has its pictures."""
    runs = [results[0] for results in groups.values()]
    images = read_sheets(runs, view)
    if not images:
        return []
    names = ["truth", *(f"c{i}" for i in range(len(runs)))]
    blobs = [
        _blob(f"{view.index}-{name}", "image/webp", lossless(image))
        for name, image in zip(names, images, strict=True)
    ]
    depths = [_read_depth(run, view) for run in runs]
    there = np.concatenate(
        [depth[depth > 0.0] for depth in depths if depth is not None] or [np.empty(0)]
    )
    low, high = (float(x) for x in np.percentile(there, [2, 98])) if there.size else (0.0, 1.0)
    for i, depth in enumerate(depths):
        if depth is not None:
            blobs.append(_blob(f"{view.index}-d{i}", "image/png", coloured_depth(depth, low, high)))
    return blobs


def _blob(key: str, kind: str, data: bytes) -> Blob:
    return Blob(key, kind, base64.b64encode(data).decode())


def fill(groups: Groups, views: Sequence[View], budget: int) -> tuple[list[Blob], list[View]]:
    """Blobs of as many views as `budget` characters hold, from the first on; and the views they are of."""
    blobs: list[Blob] = []
    shown: list[View] = []
    for view in views:
        more = view_blobs(groups, view)
        budget -= sum(len(blob.base64) + BLOB_OVERHEAD for blob in more)
        if budget < 0:
            break
        if more:
            blobs += more
            shown.append(view)
    return blobs, shown


def video_blobs(videos: Mapping[str, Path | None], labels: Sequence[str]) -> list[Blob]:
    """The videos of the configs that have one, under "f0", "f1" ..."""
    blobs = []
    for i, label in enumerate(labels):
        if (file := videos.get(label)) is not None:
            blobs.append(_blob(f"f{i}", "video/mp4", file.read_bytes()))
    return blobs


def error_colours() -> str:
    """256 RGB colours of the error maps, as base64: black is 0."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0.0, 1.0, 256))[:, :3]
    return base64.b64encode(np.rint(colours * 255).astype(np.uint8).tobytes()).decode()
