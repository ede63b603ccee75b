"""A synthetic scene for tests: homogeneous balls whose images have a closed form; no files.

A ray that crosses ball i along a chord of length l_i has alpha_i = 1 - exp(-density_i l_i) (Max
1995). The balls are disjoint: sorted front to back, the colour of a ray is
sum_i alpha_i colour_i prod_{j<i} (1 - alpha_j).
"""

import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.scenes.base import Scene, Similarity, rotation_to_z

# In [-1, 1]^3, disjoint, and placed so that swapping or mirroring any axis changes the images.
CENTRES = np.array([[-0.35, 0.1, -0.2], [0.45, -0.3, 0.1], [0.1, 0.5, 0.45]])
RADII = np.array([0.4, 0.3, 0.25])
DENSITIES = np.array([8.0, 20.0, 4.0])
COLOURS = np.array([[0.9, 0.4, 0.1], [0.1, 0.3, 0.8], [0.3, 0.8, 0.2]])

DISTANCE = 3.0  # of the cameras from the origin
FOCAL = 1.5  # focal length in image widths
MOVED = Similarity(0.5, rotation_to_z(np.array([0.3, -0.5, 0.6])), np.array([0.2, -0.1, 0.4]))


def field(samples: Any) -> dict[str, Float[Array, "..."]]:
    """Return density (*b,) and colour (*b, 3) of the balls, as a field for the volume renderer."""
    points = samples.points
    batch = (1,) * (points.ndim - 1)
    offset = points[..., None, :] - jnp.asarray(CENTRES, points.dtype).reshape(*batch, 3, 3)
    inside = jnp.sum(offset**2, -1) < jnp.asarray(RADII**2, points.dtype).reshape(*batch, 3)
    inside = inside.astype(points.dtype)
    return {
        "density": jnp.einsum(
            "...i,i->...", inside, jnp.asarray(DENSITIES, points.dtype), precision="highest"
        ),
        "rgb": jnp.einsum(
            "...i,ic->...c", inside, jnp.asarray(COLOURS, points.dtype), precision="highest"
        ),
    }


def picture(
    origins: Float[np.ndarray, "*b 3"], directions: Float[np.ndarray, "*b 3"]
) -> tuple[Float[np.ndarray, "*b 3"], Float[np.ndarray, "*b"]]:
    """Return the exact colour and opacity of rays with unit directions, in float64.

    The colour is premultiplied by the opacity.
    """
    offset = CENTRES - origins[..., None, :]
    middle = (offset * directions[..., None, :]).sum(-1)
    half = np.sqrt(np.maximum(RADII**2 - (offset**2).sum(-1) + middle**2, 0.0))
    # The chord through each ball, (*b, 3 balls), clipped at the origin of the ray.
    enter, leave = np.maximum(middle - half, 0.0), np.maximum(middle + half, 0.0)
    alpha = 1.0 - np.exp(-DENSITIES * (leave - enter))
    # Composite front to back: w_i = alpha_i prod_{j<i} (1 - alpha_j).
    order = np.argsort(enter, -1)
    alpha = np.take_along_axis(alpha, order, -1)
    past = np.cumprod(1.0 - alpha, -1)
    weights = alpha * np.concatenate([np.ones_like(past[..., :1]), past[..., :-1]], -1)
    return (weights[..., None] * COLOURS[order]).sum(-2), np.asarray(1.0 - past[..., -1])


def load(
    root: str | Path | None,
    split: str,
    size: int = 32,
    views: int = 12,
    seed: int = 0,
    moved: bool = True,
    max_side: int = 1024,
) -> Scene:
    """Render square RGBA images of the balls from random positions on a sphere.

    Each split has its own positions.

    Args:
      root: ignored; the scene has no folder.
      split: "train", "val" or "test".
      size: width and height in pixels.
      views: number of images.
      seed: seed of the camera positions.
      moved: whether `Scene.transform` is a similarity other than the identity.
      max_side: maximum width and height in pixels; it limits `size`.

    Returns:
      The scene of one split; it is bounded.
    """
    size = min(size, max_side)
    rng = np.random.default_rng([seed, ("train", "val", "test").index(split)])
    c2w = np.stack(
        [_look_at_origin(*rng.uniform((-math.pi, -0.9), (math.pi, 0.9))) for _ in range(views)]
    )
    # Unit directions through the pixel centres, in camera axes.
    y, x = np.mgrid[:size, :size] + 0.5
    local = np.stack([x - size / 2, size / 2 - y, np.full_like(x, -FOCAL * size)], -1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    K = intrinsics(FOCAL * size, FOCAL * size, size / 2, size / 2)
    cameras = Cameras(
        c2w=c2w.astype(np.float32),
        K=np.tile(K, (views, 1, 1)).astype(np.float32),
        distortion=np.zeros((views, 8), np.float32),
        size=np.full((views, 2), size, np.int32),
    )
    images = [
        _rgba(*picture(np.broadcast_to(pose[:, 3], local.shape), local @ pose[:, :3].T))
        for pose in c2w
    ]
    names = [f"{split}/{i:03d}" for i in range(views)]
    return Scene(images, cameras, names, MOVED if moved else Similarity(), unbounded=False)


def _rgba(colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Return 8-bit RGBA with straight alpha."""
    straight = colour / np.maximum(opacity, 1e-12)[..., None]
    return np.rint(255.0 * np.concatenate([straight, opacity[..., None]], -1)).astype(np.uint8)


def _look_at_origin(azimuth: float, height: float) -> np.ndarray:
    """Return the pose of a camera on the sphere that looks at the origin, with +z up.

    `azimuth` is in radians and `height` is z / DISTANCE.
    """
    flat = math.sqrt(1.0 - height**2)
    back = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), height])
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    return np.stack([right, np.cross(back, right), back, DISTANCE * back], -1)
