"""A scene that is only a function: homogeneous balls, whose picture has a closed form. For tests; no files.

A ray that crosses ball i along a chord of length l_i sees it with alpha_i = 1 - exp(-density_i l_i)
(Max 1995). The balls are disjoint: sorted front to back, the picture is
sum_i alpha_i colour_i prod_{j<i} (1 - alpha_j).
"""

import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.scenes.base import Scene, Similarity, rotation_to_z

# In [-1, 1]^3, disjoint, and placed so that swapping or mirroring any axis changes the pictures.
CENTRES = np.array([[-0.35, 0.1, -0.2], [0.45, -0.3, 0.1], [0.1, 0.5, 0.45]])
RADII = np.array([0.4, 0.3, 0.25])
DENSITIES = np.array([8.0, 20.0, 4.0])
COLOURS = np.array([[0.9, 0.4, 0.1], [0.1, 0.3, 0.8], [0.3, 0.8, 0.2]])

DISTANCE, FOCAL = 3.0, 1.5  # of the cameras from the origin; of the lens, in image widths
MOVED = Similarity(0.5, rotation_to_z(np.array([0.3, -0.5, 0.6])), np.array([0.2, -0.1, 0.4]))


def field(
    points: Float[Array, "*b 3"], viewdirs: Float[Array, "*b 3"]
) -> dict[str, Float[Array, "..."]]:
    """The balls as a field that the volume renderer can be given in place of a network."""
    batch = (1,) * (points.ndim - 1)
    offset = points[..., None, :] - jnp.asarray(CENTRES, points.dtype).reshape(*batch, 3, 3)
    inside = jnp.sum(offset**2, -1) < jnp.asarray(RADII**2, points.dtype).reshape(*batch, 3)
    inside = inside.astype(points.dtype)
    return {
        "density": jnp.einsum("...i,i->...", inside, jnp.asarray(DENSITIES, points.dtype)),
        "rgb": jnp.einsum("...i,ic->...c", inside, jnp.asarray(COLOURS, points.dtype)),
    }


def picture(
    origins: Float[np.ndarray, "*b 3"], directions: Float[np.ndarray, "*b 3"]
) -> tuple[Float[np.ndarray, "*b 3"], Float[np.ndarray, "*b"]]:
    """Exact colour, premultiplied by opacity, and opacity that rays with unit directions see (float64)."""
    offset = CENTRES - origins[..., None, :]
    middle = (offset * directions[..., None, :]).sum(-1)
    half = np.sqrt(np.maximum(RADII**2 - (offset**2).sum(-1) + middle**2, 0.0))
    enter, leave = np.maximum(middle - half, 0.0), np.maximum(middle + half, 0.0)
    alpha = 1.0 - np.exp(-DENSITIES * (leave - enter))
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
    """`views` square RGBA images of the balls from random places on a sphere; each split has its own.

    Args:
      root: ignored: there is no folder.
      split: "train", "val" or "test".
      size: width and height in pixels.
      views: how many images.
      seed: of the places.
      moved: whether `Scene.transform` is a true similarity rather than the identity.
      max_side: no image is larger than this.
    """
    size = min(size, max_side)
    rng = np.random.default_rng([seed, ("train", "val", "test").index(split)])
    c2w = np.stack(
        [_look_at_origin(*rng.uniform((-math.pi, -0.9), (math.pi, 0.9))) for _ in range(views)]
    )
    y, x = np.mgrid[:size, :size] + 0.5
    local = np.stack([x - size / 2, size / 2 - y, np.full_like(x, -FOCAL * size)], -1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    cameras = Cameras(
        c2w=c2w.astype(np.float32),
        K=np.tile(intrinsics(FOCAL * size, FOCAL * size, size / 2, size / 2), (views, 1, 1)).astype(
            np.float32
        ),
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
    """8-bit RGBA with straight alpha."""
    straight = colour / np.maximum(opacity, 1e-12)[..., None]
    return np.rint(255.0 * np.concatenate([straight, opacity[..., None]], -1)).astype(np.uint8)


def _look_at_origin(azimuth: float, height: float) -> np.ndarray:
    """Camera-to-world on the sphere, at `height` = z / DISTANCE, looking at the origin, +z up."""
    flat = math.sqrt(1.0 - height**2)
    back = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), height])
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    return np.stack([right, np.cross(back, right), back, DISTANCE * back], -1)
