"""Load IDR and NeuS scenes: `cameras*.npz` beside `image` and `mask` (2003.09852, 2106.10689).

`world_mat_i` projects the file's world to pixels, x ~ world_mat_i X, with OpenCV axes and the
centre of the first pixel at (0, 0); half a pixel is added here. `scale_mat_i` maps the unit ball
around the object to that world. `camera_mat_i`, which is optional, maps pixels to [-1, 1] and
therefore implies the image size.
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
from nerf.scenes.images import check_image
from nerf.scenes.normalise import up_direction
from nerf.scenes.reading import to_scene

NAMES = ("cameras_sphere.npz", "cameras.npz", "cameras_large.npz")
IMAGE_FOLDERS = ("image", "images")
MASK_FOLDERS = ("mask", "masks")


def detect(root: Path) -> bool:
    """Return whether the folder contains a `cameras*.npz`."""
    return _file(root) is not None


def _file(root: Path) -> str | None:
    """Return the name of the camera file, the most common name first."""
    found = sorted(path.name for path in root.glob("cameras*.npz"))
    return next((name for name in NAMES if name in found), next(iter(found), None))


def load(
    root: Path, split: str, max_side: int = 1024, validation: bool = False, every: int = 8
) -> Scene:
    """Load one split of an IDR scene.

    With masks the scene is bounded. They show the object, which lies in the unit ball of
    `scale_mat`; that becomes the unit ball of the normalised world, rotated so that the cameras'
    mean up direction is +z. Pixels outside the mask are unknown, not empty: the photos show a table
    there. Without masks the table belongs to the scene, which is then unbounded.
    """
    file = _file(root) or NAMES[0]
    arrays = read_npz(root / file)
    images = next((found for name in IMAGE_FOLDERS if (found := photos(root / name))), [])
    count = sum(
        name.startswith("world_mat_") and not name.startswith("world_mat_inv_") for name in arrays
    )
    if not images or len(images) != count:
        folder = images[0].parent.name if images else f"a folder {IMAGE_FOLDERS[0]}"
        reason = f"{count} cameras (world_mat_0, ...), and {len(images)} images in {folder}"
        raise SceneError([Problem(file, "", reason, "keep one image for each camera")])
    views = _views(arrays, images, root, file)
    frames, notes = check_views(views, root, file)
    frames, more = with_masks(frames, root, images[0].parent.name, MASK_FOLDERS)
    orientations = [frame.orientation for frame in frames]
    transform = _normalised(arrays, np.stack([frame.c2w for frame in frames]), orientations, file)
    chosen = choose(frames, split, validation, every, file)
    unbounded = frames[0].mask is None
    return to_scene(chosen, transform, root, max_side, unbounded, [*notes, *more])


def _views(arrays: dict[str, np.ndarray], images: list[Path], root: Path, file: str) -> list[View]:
    """Return the view of each image, or raise a SceneError with all problems."""
    views: list[View] = []
    problems = []
    for i, image in enumerate(images):
        key = f"world_mat_{i}"
        P = arrays.get(key)
        if P is None or P.ndim != 2 or P.shape[0] < 3 or P.shape[1] != 4:
            problems.append(Problem(file, key, "no 4x4 matrix", "write one for each image"))
        elif (parts := decompose(P[:3])) is None:
            reason = "no projection of a pinhole camera without skew"
            problems.append(Problem(file, key, reason, "export it again"))
        else:
            K, rotation, position = parts
            K[:2, 2] += 0.5  # the centre of the first pixel moves from 0 to 0.5
            size = _declared_size(arrays.get(f"camera_mat_{i}")) or _likely_size(K, image)
            c2w = from_opencv(rotation, -rotation @ position)
            views.append(View(key, image.relative_to(root).as_posix(), c2w, K, size))
    if problems:
        raise SceneError(problems)
    return views


def decompose(
    P: Float[np.ndarray, "3 4"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Decompose a projection matrix into K, rotation and position: P ~ K R [I | -position].

    K is upper triangular with a positive diagonal and K[2, 2] = 1 (Hartley & Zisserman, section
    6.2.4).

    Returns:
      K (3, 3), world-to-camera rotation (3, 3), and camera position (3,); None if P is singular or
      not finite, or if its K has skew.
    """
    with np.errstate(all="ignore"):
        sign = 0.0
        if np.isfinite(P).all() and P.any():
            sign = np.sign(np.linalg.det(P[:, :3] / np.abs(P).max()))
        if not sign:
            return None
        # P is known up to a factor, whose sign follows from det(K R) > 0.
        K, R = scipy.linalg.rq(sign * P[:, :3])
        # The RQ decomposition leaves the signs open: D with D D = I makes the diagonal of K D
        # positive, and D R follows.
        signs = np.where(np.diag(K) < 0, -1.0, 1.0)
        K, R = K * signs, signs[:, None] * R
        position = -np.linalg.solve(P[:, :3], P[:, 3])
    try:
        return (pinhole(K), R, position) if np.abs(position).max() < 1e12 else None
    except ValueError:
        return None


def _declared_size(camera: np.ndarray | None) -> tuple[float, float] | None:
    """Return the image size implied by a `camera_mat`, which maps pixels to [-1, 1]."""
    if camera is None or camera.shape != (4, 4) or not np.allclose(camera[:2, 2], -1.0):
        return None
    if not min(camera[0, 0], camera[1, 1]) > 0:
        return None
    return 2.0 / camera[0, 0], 2.0 / camera[1, 1]


def _likely_size(K: Float[np.ndarray, "3 3"], image: Path) -> tuple[float, float]:
    """Guess the size that K is given for: a multiple of the stored image's size.

    It is the multiple whose centre is nearest to the principal point.
    """
    w, h = np.maximum(check_image(image, image.name)[0], 1)
    # The principal point is near (w / 2, h / 2) times the factor, so this sum is near the factor.
    ratio = np.clip(K[0, 2] / w + K[1, 2] / h, 1.0, 1e6)
    return float(w * round(ratio)), float(h * round(ratio))


def _normalised(
    arrays: dict[str, np.ndarray],
    c2w: Float[np.ndarray, "n 3 4"],
    orientations: list[int],
    file: str,
) -> Similarity:
    """Return the similarity that maps the unit ball of `scale_mat` to the normalised one.

    The rotation turns the cameras' mean up direction to +z.
    """
    balls = [
        array
        for name, array in arrays.items()
        if name.startswith("scale_mat_") and "inv" not in name
    ]
    first = balls[0] if balls else np.zeros(0)
    complete = first.shape == (4, 4) and all(ball.shape == (4, 4) for ball in balls)
    scale = float(first[0, 0]) if complete else 0.0
    # Each matrix must be one uniform scaling and a translation, the same for all images.
    if not (
        1e-9 < scale < 1e9
        and np.allclose(first[:3, :3], scale * np.eye(3), rtol=1e-4, atol=1e-4 * scale)
    ):
        fix = "export it again"
        raise SceneError([Problem(file, "scale_mat_0", "not a scaling and a translation", fix)])
    if not (
        np.abs(first[:3, 3]).max() < 1e9
        and all(np.allclose(ball, first, rtol=1e-4) for ball in balls)
    ):
        fix = "normalise all by one"
        raise SceneError([Problem(file, "scale_mat", "not the same for all images", fix)])
    rotation = rotation_to_z(up_direction(c2w, orientations))
    # scale_mat: X = scale x + t, so x = (X - t) / scale, followed by the rotation.
    return Similarity(1.0 / scale, rotation, -rotation @ first[:3, 3] / scale)
