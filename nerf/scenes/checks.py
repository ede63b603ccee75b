"""Check posed images one by one, and settle what is left out of a scene and what is refused.

Every problem of a scene is collected before anything is raised.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from nerf.cameras.lenses import FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes.base import Problem, SceneError, one_line
from nerf.scenes.decode import MISSING
from nerf.scenes.frames import Frame
from nerf.scenes.images import orientation, read_images
from nerf.scenes.lookup import Report
from nerf.scenes.tally import Tally

FOLDS = "correct the distortion (are its numbers for coordinates in focal lengths?), or undistort the images"
MAX_ASPECT_ERROR = 0.02  # of width / height, between what a file says and the image


def settle(
    frames: list[Frame], found: Sequence[Problem], total: int, root: Path, file: str, max_missing: float, tally: Tally
) -> tuple[list[Frame], list[str]]:
    """Return the complete frames of a scene and notes, or raise a SceneError that lists every problem.

    Args:
      frames: those in which nothing is wrong.
      found: what is wrong with the others.
      total: how many are listed.
      root: the scene folder.
      file: the file that lists them.
      max_missing: the fraction of listed images that may be missing; they are left out with a note.
      tally: what else is to be noted.
    """
    problems = list(dict.fromkeys([*found, *_shared_files(frames, file)]))  # what is wrong for all is said once
    missing = [problem for problem in problems if problem.reason == MISSING]
    notes = tally.notes(file)
    others = attachments(frames)
    frames = [frame for frame in frames if frame.path not in others]
    if missing and frames and len(missing) <= max_missing * total:
        problems = [problem for problem in problems if problem not in missing]
        shown = ", ".join(one_line(problem.file) for problem in missing[:5]) + (", ..." if len(missing) > 5 else "")
        notes.append(f"{file}: {len(missing)} of {total} listed images do not exist, left out: {shown}")
    if problems:
        raise SceneError([*problems, *_undecodable(frames, root)])
    return frames, notes


def _shared_files(frames: Sequence[Frame], file: str) -> Iterator[Problem]:
    """Find images that two frames have, and images that are a frame's mask or depth."""
    uses = Counter(frame.path for frame in frames)
    others = attachments(frames)
    for frame in frames:
        if uses[frame.path] > 1:
            yield Problem(file, frame.name, "the same image is listed more than once", "keep one pose for it")
        elif frame.path in others:
            yield Problem(
                frame.name, "", MISSING, f"{frame.path.name} is there, but it is a mask or depth: add the image"
            )


def attachments(frames: Sequence[Frame]) -> set[Path | None]:
    """Return the files that are a mask or the depth of a frame."""
    return {path for frame in frames for path in (frame.mask, frame.moving, frame.depth)}


def _undecodable(frames: Sequence[Frame], root: Path) -> list[Problem]:
    """Images that pass for whole until they are decoded: looked for where something else is wrong already."""
    try:
        read_images([frame.path for frame in frames], root)
    except SceneError as error:
        return error.problems
    return []


def check_camera(
    K: np.ndarray,
    size: tuple[int, int],
    declared: tuple[float, float],
    distortion: Sequence[float],
    report: Report,
    path: Path,
    model: int = PERSPECTIVE,
) -> None:
    """Report what is wrong with the camera of an image, if anything is.

    Args:
      K: intrinsics in pixels of the image as it is stored.
      size: width and height of the image.
      declared: the width and height that the file speaks of.
      distortion: the eight numbers of the lens.
      report: called with a key, a reason and how to fix it.
      path: the image.
      model: a lens of `nerf.cameras.lenses`.
    """
    wide, high = size
    w, h = declared
    if not min(w, h) > 0 or abs(w / h * high / wide - 1) > MAX_ASPECT_ERROR:
        report("w", *_other_shape(size, declared, path))
    elif model != ORTHOGRAPHIC and not np.all((np.diag(K)[:2] > 1e-3 * wide) & (np.diag(K)[:2] < 1e4 * wide)):
        focal = f"{K[0, 0]:g}, {K[1, 1]:g}"
        reason = f"implausible focal length of {focal} pixels for width {wide}"
        report("fl_x", reason, "correct it: lengths are in pixels, angles in radians")
    elif not np.all(np.abs(K[:2, 2] / size - 0.5) < 5):
        reason = f"implausible principal point {K[0, 2]:g}, {K[1, 2]:g} for {wide}x{high}"
        report("cx", reason, "write it in pixels from the top left corner")
    elif not _one_to_one(K, size, distortion, model):
        report("k1", "distortion folds the picture over itself before its sides", FOLDS)


def _other_shape(size: tuple[int, int], declared: tuple[float, float], path: Path) -> tuple[str, str]:
    """Return why an image is not of the shape that the file speaks of, and how to fix it."""
    (wide, high), (w, h) = size, declared
    reason = f"file says {w:g}x{h:g}, the image is {wide}x{high}"
    if not min(w, h) > 0 or abs(w / h * wide / high - 1) > MAX_ASPECT_ERROR:
        return reason, "correct the size in the file, or use the images that it was made for"
    if (turned := orientation(path)) >= 5:
        reason = f"{reason}, and its EXIF orientation {turned} asks viewers to turn it"
        return reason, "turn the pixels to fit the poses: `exiftran -ai` or `mogrify -auto-orient` on the images"
    return f"{reason}: it is turned by 90 degrees", "use the images as they were when the poses were estimated"


def check_mask(size: tuple[int, int], image: tuple[int, int], report: Callable[[str, str], None]) -> None:
    """Report a mask of another shape than its image; it may be larger or smaller, since it is resampled.

    Args:
      size: width and height of the mask.
      image: width and height of the image.
      report: called with a reason and how to fix it.
    """
    (w, h), (wide, high) = size, image
    rounding = 1.0 / min(w, h) + 1.0 / min(wide, high) if min(w, h) > 0 else 0.0  # a halved side may be cut or not
    if not min(w, h) > 0 or abs(w / h * high / wide - 1) > max(MAX_ASPECT_ERROR, min(rounding, 0.1)):
        report(f"{w}x{h}, the image is {wide}x{high}", "make masks of the images' size")


def _one_to_one(K: np.ndarray, size: tuple[int, int], distortion: Sequence[float], model: int) -> bool:
    """Return whether the middle of a picture comes from one direction each: the distorted radius grows up to its sides.

    Corners may lie beyond: they are masked, see `nerf.cameras.cameras.seen_pixels`.
    """
    if model not in (PERSPECTIVE, FISHEYE):
        return True
    corners = np.array([[x, y] for x in (0, size[0]) for y in (0, size[1])])
    corner = np.linalg.norm((corners - K[:2, 2]) / np.diag(K)[:2], axis=-1).max()
    side = (np.array(size) / np.diag(K)[:2]).min() / 2
    farthest = corner if model == PERSPECTIVE else side
    r = np.linspace(0.0, 3.0 * corner if model == PERSPECTIVE else np.pi, 512)
    if model == PERSPECTIVE:
        k1, k2, p1, p2, k3, *below = distortion
        bent = r * np.polyval([k3, k2, k1, 1.0], r**2) / np.maximum(np.polyval([*below[::-1], 1.0], r**2), 1e-9)
        sideways = abs(p1) + abs(p2)
    else:
        bent = r * np.polyval([*distortion[3::-1], 1.0], r**2)
        sideways = np.abs(distortion[4:]).sum()
    growing = np.cumprod(np.diff(bent) > 0).astype(bool)
    return bool(bent[1:][growing].max(initial=0.0) > side and sideways * farthest < 0.1)


def note_trained(held_out: Sequence[Frame], train: Sequence[Frame], file: str) -> list[str]:
    """Return a note if held-out frames are training frames too: the same file, or a copy of it at the same pose.

    Args:
      held_out: the frames to be scored.
      train: the frames to be trained on.
      file: the file that names the held-out ones.
    """
    files = {frame.path for frame in train}
    poses: dict[bytes, list[Frame]] = {}
    for frame in train:
        poses.setdefault(frame.c2w.tobytes(), []).append(frame)
    count = 0
    for frame in held_out:
        twins = poses.get(frame.c2w.tobytes(), [])
        count += frame.path in files or any(_same_bytes(frame, other) for other in twins)
    if not count:
        return []
    reason = "their scores are not those of views that were never seen"
    return [f"{file}: {count} of {len(held_out)} test views are training views: {reason}: list each in one split"]


def _same_bytes(a: Frame, b: Frame) -> bool:
    try:
        return a.path.stat().st_size == b.path.stat().st_size and a.path.read_bytes() == b.path.read_bytes()
    except OSError:
        return False
