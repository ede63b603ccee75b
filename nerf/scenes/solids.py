"""Solids with a closed form, which rays in numpy hit exactly: what made-up scenes are built of.

Contract. A solid has `distance(points (*b, 3)) -> (*b)`, signed, negative inside, exact; and `enter(origins (m, 3),
directions (m, 3)) -> (m)`, how far along unit directions rays first meet its surface from outside, inf where they
never do. Everything is float64.
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
    """See the module's contract."""

    def distance(self, points: Points) -> PerPoint: ...

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay: ...


@dataclasses.dataclass(frozen=True)
class Sphere:
    """A ball."""

    centre: tuple[float, float, float]
    radius: float

    def distance(self, points: Points) -> PerPoint:
        return np.linalg.norm(points - self.centre, axis=-1) - self.radius

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        offset = np.asarray(self.centre) - origins
        middle = (offset * directions).sum(-1)
        return _first(middle, self.radius**2 - (offset**2).sum(-1) + middle**2)


@dataclasses.dataclass(frozen=True)
class Box:
    """A cuboid of half sizes `half`, turned by `turn` radians about +z."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    turn: float

    def _local(self, x: np.ndarray) -> np.ndarray:
        c, s = np.cos(self.turn), np.sin(self.turn)
        return x @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

    def distance(self, points: Points) -> PerPoint:
        beyond = np.abs(self._local(points - self.centre)) - self.half
        return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(-1), 0.0)

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        return _between_slabs(
            self._local(origins - self.centre), self._local(directions), np.asarray(self.half)
        )


@dataclasses.dataclass(frozen=True)
class Disc:
    """A flat cylinder about +z."""

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
            square = (d[:, :2] ** 2).sum(-1)
            middle = -(o[:, :2] * d[:, :2]).sum(-1) / square
            half = np.sqrt(middle**2 - ((o[:, :2] ** 2).sum(-1) - self.radius**2) / square)
            low, high = np.sort(
                np.stack([-self.half_height - o[:, 2], self.half_height - o[:, 2]]) / d[:, 2], 0
            )
            near, far = np.maximum(middle - half, low), np.minimum(middle + half, high)
            return np.where((near <= far) & (near > 0.0), near, np.inf)


@dataclasses.dataclass(frozen=True)
class Torus:
    """A ring about +z: a tube of radius `tube` around a circle of radius `ring`."""

    centre: tuple[float, float, float]
    ring: float
    tube: float

    def distance(self, points: Points) -> PerPoint:
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        return np.hypot(np.hypot(x, y) - self.ring, z) - self.tube

    def enter(self, origins: Rays3, directions: Rays3) -> PerRay:
        """By sphere tracing (Hart 1996) within the bounding ball; a ray ends within 1e-7 of the surface."""
        ball = Sphere(self.centre, self.ring + self.tube + 1e-3)
        t = ball.enter(origins, directions)
        going = np.flatnonzero(np.isfinite(t))
        leave = t + 2.0 * ball.radius
        for _ in range(200):
            step = self.distance(origins[going] + t[going, None] * directions[going])
            t[going] += step
            going = going[(step > 1e-7) & (t[going] < leave[going])]
            if not len(going):
                break
        t[going] = np.inf
        return np.where(t < leave, t, np.inf)


def _first(middle: PerRay, square: PerRay) -> PerRay:
    """The nearer root of (t - middle)^2 = square, inf where there is none ahead."""
    near = middle - np.sqrt(np.maximum(square, 0.0))
    return np.where((square > 0.0) & (near > 0.0), near, np.inf)


def _between_slabs(origins: Rays3, directions: Rays3, half: Float[np.ndarray, "3"]) -> PerRay:
    """Where a ray enters the box [-half, half]^3 (Kay and Kajiya 1986)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.sort(
            np.stack([(-half - origins) / directions, (half - origins) / directions]), 0
        )
    near, far = low.max(-1), high.min(-1)
    return np.where((near <= far) & (near > 0.0), near, np.inf)


def normals(distance: Callable[[Points], PerPoint], points: Points, step: float = 1e-5) -> Points:
    """Unit gradient of a distance, by central differences."""
    ahead = step * np.eye(3)
    gradient = np.stack([distance(points + axis) - distance(points - axis) for axis in ahead], -1)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-12)
