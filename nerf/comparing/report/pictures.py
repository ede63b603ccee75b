"""Encode the pictures of a report: renders, depth and normals of each held-out view, and videos.

Pictures are lossless WebP, so the error that the page shows is the error that was scored. Depth is
coloured on one scale for the truth and all configs of a view. If the pictures would exceed the size
of the page, the views on which the configs differ least are omitted, and the page says how many.
"""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import imageio.v3 as iio
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from nerf.comparing.comparison import Groups, scores_of
from nerf.evaluation.evaluate import picture_name
from nerf.rendering.images import colour_depth
from nerf.runs.results import Result

BLOB_OVERHEAD = 400  # maximum number of characters that the page adds to an embedded file
DEPTH_COLOURS = 255  # palette entries from 1 on; entry 0 is black and means no surface


@dataclasses.dataclass(frozen=True)
class View:
    """A held-out view.

    Attributes:
      index: position in the list of held-out views.
      name: name of the image.
      psnr: PSNR in dB of each config, averaged over its seeds.
      apart: largest difference of these between two configs, in dB.
    """

    index: int
    name: str
    psnr: dict[str, float]
    apart: float


@dataclasses.dataclass(frozen=True)
class Blob:
    """A file embedded in the page.

    Attributes:
      key: identifies it in the page.
      type: MIME type.
      base64: the content.
    """

    key: str
    type: str
    base64: str


def sorted_views(groups: Groups) -> list[View]:
    """Return the held-out views, sorted by how much the configs differ, largest first."""
    scores = scores_of(groups, "psnr") or {}
    names = next(iter(groups.values()))[0].names
    means = {label: score.mean(0) for label, score in scores.items()}
    views = []
    for i, name in enumerate(names):
        psnr = {label: float(mean[i]) for label, mean in means.items()}
        views.append(View(i, name, psnr, max(psnr.values()) - min(psnr.values())))
    return sorted(views, key=lambda view: (-view.apart, view.index))


def _read_picture(
    run: Result, view: View, folder: str = "eval"
) -> UInt8[np.ndarray, "h w 3"] | None:
    """Read a view's picture from a folder of a run; None if it cannot be read."""
    file = run.folder / folder / f"{picture_name(view.index, view.name)}.png"
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def _read_depth(run: Result, view: View, folder: str = "eval") -> Float[np.ndarray, "h w"] | None:
    """Read a view's depth from a folder of a run; None if it cannot be read."""
    file = run.folder / folder / f"{picture_name(view.index, view.name)}.npz"
    try:
        with np.load(file) as data:
            return data["array"]
    except (OSError, ValueError, KeyError):
        return None


def lossless(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Encode an image as lossless WebP."""
    return iio.imwrite(
        "<bytes>", image, plugin="pillow", extension=".webp", lossless=True, quality=70, method=4
    )


def coloured_depth(depth: Float[np.ndarray, "h w"], low: float, high: float) -> bytes:
    """Encode a depth map as a palette PNG.

    Args:
      depth: depth along each ray, (h, w); 0 means no surface and is drawn black.
      low: depth of the brightest colour; smaller depths are clipped.
      high: depth of the darkest colour; larger depths are clipped.
    """
    # Quantise nearness to the palette; entry 0 marks pixels without a surface.
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
    """Read the truth of a view and each run's render.

    Returns: [] if pictures are missing.
    """
    sheets = [_read_picture(run, view) for run in runs]
    first = sheets[0]
    if first is None:
        return []
    wide = first.shape[1] // 4  # a picture shows truth | render | error | depth side by side
    images = [np.ascontiguousarray(first[:, :wide])]
    for sheet in sheets:
        if sheet is None or sheet.shape != first.shape:
            return []
        images.append(np.ascontiguousarray(sheet[:, wide : 2 * wide]))
    return images


def view_blobs(groups: Groups, view: View) -> list[Blob]:
    """Encode truth, render, depth and normals of a view for each config's first run.

    The keys of the view with the index 7 are "7-ctruth", "7-c0", "7-c1", ... and with "d" and "n"
    instead of "c" those of depth and normals, of which any may be missing.

    Returns: the files; [] if pictures are missing.
    """
    runs = [results[0] for results in groups.values()]
    images = read_sheets(runs, view)
    if not images:
        return []
    sources = ["truth", *map(str, range(len(runs)))]
    depths = [_read_depth(runs[0], view, "eval/true_depth")]
    depths += [_read_depth(run, view) for run in runs]
    normals = [_read_picture(runs[0], view, "eval/true_normals")]
    normals += [_read_picture(run, view, "eval/normals") for run in runs]
    blobs = []
    for layer, pictures in (("c", images), ("n", normals)):
        for source, picture in zip(sources, pictures, strict=True):
            if picture is not None:
                key = f"{view.index}-{layer}{source}"
                blobs.append(_blob(key, "image/webp", lossless(picture)))
    # One colour scale for all of a view, robust to outliers: percentiles 2 and 98 of all depths.
    there = np.concatenate(
        [depth[depth > 0.0] for depth in depths if depth is not None] or [np.empty(0)]
    )
    low, high = (float(x) for x in np.percentile(there, [2, 98])) if there.size else (0.0, 1.0)
    for source, depth in zip(sources, depths, strict=True):
        if depth is not None:
            key = f"{view.index}-d{source}"
            blobs.append(_blob(key, "image/png", coloured_depth(depth, low, high)))
    return blobs


def _blob(key: str, kind: str, data: bytes) -> Blob:
    """Return a file embedded as base64."""
    return Blob(key, kind, base64.b64encode(data).decode())


def fill(groups: Groups, views: Sequence[View], budget: int) -> tuple[list[Blob], list[View]]:
    """Encode as many views as fit into a budget, from the first view on.

    Args:
      groups: finished runs of each config.
      views: the views, most important first.
      budget: maximum number of base64 characters, including an overhead for each file.

    Returns: the files, and the views that they show.
    """
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
    """Return the videos that exist, with the keys "f0", "f1", ..."""
    blobs = []
    for i, label in enumerate(labels):
        if (file := videos.get(label)) is not None:
            blobs.append(_blob(f"f{i}", "video/mp4", file.read_bytes()))
    return blobs


def error_colours() -> str:
    """Return the 256 RGB colours of error maps as base64; no error is black."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0.0, 1.0, 256))[:, :3]
    return base64.b64encode(np.rint(colours * 255).astype(np.uint8).tobytes()).decode()
