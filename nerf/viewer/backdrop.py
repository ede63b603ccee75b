"""Points on the surfaces of a run, which a browser draws at full rate while the camera moves."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial import cKDTree

from nerf.output.point_cloud import survey
from nerf.runs.read import Run

MIN_POINTS = 500  # fewer are no picture of a scene
SIZED_POINTS = 2000  # points whose neighbours are measured
POINT_SIZE = 1.6  # in distances to the nearest neighbour, so that surfaces have no holes


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """Points of a run, in the normalised world.

    Attributes:
      points: positions.
      colours: sRGB.
      size: of each point.
    """

    points: Float[np.ndarray, "m 3"]
    colours: UInt8[np.ndarray, "m 3"]
    size: float


def make_backdrop(run: Run, count: int) -> Backdrop | None:
    """Sample points on the surfaces that the training views see; None if there are hardly any.

    Args:
      run: the trained run.
      count: number of points; 0 makes none.
    """
    if count == 0:
        return None
    cloud = survey(run, count)
    if len(cloud.points) < MIN_POINTS:
        return None
    points = run.transform.points(cloud.points)
    few = points[:: max(len(points) // SIZED_POINTS, 1)]
    nearest = cKDTree(points).query(few, k=2)[0][:, 1]
    return Backdrop(points, cloud.colours, float(POINT_SIZE * np.median(nearest)))


def add_backdrop(scene: Any, backdrop: Backdrop) -> Any:
    """Add a backdrop to a viser scene and return its handle, whose `visible` can be set.

    Other primitives that a browser draws by itself, such as splats, are added here.
    """
    return scene.add_point_cloud(
        "/backdrop",
        backdrop.points,
        backdrop.colours,
        point_size=backdrop.size,
        point_shape="circle",
        point_shading="flat",
        precision="float32",
        visible=True,
    )
