"""Check posed images one by one.

Missing images may be skipped; other problems make a scene invalid. Every problem of a scene is
collected before an error is raised.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from nerf.cameras.lenses import (
    FISHEYE,
    ORTHOGRAPHIC,
    PERSPECTIVE,
    fisheye_radial,
    rational_radial,
)
from nerf.scenes.base import Problem, SceneError, one_line
from nerf.scenes.decode import MISSING
from nerf.scenes.frames import MAX_ASPECT_ERROR, Frame
from nerf.scenes.images import check_image, orientation, undecodable
from nerf.scenes.lookup import Report
from nerf.scenes.maps import map_files
from nerf.scenes.tally import Tally

FOLDS = (
    "correct the distortion (are its numbers for coordinates in focal lengths?),"
    " or undistort the images"
)


def settle(
    frames: list[Frame],
    found: Sequence[Problem],
    total: int,
    root: Path,
    file: str,
    max_missing: float,
    tally: Tally,
) -> tuple[list[Frame], list[str]]:
    """Return the valid frames of a scene and notes about it.

    Args:
      frames: the frames without problems.
      found: the problems of the other frames.
      total: number of frames that `file` lists.
      root: the scene folder.
      file: the file that lists the frames.
      max_missing: fraction of the listed images that may be missing; those are skipped with a note.
      tally: observations for further notes.

    Returns:
      The frames, without images that are a mask or depth of a frame; and the notes, one line each.

    Raises:
      SceneError: lists every problem, if there are problems other than images that may be missing.
    """
    # A problem that all frames share is reported once.
    problems = list(dict.fromkeys([*found, *_shared_files(frames, file)]))
    missing = [problem for problem in problems if problem.reason == MISSING]
    notes = tally.notes(file)
    others = map_files(frames)
    frames = [frame for frame in frames if frame.path not in others]
    if missing and frames and len(missing) <= max_missing * total:
        problems = [problem for problem in problems if problem not in missing]
        shown = ", ".join(one_line(problem.file) for problem in missing[:5])
        if len(missing) > 5:
            shown += ", ..."
        notes.append(
            f"{file}: {len(missing)} of {total} listed images do not exist, skipped: {shown}"
        )
    # Images are decoded here only to complete the list of problems.
    if problems:
        raise SceneError([*problems, *undecodable((frame.path for frame in frames), root)])
    return frames, notes


def _shared_files(frames: Sequence[Frame], file: str) -> Iterator[Problem]:
    """Find images that frames share, or that are masks or depth."""
    uses = Counter(frame.path for frame in frames)
    others = map_files(frames)
    for frame in frames:
        if uses[frame.path] > 1:
            yield Problem(
                file, frame.name, "the same image is listed more than once", "keep one pose for it"
            )
        elif frame.path in others:
            fix = f"{frame.path.name} exists, but it is a mask or depth: add the image"
            yield Problem(frame.name, "", MISSING, fix)


def check_camera(
    K: np.ndarray,
    size: tuple[int, int],
    declared: tuple[float, float],
    distortion: Sequence[float],
    report: Report,
    path: Path,
    model: int = PERSPECTIVE,
) -> None:
    """Check the camera of an image, and report the first problem.

    Args:
      K: intrinsics in pixels of the stored image.
      size: width and height of the stored image.
      declared: width and height according to the scene's file.
      distortion: eight coefficients, see `nerf.cameras.lenses`.
      report: called with the key, the reason and the fix of a problem.
      path: the image file.
      model: a lens model of `nerf.cameras.lenses`.
    """
    wide, high = size
    w, h = declared
    if not min(w, h) > 0 or abs(w / h * high / wide - 1) > MAX_ASPECT_ERROR:
        report("w", *_other_shape(size, declared, path))
    elif model != ORTHOGRAPHIC and not np.all(
        (np.diag(K)[:2] > 1e-3 * wide) & (np.diag(K)[:2] < 1e4 * wide)
    ):
        focal = f"{K[0, 0]:g}, {K[1, 1]:g}"
        reason = f"implausible focal length of {focal} pixels for width {wide}"
        report("fl_x", reason, "correct it: lengths are in pixels, angles in radians")
    elif not np.all(np.abs(K[:2, 2] / size - 0.5) < 5):
        reason = f"implausible principal point {K[0, 2]:g}, {K[1, 2]:g} for {wide}x{high}"
        report("cx", reason, "write it in pixels from the top left corner")
    elif not _one_to_one(K, size, distortion, model):
        report("k1", "distortion folds the picture over itself inside its borders", FOLDS)


def _other_shape(
    size: tuple[int, int], declared: tuple[float, float], path: Path
) -> tuple[str, str]:
    """Return the reason and the fix for an image of an undeclared shape."""
    wide, high = size
    w, h = declared
    reason = f"file says {w:g}x{h:g}, the image is {wide}x{high}"
    if not min(w, h) > 0 or abs(w / h * wide / high - 1) > MAX_ASPECT_ERROR:
        return reason, "correct the size in the file, or use the images that it was made for"
    # Width and height are exchanged. Orientations 5 to 8 of EXIF exchange them for viewers.
    if (turned := orientation(path)) >= 5:
        reason = f"{reason}, and its EXIF orientation {turned} asks viewers to rotate it"
        tools = "`exiftran -ai` or `mogrify -auto-orient`"
        return reason, f"rotate the pixels to fit the poses: {tools} on the images"
    fix = "use the images as they were when the poses were estimated"
    return f"{reason}: it is rotated by 90 degrees", fix


def check_mask(
    path: Path,
    shown: str,
    image: tuple[int, int],
    found: list[Problem],
    report: Callable[[str, str], None] | None = None,
) -> None:
    """Check that a mask is readable and has the aspect ratio of its image.

    Its size may differ, since masks are resampled.

    Args:
      path: the mask file.
      shown: its name in problems.
      image: width and height of the image.
      found: list to which a problem of the file is added.
      report: called with the reason and the fix for another aspect ratio; by default, that is a
        problem of the file too.
    """
    (w, h), _, wrong = check_image(path, shown)
    if wrong:
        found.append(wrong)
        return
    wide, high = image
    # Reducing a mask or an image may have rounded each side, by up to a pixel.
    rounding = 0.0
    if min(w, h) > 0:
        rounding = 1.0 / min(w, h) + 1.0 / min(wide, high)
    max_error = max(MAX_ASPECT_ERROR, min(rounding, 0.1))
    if not min(w, h) > 0 or abs(w / h * high / wide - 1) > max_error:
        what = (f"{w}x{h}, the image is {wide}x{high}", "make masks of the images' size")
        if report is None:
            found.append(Problem(shown, "", *what))
        else:
            report(*what)


def _one_to_one(
    K: np.ndarray, size: tuple[int, int], distortion: Sequence[float], model: int
) -> bool:
    """Return whether each pixel around the centre of a picture has one direction.

    That is so if the distorted radius grows up to the nearest side of the picture. Corners may lie
    beyond the valid radius: `nerf.cameras.cameras.seen_pixels` masks them.
    """
    if model not in (PERSPECTIVE, FISHEYE):
        return True
    # Distances from the axis in the picture, in focal lengths: of the farthest corner and half the
    # shorter side.
    corners = np.array([[x, y] for x in (0, size[0]) for y in (0, size[1])])
    corner = np.linalg.norm((corners - K[:2, 2]) / np.diag(K)[:2], axis=-1).max()
    side = (np.array(size) / np.diag(K)[:2]).min() / 2
    coefficients = np.asarray(distortion, np.float64)
    if model == PERSPECTIVE:
        # Rational radial distortion of the undistorted radius r, in focal lengths.
        farthest = corner
        r = np.linspace(0.0, 3.0 * corner, 512)
        above, below = rational_radial(r**2, coefficients)
        bent = r * above / np.maximum(below, 1e-9)
        sideways = np.abs(coefficients[2:4]).sum()
    else:
        # Fisheye: r is the angle to the axis in radians.
        farthest = side
        r = np.linspace(0.0, np.pi, 512)
        bent = r * fisheye_radial(r**2, coefficients)
        sideways = np.abs(coefficients[4:]).sum()
    # The mapping is one-to-one up to the first sample at which the distorted radius stops growing.
    # Tangential terms must be small, since they can fold the picture too.
    growing = np.cumprod(np.diff(bent) > 0).astype(bool)
    return bool(bent[1:][growing].max(initial=0.0) > side and sideways * farthest < 0.1)


def note_trained(held_out: Sequence[Frame], train: Sequence[Frame], file: str) -> list[str]:
    """Return a note if held-out frames are training frames too.

    They are if both use the same file, or copies of a file at the same pose.

    Args:
      held_out: the frames to be scored.
      train: the frames to be trained on.
      file: the file that names the held-out frames.

    Returns:
      A list of one note, or an empty list.
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
    shown = f"{count} of {len(held_out)} test views are training views"
    reason = "their scores are not those of unseen views"
    return [f"{file}: {shown}: {reason}: list each in one split"]


def _same_bytes(a: Frame, b: Frame) -> bool:
    """Return whether two frames have equal image files; unreadable files are not equal."""
    try:
        return (
            a.path.stat().st_size == b.path.stat().st_size
            and a.path.read_bytes() == b.path.read_bytes()
        )
    except OSError:
        return False
