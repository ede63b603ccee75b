"""Where matter may be: which part of a ray is sampled, how densely, and the map of it into the box [-1, 1]^3.

A space has `num_dims`, of the points that fields get, and four methods; fields and grids only ever see points inside
[-1, 1]^num_dims:

    interval(rays) -> (t_near, t_far)   the part of each ray that can hold matter, each (*b, 1)
    distance(s, t_near, t_far) -> t     from s in [0, 1] to distance, increasing: equal steps in s get equal samples
    warp(points) -> points              normalised world -> [-1, 1]^num_dims
    stretch(warped) -> (*b)             world length per unit of length in the box, along the ray through the origin
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.cameras.cameras import Rays


@dataclasses.dataclass(frozen=True)
class Box:
    """Everything lies in the box [-1, 1]^3 of the normalised world; samples are spaced evenly inside it."""

    num_dims: ClassVar[int] = 3

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        """Entry and exit of the box by the slab method; an empty interval (t_far = t_near) for a ray that misses."""
        tiny = jnp.abs(rays.directions) < 1e-9
        inverse = 1.0 / jnp.where(tiny, 1e-9, rays.directions)
        a, b = (-1.0 - rays.origins) * inverse, (1.0 - rays.origins) * inverse
        t_near = jnp.maximum(jnp.minimum(a, b).max(-1, keepdims=True), 0.0)
        return t_near, jnp.maximum(jnp.maximum(a, b).min(-1, keepdims=True), t_near)

    def distance(self, s, t_near, t_far):
        return t_near + s * (t_far - t_near)

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        return points

    def stretch(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        return jnp.ones(warped.shape[:-1])


@dataclasses.dataclass(frozen=True)
class Contracted:
    """Unbounded space, contracted into the ball of radius 2 and scaled by 1/2 (mip-NeRF 360, 2111.12077, eq. 10).

    Distances are even up to `linear` (half of the samples) and even in disparity beyond, as in nerfacto's sampler:
      t(s) = t_near + 2 s (linear - t_near)   for s < 1/2,   t(s) = linear / (2 - 2 s)   for s >= 1/2.

    Attributes:
      near: where sampling begins, in units of the farthest camera's distance from the focus.
      linear: where disparity takes over.
      far: where sampling ends.
    """

    num_dims: ClassVar[int] = 3

    near: float = 0.1
    linear: float = 2.0
    far: float = 200.0

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        one = jnp.ones_like(rays.origins[..., :1])
        return self.near * one, self.far * one

    def distance(self, s, t_near, t_far):
        last = 1.0 - 0.5 * self.linear / t_far  # the s at which disparity reaches t_far
        s = s * last
        return jnp.where(
            s < 0.5,
            t_near + 2.0 * s * (self.linear - t_near),
            self.linear / (2.0 - 2.0 * jnp.maximum(s, 0.5)),
        )

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Equation 10, halved."""
        # The norm is taken of what is at least 1, so that its gradient at the origin is no 0 / 0.
        norm = jnp.sqrt(jnp.maximum(jnp.square(points).sum(-1, keepdims=True), 1.0))
        return 0.5 * (2.0 - 1.0 / norm) * points / norm

    def stretch(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        """With the contracted radius c = 2 - 1 / r, dr / dc = r^2 = 1 / (2 - c)^2 beyond c = 1; held at the corners."""
        c = jnp.clip(2.0 * jnp.linalg.norm(warped, axis=-1), 1.0, 2.0 - 1.0 / self.far)
        return 2.0 / jnp.square(2.0 - c)


@dataclasses.dataclass(frozen=True)
class Plane:
    """The plane of a picture, x right and y up: a ray is evaluated over its first unit of length, and z is dropped."""

    num_dims: ClassVar[int] = 2

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        zero = jnp.zeros_like(rays.origins[..., :1])
        return zero, zero + 1.0

    def distance(self, s, t_near, t_far):
        return t_near + s * (t_far - t_near)

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 2"]:
        return points[..., :2]

    def stretch(self, warped: Float[Array, "*b 2"]) -> Float[Array, "*b"]:
        return jnp.ones(warped.shape[:-1])


@dataclasses.dataclass(frozen=True)
class Cropped:
    """Another space of three dimensions within a box that may be turned; samples are spaced evenly inside it.

    Attributes:
      space: the other one.
      axes: normalised world to the box, which is [-1, 1]^3 there: rows of a matrix.
      shift: added after that.
    """

    num_dims: ClassVar[int] = 3

    space: Box | Contracted
    axes: tuple[tuple[float, ...], ...]
    shift: tuple[float, ...]

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        """Intersect the other space's interval with the box; empty (t_far = t_near) for a ray that misses it."""
        axes = jnp.asarray(self.axes)
        origins = rays.origins @ axes.T
        origins = origins + jnp.broadcast_to(jnp.asarray(self.shift), origins.shape)
        directions = rays.directions @ axes.T
        # The slab method, as in `Box`.
        inverse = 1.0 / jnp.where(jnp.abs(directions) < 1e-9, 1e-9, directions)
        a, b = (-1.0 - origins) * inverse, (1.0 - origins) * inverse
        t_near, t_far = self.space.interval(rays)
        t_near = jnp.maximum(jnp.minimum(a, b).max(-1, keepdims=True), t_near)
        return t_near, jnp.maximum(
            jnp.minimum(jnp.maximum(a, b).min(-1, keepdims=True), t_far), t_near
        )

    def distance(self, s, t_near, t_far):
        return t_near + s * (t_far - t_near)

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        return self.space.warp(points)

    def stretch(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        return self.space.stretch(warped)
