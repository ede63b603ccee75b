"""RGB-D sequences: `frame-*.color.png` (or .jpg), `frame-*.depth.png`, `frame-*.pose.txt`, `camera-intrinsics.txt`.

That is the format of 7-Scenes (Shotton et al., CVPR 2013) and of what was made with it: poses are camera-to-world with
OpenCV axes, in metres; depth is 16 bits in millimetres along the optical axis, with 0 and 65535 where it is not known.

`camera-intrinsics.txt` is of the depth camera. Colours may have come through another lens: `color-intrinsics.txt` says
through which. Without it they share one, except where the numbers are those with which 7-Scenes describes a Kinect's
depth camera, whose pictures are not registered: then its colours have OpenNI's 525 pixels. Depth is taken to the pixels
of the colours as if both cameras were in one place (they are 25 mm apart).
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import intrinsics
from nerf.scenes.base import Problem, Scene, SceneError, read_bytes
from nerf.scenes.decode import check_numbers
from nerf.scenes.formats.folders import View, check_views, choose, note_unposed, photos, pinhole
from nerf.scenes.formats.transforms import MILLIMETRE
from nerf.scenes.frames import Frame, to_scene
from nerf.scenes.normalise import measured_distances, normalise

INTRINSICS = "camera-intrinsics.txt"
COLOUR = "color-intrinsics.txt"
KINECT_DEPTH, KINECT_COLOUR = (
    intrinsics(f, f, 320.0, 240.0) for f in (585.0, 525.0)
)  # of 640x480 pixels
MAX_BYTES = 100_000


def detect(root: Path) -> bool:
    """Whether a folder is of this format."""
    return (root / INTRINSICS).is_file() and any(root.glob("*.pose.txt"))


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """One split, unbounded, with depth: of the frames' names sorted, every 8th is "test".

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" out of "train".
      every: which views are held out.
    """
    views, K, more = _views(root)
    frames, notes = check_views(views, root, INTRINSICS)
    frames = [
        dataclasses.replace(frame, depth=_depth_file(frame), depth_unit=MILLIMETRE, depth_K=K)
        for frame in frames
    ]
    if problems := [problem for frame in frames for problem in _check_depth(frame, root)]:
        raise SceneError(problems)
    colours = [path for path in photos(root) if path.stem.endswith(".color")]
    more += note_unposed(frames, colours, "the folder", INTRINSICS)
    transform = normalise(
        frames, bounded=False, level=True, distances=measured_distances(frames, root)
    )
    chosen = choose(frames, split, validation, every, INTRINSICS)
    return to_scene(chosen, transform, root, max_side, unbounded=True, notes=[*notes, *more])


def _views(root: Path) -> tuple[list[View], Float[np.ndarray, "3 3"], list[str]]:
    """A view for each pose, K of the depth camera, notes; raises a SceneError of every file of numbers that is none."""
    views: list[View] = []
    problems: list[Problem] = []
    depth_K, notes = _matrix(root / INTRINSICS, 3, problems), []
    K = _matrix(root / COLOUR, 3, problems) if (root / COLOUR).is_file() else depth_K
    if K is depth_K and np.allclose(K, KINECT_DEPTH):
        K = KINECT_COLOUR
        notes = [
            f"{INTRINSICS}: is a Kinect's depth camera: colours are read with 525 pixels; {COLOUR} would say more"
        ]
    for path in sorted(root.glob("*.pose.txt")):
        pose = _matrix(path, 4, problems)
        stem = path.name.removesuffix(".pose.txt")
        images = [root / f"{stem}.color{suffix}" for suffix in (".png", ".jpg", ".jpeg")]
        image = next((image for image in images if image.is_file()), images[0])
        views.append(View(path.name, image.name, pose[:3] * [1.0, -1.0, -1.0, 1.0], K))
    if problems:
        raise SceneError(problems)
    return views, depth_K, notes


def _matrix(path: Path, size: int, problems: list[Problem]) -> Float[np.ndarray, "n n"]:
    """The square matrix of numbers in a text file; where there is none, a problem more."""
    try:
        words = read_bytes(path, MAX_BYTES).decode("utf-8-sig").split()
        matrix = np.array([float(word) for word in words]).reshape(size, size)
        if not (np.abs(matrix) < 1e12).all() or not np.allclose(
            matrix[-1], np.eye(size)[-1], atol=1e-3
        ):
            raise ValueError
        return matrix if size == 4 else pinhole(matrix)
    except SceneError as error:
        problems.extend(error.problems)
    except ValueError:
        last = " ".join("0" * (size - 1)) + " 1"
        kind = "intrinsics" if size == 3 else "pose"
        reason = f"not a {size}x{size} {kind} matrix with the last row {last}"
        problems.append(Problem(path.name, "", reason, "write its rows as lines of numbers"))
    return np.eye(size)


def _depth_file(frame: Frame) -> Path:
    return frame.path.with_name(frame.path.name.rsplit(".color", 1)[0] + ".depth.png")


def _check_depth(frame: Frame, root: Path) -> list[Problem]:
    """What is wrong with the depth of a frame, as its header says."""
    path = _depth_file(frame)
    if not path.resolve().is_relative_to(root.resolve()):
        return [Problem(path.name, "", "lies outside the scene folder", "move it into the folder")]
    _, wrong = check_numbers(path, path.name)
    return [wrong] if wrong else []
