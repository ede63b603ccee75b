"""COLMAP: a sparse model in `sparse/0`, `sparse`, `colmap/sparse/0`, the folder itself, ... beside `images`.

Where COLMAP has left several models, the one with most images is read. The model's points become the scene's, and say
how near and far matter is. Before 3D Gaussian Splatting's `convert.py` has undistorted the images, its model is in
`distorted/sparse/0` and the images are in `input`.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras
from nerf.scenes.base import Problem, Scene, SceneError
from nerf.scenes.formats.colmap_lenses import LensError, camera_of, lens_of
from nerf.scenes.formats.colmap_model import Model, Photo, count_images, has_model, read_model
from nerf.scenes.formats.folders import (
    View,
    check_views,
    choose,
    from_opencv,
    image_folder,
    is_photo,
    note_unposed,
    with_masks,
)
from nerf.scenes.frames import is_bounded, to_scene
from nerf.scenes.lookup import Finder
from nerf.scenes.normalise import normalise
from nerf.scenes.tally import Tally

# Where models lie, the likeliest first, and the folders of their images, as far as they are not in IMAGES.
PLACES = {
    "sparse/*": (),
    "sparse": (),
    "colmap/sparse/*": ("colmap/images",),
    "colmap/sparse": ("colmap/images",),
    ".": (),
    "dense/sparse": ("dense/images",),
    "dense/*/sparse": ("dense/*/images",),
    "distorted/sparse/*": ("input",),
    "distorted/sparse": ("input",),
}
IMAGES = ("images", "input", "image", "photos", "rgb")


def detect(root: Path) -> bool:
    """Return whether a folder is of this format."""
    return any(has_model(folder) for pattern in PLACES for folder in _folders(root, pattern))


def load(
    root: Path,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    every: int = 8,
    max_missing: float = 0.3,
) -> Scene:
    """Load one split: of the images' names sorted, every 8th is "test". A transparent pixel makes the scene bounded.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor; of `images`, `images_2`, ... that is read
        which needs it least.
      validation: leave the views of "val" out of "train".
      every: which views are held out.
      max_missing: the fraction of the model's images that may be missing.
    """
    folder, pattern, notes = _best_model(root)
    model = read_model(folder)
    shown = folder.relative_to(root).as_posix()
    views, image_root = _views(root, model, shown, pattern, max_side)
    frames, more = check_views(views, root, shown, max_missing)
    where = image_root.relative_to(root).as_posix()
    frames, of_masks = with_masks(frames, root, where, partial=True)
    photos = sorted(path for path in image_root.rglob("*") if is_photo(path))
    notes = [*notes, *more, *of_masks, *note_unposed(frames, photos, where, shown)]
    bounded = is_bounded(frames)
    transform = normalise(frames, bounded, level=True, distances=_distances(model))
    chosen = choose(frames, split, validation, every, shown)
    scene = to_scene(chosen, transform, root, max_side, not bounded, notes)
    return dataclasses.replace(
        scene,
        points=transform.points(model.xyz).astype(np.float32),
        point_colours=model.rgb,
    )


def _folders(root: Path, pattern: str) -> list[Path]:
    """Return the folders that a pattern means, by number where they are numbered."""
    found = (
        [root / pattern]
        if "*" not in pattern
        else [path for path in root.glob(pattern) if path.is_dir()]
    )
    return sorted(found, key=lambda path: (not path.name.isdecimal(), path.name.zfill(9), path))


def _best_model(root: Path) -> tuple[Path, str, list[str]]:
    """Return the folder of the model with most images, the pattern that led to it, and a note on those beside it."""
    models = [
        (folder, pattern)
        for pattern in PLACES
        for folder in _folders(root, pattern)
        if has_model(folder)
    ]
    counts = {folder: count_images(folder) for folder, _ in models}
    folder, pattern = max(models, key=lambda model: counts[model[0]])  # the first of equals
    beside = [other for other in counts if other != folder and other.parent == folder.parent]
    if not beside:
        return folder, pattern, []
    others = ", ".join(
        f"{other.relative_to(root).as_posix()} ({counts[other]} images)" for other in beside[:5]
    )
    shown = f"{folder.relative_to(root).as_posix()}: the model with most images ({counts[folder]}) is read"
    return folder, pattern, [f"{shown}, others in worlds of their own are left out: {others}"]


def _views(
    root: Path, model: Model, file: str, pattern: str, max_side: int
) -> tuple[list[View], Path]:
    """Return every image of the model with its camera, and the folder in which the images are."""
    folder = _image_folder(root, model, pattern, max_side)
    if model.photos and folder is None:
        name = next(iter(model.photos.values())).name
        reason = f"none of its {len(model.photos)} images ({name}, ...) is in the scene folder"
        raise SceneError([Problem(file, "", reason, "put them into the folder images")])
    folder = folder or root
    views, problems = [], []
    for number, photo in model.photos.items():
        lens = model.lenses.get(photo.lens)
        key = f"image {number}"
        if lens is None:
            problems.append(
                Problem(file, key, f"no camera {photo.lens} in the model", "export the model again")
            )
            continue
        try:
            camera = camera_of(lens)
        except LensError as error:
            problems.append(Problem(file, f"camera {photo.lens}", str(error), error.fix))
            continue
        name = (folder.relative_to(root) / photo.name).as_posix()
        views.append(View(key, name, pose_of(photo), *camera))
    if problems or not views:
        fix = "estimate the poses again: COLMAP placed no image in it"
        nothing = Problem(file, "", "no image in the model", fix)
        raise SceneError(list(dict.fromkeys(problems)) or [nothing])
    return views, folder


def _image_folder(root: Path, model: Model, pattern: str, max_side: int) -> Path | None:
    """Return the folder of the model's images, the first that has any of them; None where there is no such folder."""
    own = [
        path.relative_to(root).as_posix()
        for place in PLACES[pattern]
        for path in _folders(root, place)
    ]
    # The images beside a distorted model that is not in use are those of another, undistorted one.
    names = own if pattern.startswith("distorted") else (*own, *IMAGES)
    finder = Finder(root, Tally())
    folders = [image_folder(root, max_side, partial(_first, model, finder), name) for name in names]
    return next((folder for folder in folders if _first(model, finder, folder)), None)


def _first(model: Model, finder: Finder, folder: Path) -> Path | None:
    """Return an image of the model that is in a folder."""
    for photo in model.photos.values():
        if found := finder.find(folder.relative_to(finder.root).as_posix(), photo.name):
            return finder.root / found[0]
    return None


def pose_of(photo: Photo) -> Float[np.ndarray, "3 4"]:
    """Camera-to-world, OpenGL axes. With the unit quaternion w, v: R = (w^2 - v.v) I + 2 v v^T + 2 w [v]."""
    w, v = photo.quaternion[0], photo.quaternion[1:]
    cross = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    rotation = (w * w - v @ v) * np.eye(3) + 2.0 * np.outer(v, v) + 2.0 * w * cross
    return from_opencv(rotation, photo.translation)


def _distances(model: Model) -> Float[np.ndarray, " n"]:
    """From each camera to the points that it sees, in the file's units."""
    places = {number: place for place, number in enumerate(model.ids.tolist())}
    distances = [np.zeros(0)]
    for photo in model.photos.values():
        seen = [places[number] for number in photo.points.tolist() if number in places]
        distances.append(np.linalg.norm(model.xyz[seen] - pose_of(photo)[:, 3], axis=-1))
    return np.concatenate(distances)


def to_model(cameras: Cameras, names: Sequence[str]) -> Model:
    """Return a model, without points, of cameras in the world in which it shall be: one lens an image.

    Raises SceneError for lenses that COLMAP does not have.
    """
    lenses, photos = {}, {}
    for i, name in enumerate(names):
        camera = cameras[i]
        lenses[i + 1] = lens_of(camera, name)
        rotation = (np.asarray(camera.c2w, float)[:, :3] * [1.0, -1.0, -1.0]).T
        translation = -rotation @ np.asarray(camera.c2w, float)[:, 3]
        photos[i + 1] = Photo(
            name, i + 1, _quaternion(rotation), translation, np.zeros((0, 2)), np.zeros(0, np.int64)
        )
    return Model(
        lenses, photos, np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    )


def _quaternion(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """w, x, y, z of a rotation: the eigenvector to the largest eigenvalue of a symmetric matrix of its entries.

    Bar-Itzhack, "New method for extracting the quaternion from a rotation matrix" (2000), without its cases.
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    rows = [[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g]]
    rows += [[c + g, f + h, i - a - e, d - b], [h - f, c - g, d - b, a + e + i]]
    x, y, z, w = np.linalg.eigh(np.array(rows))[1][:, -1]
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)
