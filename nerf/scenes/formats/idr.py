"""IDR's and NeuS' format: `cameras*.npz` beside `image` and `mask` (2003.09852, 2106.10689).

`world_mat_i` projects the file's world to pixels, x ~ world_mat_i X, with OpenCV's axes and the centre of the first
pixel at (0, 0): half a pixel is added here. `scale_mat_i` leads from the unit ball around the object to that world.
`camera_mat_i`, where there is one, leads from pixels to [-1, 1] and so tells the size of the images that are meant.
"""

from pathlib import Path

import numpy as np
import scipy.linalg
from jaxtyping import Float

from nerf.scenes.base import Problem, Scene, SceneError, Similarity, rotation_to_z
from nerf.scenes.formats.arrays import read_npz
from nerf.scenes.formats.folders import (
    View,
    check_views,
    choose,
    from_opencv,
    photos,
    pinhole,
    with_masks,
)
from nerf.scenes.frames import to_scene
from nerf.scenes.images import check_image
from nerf.scenes.normalise import up_direction

NAMES = ("cameras_sphere.npz", "cameras.npz", "cameras_large.npz")
IMAGES, MASKS = ("image", "images"), ("mask", "masks")


def detect(root: Path) -> bool:
    """Whether a folder is of this format."""
    return _file(root) is not None


def _file(root: Path) -> str | None:
    found = sorted(path.name for path in root.glob("cameras*.npz"))
    return next((name for name in NAMES if name in found), next(iter(found), None))


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """One split: of the images' names sorted, every 8th is "test".

    With masks the scene is bounded: they are the object's, and the object lies in the unit ball of `scale_mat`, which
    becomes that of the normalised world (turned, so that the cameras' mean up is +z). Pixels outside of the mask are
    unknown, not empty: the photos show a table there. Without masks the table belongs to the scene: it is unbounded.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" out of "train".
      every: which views are held out.
    """
    file = _file(root) or NAMES[0]
    arrays = read_npz(root / file)
    images = next((found for name in IMAGES if (found := photos(root / name))), [])
    count = sum(
        name.startswith("world_mat_") and not name.startswith("world_mat_inv_") for name in arrays
    )
    if not images or len(images) != count:
        folder = images[0].parent.name if images else f"a folder {IMAGES[0]}"
        reason = f"{count} cameras (world_mat_0, ...), and {len(images)} images in {folder}"
        raise SceneError([Problem(file, "", reason, "keep one image for each camera")])
    views = _views(arrays, images, root, file)
    frames, notes = check_views(views, root, file)
    frames, more = with_masks(frames, root, images[0].parent.name, MASKS)
    orientations = [frame.orientation for frame in frames]
    transform = _normalised(arrays, np.stack([frame.c2w for frame in frames]), orientations, file)
    chosen = choose(frames, split, validation, every, file)
    return to_scene(chosen, transform, root, max_side, frames[0].mask is None, [*notes, *more])


def _views(arrays: dict[str, np.ndarray], images: list[Path], root: Path, file: str) -> list[View]:
    views: list[View] = []
    problems = []
    for i, image in enumerate(images):
        key, P = f"world_mat_{i}", arrays.get(f"world_mat_{i}")
        if P is None or P.ndim != 2 or P.shape[0] < 3 or P.shape[1] != 4:
            problems.append(Problem(file, key, "no 4x4 matrix", "write one for each image"))
        elif (parts := decompose(P[:3])) is None:
            problems.append(
                Problem(
                    file, key, "no projection of a pinhole camera without skew", "export it again"
                )
            )
        else:
            K, rotation, position = parts
            K[:2, 2] += 0.5
            size = _declared(arrays.get(f"camera_mat_{i}"))
            c2w = from_opencv(rotation, -rotation @ position)
            views.append(
                View(key, image.relative_to(root).as_posix(), c2w, K, size or _likely(K, image))
            )
    if problems:
        raise SceneError(problems)
    return views


def decompose(P: Float[np.ndarray, "3 4"]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """P ~ K R [I | -position] with K upper triangular, its diagonal positive and K[2, 2] = 1, and a rotation R.

    None where there is no such thing with numbers that are finite, or with skew. (Hartley, Zisserman, 6.2.4.)
    """
    with np.errstate(all="ignore"):
        sign = (
            np.sign(np.linalg.det(P[:, :3] / np.abs(P).max()))
            if np.isfinite(P).all() and P.any()
            else 0.0
        )
        if not sign:
            return None
        K, R = scipy.linalg.rq(sign * P[:, :3])
        signs = np.where(np.diag(K) < 0, -1.0, 1.0)
        K, R = K * signs, signs[:, None] * R
        position = -np.linalg.solve(P[:, :3], P[:, 3])
    try:
        return (pinhole(K), R, position) if np.abs(position).max() < 1e12 else None
    except ValueError:
        return None


def _declared(camera: np.ndarray | None) -> tuple[float, float] | None:
    """Width and height of the images that a `camera_mat` is for: it takes them to -1 .. 1."""
    if camera is None or camera.shape != (4, 4) or not np.allclose(camera[:2, 2], -1.0):
        return None
    return (2.0 / camera[0, 0], 2.0 / camera[1, 1]) if min(camera[0, 0], camera[1, 1]) > 0 else None


def _likely(K: Float[np.ndarray, "3 3"], image: Path) -> tuple[float, float]:
    """The same where the file is silent: the multiple of the image's size whose middle is nearest to K's centre."""
    w, h = np.maximum(check_image(image, image.name)[0], 1)
    ratio = np.clip(K[0, 2] / w + K[1, 2] / h, 1.0, 1e6)
    return float(w * round(ratio)), float(h * round(ratio))


def _normalised(
    arrays: dict[str, np.ndarray],
    c2w: Float[np.ndarray, "n 3 4"],
    orientations: list[int],
    file: str,
) -> Similarity:
    """Return the similarity that makes the `scale_mat`s' unit ball that of the normalised world, with +z up."""
    balls = [
        array
        for name, array in arrays.items()
        if name.startswith("scale_mat_") and "inv" not in name
    ]
    first = balls[0] if balls else np.zeros(0)
    whole = first.shape == (4, 4) and all(ball.shape == (4, 4) for ball in balls)
    scale = float(first[0, 0]) if whole else 0.0
    if not (
        1e-9 < scale < 1e9
        and np.allclose(first[:3, :3], scale * np.eye(3), rtol=1e-4, atol=1e-4 * scale)
    ):
        raise SceneError(
            [Problem(file, "scale_mat_0", "not a scaling and a shift", "export it again")]
        )
    if not (
        np.abs(first[:3, 3]).max() < 1e9
        and all(np.allclose(ball, first, rtol=1e-4) for ball in balls)
    ):
        raise SceneError(
            [Problem(file, "scale_mat", "not the same for all images", "normalise all by one")]
        )
    rotation = rotation_to_z(up_direction(c2w, orientations))
    return Similarity(1.0 / scale, rotation, -rotation @ first[:3, 3] / scale)
