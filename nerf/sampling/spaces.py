"""Spaces: the sampled part of each ray, the spacing of samples, and the map into the box [-1, 1]^3.

Fields and grids only ever see points inside [-1, 1]^num_dims. A space has the attribute `num_dims`,
the number of coordinates of these points, and four methods:

    interval(rays) -> (t_near, t_far)   part of each ray that can contain matter, each (*b, 1)
    distance(s, t_near, t_far) -> t     distance at s in [0, 1], increasing; equal steps in s get
                                        equally many samples
    warp(points) -> points              normalised world (*b, 3) -> [-1, 1]^num_dims
    stretch(warped) -> (*b)             world length per unit of length in the box, along the ray
                                        from the origin through the point
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from nerf.cameras.cameras import Rays


@dataclasses.dataclass(frozen=True)
class Box:
    """Bounded scene in the box [-1, 1]^3 of the normalised world, with evenly spaced samples.

    Equation:
      t_near = max_k min((-1 - o_k) / d_k, (1 - o_k) / d_k)   last entry over the axes k, >= 0
      t_far = min_k max((-1 - o_k) / d_k, (1 - o_k) / d_k)   first exit
      t(s) = t_near + s (t_far - t_near)
    """

    num_dims: ClassVar[int] = 3

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        """Intersect rays with the box by the slab method; t_far = t_near for rays that miss it."""
        # Along each axis the ray crosses the planes -1 and 1 at a and b. It is in the box from the
        # last entry to the first exit. Directions near zero are replaced to avoid 1 / 0.
        tiny = jnp.abs(rays.directions) < 1e-9
        inverse = 1.0 / jnp.where(tiny, 1e-9, rays.directions)
        a, b = (-1.0 - rays.origins) * inverse, (1.0 - rays.origins) * inverse
        t_near = jnp.maximum(jnp.minimum(a, b).max(-1, keepdims=True), 0.0)
        return t_near, jnp.maximum(jnp.maximum(a, b).min(-1, keepdims=True), t_near)

    def distance(
        self, s: Float[Array, "*b n"], t_near: Float[Array, "*b 1"], t_far: Float[Array, "*b 1"]
    ) -> Float[Array, "*b n"]:
        """Map s in [0, 1] to evenly spaced distances.

        Args:
          s: positions, (*b, n).
          t_near: distance at s = 0, (*b, 1).
          t_far: distance at s = 1, (*b, 1).

        Returns:
          Distances, (*b, n).
        """
        return t_near + s * (t_far - t_near)

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Return the points unchanged."""
        return points

    def unwarp(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Return the points unchanged: the inverse of `warp`."""
        return warped

    def stretch(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        """Return 1: lengths in the box are world lengths."""
        return jnp.ones(warped.shape[:-1])


@dataclasses.dataclass(frozen=True)
class Contracted:
    """Unbounded scene, contracted into the unit ball (mip-NeRF 360, 2111.12077, equation 10).

    Equation:
      warp(x) = x / 2   if |x| <= 1
      warp(x) = 1/2 (2 - 1 / |x|) x / |x|   otherwise
      t(s) = t_near + 2 s (linear - t_near)   for s < 1/2
      t(s) = linear / (2 - 2 s)   for s >= 1/2

    The paper's contraction maps space into the ball of radius 2; here it is scaled by 1/2. Samples
    are evenly spaced in distance up to `linear`, and evenly in disparity (1 / t) beyond, as in
    nerfacto's sampler, with s scaled so that s = 1 reaches t_far.

    Attributes:
      near: distance where sampling begins, in units of the farthest camera's distance from the
        focus.
      linear: distance beyond which samples are evenly spaced in disparity, same units.
      far: distance where sampling ends, same units.
    """

    num_dims: ClassVar[int] = 3

    near: float = 0.1
    linear: float = 2.0
    far: float = 200.0

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        """Return the interval [near, far] of every ray."""
        one = jnp.ones_like(rays.origins[..., :1])
        return self.near * one, self.far * one

    def distance(
        self, s: Float[Array, "*b n"], t_near: Float[Array, "*b 1"], t_far: Float[Array, "*b 1"]
    ) -> Float[Array, "*b n"]:
        """Map s in [0, 1] to distances, see the class.

        Args:
          s: positions, (*b, n).
          t_near: distance at s = 0, (*b, 1).
          t_far: distance at s = 1, (*b, 1).

        Returns:
          Distances, (*b, n).
        """
        last = 1.0 - 0.5 * self.linear / t_far  # Solves t(last) = t_far.
        s = s * last
        # The maximum keeps the second branch, and its gradient, finite where it is not selected.
        return jnp.where(
            s < 0.5,
            t_near + 2.0 * s * (self.linear - t_near),
            self.linear / (2.0 - 2.0 * jnp.maximum(s, 0.5)),
        )

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Contract points into the unit ball: equation 10, scaled by 1/2."""
        # Inside the unit sphere norm = 1, which gives 0.5 * points. Clamping before the square root
        # keeps the gradient at the origin finite.
        norm = jnp.sqrt(jnp.maximum(jnp.square(points).sum(-1, keepdims=True), 1.0))
        return 0.5 * (2.0 - 1.0 / norm) * points / norm

    def unwarp(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Map points of the box back to the normalised world: the inverse of `warp`.

        Points beyond the distance `far`, as at the box's corners, come back at that distance.
        """
        # |warped| = (2 - 1 / r) / 2, so r = 1 / (2 - 2 |warped|) outside of the unit sphere.
        norm = jnp.linalg.norm(warped, axis=-1, keepdims=True)
        radius = 1.0 / jnp.maximum(2.0 - 2.0 * norm, 1.0 / self.far)
        return jnp.where(norm > 0.5, radius / jnp.maximum(norm, 0.5), 2.0) * warped

    def stretch(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        """Return the world length per unit of length in the box, along the radius.

        Beyond r = 1 the contracted radius is c = 2 - 1 / r, so dr / dc = r^2 = 1 / (2 - c)^2. The
        box has half of that scale, hence the factor 2. At the box's corners, outside of the ball,
        the value at r = far is used.
        """
        c = jnp.clip(2.0 * jnp.linalg.norm(warped, axis=-1), 1.0, 2.0 - 1.0 / self.far)
        return 2.0 / jnp.square(2.0 - c)


@dataclasses.dataclass(frozen=True)
class Plane:
    """Plane of a single image, x right and y up, for `--task=image`.

    Equation:
      warp(x, y, z) = (x, y)
      t(s) = s

    A ray is evaluated over its first unit of length, and z is dropped.
    """

    num_dims: ClassVar[int] = 2

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        """Return the interval [0, 1] of every ray."""
        zero = jnp.zeros_like(rays.origins[..., :1])
        return zero, zero + 1.0

    def distance(
        self, s: Float[Array, "*b n"], t_near: Float[Array, "*b 1"], t_far: Float[Array, "*b 1"]
    ) -> Float[Array, "*b n"]:
        """Map s in [0, 1] to evenly spaced distances.

        Args:
          s: positions, (*b, n).
          t_near: distance at s = 0, (*b, 1).
          t_far: distance at s = 1, (*b, 1).

        Returns:
          Distances, (*b, n).
        """
        return t_near + s * (t_far - t_near)

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 2"]:
        """Drop the z coordinate."""
        return points[..., :2]

    def stretch(self, warped: Float[Array, "*b 2"]) -> Float[Array, "*b"]:
        """Return 1: lengths in the box are world lengths."""
        return jnp.ones(warped.shape[:-1])


@dataclasses.dataclass(frozen=True)
class Cropped:
    """A space restricted to an oriented box, with evenly spaced samples inside it.

    Equation:
      t_near <= t <= t_far where M (o + t d) + shift in [-1, 1]^3

    Attributes:
      space: the space to restrict; it has three dimensions.
      axes: rows of the 3 x 3 matrix M of the map x -> M x + shift from the normalised world to the
        box's coordinates, in which the box is [-1, 1]^3.
      shift: the three numbers added.
    """

    num_dims: ClassVar[int] = 3

    space: Box | Contracted
    axes: tuple[tuple[float, ...], ...]
    shift: tuple[float, ...]

    def interval(self, rays: Rays) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"]]:
        """Intersect the space's interval with the box; t_far = t_near for rays that miss it."""
        axes = jnp.asarray(self.axes)
        origins = jnp.matmul(rays.origins, axes.T, precision="highest")
        origins = origins + jnp.broadcast_to(jnp.asarray(self.shift), origins.shape)
        directions = jnp.matmul(rays.directions, axes.T, precision="highest")
        # The slab method, as in `Box`. Distances t are the same in both coordinates, since the
        # directions are mapped without being normalised.
        inverse = 1.0 / jnp.where(jnp.abs(directions) < 1e-9, 1e-9, directions)
        a, b = (-1.0 - origins) * inverse, (1.0 - origins) * inverse
        t_near, t_far = self.space.interval(rays)
        t_near = jnp.maximum(jnp.minimum(a, b).max(-1, keepdims=True), t_near)
        return t_near, jnp.maximum(
            jnp.minimum(jnp.maximum(a, b).min(-1, keepdims=True), t_far), t_near
        )

    def distance(
        self, s: Float[Array, "*b n"], t_near: Float[Array, "*b 1"], t_far: Float[Array, "*b 1"]
    ) -> Float[Array, "*b n"]:
        """Map s in [0, 1] to evenly spaced distances.

        Args:
          s: positions, (*b, n).
          t_near: distance at s = 0, (*b, 1).
          t_far: distance at s = 1, (*b, 1).

        Returns:
          Distances, (*b, n).
        """
        return t_near + s * (t_far - t_near)

    def warp(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Map points into the box by the restricted space."""
        return self.space.warp(points)

    def unwarp(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
        """Invert `warp`."""
        return self.space.unwarp(warped)

    def stretch(self, warped: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
        """Return the world length per unit of length in the box, of the restricted space."""
        return self.space.stretch(warped)

    def contains(self, points: Float[Array, "*b 3"]) -> Bool[Array, "*b"]:
        """Return which points of the normalised world lie in the oriented box."""
        axes = jnp.asarray(self.axes)
        placed = jnp.matmul(points, axes.T, precision="highest")
        placed = placed + jnp.broadcast_to(jnp.asarray(self.shift), points.shape)
        return (jnp.abs(placed) <= 1.0).all(-1)
