"""A synthetic scene of open surfaces, which have no inside: a bowl and a bent sheet.

Both are infinitely thin, are seen from both sides, and have another colour on each. Cameras,
texture and painting are those of the toybox. The scene has no files; a config selects it with
options:

    config.scene = {"name": "nerf.scenes.open_surfaces:load", "cycles": 4}
"""

import dataclasses
import math
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from nerf.scenes import toybox
from nerf.scenes.base import Scene, Similarity
from nerf.scenes.solids import PerPoint, PerRay, Points, Rays3


class OpenSurface(Protocol):
    """A surface with a boundary, with closed forms of all that is asked of it."""

    def distance(self, points: Points) -> PerPoint:
        """Return the exact unsigned distance (*b,) of points (*b, 3)."""
        ...

    def meet(self, origins: Rays3, directions: Rays3) -> PerRay:
        """Return the distance (m,) along unit rays to their first intersection, inf for a miss."""
        ...

    def normal(self, points: Points) -> Points:
        """Return the unit normals of points on the surface, all on the same side of it."""
        ...

    def sample(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 3"]:
        """Return points that are uniformly distributed over the surface."""
        ...


@dataclasses.dataclass(frozen=True)
class Bowl:
    """The part of a sphere below a horizontal plane.

    Attributes:
      centre: centre of the sphere.
      radius: radius of the sphere.
      rim: height of the plane above the centre; less than the radius.
    """

    centre: tuple[float, float, float]
    radius: float
    rim: float

    @property
    def rim_radius(self) -> float:
        """Radius of the circle that is the boundary."""
        return math.sqrt(self.radius**2 - self.rim**2)

    def distance(self, points: Points) -> PerPoint:
        offset = points - self.centre
        flat, height = np.hypot(offset[..., 0], offset[..., 1]), offset[..., 2]
        length = np.hypot(flat, height)
        # The cone from the centre to the rim separates the points that are nearest to the rim.
        below = height * self.radius <= self.rim * length
        to_rim = np.hypot(flat - self.rim_radius, height - self.rim)
        return np.where(below, np.abs(length - self.radius), to_rim)

    def meet(self, origins: Rays3, directions: Rays3) -> PerRay:
        offset = origins - self.centre
        roots = _roots(
            np.ones(len(origins)), (offset * directions).sum(-1), (offset**2).sum(-1), self.radius
        )
        heights = offset[:, 2] + roots * directions[:, 2]
        return _first(roots, heights <= self.rim)

    def normal(self, points: Points) -> Points:
        return (points - self.centre) / self.radius

    def sample(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 3"]:
        # Slices of equal height have equal area (Archimedes).
        height = rng.uniform(-self.radius, self.rim, count)
        angle = rng.uniform(0.0, 2.0 * math.pi, count)
        flat = np.sqrt(np.maximum(self.radius**2 - height**2, 0.0))
        offset = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], -1)
        return self.centre + offset

    def is_over_opening(self, points: Points, margin: float = 0.1) -> Bool[np.ndarray, "*b"]:
        """Return which points a false lid over the bowl, or a filling of it, would have.

        Args:
          points: (*b, 3) points.
          margin: distance from the bowl from which on a point is not on the bowl itself.
        """
        offset = points - self.centre
        within = np.hypot(offset[..., 0], offset[..., 1]) < self.rim_radius
        low = (offset[..., 2] > -self.radius) & (offset[..., 2] < self.rim + margin)
        return within & low & (self.distance(points) > margin)


@dataclasses.dataclass(frozen=True)
class BentSheet:
    """An upright rectangle that is bent around a vertical axis, bulging towards +x.

    Attributes:
      centre: middle of the axis.
      radius: distance from the axis.
      half_angle: half of the angle that it covers, in radians; less than pi / 2.
      half_height: half of its height.
    """

    centre: tuple[float, float, float]
    radius: float
    half_angle: float
    half_height: float

    def distance(self, points: Points) -> PerPoint:
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        end = self.radius * np.array([math.cos(self.half_angle), math.sin(self.half_angle)])
        # In the plane, the nearest point is on the arc or is the nearer one of its ends.
        beside = np.hypot(x - end[0], np.abs(y) - end[1])
        facing = np.abs(np.arctan2(y, x)) <= self.half_angle
        flat = np.where(facing, np.abs(np.hypot(x, y) - self.radius), beside)
        return np.hypot(flat, np.maximum(np.abs(z) - self.half_height, 0.0))

    def meet(self, origins: Rays3, directions: Rays3) -> PerRay:
        o, d = (origins - self.centre)[:, :2], directions[:, :2]
        roots = _roots((d**2).sum(-1), (o * d).sum(-1), (o**2).sum(-1), self.radius)
        x, y = (o[:, axis] + roots * d[:, axis] for axis in (0, 1))
        z = origins[:, 2] - self.centre[2] + roots * directions[:, 2]
        facing = np.abs(np.arctan2(y, x)) <= self.half_angle
        return _first(roots, facing & (np.abs(z) <= self.half_height))

    def normal(self, points: Points) -> Points:
        offset = points - self.centre
        return offset * [1.0, 1.0, 0.0] / self.radius

    def sample(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 3"]:
        angle = rng.uniform(-self.half_angle, self.half_angle, count)
        z = rng.uniform(-self.half_height, self.half_height, count)
        flat = self.radius * np.stack([np.cos(angle), np.sin(angle)], -1)
        return self.centre + np.concatenate([flat, z[:, None]], -1)


BOWL = Bowl((-0.36, 0.0, 0.05), 0.45, 0.1)
SHEET = BentSheet((0.25, 0.0, 0.0), 0.45, math.pi / 3.0, 0.4)
SURFACES: tuple[OpenSurface, ...] = (BOWL, SHEET)


def distance(points: Points) -> PerPoint:
    """Return the exact unsigned distance to the nearest surface."""
    return np.min([surface.distance(points) for surface in SURFACES], 0)


def trace(origins: Rays3, directions: Rays3) -> toybox.Hits:
    """Return the first intersections of rays with unit directions.

    Normals point towards the viewer. Each side of a surface is a class of its own: class 2 i is the
    side of surface i to which its normals point, class 2 i + 1 the other one.
    """
    each = np.stack([surface.meet(origins, directions) for surface in SURFACES])
    t = each.min(0)
    label = np.full(len(origins), toybox.NOTHING)
    normal = np.zeros((len(origins), 3))
    for i, surface in enumerate(SURFACES):
        mine = np.isfinite(t) & (each.argmin(0) == i)
        outward = surface.normal(origins[mine] + t[mine, None] * directions[mine])
        behind = (outward * directions[mine]).sum(-1) > 0.0
        normal[mine] = np.where(behind[:, None], -outward, outward)
        label[mine] = 2 * i + behind
    return toybox.Hits(t, label, normal)


def load(
    root: str | Path | None,
    split: str,
    sizes: tuple[int, ...] = (64,),
    views: int = 32,
    held_out: int = 8,
    cycles: int | float = 4.0,
    samples: int = 2,
) -> Scene:
    """Render square RGBA images of the scene.

    Args:
      root: ignored; the scene has no folder.
      split: "train", "val" or "test".
      sizes: width and height of the images in pixels; see `nerf.scenes.toybox`.
      views: number of camera positions of "train".
      held_out: number of camera positions of "val" and of "test".
      cycles: number of periods of the texture along [-1, 1]; 0 for plain colours.
      samples: number of rays along each side of a pixel of the largest size.

    Returns:
      The scene of one split; it is bounded.
    """
    count = views if split == "train" else held_out
    painted = toybox.paint(trace, split, count, max(sizes), float(cycles), False, samples)
    return toybox.photograph(painted, split, sizes, Similarity())


def _roots(a: PerRay, half_b: PerRay, square: PerRay, radius: float) -> Float[np.ndarray, "2 m"]:
    """Return both t with |o + t d| = radius, the smaller first, NaN if there are none.

    Args:
      a: |d|^2.
      half_b: o . d.
      square: |o|^2.
      radius: the radius of the sphere or cylinder.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(half_b**2 - a * (square - radius**2))
        return np.stack([-half_b - root, -half_b + root]) / a


def _first(roots: Float[np.ndarray, "2 m"], valid: Bool[np.ndarray, "2 m"]) -> PerRay:
    """Return the first valid root in front of the origin, inf if there is none."""
    with np.errstate(invalid="ignore"):
        return np.where(valid & (roots > 0.0), roots, np.inf).min(0)
