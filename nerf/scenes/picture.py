"""One picture as a scene, for the image task: it lies in the plane z = 0, seen straight from above.

Scores are of pixels that were not trained on (Tancik et al., 2006.10739, section 6.1). "train" is the whole picture, of
which the pixels of even row and column may be learned from; "test" is the smaller picture of the pixels of odd row and
column, "val" the two that are left. The longer side of the whole reaches from -1 to 1.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int, Real, UInt8

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, ORTHOGRAPHIC
from nerf.scenes.base import Problem, Scene, SceneError, Similarity
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import FOLDER, MISSING
from nerf.scenes.images import check_image, read_image

HEIGHT = 0.5  # of the camera above the picture
PHASES = {"test": ((1, 1),), "val": ((0, 1), (1, 0))}  # first row and column of each small picture


def load(
    root: str | Path | None,
    split: str,
    source: UInt8[np.ndarray, "h w c"] | None = None,
    max_side: int = 1024,
) -> Scene:
    """The picture in the file `root`, or `source` itself. Raises SceneError.

    Args:
      root: a PNG, JPEG, WebP or BMP file with 8 bits a channel; not read where there is a source.
      split: "train", "val" or "test".
      source: the pixels, as the section of a function in a config: {"name": "nerf.scenes.drawings:text"}.
      max_side: a larger picture is reduced by an integer factor.
    """
    image = _read(root, max_side) if source is None else source
    height, width = image.shape[:2]
    if min(height, width) < 2:
        reason = f"a picture of {width}x{height} pixels"
        raise SceneError([Problem(str(root), "", reason, "give one of at least 2x2 pixels")])
    if split == "train":
        known = np.zeros((height, width), bool)
        known[::2, ::2] = True
        camera = _cameras(
            np.array([[width, height]]), max(height, width), 1, np.zeros((1, 2)), width, height
        )
        return Scene([image], camera, ["picture"], Similarity(), unbounded=False, masks=[known])
    phases = PHASES[split]
    parts = [np.ascontiguousarray(image[row::2, column::2]) for row, column in phases]
    sizes = np.array([(part.shape[1], part.shape[0]) for part in parts])
    cameras = _cameras(sizes, max(height, width), 2, np.array(phases)[:, ::-1], width, height)
    names = [f"{split}_row{row}_column{column}" for row, column in phases]
    return Scene(parts, cameras, names, Similarity(), unbounded=False)


def _cameras(
    sizes: Int[np.ndarray, "n 2"],
    side: int,
    step: int,
    first: Real[np.ndarray, "n 2"],
    width: int,
    height: int,
) -> Cameras:
    """Cameras of pictures of every `step`-th pixel of the whole, from pixel (x, y) `first`.

    Pixel position u of a part is U = step (u - 1/2) + first + 1/2 of the whole, which lies at (U - size / 2) 2 / side.
    """
    count, focal = len(sizes), np.full(len(sizes), side / (2.0 * step))
    cx, cy = ((np.array([[width, height]]) / 2 - first - 0.5) / step + 0.5).T
    return Cameras(
        c2w=np.tile(np.concatenate([np.eye(3), [[0.0], [0.0], [HEIGHT]]], 1), (count, 1, 1)).astype(
            np.float32
        ),
        K=intrinsics(focal, focal, cx, cy).astype(np.float32),
        distortion=np.zeros((count, COEFFICIENTS), np.float32),
        size=sizes.astype(np.int32),
        model=np.full(count, ORTHOGRAPHIC, np.int32),
    )


def _read(root: str | Path | None, max_side: int) -> UInt8[np.ndarray, "h w c"]:
    if root is None:
        raise SceneError([Problem("--scene", "", "not given", "give the file of a picture")])
    size, _, problem = check_image(Path(root), str(root))
    if problem is not None:
        fixes = {
            MISSING: "check the path",
            FOLDER: "give the file of a picture with --scene, or train without --task=image",
        }
        raise SceneError([problem._replace(fix=fixes.get(problem.reason, problem.fix))])
    try:
        return read_image(Path(root), -(-max(size) // max_side))
    except Exception as error:  # decoders raise anything on damaged data
        fix = error.fix if isinstance(error, ImageError) else "export it again"
        raise SceneError([Problem(str(root), "", f"cannot be decoded ({error})", fix)]) from error
