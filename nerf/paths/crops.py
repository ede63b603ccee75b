"""Read the box that videos, point clouds and meshes are limited to."""

import os
from collections.abc import Mapping
from typing import Any

from scipy.spatial.transform import Rotation

from nerf.paths.keyframe_reader import Crop, Reader, load_json
from nerf.scenes.base import SceneError, Similarity

KEYS = ("center", "size", "rotation")


def read_crop(file: str | os.PathLike[str]) -> Crop:
    """Read a crop file, such as {"center": [0, 0, 1], "size": [2, 2, 1.5]}.

    "center" and "size" are three numbers each, in the units and axes of the scene's file. The
    optional "rotation" turns the box about its centre: degrees about the x, y and z axes of the
    scene's file, applied in this order.

    Raises:
      SceneError: the file cannot be read or has wrong values; all problems together.
    """
    name = os.fspath(file)
    return parse_crop(load_json(name), name)


def parse_crop(data: Mapping[str, Any], name: str) -> Crop:
    """Read the content of a crop file; see `read_crop`.

    Raises:
      SceneError: the content has wrong values; all problems together.
    """
    reader = Reader(name)
    reader.known(data, KEYS)
    center, size = reader.vector(data, "center", 3), reader.vector(data, "size", 3)
    if (size <= 0.0).any():
        reader.report("size", "not above zero", "give the box's three sides")
    degrees = reader.vector(data, "rotation", 3, default=(0.0, 0.0, 0.0))
    if reader.problems:
        raise SceneError(reader.problems)
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    to_box = Similarity(1.0, rotation.T, -rotation.T @ center)
    sides = (float(size[0]), float(size[1]), float(size[2]))
    return Crop(to_box, sides, None)
