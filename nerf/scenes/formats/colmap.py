"""Load COLMAP scenes: a sparse model beside the folder of its images.

The model is in `sparse/0`, `sparse`, `colmap/sparse/0`, the scene folder itself, ...; see
`MODEL_PATTERNS`. If COLMAP has left several models, the one with the most images is read. The
model's points become the scene's and determine the range of depth. After only the first half of 3D
Gaussian Splatting's `convert.py`, before the images are undistorted, the model is in
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
from nerf.scenes.frames import is_bounded
from nerf.scenes.lookup import Finder
from nerf.scenes.normalise import normalise
from nerf.scenes.reading import to_scene
from nerf.scenes.tally import Tally

# Folders of models, the most likely first, each with the folders of its images that are not in
# IMAGE_FOLDERS.
MODEL_PATTERNS = {
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
IMAGE_FOLDERS = ("images", "input", "image", "photos", "rgb")


def detect(root: Path) -> bool:
    """Return whether the folder contains a COLMAP model."""
    return any(
        has_model(folder) for pattern in MODEL_PATTERNS for folder in _folders(root, pattern)
    )


def load(
    root: Path,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    every: int = 8,
    max_missing: float = 0.3,
) -> Scene:
    """Load one split of a COLMAP scene, with the model's points.

    The scene is bounded if any image has a transparent pixel. Images that do not exist are skipped
    with a note if they are at most the fraction `max_missing` of the model's images.
    """
    folder, pattern, notes = _best_model(root)
    model = read_model(folder)
    shown = folder.relative_to(root).as_posix()
    views, image_root = _views(root, model, shown, pattern, max_side)
    frames, more = check_views(views, root, shown, max_missing)
    where = image_root.relative_to(root).as_posix()
    # As in COLMAP, an image without a mask is used completely.
    frames, of_masks = with_masks(frames, root, where, partial=True)
    photos = sorted(path for path in image_root.rglob("*") if is_photo(path))
    notes = [*notes, *more, *of_masks, *note_unposed(frames, photos, where, shown)]
    bounded = is_bounded(frames)
    transform = normalise(frames, bounded, level=True, distances=_distances(model))
    chosen = choose(frames, split, validation, every, shown)
    scene = to_scene(chosen, transform, root, max_side, not bounded, notes)
    points = transform.points(model.xyz).astype(np.float32)
    return dataclasses.replace(scene, points=points, point_colours=model.rgb)


def _folders(root: Path, pattern: str) -> list[Path]:
    """Return the folders that match a pattern, numbered ones first and by number."""
    if "*" in pattern:
        found = [path for path in root.glob(pattern) if path.is_dir()]
    else:
        found = [root / pattern]
    return sorted(found, key=lambda path: (not path.name.isdecimal(), path.name.zfill(9), path))


def _best_model(root: Path) -> tuple[Path, str, list[str]]:
    """Return the folder of the model with the most images, its pattern, and notes."""
    models = [
        (folder, pattern)
        for pattern in MODEL_PATTERNS
        for folder in _folders(root, pattern)
        if has_model(folder)
    ]
    counts = {folder: count_images(folder) for folder, _ in models}
    # `max` returns the first of equals, so the order of MODEL_PATTERNS decides between them.
    folder, pattern = max(models, key=lambda model: counts[model[0]])
    beside = [other for other in counts if other != folder and other.parent == folder.parent]
    if not beside:
        return folder, pattern, []
    others = ", ".join(
        f"{other.relative_to(root).as_posix()} ({counts[other]} images)" for other in beside[:5]
    )
    name = folder.relative_to(root).as_posix()
    shown = f"{name}: the model with the most images ({counts[folder]}) is read"
    note = f"{shown}, others are skipped because their coordinates are unrelated: {others}"
    return folder, pattern, [note]


def _views(
    root: Path, model: Model, file: str, pattern: str, max_side: int
) -> tuple[list[View], Path]:
    """Return every image of the model with its camera, and the folder that contains the images."""
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
            reason = f"no camera {photo.lens} in the model"
            problems.append(Problem(file, key, reason, "export the model again"))
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
        # Images that share a camera have the same problem: it is reported once.
        raise SceneError(list(dict.fromkeys(problems)) or [nothing])
    return views, folder


def _image_folder(root: Path, model: Model, pattern: str, max_side: int) -> Path | None:
    """Return the first folder that contains an image of the model; None if there is none."""
    own = [
        path.relative_to(root).as_posix()
        for place in MODEL_PATTERNS[pattern]
        for path in _folders(root, place)
    ]
    # A folder `images` beside a distorted model contains the undistorted images, of another model.
    names = own if pattern.startswith("distorted") else (*own, *IMAGE_FOLDERS)
    finder = Finder(root, Tally())
    folders = [
        image_folder(root, max_side, partial(_find_any, model, finder), name) for name in names
    ]
    return next((folder for folder in folders if _find_any(model, finder, folder)), None)


def _find_any(model: Model, finder: Finder, folder: Path) -> Path | None:
    """Return the first image of the model that is in the folder."""
    for photo in model.photos.values():
        if found := finder.find(folder.relative_to(finder.root).as_posix(), photo.name):
            return finder.root / found[0]
    return None


def pose_of(photo: Photo) -> Float[np.ndarray, "3 4"]:
    """Return the camera-to-world matrix of an image, with OpenGL axes.

    The rotation of a unit quaternion (w, v) is R = (w^2 - v.v) I + 2 v v^T + 2 w [v]_x.
    """
    w, v = photo.quaternion[0], photo.quaternion[1:]
    cross = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    rotation = (w * w - v @ v) * np.eye(3) + 2.0 * np.outer(v, v) + 2.0 * w * cross
    return from_opencv(rotation, photo.translation)


def _distances(model: Model) -> Float[np.ndarray, " n"]:
    """Return the distance of every observation from camera to point, in units of the file."""
    places = {number: place for place, number in enumerate(model.ids.tolist())}
    distances = [np.zeros(0)]
    for photo in model.photos.values():
        seen = [places[number] for number in photo.points.tolist() if number in places]
        distances.append(np.linalg.norm(model.xyz[seen] - pose_of(photo)[:, 3], axis=-1))
    return np.concatenate(distances)


def to_model(cameras: Cameras, names: Sequence[str]) -> Model:
    """Convert cameras to a COLMAP model without points, with one lens per image.

    Args:
      cameras: n cameras in the world of the model.
      names: the n image names.

    Raises:
      SceneError: for a lens that COLMAP does not have.
    """
    lenses, photos = {}, {}
    for i, name in enumerate(names):
        camera = cameras[i]
        lenses[i + 1] = lens_of(camera, name)
        # Flip y and z to OpenCV's axes, then invert camera-to-world: R = C^T, t = -R position.
        rotation = (np.asarray(camera.c2w, float)[:, :3] * [1.0, -1.0, -1.0]).T
        translation = -rotation @ np.asarray(camera.c2w, float)[:, 3]
        quaternion = _quaternion(rotation)
        no_xy, no_points = np.zeros((0, 2)), np.zeros(0, np.int64)
        photos[i + 1] = Photo(name, i + 1, quaternion, translation, no_xy, no_points)
    no_ids, no_xyz, no_rgb = np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    return Model(lenses, photos, no_ids, no_xyz, no_rgb)


def _quaternion(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """Return the unit quaternion w, x, y, z of a rotation.

    It is the eigenvector of the largest eigenvalue of a symmetric matrix of the rotation's entries,
    which needs no case distinctions (Bar-Itzhack, "New method for extracting the quaternion from a
    rotation matrix", 2000).
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    rows = [[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g]]
    rows += [[c + g, f + h, i - a - e, d - b], [h - f, c - g, d - b, a + e + i]]
    x, y, z, w = np.linalg.eigh(np.array(rows))[1][:, -1]
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)
