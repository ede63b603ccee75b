"""A made-up scene whose every number is known: a ball, a box and a ring on a disc, under a texture of a known band.

Opaque, rendered by tracing rays in numpy, which shares no code with the volume renderer. No files: a config names it

    config.scene = {"name": "nerf.scenes.toybox:load", "cycles": 16}

and changes what is drawn. The splits look from different places; "val" is for choices, "test" for scores.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS
from nerf.scenes.base import Scene, Similarity
from nerf.scenes.solids import Box, Disc, Points, Rays3, Solid, Sphere, Torus, normals

# Within the unit ball, which the cameras see whole; a solid's place in the list is its class.
BALL = Sphere((-0.38, 0.26, 0.0), 0.3)
SOLIDS: tuple[Solid, ...] = (
    BALL,
    Box((0.36, 0.3, -0.07), (0.2, 0.24, 0.23), 0.5),
    Torus((0.02, -0.42, -0.2), 0.3, 0.1),
    Disc((0.0, 0.0, -0.34), 0.86, 0.04),
)
AROUND = Sphere((0.0, 0.0, 0.0), 0.95)  # holds them all
NOTHING = len(SOLIDS)  # the class of a ray that hits none
COLOURS = np.array([[0.65, 0.4, 0.35], [0.4, 0.5, 0.65], [0.6, 0.55, 0.35], [0.5, 0.55, 0.5]])
LIGHT = np.array([0.36, -0.48, 0.8])  # towards it; a unit vector
GLOSS, SHARPNESS = 0.7, 24.0  # of the specular lobe (Phong 1975)
WAVES, CONTRAST = 6, 0.2  # of the texture: how many, and how far together they move a colour
DISTANCE, FOCAL = 3.0, 1.5  # of the cameras from the origin; of the lens, in image widths
GOLDEN = math.pi * (3.0 - math.sqrt(5.0))
TURN_AXIS = np.array([2.0, -1.0, 2.0]) / 3.0


class Hits(NamedTuple):
    """What rays meet first: distance (inf: nothing), class, and unit outward normal (zeros: nothing)."""

    t: Float[np.ndarray, " m"]
    label: Int[np.ndarray, " m"]
    normal: Float[np.ndarray, "m 3"]


def distance(points: Points) -> Float[np.ndarray, "*b"]:
    """Distance to the nearest surface, negative inside a solid; exact outside."""
    return np.min([solid.distance(points) for solid in SOLIDS], 0)


def trace(origins: Rays3, directions: Rays3) -> Hits:
    """What rays with unit directions, from outside of every solid, hit."""
    t, label = np.full(len(origins), np.inf), np.full(len(origins), NOTHING)
    normal = np.zeros((len(origins), 3))
    near = np.flatnonzero(np.isfinite(AROUND.enter(origins, directions)))
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
    """What the pattern adds to a colour: plane waves of `cycles` periods along [-1, 1], in directions all around."""
    i = np.arange(WAVES)
    z = (2.0 * i + 1.0) / WAVES - 1.0
    flat = np.sqrt(1.0 - z**2)
    around = np.stack([flat * np.cos(GOLDEN * i), flat * np.sin(GOLDEN * i), z], -1)
    waves = np.sin(math.pi * cycles * points @ around.T + i)
    channels = np.cos(
        2.0 * math.pi * (i[:, None] / WAVES + np.arange(3) / 3.0)
    )  # how a wave tints: they sum to 0
    return CONTRAST * (waves @ (0.5 + channels)) / math.sqrt(WAVES / 2.0)


def shade(
    hits: Hits, origins: Rays3, directions: Rays3, cycles: int | float, specular: bool
) -> Float[np.ndarray, "m 3"]:
    """Colours of rays: texture under a soft lamp, which is the same from everywhere, and a lobe which is not."""
    there = hits.label != NOTHING
    out = np.zeros((len(origins), 3))
    points, normal = origins[there] + hits.t[there, None] * directions[there], hits.normal[there]
    albedo = COLOURS[hits.label[there]] + (texture(points, cycles) if cycles else 0.0)
    out[there] = albedo * (0.75 + 0.25 * normal @ LIGHT)[:, None]
    if specular:
        mirrored = (
            directions[there] - 2.0 * (directions[there] * normal).sum(-1, keepdims=True) * normal
        )
        out[there] += GLOSS * np.maximum(mirrored @ LIGHT, 0.0)[:, None] ** SHARPNESS
    return np.clip(out, 0.0, 1.0)


def look(c2w: Float[np.ndarray, "3 4"], size: int) -> tuple[Rays3, Rays3]:
    """Origins and directions of the rays through the pixel centres of a view, in row-major order."""
    y, x = np.mgrid[:size, :size] + 0.5
    local = np.stack([x - size / 2, size / 2 - y, np.full_like(x, -FOCAL * size)], -1).reshape(
        -1, 3
    )
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    return np.broadcast_to(c2w[:, 3], local.shape), local @ c2w[:, :3].T


def place(split: str, views: int) -> Float[np.ndarray, "n 3 4"]:
    """Cameras evenly over the upper part of a sphere, looking at the origin: each split starts elsewhere."""
    i = np.arange(views)
    height = 0.25 + 0.7 * (i + 0.5) / views
    turns = GOLDEN * i + {"train": 0.0, "val": 1.0, "test": 2.5}[split]
    return np.stack([_towards_origin(azimuth, h) for azimuth, h in zip(turns, height, strict=True)])


def _towards_origin(azimuth: float, height: float) -> np.ndarray:
    """Camera-to-world at `height` = z / DISTANCE, +z up in the picture."""
    flat = math.sqrt(1.0 - height**2)
    back = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), height])
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    return np.stack([right, np.cross(back, right), back, DISTANCE * back], -1)


@functools.lru_cache(maxsize=64)
def _paint(
    split: str, views: int, size: int, cycles: int | float, specular: bool, samples: int
) -> list[np.ndarray]:
    """Premultiplied float RGBA (size, size, 4) of every view: each pixel is the mean of samples x samples rays."""
    pictures = []
    for c2w in place(split, views):
        origins, directions = look(c2w, size * samples)
        hits = trace(origins, directions)
        colour = shade(hits, origins, directions, cycles, specular)
        rgba = np.concatenate([colour, (hits.label != NOTHING)[:, None]], -1)
        pictures.append(rgba.reshape(size, samples, size, samples, 4).mean((1, 3)))
    return pictures


def _straight(premultiplied: Float[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """8-bit RGBA with straight alpha."""
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
    samples: int = 2,
) -> Scene:
    """Square RGBA images of the toys.

    Args:
      root: ignored: there is no folder.
      split: "train", "val" or "test".
      sizes: pixels along a side. With several, every view is there at each, and the smaller are box-filtered from the
        largest, which they must divide.
      views, held_out: places to look from, of "train" and of either other split.
      cycles: periods of the texture along [-1, 1]; 0 for plain colours.
      specular: whether the toys shine.
      turned: radians by which the normalised world, cameras and all, is turned about a slanted axis: the pictures stay.
      samples: rays along each side of a pixel of the largest size.
    """
    count = views if split == "train" else held_out
    largest = max(sizes)
    painted = _paint(split, count, largest, float(cycles), specular, samples)
    transform = Similarity(1.0, _rotation(turned), np.zeros(3))
    poses = transform.poses(place(split, count))
    views_at = [(i, size) for i in range(count) for size in sizes]
    images = [
        _straight(painted[i].reshape(size, largest // size, size, largest // size, 4).mean((1, 3)))
        for i, size in views_at
    ]
    side = np.array([size for _, size in views_at])
    cameras = Cameras(
        c2w=poses[[i for i, _ in views_at]].astype(np.float32),
        K=intrinsics(FOCAL * side, FOCAL * side, side / 2, side / 2).astype(np.float32),
        distortion=np.zeros((len(side), COEFFICIENTS), np.float32),
        size=np.stack([side, side], -1).astype(np.int32),
    )
    names = [f"{split}/{i:03d}_{size}" for i, size in views_at]
    return Scene(images, cameras, names, transform, unbounded=False)


def _rotation(angle: float) -> Float[np.ndarray, "3 3"]:
    """About TURN_AXIS (Rodrigues)."""
    x, y, z = TURN_AXIS
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross
