"""A box that a user edits, in the units and axes of the scene's file.

It is saved in the format of `nerf render --crop=FILE`, and what a viewer shows is read back from
that.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.foundation.files import write_json
from nerf.paths.crops import parse_crop
from nerf.paths.keyframe_reader import Crop
from nerf.scenes.base import Similarity

EXTENT = (1.0, 99.0)  # percentiles of the points that the first box holds
NAME = "the box of the viewer"  # for messages
Three = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class CropBox:
    """A box; nothing outside it is shown or exported.

    Attributes:
      center: its centre.
      size: its three sides.
      rotation: degrees about the x, y and z axes of the file, applied in this order.
    """

    center: Three
    size: Three
    rotation: Three = (0.0, 0.0, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the content of a crop file."""
        data = {"center": list(self.center), "size": list(self.size)}
        return {**data, "rotation": list(self.rotation)} if any(self.rotation) else data

    def crop(self) -> Crop:
        """Return what reading the box's file would return. Raises SceneError for a wrong size."""
        return parse_crop(self.to_json(), NAME)

    def save(self, file: Path) -> None:
        """Write the box for `nerf render --crop=FILE`. Raises SceneError for a wrong size."""
        self.crop()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, self.to_json())


def box_around(points: Float[np.ndarray, "m 3"], transform: Similarity) -> CropBox:
    """Return a box around most points.

    Args:
      points: in the normalised world.
      transform: from the file's world to the normalised one.
    """
    low, high = np.percentile(transform.points_back(points), EXTENT, axis=0)
    return CropBox(_three(0.5 * (low + high)), _three(np.maximum(high - low, 1e-9)))


def edges(crop: Crop, transform: Similarity) -> Float[np.ndarray, "12 2 3"]:
    """Return the ends of a box's edges in the normalised world.

    Args:
      crop: the box.
      transform: from the file's world to the normalised one.
    """
    signs = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij"), -1).reshape(-1, 3)
    corners = transform.points(crop.to_box.points_back(signs * np.asarray(crop.size)))
    # Two corners share an edge if they differ along one axis.
    pairs = [
        (i, j)
        for i in range(8)
        for j in range(i + 1, 8)
        if np.count_nonzero(signs[i] != signs[j]) == 1
    ]
    return np.stack([corners[list(pair)] for pair in pairs])


def distance_text(
    one: Float[np.ndarray, "3"], two: Float[np.ndarray, "3"], transform: Similarity
) -> str:
    """Describe the distance of two points in the units of the scene's file.

    Args:
      one: in the normalised world.
      two: in the normalised world.
      transform: from the file's world to the normalised one.
    """
    apart = transform.points_back(two) - transform.points_back(one)
    x, y, z = apart
    return f"{np.linalg.norm(apart):.4g} (x {x:.4g}, y {y:.4g}, z {z:.4g})"


def _three(values: Float[np.ndarray, "3"]) -> Three:
    """Return three numbers, rounded to what a user reads."""
    x, y, z = (float(f"{value:.4g}") for value in values)
    return x, y, z
