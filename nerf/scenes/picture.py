"""A single image as a scene, for the image task: it lies in the plane z = 0, seen from above.

Metrics are computed on pixels that are not used for training (Tancik et al., 2006.10739, section
6.1). "train" is the full image with a mask: only pixels of even row and even column are used.
"test" is the smaller image of the pixels of odd row and odd column, and "val" consists of the two
remaining ones. The longer side of the full image extends from -1 to 1.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, Real, UInt8

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, ORTHOGRAPHIC
from nerf.scenes.base import Problem, Scene, SceneError, Similarity, to_unit
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import FOLDER, MISSING
from nerf.scenes.images import check_image, read_image

CAMERA_HEIGHT = 0.5  # of the orthographic camera above the image
PHASES = {"test": ((1, 1),), "val": ((0, 1), (1, 0))}  # first row and column of each smaller image


def load(
    root: str | Path | None,
    split: str,
    source: UInt8[np.ndarray, "h w c"] | None = None,
    max_side: int = 1024,
    slopes: bool = False,
) -> Scene:
    """Load one split of an image, from a file or from pixels.

    Args:
      root: a PNG, JPEG, WebP or BMP file with 8 bits per channel; ignored if `source` is given.
      split: "train", "val" or "test".
      source: (h, w, c) the pixels; in a config, the section of a function that returns them, such
        as {"name": "nerf.scenes.drawings:text"}.
      max_side: maximum width and height in pixels; a larger file is downscaled by an integer
        factor.
      slopes: whether "train" has the map "slopes", see `nerf.losses.slopes`.

    Returns:
      A bounded scene with an orthographic camera for each image.

    Raises:
      SceneError: the file cannot be read, or the image is smaller than 2x2 pixels.
    """
    image = _read(root, max_side) if source is None else source
    height, width = image.shape[:2]
    if min(height, width) < 2:
        reason = f"an image of {width}x{height} pixels"
        raise SceneError([Problem(str(root), "", reason, "give one of at least 2x2 pixels")])
    if split == "train":
        known = np.zeros((height, width), bool)
        known[::2, ::2] = True
        maps = {"mask": [known], **({"slopes": [_slopes(image)]} if slopes else {})}
        size, side = np.array([[width, height]]), max(height, width)
        camera = _cameras(size, side, 1, np.zeros((1, 2)), width, height)
        return Scene([image], camera, ["picture"], Similarity(), unbounded=False, maps=maps)
    phases = PHASES[split]
    parts = [np.ascontiguousarray(image[row::2, column::2]) for row, column in phases]
    sizes = np.array([(part.shape[1], part.shape[0]) for part in parts])
    cameras = _cameras(sizes, max(height, width), 2, np.array(phases)[:, ::-1], width, height)
    names = [f"{split}_row{row}_column{column}" for row, column in phases]
    return Scene(parts, cameras, names, Similarity(), unbounded=False)


def _slopes(image: UInt8[np.ndarray, "h w c"]) -> Float32[np.ndarray, "h w 3 2"]:
    """Return the slopes of sRGB to the right and up, per unit of the plane: central differences."""
    colours = to_unit(image[..., :3])
    down, right = np.gradient(colours, 2.0 / max(image.shape[:2]), axis=(0, 1))
    return np.stack([right, -down], -1).astype(np.float32)


def _cameras(
    sizes: Int[np.ndarray, "n 2"],
    side: int,
    step: int,
    first: Real[np.ndarray, "n 2"],
    width: int,
    height: int,
) -> Cameras:
    """Return cameras of images of every `step`-th pixel of the full image.

    Pixel position u of a smaller image is position U = step (u - 1/2) + first + 1/2 of the full
    image, which lies at x = (U - size / 2) 2 / side.

    Args:
      sizes: (n, 2) width and height of the smaller images.
      side: longer side of the full image in pixels.
      step: distance of neighbouring pixels of a smaller image, in pixels of the full image.
      first: (n, 2) position (x, y) of the first pixel in the full image.
      width: width of the full image.
      height: height of the full image.
    """
    count = len(sizes)
    # Solve the two equations for u = f x + c:
    # f = side / (2 step) and c = (size / 2 - first - 1/2) / step + 1/2.
    focal = np.full(count, side / (2.0 * step))
    cx, cy = ((np.array([[width, height]]) / 2 - first - 0.5) / step + 0.5).T
    pose = np.concatenate([np.eye(3), [[0.0], [0.0], [CAMERA_HEIGHT]]], 1)
    return Cameras(
        c2w=np.tile(pose, (count, 1, 1)).astype(np.float32),
        K=intrinsics(focal, focal, cx, cy).astype(np.float32),
        distortion=np.zeros((count, COEFFICIENTS), np.float32),
        size=sizes.astype(np.int32),
        model=np.full(count, ORTHOGRAPHIC, np.int32),
    )


def _read(root: str | Path | None, max_side: int) -> UInt8[np.ndarray, "h w c"]:
    if root is None:
        raise SceneError([Problem("--scene", "", "not given", "give an image file")])
    size, _, problem = check_image(Path(root), str(root))
    if problem is not None:
        fixes = {
            MISSING: "check the path",
            FOLDER: "give an image file with --scene, or train without --task=image",
        }
        raise SceneError([problem._replace(fix=fixes.get(problem.reason, problem.fix))])
    try:
        return read_image(Path(root), -(-max(size) // max_side))
    except Exception as error:  # decoders raise anything on damaged data
        fix = error.fix if isinstance(error, ImageError) else "export it again"
        raise SceneError([Problem(str(root), "", f"cannot be decoded ({error})", fix)]) from error
