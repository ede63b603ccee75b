"""What formats share whose cameras stand beside a folder of photos: the folder, its images, their masks, the splits.

Such a file knows a pose and intrinsics for each image, often for images of another size than those in the folder: the
intrinsics follow the image that is read, x and y apart.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.lenses import PERSPECTIVE
from nerf.scenes.base import Problem, SceneError, check_poses, hold_out
from nerf.scenes.frames import Frame, check_camera, locate, settle
from nerf.scenes.images import check_image

PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a file says of an image before the image is looked at.

    Attributes:
      key: where in the file it says so.
      name: the image, relative to the scene's folder.
      c2w: camera-to-world, OpenGL axes, in the file's world.
      K: intrinsics in pixels of an image of `size`.
      size: width and height; None for the image's own.
      model: a lens of `nerf.lenses`, and its `distortion`.
    """

    key: str
    name: str
    c2w: Float[np.ndarray, "3 4"]
    K: Float[np.ndarray, "3 3"]
    size: tuple[float, float] | None = None
    model: int = PERSPECTIVE
    distortion: Float[np.ndarray, "8"] = dataclasses.field(default_factory=lambda: np.zeros(8))


def from_opencv(rotation: Float[np.ndarray, "*b 3 3"], translation: Float[np.ndarray, "*b 3"]) -> np.ndarray:
    """Camera-to-world with OpenGL axes of x_camera = rotation x_world + translation with OpenCV's. -> (*b, 3, 4)."""
    back = np.swapaxes(rotation, -1, -2)
    return np.concatenate([back * [1.0, -1.0, -1.0], -back @ translation[..., None]], -1)


def pinhole(K: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """K of a pinhole camera without skew, up to scale, as [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].

    Raises ValueError for anything else, numbers that are not finite among it.
    """
    if not (np.abs(K) < 1e12).all() or not abs(K[2, 2]) > 1e-9:
        raise ValueError("K is not finite")
    K = K / K[2, 2]
    if not np.allclose(K[[1, 2, 2], [0, 0, 1]], 0.0) or abs(K[0, 1]) > 1e-2 * abs(K[0, 0]):
        raise ValueError("K is not that of a pinhole camera without skew")
    return np.array([[K[0, 0], 0.0, K[0, 2]], [0.0, K[1, 1], K[1, 2]], [0.0, 0.0, 1.0]])


def photos(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOS) if folder.is_dir() else []


def image_folder(root: Path, max_side: int, first: Callable[[Path], Path | None]) -> Path:
    """Of `images`, `images_2`, ... the one that gives the largest images within `max_side`, and the smaller of equals.

    Args:
      root: the scene's folder.
      max_side: larger images are reduced by an integer factor.
      first: gives an image of a folder, or None where the folder has none of the scene's.
    """
    folders = [root / "images", *sorted(root.glob("images_[0-9]*"))]
    best, found = (0, 0), folders[0]
    for folder in folders:
        path = first(folder)
        largest = max(check_image(path, path.name)[0]) if path else 0
        merit = (largest // max(1, -(-largest // max_side)), -largest)
        best, found = max((best, found), (merit, folder))
    return found


def check_views(
    views: Sequence[View], root: Path, file: str, max_missing: float = 0.0
) -> tuple[list[Frame], list[str]]:
    """The views' frames in their order, and notes; raises a SceneError that lists every problem.

    Images that do not exist are left out with a note if they are at most the fraction `max_missing`.
    """
    found: list[Problem] = []
    frames: list[Frame] = []
    for view in views:
        frame, problems = _check_view(view, root, file)
        found.extend(problems)
        frames.extend([frame] if frame else [])
    return settle(frames, found, len(views), root, file, max_missing)


def _check_view(view: View, root: Path, file: str) -> tuple[Frame | None, list[Problem]]:
    problems = list(check_poses(view.c2w[None], file, [view.key]))
    report = partial(_report, problems, file, view.key)
    if not problems and np.abs(view.c2w[:, 3]).max() > 1e12:
        report("position", "implausibly far", "export the pose again")
    name, path = locate(view.name, root, ("",), report)
    size, transparent, wrong = check_image(path, name) if path else ((0, 0), False, None)
    problems.extend([wrong] if wrong else [])
    if path is None or wrong:
        return None, problems
    declared = view.size or (float(size[0]), float(size[1]))
    if not min(declared) >= 1.0:
        report("w", f"images of {declared[0]:g}x{declared[1]:g}", "write the size in pixels")
        return None, problems
    K = np.diag([size[0] / declared[0], size[1] / declared[1], 1.0]) @ view.K
    check_camera(K, size, declared, view.distortion.tolist(), report, view.model)
    if problems:
        return None, problems
    return Frame(name, path, size, view.c2w, K, view.distortion, transparent, view.model), []


def _report(problems: list[Problem], file: str, key: str, where: str, reason: str, mend: str) -> None:
    problems.append(Problem(file, key, f"{where}: {reason}", mend))


def choose(frames: Sequence[Frame], split: str, validation: bool, every: int, file: str) -> list[Frame]:
    """The frames of a split where the files name none: of the names sorted, every `every`-th is "test".

    "val" is every `every`-th of the others, which leave "train" where `validation` says so.
    """
    splits = hold_out(sorted(frames, key=lambda frame: frame.name), every)
    if split == "train" and validation:
        splits["train"] = [frame for frame in splits["train"] if frame not in splits["val"]]
    if not splits[split]:
        raise SceneError([Problem(file, "", f"no view in split '{split}'", "add images to it")])
    return splits[split]


def with_masks(frames: Sequence[Frame], folder: Path, root: Path) -> list[Frame]:
    """The frames with their masks: images of the same name, or with "_mask" or ".png" after it, in a folder.

    Where none has such a name, but there are as many masks as frames, they are in the same order. Frames are as they
    were where the folder has no image at all; raises SceneError where it has masks but not for every frame.
    """
    found = photos(folder)
    if not found:
        return list(frames)
    masks = {frame.name: _mask_of(frame, folder) for frame in frames}
    if len(found) == len(frames) and not any(path.is_file() for path in masks.values()):
        masks = {frame.name: path for frame, path in zip(sorted(frames, key=lambda f: f.name), found, strict=True)}
    if problems := [problem for frame in frames for problem in _check_mask(masks[frame.name], frame, root)]:
        raise SceneError(problems)
    return [dataclasses.replace(frame, mask=masks[frame.name]) for frame in frames]


def _mask_of(frame: Frame, folder: Path) -> Path:
    stem, name = frame.path.stem, frame.path.name
    candidates = [folder / mask for mask in (f"{stem}.png", f"{stem}_mask.png", f"{name}.png", name)]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _check_mask(path: Path, frame: Frame, root: Path) -> list[Problem]:
    """What is wrong with the mask of a frame: unreadable, or of another size."""
    shown = path.relative_to(root).as_posix()
    if not path.resolve().is_relative_to(root.resolve()):
        return [Problem(shown, "", "lies outside the scene folder", "move the mask into the folder")]
    (w, h), _, wrong = check_image(path, shown)
    if not wrong and (w, h) != frame.size:
        size = f"{frame.size[0]}x{frame.size[1]}"
        wrong = Problem(shown, "", f"{w}x{h}, its image is {size}", "make masks of the images' size")
    return [wrong] if wrong else []
