"""Pictures side by side in each frame of a film: of two runs, or for two eyes."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import EQUIRECTANGULAR
from nerf.output.labels import draw_label
from nerf.output.video import Layout
from nerf.runs.read import Run
from nerf.scenes.base import Similarity

RIGHT_EYE = "right_eye"


@dataclasses.dataclass(frozen=True)
class Part:
    """One of the pictures that stand side by side in each frame of a film.

    Attributes:
      run: the trained run.
      cameras: of all frames, in the run's normalised world.
      name: part of the name of its folder of frames; "" for the first or only part.
      label: text in its upper left corner; "" for none.
    """

    run: Run
    cameras: Cameras
    name: str = ""
    label: str = ""


def make_parts(runs: Sequence[Run], cameras: Cameras, stereo: float | None = None) -> list[Part]:
    """Return the parts of a film of one run, of two runs side by side, or for two eyes.

    Two eyes look in parallel, so that only points at infinity have no parallax.

    Args:
      runs: one or two runs; two are of the same scene.
      cameras: of all frames, in the normalised world of the first run.
      stereo: distance between the eyes, in units of the scene's file; None for one eye.
    """
    if stereo is not None:
        (run,) = runs
        half = 0.5 * stereo * run.transform.scale
        return [
            Part(run, _moved(cameras, -half)),
            Part(run, _moved(cameras, half), RIGHT_EYE),
        ]
    first, *others = runs
    parts = [Part(first, cameras, label=str(first.folder) if others else "")]
    for other in others:
        there = in_world_of(other.transform, first.transform, cameras)
        parts.append(Part(other, there, "beside", str(other.folder)))
    return parts


def in_world_of(other: Similarity, own: Similarity, cameras: Cameras) -> Cameras:
    """Return cameras of one run's normalised world in that of another run of the scene.

    Args:
      other: from the file's world to the normalised one of the result.
      own: from the file's world to the one in which the cameras are.
      cameras: with or without leading axes.
    """
    in_file = own.poses_back(np.asarray(cameras.c2w, np.float64))
    return dataclasses.replace(cameras, c2w=other.poses(in_file).astype(np.float32))


def _moved(cameras: Cameras, distance: float) -> Cameras:
    """Return cameras moved to their right."""
    c2w = np.array(cameras.c2w)
    c2w[:, :, 3] += distance * c2w[:, :, 0]
    return dataclasses.replace(cameras, c2w=c2w)


def layout_of(parts: Sequence[Part]) -> Layout:
    """Return what a player should know about the frames of a film."""
    if parts[-1].name == RIGHT_EYE:
        return "stereo"
    all_around = len(parts) == 1 and (parts[0].cameras.model == EQUIRECTANGULAR).all()
    return "spherical" if all_around else "flat"


def joined(
    pictures: Sequence[UInt8[np.ndarray, "h _ c"]], labels: Sequence[str]
) -> UInt8[np.ndarray, "h w c"]:
    """Join pictures from left to right, each with its label."""
    return np.concatenate([_labelled(*pair) for pair in zip(pictures, labels, strict=True)], 1)


def _labelled(picture: UInt8[np.ndarray, "h w c"], label: str) -> UInt8[np.ndarray, "h w c"]:
    if not label:
        return picture
    image = Image.fromarray(picture)
    draw_label(ImageDraw.Draw(image), (2, 2), label)
    return np.asarray(image)
