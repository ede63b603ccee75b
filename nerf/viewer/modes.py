"""Turn a rendered picture into what a viewer shows: colour, depth, opacity, normals and others."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Real, UInt8
from PIL import Image

from nerf.cameras.cameras import Cameras
from nerf.evaluation.surfaces import normals_of_depth
from nerf.foundation.png import to_bytes
from nerf.output.classes import colour_labels
from nerf.rendering.images import colour_depth, colour_normals
from nerf.scenes.base import LabelClass

COLOUR, DEPTH, OPACITY, NORMALS = "colour", "depth", "opacity", "normals"
ERROR, DIFFERENCE = "error", "difference"
ALWAYS = (COLOUR, DEPTH, OPACITY, NORMALS)  # modes of every field
RENDERED = ("rgb", "depth", "opacity", "normals")  # arrays that the modes above show
ERROR_GAIN = 4.0  # an error of 1/4 is white, as in the pictures of a run's folder eval
FAR_DEPTH = 160.0  # what a browser's depth image can hold, in units of the normalised world
LINE_BORDER = 40  # grey of the border of the line between two pictures
LABELS = 20  # distinct colours of labels; further labels repeat them


def mode_names(picture: Iterable[str]) -> list[str]:
    """Return the modes of a picture with these arrays; further ones have their own name."""
    return [*ALWAYS, *(name for name in picture if name not in RENDERED)]


def colour_mode(
    mode: str,
    picture: Mapping[str, Real[np.ndarray, "h w *c"]],
    camera: Cameras,
    limits: tuple[float, float] | None = None,
    classes: Sequence[LabelClass] = (),
) -> UInt8[np.ndarray, "h w 3"]:
    """Colour a picture in a mode.

    Args:
      mode: one of `mode_names`.
      picture: as rendered.
      camera: its camera, perspective and without leading axes.
      limits: depths of the brightest and the darkest colour; None: those of the picture.
      classes: those that the picture may show, with their colours.
    """
    if mode == COLOUR:
        return to_bytes(picture["rgb"])
    if mode == DEPTH:
        return to_bytes(colour_depth(picture["depth"], picture["opacity"], limits))
    if mode == OPACITY:
        return to_bytes(np.repeat(picture["opacity"][..., None], 3, -1))
    if mode == NORMALS:
        return to_bytes(colour_normals(_normals(picture, camera)))
    if picture[mode].dtype.kind == "u":  # numbers of classes
        return colour_labels(picture[mode], classes)
    return to_bytes(colour_quantity(picture[mode], picture["opacity"]))


def colour_error(
    rgb: Float[np.ndarray, "h w 3"], truth: Float[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Show the mean absolute difference over the channels as grey, white from 1/4 on."""
    error = np.abs(np.clip(rgb, 0.0, 1.0) - truth).mean(-1, keepdims=True)
    return to_bytes(np.repeat(ERROR_GAIN * error, 3, -1))


def colour_quantity(
    values: Float[np.ndarray, "h w *c"], opacity: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 3"]:
    """Colour a quantity of a field that has no colours of its own.

    A number is grey between its 2nd and 98th percentile, three numbers are red, green and blue
    between theirs, and more are scores of labels: the colour is that of the largest.

    Args:
      values: composited along each ray.
      opacity: opacity of each pixel; pixels of at most 1/2 are black.
    """
    import matplotlib

    there = opacity > 0.5
    if values.ndim == 3 and values.shape[-1] > 3:
        colours = matplotlib.colormaps["tab20"](np.arange(LABELS))[:, :3]
        shown = colours[values.argmax(-1) % LABELS]
        return np.where(there[..., None], shown, 0.0)
    channels = values.reshape(*there.shape, -1)
    low, high = np.percentile(channels[there], [2, 98]) if there.any() else (0.0, 1.0)
    scaled = np.clip((channels - low) / max(high - low, 1e-9), 0.0, 1.0)
    padded = np.repeat(scaled, 3, -1)[..., :3] if scaled.shape[-1] == 1 else scaled
    if padded.shape[-1] == 2:
        padded = np.concatenate([padded, np.zeros_like(padded[..., :1])], -1)
    return np.where(there[..., None], padded, 0.0)


def depth_along_axis(
    picture: Mapping[str, Real[np.ndarray, "h w *c"]], camera: Cameras
) -> Float[np.ndarray, "h w"]:
    """Return the depth along the optical axis, which a browser composites by; empty pixels are far.

    Args:
      picture: as rendered.
      camera: its camera, perspective and without leading axes.
    """
    along = picture["depth"] / np.linalg.norm(_directions(camera), axis=-1)
    return np.where(picture["opacity"] > 0.5, np.minimum(along, FAR_DEPTH), FAR_DEPTH)


def enlarged(
    picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], stride: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Enlarge the picture of a coarse tier to the size of the finest.

    Args:
      picture: of a tier.
      size: width and height of the finest tier.
      stride: see `nerf.viewer.frames.Frame`.
    """
    if stride == 1:
        return picture
    width, height = size
    # The blocks at the right and lower border may lack pixels; the borders before are exact.
    box = (0.0, 0.0, min(width / stride, picture.shape[1]), min(height / stride, picture.shape[0]))
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)


def joined(
    left: UInt8[np.ndarray, "h w 3"], right: UInt8[np.ndarray, "h w 3"], share: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Join two pictures at a white line: one on its left, the other on its right.

    Args:
      left: the picture on the left.
      right: the picture on the right.
      share: of the width that is left of the line, in [0, 1].
    """
    width = left.shape[1]
    place = round(share * width)
    both = np.concatenate([left[:, :place], right[:, place:]], 1)
    if 0 < place < width:
        both[:, max(place - 2, 0) : place + 2] = LINE_BORDER
        both[:, max(place - 1, 0) : place + 1] = 255
    return both


def _normals(
    picture: Mapping[str, Real[np.ndarray, "h w *c"]], camera: Cameras
) -> Float[np.ndarray, "h w 3"]:
    """Return unit normals: those of the field, otherwise those of the rendered depth."""
    there = picture["opacity"] > 0.5
    if "normals" in picture:
        normals = np.where(there[..., None], picture["normals"], 0.0)
        return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    rays = _directions(camera)
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    c2w = np.asarray(camera.c2w, np.float64)
    points = c2w[:, 3] + picture["depth"][..., None] * (unit @ c2w[:, :3].T)
    return normals_of_depth(points, there, camera)


def _directions(camera: Cameras) -> Float[np.ndarray, "h w 3"]:
    """Return the directions of all pixels' rays in camera axes, of depth 1 along the axis."""
    width, height = (int(side) for side in camera.size)
    K = np.asarray(camera.K, np.float64)
    x = (np.arange(width) + 0.5 - K[0, 2]) / K[0, 0]
    y = (np.arange(height) + 0.5 - K[1, 2]) / K[1, 1]
    across, down = np.meshgrid(x, -y)
    return np.stack([across, down, -np.ones_like(across)], -1)
