"""COLMAP: a sparse model in `sparse/0`, `sparse`, `colmap/sparse/0` or the folder itself, beside `images`, ...

The model's points become the scene's, and say how near and far matter is. Only lenses whose distortion is a closed
formula from directions to pixels are read; the others are refused by name.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras import Cameras, intrinsics
from nerf.lenses import FISHEYE, PERSPECTIVE
from nerf.scenes.base import Problem, Scene, SceneError
from nerf.scenes.colmap_model import PARAMETERS, Lens, Model, Photo, has_model, read_model
from nerf.scenes.folders import View, check_views, choose, from_opencv, image_folder, with_masks
from nerf.scenes.frames import is_bounded, to_scene
from nerf.scenes.normalise import normalise
from nerf.scenes.transforms import DISTORTION

FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
REFUSED = ("FOV", "RAD_TAN_THIN_PRISM_FISHEYE")


def recognise(root: Path) -> bool:
    """Whether a folder is of this format."""
    return any(has_model(root / folder) for folder in FOLDERS)


def load(
    root: Path,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    every: int = 8,
    max_missing: float = 0.3,
) -> Scene:
    """One split: of the images' names sorted, every 8th is "test". A transparent pixel makes the scene bounded.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor; of `images`, `images_2`, ... that is read
        which needs it least.
      validation: leave the views of "val" out of "train".
      every: which views are held out.
      max_missing: the fraction of the model's images that may be missing.
    """
    folder = next(root / folder for folder in FOLDERS if has_model(root / folder))
    model = read_model(folder)
    shown = folder.relative_to(root).as_posix()
    views, image_root = _views(root, model, shown, max_side)
    frames, notes = check_views(views, root, shown, max_missing)
    frames = with_masks(frames, root / image_root.name.replace("images", "masks"), root)
    bounded = is_bounded(frames)
    transform = normalise(frames, bounded, level=True, distances=_distances(model))
    chosen = choose(frames, split, validation, every, shown)
    scene = to_scene(chosen, transform, root, max_side, not bounded, notes)
    return dataclasses.replace(
        scene,
        points=transform.points(model.xyz).astype(np.float32),
        point_colours=model.rgb,
    )


def _views(root: Path, model: Model, file: str, max_side: int) -> tuple[list[View], Path]:
    """Every image of the model with its camera, and the folder in which the images are."""
    folder = image_folder(root, max_side, partial(_first, model))
    views, problems = [], []
    for number, photo in model.photos.items():
        lens = model.lenses.get(photo.lens)
        key = f"image {number}"
        if lens is None:
            problems.append(Problem(file, key, f"no camera {photo.lens} in the model", "export the model again"))
        elif lens.kind in REFUSED:
            reason = f"camera model {lens.kind} is not supported"
            problems.append(Problem(file, f"camera {photo.lens}", reason, "undistort the images to PINHOLE"))
        elif not (np.abs(lens.parameters) < 1e12).all():
            problems.append(Problem(file, f"camera {photo.lens}", "numbers that are not finite", "export it again"))
        else:
            name = (folder.relative_to(root) / photo.name).as_posix()
            views.append(View(key, name, pose_of(photo), *camera_of(lens)))
    if problems or not views:
        nothing = Problem(file, "", "no image in the model", "choose another model")
        raise SceneError(list(dict.fromkeys(problems)) or [nothing])
    return views, folder


def _first(model: Model, folder: Path) -> Path | None:
    """An image of the model that is in a folder."""
    return next((folder / photo.name for photo in model.photos.values() if _is_file(folder / photo.name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that can be none; looking for the image says so
        return False


def pose_of(photo: Photo) -> Float[np.ndarray, "3 4"]:
    """Camera-to-world, OpenGL axes. With the unit quaternion w, v: R = (w^2 - v.v) I + 2 v v^T + 2 w [v]."""
    w, v = photo.quaternion[0], photo.quaternion[1:]
    cross = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    rotation = (w * w - v @ v) * np.eye(3) + 2.0 * np.outer(v, v) + 2.0 * w * cross
    return from_opencv(rotation, photo.translation)


def camera_of(lens: Lens) -> tuple[np.ndarray, tuple[float, float], int, np.ndarray]:
    """K, size, lens and distortion as `Cameras` has them."""
    given = dict(zip(PARAMETERS[lens.kind][1].split(), lens.parameters.tolist(), strict=True))
    model = FISHEYE if "FISHEYE" in lens.kind else PERSPECTIVE
    K = intrinsics(given.get("f", given.get("fx")), given.get("f", given.get("fy")), given["cx"], given["cy"])
    size = float(lens.size[0]), float(lens.size[1])
    return K, size, model, np.array([given.get(name, 0.0) for name in DISTORTION[model]])


def _distances(model: Model) -> Float[np.ndarray, " n"]:
    """From each camera to the points that it sees, in the file's units."""
    places = {number: place for place, number in enumerate(model.ids.tolist())}
    distances = [np.zeros(0)]
    for photo in model.photos.values():
        seen = [places[number] for number in photo.points.tolist() if number in places]
        distances.append(np.linalg.norm(model.xyz[seen] - pose_of(photo)[:, 3], axis=-1))
    return np.concatenate(distances)


def to_model(cameras: Cameras, names: Sequence[str]) -> Model:
    """A model, without points, of cameras in the world in which it shall be: one lens an image.

    Raises SceneError for lenses that COLMAP does not have.
    """
    lenses, photos = {}, {}
    for i, name in enumerate(names):
        camera = cameras[i]
        kind = {PERSPECTIVE: "FULL_OPENCV", FISHEYE: "THIN_PRISM_FISHEYE"}.get(int(camera.model))
        if kind is None:
            raise SceneError([Problem(name, "", "COLMAP has no lens of this kind", "write another format")])
        K, distortion = np.asarray(camera.K, float), np.asarray(camera.distortion, float)
        known = dict(zip(DISTORTION[int(camera.model)], distortion, strict=True))
        known |= {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
        if not distortion.any() and kind == "FULL_OPENCV":
            kind = "PINHOLE"
        parameters = np.array([known[word] for word in PARAMETERS[kind][1].split()])
        lenses[i + 1] = Lens(kind, (int(camera.size[0]), int(camera.size[1])), parameters)
        rotation = (np.asarray(camera.c2w, float)[:, :3] * [1.0, -1.0, -1.0]).T
        translation = -rotation @ np.asarray(camera.c2w, float)[:, 3]
        photos[i + 1] = Photo(name, i + 1, _quaternion(rotation), translation, np.zeros((0, 2)), np.zeros(0, np.int64))
    return Model(lenses, photos, np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.uint8))


def _quaternion(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """w, x, y, z of a rotation: the eigenvector to the largest eigenvalue of a symmetric matrix of its entries.

    Bar-Itzhack, "New method for extracting the quaternion from a rotation matrix" (2000), without its cases.
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    rows = [[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g]]
    rows += [[c + g, f + h, i - a - e, d - b], [h - f, c - g, d - b, a + e + i]]
    x, y, z, w = np.linalg.eigh(np.array(rows))[1][:, -1]
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)
