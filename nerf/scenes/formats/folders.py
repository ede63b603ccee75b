"""Shared code of formats with a folder of photos beside a camera file: views, masks, splits.

Such a file gives a pose and intrinsics for each image, often for images of another size than those
in the folder. The intrinsics are scaled to the stored image, x and y separately.
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
from nerf.scenes.decode import check_header
from nerf.scenes.frames import Frame, frames_of
from nerf.scenes.images import check_image, orientation
from nerf.scenes.lookup import MASK, PHOTOS, Finder
from nerf.scenes.rigid import nearest_pose
from nerf.scenes.tally import Tally


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """One entry of a camera file, before its image is checked.

    Attributes:
      key: where the entry is in the file, for messages.
      name: the image, relative to the scene folder.
      c2w: camera-to-world with OpenGL axes, in the file's world.
      K: intrinsics in pixels of an image of `size`.
      size: width and height in pixels; None for those of the stored image.
      model: a lens of `nerf.cameras.lenses`.
      distortion: the coefficients of that lens.
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
    """Convert world-to-camera with OpenCV axes to camera-to-world with OpenGL axes.

    The input means x_camera = rotation x_world + translation.

    Returns:
      Camera-to-world matrices (*b, 3, 4).
    """
    back = np.swapaxes(rotation, -1, -2)
    # The inverse is x_world = R^T x_camera - R^T t. Negating y and z of the camera gives OpenGL's
    # axes.
    return np.concatenate([back * [1.0, -1.0, -1.0], -back @ translation[..., None]], -1)


def pinhole(K: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Normalise K of a pinhole camera to [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].

    Raises:
      ValueError: if K is not finite, has skew, or is not that of a pinhole camera up to scale.
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
    """Return whether a file has an image's extension and is not hidden.

    macOS leaves hidden files with the same extensions beside images.
    """
    return path.suffix.lower() in PHOTOS and not path.name.startswith(".")


def image_folder(
    root: Path, max_side: int, first: Callable[[Path], Path | None], name: str = "images"
) -> Path:
    """Choose the folder whose images are largest after reduction to `max_side`.

    Among equals the folder with the smallest stored images is chosen.

    Args:
      root: the scene folder.
      max_side: larger images are reduced by an integer factor to at most this many pixels a side.
      first: returns one image of the scene in a folder, or None if the folder contains none.
      name: folder of the full images; those beside it are named `NAME_2`, `NAME_4`, ...

    Returns:
      The folder; `root / name` if none contains an image.
    """
    folders = [root / name, *sorted(root.glob(f"{name}_[0-9]*"))]
    best, found = (0, 0), folders[0]
    for folder in folders:
        path = first(folder)
        largest = max(check_image(path, path.name)[0]) if path else 0
        factor = max(1, -(-largest // max_side))  # largest / max_side, rounded up
        best, found = max((best, found), ((largest // factor, -largest), folder))
    return found


def check_views(
    views: Sequence[View], root: Path, file: str, max_missing: float = 0.0
) -> tuple[list[Frame], list[str]]:
    """Check all views and their images.

    Args:
      views: the entries of a camera file.
      root: the scene folder.
      file: name of the camera file, for messages.
      max_missing: largest allowed fraction of images that do not exist; they are skipped with a
        note.

    Returns:
      The frames in the order of the views, and notes.

    Raises:
      SceneError: with every problem of every view.
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
    """Return the frame of a view, or None and its problems."""
    c2w, problems = nearest_pose(view.c2w, file, view.key, finder.tally)
    report = partial(_report, problems, file, view.key)
    if not problems and np.abs(c2w[:, 3]).max() > 1e12:
        report("position", f"a position of {np.abs(c2w[:, 3]).max():.1e}", "export the pose again")
    name, path = finder.locate(view.name, report)
    if path is None:
        return None, problems
    header, wrong = check_header(path, name)
    if wrong:
        return None, [*problems, wrong]
    size = header.size
    declared = view.size or (float(size[0]), float(size[1]))
    if not min(declared) >= 1.0:
        report("w", f"images of {declared[0]:g}x{declared[1]:g}", "write the size in pixels")
        return None, problems
    # K is given for the declared size, and scaled to the stored image.
    K = np.diag([size[0] / declared[0], size[1] / declared[1], 1.0]) @ view.K
    check_camera(K, size, declared, view.distortion.tolist(), report, path, view.model)
    if problems:
        return None, problems
    lens = (K, view.distortion, view.model)
    return Frame(name, path, header, c2w, *lens, orientation(path)), []


def _report(
    problems: list[Problem], file: str, key: str, where: str, reason: str, fix: str
) -> None:
    """Add a problem of a view, under the view's key.

    `where` is a key of transforms.json, which these formats lack, and is dropped: the reason names
    the quantity.
    """
    problems.append(Problem(file, key, reason, fix))


def choose(
    frames: Sequence[Frame], split: str, validation: bool, every: int, file: str
) -> list[Frame]:
    """Return the frames of a split: every `every`-th by name is "test".

    Args:
      frames: all frames of the scene.
      split: "train", "val" or "test"; "val" is every `every`-th frame that is not "test".
      validation: exclude the "val" frames from "train".
      every: hold out every `every`-th frame.
      file: name of the camera file, for the error of an empty split.

    Raises:
      SceneError: if the split is empty.
    """
    splits = hold_out(sorted(frames, key=lambda frame: frame.name), every)
    splits[split] = frames_of(splits, split, validation)
    if not splits[split]:
        raise no_views(split, len(frames), file)
    return splits[split]


def note_unposed(
    frames: Sequence[Frame], photos: Sequence[Path], folder: str, file: str
) -> list[str]:
    """Return a note if some photos have no pose.

    Args:
      frames: the frames, each of which has a pose.
      photos: all photos in the folder.
      folder: name of the folder.
      file: name of the camera file.
    """
    known = {frame.path for frame in frames}
    if not (left := [path for path in photos if path not in known]):
        return []
    shown = ", ".join(one_line(path.name) for path in left[:3]) + (", ..." if len(left) > 3 else "")
    count = f"{len(left)} of {len(photos)} photos in {folder}"
    return [f"{file}: {count} have no pose, skipped: {shown}"]


def with_masks(
    frames: Sequence[Frame],
    root: Path,
    images: str,
    folders: Sequence[str] = (),
    partial: bool = False,
) -> tuple[list[Frame], list[str]]:
    """Give the frames the masks of a folder beside their images.

    A mask lies in the same subfolder as its image and has the same name, with another extension, a
    second one, or "_mask". A mask in no subfolder may belong to one image only. If no name matches,
    but there are as many masks as frames, both are paired in order. Masks of any size are resampled
    to the images.

    Args:
      frames: all frames of the scene.
      root: the scene folder.
      images: folder of the images, relative to it.
      folders: candidate mask folders; the first with an image is read. By default `masks_4` for
        `images_4`, then `masks`.
      partial: whether an image without a mask is used completely, as in COLMAP; otherwise it is
        refused.

    Returns:
      The frames, unchanged if there are no masks, and notes.
    """
    number = images.removeprefix("images") if images.startswith("images_") else ""
    names = folders or (f"masks{number}", "masks", f"mask{number}", "mask")
    folder = next((name for name in names if any(map(is_photo, (root / name).rglob("*")))), None)
    if folder is None:
        return list(frames), []
    masks, problems, notes = _find_masks(frames, root, images, folder)
    missing = [frame for frame in frames if frame.name not in masks]
    if missing and partial:
        count = f"{len(missing)} of {len(frames)} images"
        notes.append(f"{folder}: {count} have no mask: all of their pixels are used")
    elif missing and masks:
        fix = "add it, all white if every pixel counts"
        absent = [f"{folder}/{frame.path.stem}.png" for frame in missing]
        problems += [Problem(name, "", "no such mask", fix) for name in absent]
    for frame in frames:
        problems += _check_mask(masks.get(frame.name), frame, root)
    if problems:
        raise SceneError(problems)
    return [dataclasses.replace(frame, mask=masks.get(frame.name)) for frame in frames], notes


def _find_masks(
    frames: Sequence[Frame], root: Path, images: str, folder: str
) -> tuple[dict[str, Path], list[Problem], list[str]]:
    """Return masks by the name of their frame, their problems, and notes."""
    masks, problems = _match_masks(frames, Finder(root, Tally()), images, folder)
    if masks or problems:
        return masks, problems, []
    flat = photos(root / folder)
    if len(flat) != len(frames):
        fix = "name each like its image, with .png after or instead of its extension"
        return {}, [Problem(folder, "", "no mask has the name of an image", fix)], []
    ordered = sorted(frames, key=lambda frame: frame.name)
    masks = {frame.name: path for frame, path in zip(ordered, flat, strict=True)}
    return masks, [], [f"{folder}: no name matches an image: masks and images are paired in order"]


def _match_masks(
    frames: Sequence[Frame], finder: Finder, images: str, folder: str
) -> tuple[dict[str, Path], list[Problem]]:
    """Return masks by the name of their frame, and problems of ambiguous names."""
    masks: dict[str, Path] = {}
    shared: dict[str, list[str]] = {}
    problems: list[Problem] = []
    for frame in frames:
        # Look for the image's path within its folder first, then for its name alone.
        image_root = finder.root / images
        name = frame.path.name
        if frame.path.is_relative_to(image_root):
            name = frame.path.relative_to(image_root).as_posix()
        found: list[str] = []
        for place in dict.fromkeys((name, frame.path.name)):
            suffixed = f"{place.removesuffix(frame.path.suffix)}_mask"
            found = found or finder.find(folder, place, MASK)
            found = found or finder.find(folder, suffixed, MASK)
        if len(found) > 1:
            reason = f"{len(found)} masks have its name ({', '.join(found[:3])})"
            problems.append(Problem(frame.name, "", reason, "keep one"))
        elif found:
            masks[frame.name] = finder.root / found[0]
            shared.setdefault(found[0], []).append(frame.name)
    for mask, users in shared.items():
        if len(users) > 1:
            reason = f"the mask has the name of {len(users)} images ({', '.join(users[:3])})"
            fix = f"put masks into subfolders of {folder} as the images are"
            problems.append(Problem(mask, "", reason, fix))
    return masks, problems


def _check_mask(path: Path | None, frame: Frame, root: Path) -> list[Problem]:
    """Return the problems of a frame's mask: unreadable, or not of the image's aspect ratio."""
    if path is None:
        return []
    shown = path.relative_to(root).as_posix()
    if not path.resolve().is_relative_to(root.resolve()):
        fix = "move the mask into the folder"
        return [Problem(shown, "", "lies outside the scene folder", fix)]
    problems: list[Problem] = []
    check_mask(path, shown, frame.size, problems)
    return problems
