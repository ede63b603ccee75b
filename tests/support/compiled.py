"""Rays and projections, each as one compiled program.

Outside of `jax.jit`, JAX compiles every single operation for each new shape, which takes a second.
"""

import jax
import numpy as np

from nerf.cameras.cameras import Cameras, pixels_to_rays, project

to_rays, to_pixels = jax.jit(pixels_to_rays), jax.jit(project)


def repeated(camera: Cameras, count: int) -> Cameras:
    """Return one camera as many equal ones."""
    return jax.tree.map(lambda x: np.broadcast_to(x, (count, *np.shape(x))), camera)
