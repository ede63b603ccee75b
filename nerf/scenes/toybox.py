"""A synthetic scene with known geometry: a ball, a box and a torus on a disc, with a texture.

The solids are opaque, and the frequency of their texture is known. Images are ray traced in numpy,
without any code of the volume renderer. The scene has no files; a config selects it with options:

    config.scene = {"name": "nerf.scenes.toybox:load", "cycles": 16}

Each split has its own camera positions; use "val" to make choices and "test" for final scores.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS
from nerf.scenes.base import Scene, Similarity
from nerf.scenes.solids import Box, Disc, Points, Rays3, Solid, Sphere, Torus, normals

# All solids lie in the unit ball, which every camera sees completely. A solid's index is its class.
BALL = Sphere((-0.38, 0.26, 0.0), 0.3)
SOLIDS: tuple[Solid, ...] = (
    BALL,
    Box((0.36, 0.3, -0.07), (0.2, 0.24, 0.23), 0.5),
    Torus((0.02, -0.42, -0.2), 0.3, 0.1),
    Disc((0.0, 0.0, -0.34), 0.86, 0.04),
)
BOUNDING_BALL = Sphere((0.0, 0.0, 0.0), 0.95)  # contains all solids
NOTHING = len(SOLIDS)  # class of a ray that hits no solid
COLOURS = np.array([[0.65, 0.4, 0.35], [0.4, 0.5, 0.65], [0.6, 0.55, 0.35], [0.5, 0.55, 0.5]])
LIGHT = np.array([0.36, -0.48, 0.8])  # unit vector towards the light
GLOSS, SHARPNESS = 0.7, 24.0  # amplitude and exponent of the specular lobe (Phong 1975)
WAVES, CONTRAST = 6, 0.2  # number of plane waves in the texture, and their joint amplitude
DISTANCE = 3.0  # of the cameras from the origin
LOWEST, HIGHEST = 0.25, 0.95  # z of the cameras, in units of DISTANCE
FOCAL = 1.5  # focal length in image widths
GOLDEN = math.pi * (3.0 - math.sqrt(5.0))  # golden angle in radians
TURN_AXIS = np.array([2.0, -1.0, 2.0]) / 3.0  # unit vector


class Hits(NamedTuple):
    """First intersections of rays.

    Attributes:
      t: (m,) distance along the ray, inf for a miss.
      label: (m,) class of the solid, NOTHING for a miss.
      normal: (m, 3) unit outward normal, zeros for a miss.
    """

    t: Float[np.ndarray, " m"]
    label: Int[np.ndarray, " m"]
    normal: Float[np.ndarray, "m 3"]


def distance(points: Points) -> Float[np.ndarray, "*b"]:
    """Return the signed distance to the nearest surface; exact outside, negative inside."""
    return np.min([solid.distance(points) for solid in SOLIDS], 0)


def trace(origins: Rays3, directions: Rays3) -> Hits:
    """Return the first intersections of rays that start outside of every solid.

    `directions` are unit vectors.
    """
    t, label = np.full(len(origins), np.inf), np.full(len(origins), NOTHING)
    normal = np.zeros((len(origins), 3))
    # Only rays that hit the bounding ball can hit a solid; the nearest solid wins.
    near = np.flatnonzero(np.isfinite(BOUNDING_BALL.enter(origins, directions)))
    o, d = origins[near], directions[near]
    for i, solid in enumerate(SOLIDS):
        enter = solid.enter(o, d)
        closer = enter < t[near]
        t[near[closer]], label[near[closer]] = enter[closer], i
    for i, solid in enumerate(SOLIDS):
        mine = label == i
        normal[mine] = normals(solid.distance, origins[mine] + t[mine, None] * directions[mine])
    return Hits(t, label, normal)


def texture(points: Float[np.ndarray, "m 3"], cycles: int | float) -> Float[np.ndarray, "m 3"]:
    """Return the texture (m, 3), which is added to the colours of points.

    It is a sum of plane waves with `cycles` periods along [-1, 1], whose directions cover a sphere.
    """
    i = np.arange(WAVES)
    z = (2.0 * i + 1.0) / WAVES - 1.0
    # Unit wave directions on a Fibonacci sphere, (WAVES, 3).
    flat = np.sqrt(1.0 - z**2)
    around = np.stack([flat * np.cos(GOLDEN * i), flat * np.sin(GOLDEN * i), z], -1)
    waves = np.sin(math.pi * cycles * points @ around.T + i)
    # Each wave has a tint, (WAVES, 3), whose channels sum to 0.
    channels = np.cos(2.0 * math.pi * (i[:, None] / WAVES + np.arange(3) / 3.0))
    return CONTRAST * (waves @ (0.5 + channels)) / math.sqrt(WAVES / 2.0)


def shade(
    hits: Hits, origins: Rays3, directions: Rays3, cycles: int | float, specular: bool
) -> Float[np.ndarray, "m 3"]:
    """Return the colours (m, 3) of rays, sRGB in [0, 1].

    Diffuse shading does not depend on the view direction; the specular lobe does.

    Args:
      hits: (m,) intersections of the rays.
      origins: (m, 3) ray origins.
      directions: (m, 3) unit ray directions.
      cycles: number of periods of the texture along [-1, 1]; 0 for plain colours.
      specular: whether to add the specular lobe.
    """
    hit = hits.label != NOTHING
    out = np.zeros((len(origins), 3))
    points = origins[hit] + hits.t[hit, None] * directions[hit]
    normal = hits.normal[hit]
    # Diffuse: a soft light with an ambient term, so that no side is black.
    albedo = COLOURS[hits.label[hit]] + (texture(points, cycles) if cycles else 0.0)
    out[hit] = albedo * (0.75 + 0.25 * normal @ LIGHT)[:, None]
    # Specular: gloss * max(r . light, 0)^sharpness with the mirrored ray r = d - 2 (d . n) n.
    if specular:
        d = directions[hit]
        mirrored = d - 2.0 * (d * normal).sum(-1, keepdims=True) * normal
        out[hit] += GLOSS * np.maximum(mirrored @ LIGHT, 0.0)[:, None] ** SHARPNESS
    return np.clip(out, 0.0, 1.0)


def look(c2w: Float[np.ndarray, "3 4"], size: int) -> tuple[Rays3, Rays3]:
    """Return origins and directions of the rays through the pixel centres, row-major.

    `c2w` is the camera's pose and `size` its width and height in pixels.
    """
    y, x = np.mgrid[:size, :size] + 0.5
    local = np.stack([x - size / 2, size / 2 - y, np.full_like(x, -FOCAL * size)], -1)
    local = local.reshape(-1, 3)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    return np.broadcast_to(c2w[:, 3], local.shape), local @ c2w[:, :3].T


def place(split: str, views: int, around: bool = False) -> Float[np.ndarray, "n 3 4"]:
    """Return poses evenly distributed over the upper part of a sphere, looking at the origin.

    The azimuth of the first camera differs between the splits.

    Args:
      split: "train", "val" or "test".
      views: number of poses n.
      around: whether to distribute them over the lower part too.
    """
    i = np.arange(views)
    lowest = -HIGHEST if around else LOWEST
    height = lowest + (HIGHEST - lowest) * (i + 0.5) / views
    turns = GOLDEN * i + {"train": 0.0, "val": 1.0, "test": 2.5}[split]
    return np.stack([_towards_origin(azimuth, h) for azimuth, h in zip(turns, height, strict=True)])


def _towards_origin(azimuth: float, height: float) -> np.ndarray:
    """Return the pose of a camera that looks at the origin, with +z up in the image.

    `azimuth` is in radians and `height` is z / DISTANCE.
    """
    flat = math.sqrt(1.0 - height**2)
    back = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), height])
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    return np.stack([right, np.cross(back, right), back, DISTANCE * back], -1)


@functools.lru_cache(maxsize=64)
def paint(
    trace: Callable[[Rays3, Rays3], Hits],
    split: str,
    views: int,
    size: int,
    cycles: int | float,
    specular: bool,
    samples: int,
    around: bool = False,
) -> list[np.ndarray]:
    """Render premultiplied float RGBA images (size, size, 4) of all views of a split.

    Args:
      trace: (origins, directions) -> first intersections.
      split: "train", "val" or "test".
      views: number of camera positions.
      size: width and height in pixels.
      cycles: number of periods of the texture along [-1, 1]; 0 for plain colours.
      specular: whether there are specular highlights.
      samples: each pixel is the mean of samples x samples rays.
      around: whether there are cameras below, too.

    Returns:
      One image per view.
    """
    pictures = []
    for c2w in place(split, views, around):
        origins, directions = look(c2w, size * samples)
        hits = trace(origins, directions)
        colour = shade(hits, origins, directions, cycles, specular)
        rgba = np.concatenate([colour, (hits.label != NOTHING)[:, None]], -1)
        pictures.append(rgba.reshape(size, samples, size, samples, 4).mean((1, 3)))
    return pictures


def _straight(premultiplied: Float[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """Return 8-bit RGBA with straight alpha."""
    alpha = premultiplied[..., 3:]
    colour = premultiplied[..., :3] / np.maximum(alpha, 1e-12)
    return np.rint(255.0 * np.concatenate([colour, alpha], -1)).astype(np.uint8)


def load(
    root: str | Path | None,
    split: str,
    sizes: Sequence[int] = (64,),
    views: int = 32,
    held_out: int = 8,
    cycles: int | float = 8.0,
    specular: bool = False,
    turned: int | float = 0.0,
    scale: int | float = 1.0,
    samples: int = 2,
    around: bool = False,
) -> Scene:
    """Render square RGBA images of the scene.

    Args:
      root: ignored; the scene has no folder.
      split: "train", "val" or "test".
      sizes: width and height of the images in pixels. With several sizes, each view is rendered
        once per size; smaller images are box-filtered from the largest, whose size they must
        divide.
      views: number of camera positions of "train".
      held_out: number of camera positions of "val" and of "test".
      cycles: number of periods of the texture along [-1, 1]; 0 for plain colours.
      specular: whether the solids have specular highlights.
      turned: angle in radians by which the normalised world, including its cameras, is rotated
        about TURN_AXIS. The images do not change.
      scale: size of the solids, and of their distance from the cameras, in the normalised world;
        less than 1 leaves more of the box empty. The images do not change.
      samples: number of rays along each side of a pixel of the largest size.
      around: whether there are cameras below the solids, too; without them, nothing shows their
        undersides.

    Returns:
      The scene of one split; it is bounded.
    """
    count = views if split == "train" else held_out
    painted = paint(trace, split, count, max(sizes), float(cycles), specular, samples, around)
    transform = Similarity(scale, _rotation(turned), np.zeros(3))
    return photograph(painted, split, sizes, transform, around)


def photograph(
    painted: Sequence[Float[np.ndarray, "h w 4"]],
    split: str,
    sizes: Sequence[int],
    transform: Similarity,
    around: bool = False,
) -> Scene:
    """Return the scene of painted images, each box-filtered to all sizes.

    Args:
      painted: premultiplied float RGBA of each view at the largest size; see `paint`.
      split: "train", "val" or "test", which decides the camera positions.
      sizes: widths and heights in pixels; they divide the largest.
      transform: from the world of the solids to the normalised one.
      around: as it was for `paint`.

    Returns:
      The scene, with one image per view and size; it is bounded.
    """
    largest = max(sizes)
    poses = transform.poses(place(split, len(painted), around))
    views_at = [(i, size) for i in range(len(painted)) for size in sizes]
    images = [
        _straight(painted[i].reshape(size, largest // size, size, largest // size, 4).mean((1, 3)))
        for i, size in views_at
    ]
    cameras = _cameras(poses[[i for i, _ in views_at]], np.array([size for _, size in views_at]))
    names = [f"{split}/{i:03d}_{size}" for i, size in views_at]
    return Scene(images, cameras, names, transform, unbounded=False)


def _cameras(c2w: Float[np.ndarray, "n 3 4"], side: Int[np.ndarray, " n"]) -> Cameras:
    """Return pinhole cameras of square images with `side` pixels along each side."""
    return Cameras(
        c2w=c2w.astype(np.float32),
        K=intrinsics(FOCAL * side, FOCAL * side, side / 2, side / 2).astype(np.float32),
        distortion=np.zeros((len(side), COEFFICIENTS), np.float32),
        size=np.stack([side, side], -1).astype(np.int32),
    )


def _rotation(angle: float) -> Float[np.ndarray, "3 3"]:
    """Return the rotation about TURN_AXIS (Rodrigues' formula)."""
    x, y, z = TURN_AXIS
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross
