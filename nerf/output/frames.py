"""Frames of a film as files, with stamps that tell whether they are up to date."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerf.cameras.cameras import Cameras
from nerf.foundation.files import write_array
from nerf.foundation.png import is_finished, to_bytes, write_png
from nerf.output.classes import colour_labels
from nerf.output.video import DEFAULT_CRF
from nerf.rendering.images import colour_depth
from nerf.runs.read import Run
from nerf.runs.record import cameras_to_json
from nerf.scenes.base import LabelClass

Limits = tuple[float, float]  # near and far, in units of the normalised world
MIN_ALPHA = 1e-6  # colours are divided by; less is invisible in 8 bits


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """Choose the kinds of pictures, and the quality of the videos.

    Attributes:
      depth: depth as colours, frames and a video.
      raw_depth: depth along the ray as float32 .npy files, in units of the scene's file; 0 where no
        ray hits anything.
      opacity: opacity as grey, frames and a video.
      labels: classes in their colours, frames and a video.
      fps: frames per second of the videos.
      transparent: colours have alpha, straight and not premultiplied, and no background.
      crf: quality of the videos, see `nerf.output.video.encode`.
    """

    depth: bool = False
    raw_depth: bool = False
    opacity: bool = False
    labels: bool = False
    fps: float = 30.0
    transparent: bool = False
    crf: int = DEFAULT_CRF

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of pictures, which are also the kinds of videos."""
        more = {"depth": self.depth, "opacity": self.opacity, "labels": self.labels}
        return ["rgb", *(kind for kind, wanted in more.items() if wanted)]


@dataclasses.dataclass(frozen=True)
class FrameFiles:
    """The files of the frames of a film.

    Attributes:
      folder: where they are.
      wanted: which kinds there are.
      limits: depths of the brightest and the darkest colour.
      scale: of raw depth, from units of the scene's file to those of the normalised world.
      classes: of the run.
    """

    folder: Path
    wanted: RenderOptions
    limits: Limits | None
    scale: float
    classes: Sequence[LabelClass] = ()

    def file(self, kind: str, i: int, suffix: str = ".png") -> Path:
        """Return the file of a frame.

        Args:
          kind: "rgb", "depth", "opacity" or "labels".
          i: number of the frame.
          suffix: of the file's name.
        """
        return self.folder / f"{kind}_{i:05d}{suffix}"

    def stamp(self, run: Run, camera: Cameras) -> str:
        """Return a digest of everything that a frame depends on."""
        background, raw = list(run.config["background"]), self.wanted.raw_depth
        made_from = [run.stamp, cameras_to_json(camera), self.limits, background, raw]
        made_from.append(self.wanted.transparent)
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()

    def finished(self, i: int, stamp: str) -> bool:
        """Report whether all files of a frame are up to date."""
        # The raw depth has no stamp of its own; it is written before the colours, which have one.
        raw = not self.wanted.raw_depth or self.file("depth", i, ".npy").exists()
        return raw and all(is_finished(self.file(kind, i), stamp) for kind in self.wanted.kinds)

    def write(self, i: int, picture: Mapping[str, np.ndarray], stamp: str) -> None:
        """Write all files of a frame.

        Args:
          i: number of the frame.
          picture: the rendered image.
          stamp: from `stamp`.
        """
        if self.wanted.raw_depth:
            depth = (picture["depth"] / self.scale).astype(np.float32)
            write_array(self.file("depth", i, ".npy"), depth)
        # The colours are written last, so that a frame with colours is complete.
        for kind in reversed(self.wanted.kinds):
            pixels = frame_pixels(picture, kind, self.limits, self.wanted.transparent, self.classes)
            write_png(self.file(kind, i), pixels, stamp)


def frame_pixels(
    picture: Mapping[str, np.ndarray],
    kind: str,
    limits: Limits | None,
    transparent: bool,
    classes: Sequence[LabelClass] = (),
) -> UInt8[np.ndarray, "h w c"]:
    """Return one kind of a picture as 8-bit RGB, or RGBA of transparent colours.

    Args:
      picture: a rendered image; transparent colours are on black.
      kind: "rgb", "depth", "opacity" or "labels".
      limits: depths of the brightest and the darkest colour.
      transparent: whether the colours get an alpha channel.
      classes: those of "labels".
    """
    if kind == "labels":
        numbers = picture["labels"] if "labels" in picture else picture["instances"]
        return colour_labels(numbers, classes)
    if kind == "opacity":
        return np.repeat(to_bytes(picture["opacity"])[..., None], 3, -1)
    if kind == "depth":
        return to_bytes(colour_depth(picture["depth"], picture["opacity"], limits))
    if transparent:
        alpha = picture["opacity"][..., None]
        # On black, a colour is multiplied by its opacity: divide to get straight alpha.
        colour = np.where(alpha > 0.0, picture["rgb"] / np.maximum(alpha, MIN_ALPHA), 0.0)
        return to_bytes(np.concatenate([colour, alpha], -1))
    return to_bytes(picture["rgb"])
