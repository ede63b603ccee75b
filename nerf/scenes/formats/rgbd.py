"""Load RGB-D sequences in the format of 7-Scenes (Shotton et al., CVPR 2013).

The files are `frame-*.color.png` (or .jpg), `frame-*.depth.png`, `frame-*.pose.txt` and
`camera-intrinsics.txt`. Poses are camera-to-world with OpenCV axes, in metres. Depth is 16-bit, in
millimetres along the optical axis; 0 and 65535 mean unknown.

`camera-intrinsics.txt` describes the depth camera. Colour images may have another lens, described
by `color-intrinsics.txt`. Without that file both share one lens, with one exception: if the numbers
are those that 7-Scenes gives for a Kinect's depth camera, whose images are not registered, colours
get OpenNI's focal length of 525 pixels. Depth is mapped to colour pixels as if both cameras were in
one place (they are 25 mm apart).
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
from nerf.scenes.frames import Frame
from nerf.scenes.normalise import measured_distances, normalise
from nerf.scenes.reading import to_scene

INTRINSICS = "camera-intrinsics.txt"
COLOUR = "color-intrinsics.txt"
# K of a Kinect's two cameras, in pixels of 640x480 images.
KINECT_DEPTH = intrinsics(585.0, 585.0, 320.0, 240.0)
KINECT_COLOUR = intrinsics(525.0, 525.0, 320.0, 240.0)
MAX_BYTES = 100_000


def detect(root: Path) -> bool:
    """Return whether the folder contains intrinsics and a pose."""
    return (root / INTRINSICS).is_file() and any(root.glob("*.pose.txt"))


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """Load one split of an unbounded scene, with depth."""
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
    distances = measured_distances(frames, root)
    transform = normalise(frames, bounded=False, level=True, distances=distances)
    chosen = choose(frames, split, validation, every, INTRINSICS)
    return to_scene(chosen, transform, root, max_side, unbounded=True, notes=[*notes, *more])


def _views(root: Path) -> tuple[list[View], Float[np.ndarray, "3 3"], list[str]]:
    """Return a view for each pose, K of the depth camera, and notes.

    Raises:
      SceneError: with every file that is not a valid matrix.
    """
    views: list[View] = []
    problems: list[Problem] = []
    notes: list[str] = []
    depth_K = _matrix(root / INTRINSICS, 3, problems)
    K = _matrix(root / COLOUR, 3, problems) if (root / COLOUR).is_file() else depth_K
    if K is depth_K and np.allclose(K, KINECT_DEPTH):
        K = KINECT_COLOUR
        effect = "colours are read with a focal length of 525 pixels"
        notes = [f"{INTRINSICS}: is a Kinect's depth camera: {effect}; {COLOUR} would override it"]
    for path in sorted(root.glob("*.pose.txt")):
        pose = _matrix(path, 4, problems)
        stem = path.name.removesuffix(".pose.txt")
        images = [root / f"{stem}.color{suffix}" for suffix in (".png", ".jpg", ".jpeg")]
        image = next((image for image in images if image.is_file()), images[0])
        # Negating y and z of the camera turns OpenCV's axes into OpenGL's.
        views.append(View(path.name, image.name, pose[:3] * [1.0, -1.0, -1.0, 1.0], K))
    if problems:
        raise SceneError(problems)
    return views, depth_K, notes


def _matrix(path: Path, size: int, problems: list[Problem]) -> Float[np.ndarray, "n n"]:
    """Read a square matrix from a text file.

    An invalid file adds a problem and gives the identity, so that all files are checked before an
    error is raised.
    """
    try:
        words = read_bytes(path, MAX_BYTES).decode("utf-8-sig").split()
        matrix = np.array([float(word) for word in words]).reshape(size, size)
        finite = (np.abs(matrix) < 1e12).all()
        if not finite or not np.allclose(matrix[-1], np.eye(size)[-1], atol=1e-3):
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
    """Return the depth image beside a colour image."""
    return frame.path.with_name(frame.path.name.rsplit(".color", 1)[0] + ".depth.png")


def _check_depth(frame: Frame, root: Path) -> list[Problem]:
    """Return the problems of a frame's depth image, from its header."""
    path = _depth_file(frame)
    if not path.resolve().is_relative_to(root.resolve()):
        fix = "move it into the folder"
        return [Problem(path.name, "", "lies outside the scene folder", fix)]
    _, wrong = check_numbers(path, path.name)
    return [wrong] if wrong else []
