"""Analytic solids for synthetic scenes: exact signed distances and ray intersections in numpy.

A solid has two methods. `distance(points (*b, 3)) -> (*b)` is the exact signed distance, negative
inside. `enter(origins (m, 3), directions (m, 3)) -> (m)` is the distance along rays with unit
directions at which they first hit the surface from outside, inf if they miss it. Everything is
float64.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "*b 3"]
PerPoint = Float[np.ndarray, "*b"]
Rays3 = Float[np.ndarray, "m 3"]
PerRay = Float[np.ndarray, " m"]


class Solid(Protocol):
    """A solid with a closed-form signed distance and ray intersection."""

    def distance(self, points: Points) -> PerPoint:
        """Return the signed distance (*b,) of points (*b, 3) to the surface, negative inside."""
        ...

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        """Return the distance (m,) along each ray to the surface, inf if the ray misses it."""
        ...


@dataclasses.dataclass(frozen=True)
class Sphere:
    """A ball.

    Attributes:
      centre: its centre.
      radius: its radius.
    """

    centre: tuple[float, float, float]
    radius: float

    def distance(self, points: Points) -> PerPoint:
        return np.linalg.norm(points - self.centre, axis=-1) - self.radius

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        # t solves (t - middle)^2 = r^2 - |c - o|^2 + middle^2, with middle = (c - o) . d.
        offset = np.asarray(self.centre) - origins
        middle = (offset * directions).sum(-1)
        return _first(middle, self.radius**2 - (offset**2).sum(-1) + middle**2)


@dataclasses.dataclass(frozen=True)
class Box:
    """A box, rotated about +z.

    Attributes:
      centre: its centre.
      half: half of its size along each of its axes.
      turn: rotation about +z in radians.
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    turn: float

    def _local(self, x: np.ndarray) -> np.ndarray:
        """Rotate vectors (*b, 3) from the world to the axes of the box."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return x @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

    def distance(self, points: Points) -> PerPoint:
        beyond = np.abs(self._local(points - self.centre)) - self.half
        return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(-1), 0.0)

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        local = self._local(origins - self.centre)
        return _between_slabs(local, self._local(directions), np.asarray(self.half))


@dataclasses.dataclass(frozen=True)
class Disc:
    """A flat cylinder with its axis along +z.

    Attributes:
      centre: its centre.
      radius: its radius.
      half_height: half of its height.
    """

    centre: tuple[float, float, float]
    radius: float
    half_height: float

    def distance(self, points: Points) -> PerPoint:
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        beyond = np.stack([np.hypot(x, y) - self.radius, np.abs(z) - self.half_height], -1)
        return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(-1), 0.0)

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        o, d = origins - self.centre, directions
        with np.errstate(divide="ignore", invalid="ignore"):
            # The ray is inside the infinite cylinder for |t - middle| <= half.
            square = (d[:, :2] ** 2).sum(-1)
            middle = -(o[:, :2] * d[:, :2]).sum(-1) / square
            half = np.sqrt(middle**2 - ((o[:, :2] ** 2).sum(-1) - self.radius**2) / square)
            # It is between the two caps for low <= t <= high.
            caps = np.stack([-self.half_height - o[:, 2], self.half_height - o[:, 2]])
            low, high = np.sort(caps / d[:, 2], 0)
            # NaN (no intersection with the cylinder) fails both comparisons.
            near, far = np.maximum(middle - half, low), np.minimum(middle + half, high)
            return np.where((near <= far) & (near > 0.0), near, np.inf)


@dataclasses.dataclass(frozen=True)
class Torus:
    """A torus with its axis along +z.

    Attributes:
      centre: its centre.
      ring: radius of the circle in the middle of the tube.
      tube: radius of the tube.
    """

    centre: tuple[float, float, float]
    ring: float
    tube: float

    def distance(self, points: Points) -> PerPoint:
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        return np.hypot(np.hypot(x, y) - self.ring, z) - self.tube

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        """Trace rays by sphere tracing (Hart 1996) inside the bounding ball.

        A ray ends within 1e-7 of the surface.
        """
        ball = Sphere(self.centre, self.ring + self.tube + 1e-3)
        t = ball.enter(origins, directions)
        going = np.flatnonzero(np.isfinite(t))
        # No chord of the ball is longer than its diameter.
        leave = t + 2.0 * ball.radius
        for _ in range(200):
            # The distance to the surface is a step that cannot cross it.
            step = self.distance(origins[going] + t[going, None] * directions[going])
            t[going] += step
            going = going[(step > 1e-7) & (t[going] < leave[going])]
            if not len(going):
                break
        # Rays that have not converged count as misses.
        t[going] = np.inf
        return np.where(t < leave, t, np.inf)


def _first(middle: PerRay, square: PerRay) -> PerRay:
    """Return the nearer root of (t - middle)^2 = square, inf if it is not ahead."""
    near = middle - np.sqrt(np.maximum(square, 0.0))
    return np.where((square > 0.0) & (near > 0.0), near, np.inf)


def _between_slabs(origins: Rays3, directions: Rays3, half: Float[np.ndarray, "3"]) -> PerRay:
    """Return the distance at which rays enter the box [-half, half] (Kay and Kajiya 1986)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slabs = np.stack([(-half - origins) / directions, (half - origins) / directions])
    # A ray is inside the box while it is inside all three slabs.
    low, high = np.sort(slabs, 0)
    near, far = low.max(-1), high.min(-1)
    return np.where((near <= far) & (near > 0.0), near, np.inf)


def normals(distance: Callable[[Points], PerPoint], points: Points, step: float = 1e-5) -> Points:
    """Return the unit gradient of a signed distance, by central differences.

    Args:
      distance: the signed distance function (*b, 3) -> (*b,).
      points: (*b, 3) points at which the gradient is computed.
      step: half the distance between the two evaluations along each axis.

    Returns:
      Unit outward normals (*b, 3).
    """
    ahead = step * np.eye(3)
    gradient = np.stack([distance(points + axis) - distance(points - axis) for axis in ahead], -1)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-12)
