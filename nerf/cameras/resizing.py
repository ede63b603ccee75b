"""Change the number of pixels of cameras."""

import dataclasses

import numpy as np

from nerf.cameras.cameras import Cameras


def resized(camera: Cameras, factor: float) -> Cameras:
    """Return a camera with `factor` times as many pixels along each side."""
    return dataclasses.replace(
        camera,
        K=(np.diag([factor, factor, 1.0]) @ camera.K).astype(np.float32),
        size=np.maximum(np.rint(camera.size * factor), 1).astype(np.int32),
    )
