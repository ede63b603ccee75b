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

from nerf.cameras.lenses import PERSPECTIVE
from nerf.scenes.base import Problem, SceneError, hold_out, no_views, one_line
from nerf.scenes.checks import check_camera, check_mask, settle
from nerf.scenes.frames import Frame
from nerf.scenes.images import check_image, orientation
from nerf.scenes.lookup import MASK, PHOTOS, Finder
from nerf.scenes.rigid import nearest_pose
from nerf.scenes.tally import Tally


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a file says of an image before the image is looked at.

    Attributes:
      key: where in the file it says so.
      name: the image, relative to the scene's folder.
      c2w: camera-to-world, OpenGL axes, in the file's world.
      K: intrinsics in pixels of an image of `size`.
      size: width and height; None for the image's own.
      model: a lens of `nerf.cameras.lenses`, and its `distortion`.
    """

    key: str
    name: str
    c2w: Float[np.ndarray, "3 4"]
    K: Float[np.ndarray, "3 3"]
    size: tuple[float, float] | None = None
    model: int = PERSPECTIVE
    distortion: Float[np.ndarray, "8"] = dataclasses.field(default_factory=lambda: np.zeros(8))


def from_opencv(
    rotation: Float[np.ndarray, "*b 3 3"], translation: Float[np.ndarray, "*b 3"]
) -> np.ndarray:
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
    """Return the images in a folder, sorted by name, without hidden files."""
    return sorted(path for path in folder.iterdir() if is_photo(path)) if folder.is_dir() else []


def is_photo(path: Path) -> bool:
    """Return whether a file is called like an image and is not hidden, as what a Mac leaves beside files is."""
    return path.suffix.lower() in PHOTOS and not path.name.startswith(".")


def image_folder(
    root: Path, max_side: int, first: Callable[[Path], Path | None], name: str = "images"
) -> Path:
    """Choose the folder that gives the largest images within `max_side`, and the smaller of equals.

    Args:
      root: the scene's folder.
      max_side: larger images are reduced by an integer factor.
      first: gives an image of a folder, or None where the folder has none of the scene's.
      name: of the folder of full images; those beside it are called so with `_2`, `_4`, ... after it.
    """
    folders = [root / name, *sorted(root.glob(f"{name}_[0-9]*"))]
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
    """Check all views; raises a SceneError that lists every problem.

    Args:
      views: what a file says of its images.
      root: the scene folder.
      file: the file's name.
      max_missing: the fraction of the images that may be missing; they are left out with a note.

    Returns:
      The views' frames in their order, and notes.
    """
    found: list[Problem] = []
    tally = Tally()
    finder = Finder(root, tally)
    frames: list[Frame] = []
    for view in views:
        frame, problems = _check_view(view, finder, file)
        found.extend(problems)
        frames.extend([frame] if frame else [])
    return settle(frames, found, len(views), root, file, max_missing, tally)


def _check_view(view: View, finder: Finder, file: str) -> tuple[Frame | None, list[Problem]]:
    c2w, problems = nearest_pose(view.c2w, file, view.key, finder.tally)
    report = partial(_report, problems, file, view.key)
    if not problems and np.abs(c2w[:, 3]).max() > 1e12:
        report("position", f"a position of {np.abs(c2w[:, 3]).max():.1e}", "export the pose again")
    name, path = finder.locate(view.name, report)
    size, transparent, wrong = check_image(path, name) if path else ((0, 0), False, None)
    problems.extend([wrong] if wrong else [])
    if path is None or wrong:
        return None, problems
    declared = view.size or (float(size[0]), float(size[1]))
    if not min(declared) >= 1.0:
        report("w", f"images of {declared[0]:g}x{declared[1]:g}", "write the size in pixels")
        return None, problems
    K = np.diag([size[0] / declared[0], size[1] / declared[1], 1.0]) @ view.K
    check_camera(K, size, declared, view.distortion.tolist(), report, path, view.model)
    if problems:
        return None, problems
    turned = orientation(path)
    return Frame(
        name, path, size, c2w, K, view.distortion, transparent, view.model, orientation=turned
    ), []


def _report(
    problems: list[Problem], file: str, key: str, where: str, reason: str, fix: str
) -> None:
    # `where` is a key of transforms.json, which these formats do not have: the reason names what is meant.
    problems.append(Problem(file, key, reason, fix))


def choose(
    frames: Sequence[Frame], split: str, validation: bool, every: int, file: str
) -> list[Frame]:
    """Choose the frames of a split where the files name none: of the names sorted, every `every`-th is "test".

    Args:
      frames: all frames of the scene.
      split: "train", "val" or "test"; "val" is every `every`-th of those that are not "test".
      validation: leave the frames of "val" out of "train".
      every: which frames are held out.
      file: the file that lists them, for the problem of a split without frames.
    """
    splits = hold_out(sorted(frames, key=lambda frame: frame.name), every)
    if split == "train" and validation:
        splits["train"] = [frame for frame in splits["train"] if frame not in splits["val"]]
    if not splits[split]:
        raise no_views(split, len(frames), file)
    return splits[split]


def note_unposed(
    frames: Sequence[Frame], photos: Sequence[Path], folder: str, file: str
) -> list[str]:
    """Return a note if there are photos that are no frame of the scene.

    Args:
      frames: the frames.
      photos: all photos that are in the folder.
      folder: its name.
      file: the file of the poses.
    """
    known = {frame.path for frame in frames}
    if not (left := [path for path in photos if path not in known]):
        return []
    shown = ", ".join(one_line(path.name) for path in left[:3]) + (", ..." if len(left) > 3 else "")
    return [
        f"{file}: {len(left)} of {len(photos)} photos in {folder} have no pose, left out: {shown}"
    ]


def with_masks(
    frames: Sequence[Frame],
    root: Path,
    images: str,
    folders: Sequence[str] = (),
    partial: bool = False,
) -> tuple[list[Frame], list[str]]:
    """Give the frames the masks that lie in a folder beside that of the images.

    A mask has the name of its image, or has "_mask" or another extension after it, and lies in the same subfolder; a
    mask in no subfolder may serve one image only. Where no name fits, but there are as many masks as frames, they are
    in the same order. Masks are of any size: they are resampled to that of the images.

    Args:
      frames: all frames of the scene.
      root: the scene folder.
      images: the folder of the images, relative to it.
      folders: those of masks, the first that has any is read; by default `masks_4` for `images_4`, or else `masks`.
      partial: whether images without a mask count everywhere, as in COLMAP. Otherwise they are refused.

    Returns:
      The frames, as they were where there is no mask at all, and notes.
    """
    number = images.removeprefix("images") if images.startswith("images_") else ""
    names = folders or (f"masks{number}", "masks", f"mask{number}", "mask")
    folder = next((name for name in names if any(map(is_photo, (root / name).rglob("*")))), None)
    if folder is None:
        return list(frames), []
    finder = Finder(root, Tally())
    masks, problems = _match_masks(frames, finder, images, folder)
    notes = []
    flat = photos(root / folder)
    if not masks and not problems and len(flat) == len(frames):
        ordered = sorted(frames, key=lambda frame: frame.name)
        masks = {frame.name: path for frame, path in zip(ordered, flat, strict=True)}
        notes.append(
            f"{folder}: names are not those of the images: masks are taken in the order of their names"
        )
    missing = [frame for frame in frames if frame.name not in masks]
    if not masks and not problems:
        fix = "name each like its image, with .png after or instead of its extension"
        problems.append(Problem(folder, "", "no mask has the name of an image", fix))
    elif missing and partial:
        notes.append(
            f"{folder}: {len(missing)} of {len(frames)} images have no mask: all of their pixels count"
        )
    elif missing and masks:
        fix = "add it, all white where every pixel counts"
        problems += [
            Problem(f"{folder}/{frame.path.stem}.png", "", "no such mask", fix) for frame in missing
        ]
    problems += [
        problem for frame in frames for problem in _check_mask(masks.get(frame.name), frame, root)
    ]
    if problems:
        raise SceneError(problems)
    return [dataclasses.replace(frame, mask=masks.get(frame.name)) for frame in frames], notes


def _match_masks(
    frames: Sequence[Frame], finder: Finder, images: str, folder: str
) -> tuple[dict[str, Path], list[Problem]]:
    """Return the mask of each frame that has one, by its name, and masks that could be those of two."""
    masks: dict[str, Path] = {}
    shared: dict[str, list[str]] = {}
    problems: list[Problem] = []
    for frame in frames:
        inner = (
            frame.path.relative_to(finder.root / images)
            if frame.path.is_relative_to(finder.root / images)
            else None
        )
        name = inner.as_posix() if inner else frame.path.name
        found: list[str] = []
        for place in dict.fromkeys((name, frame.path.name)):
            found = found or finder.find(folder, place, MASK)
            found = found or finder.find(
                folder, f"{place.removesuffix(frame.path.suffix)}_mask", MASK
            )
        if len(found) > 1:
            shown = ", ".join(found[:3])
            problems.append(
                Problem(frame.name, "", f"{len(found)} masks have its name ({shown})", "keep one")
            )
        elif found:
            masks[frame.name] = finder.root / found[0]
            shared.setdefault(found[0], []).append(frame.name)
    for mask, users in shared.items():
        if len(users) > 1:
            reason = f"the mask has the name of {len(users)} images ({', '.join(users[:3])})"
            problems.append(
                Problem(
                    mask, "", reason, f"put masks into subfolders of {folder} as the images are"
                )
            )
    return masks, problems


def _check_mask(path: Path | None, frame: Frame, root: Path) -> list[Problem]:
    """Find what is wrong with the mask of a frame: unreadable, or of another shape."""
    if path is None:
        return []
    shown = path.relative_to(root).as_posix()
    if not path.resolve().is_relative_to(root.resolve()):
        return [
            Problem(shown, "", "lies outside the scene folder", "move the mask into the folder")
        ]
    size, _, wrong = check_image(path, shown)
    problems = [wrong] if wrong else []
    if not wrong:
        check_mask(
            size, frame.size, lambda reason, fix: problems.append(Problem(shown, "", reason, fix))
        )
    return problems
