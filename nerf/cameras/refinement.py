"""Learned corrections of the training cameras' poses (Wang et al., NeRF--, 2102.07064).

A correction is a twist (w, v) of SE(3), in the axes of the normalised world and about the camera's
own centre c. a = |w|, and [w] is the matrix of the cross product, [w] u = w x u.

Equation:
  (1) R = I + sin(a) / a [w] + (1 - cos(a)) / a^2 [w]^2   Rodrigues' formula
  (2) V = I + (1 - cos(a)) / a^2 [w] + (a - sin(a)) / a^3 [w]^2   SE(3): the translation is V v
  (3) d' = R d with c' = c + V v   directions d and centre c
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.cameras.cameras import Cameras, Rays


def _coefficients(
    w: Float[Array, "*b 3"],
) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 1"], Float[Array, "*b 1"]]:
    """Compute sin(a) / a, (1 - cos(a)) / a^2 and (a - sin(a)) / a^3 for a = |w|.

    Small angles use the Taylor series, so that values and gradients are finite at 0.
    """
    square = jnp.square(w).sum(-1, keepdims=True)
    small = square < 1e-2
    # The closed forms get a harmless 1 where the series is used: `where` does not stop a NaN
    # gradient of the branch that it discards.
    safe = jnp.where(small, 1.0, square)
    a = jnp.sqrt(safe)
    series = [
        1 - square / 6 + square**2 / 120,
        0.5 - square / 24 + square**2 / 720,
        1 / 6 - square / 120,
    ]
    closed = [jnp.sin(a) / a, (1 - jnp.cos(a)) / safe, (a - jnp.sin(a)) / (safe * a)]
    first, second, third = (jnp.where(small, s, c) for s, c in zip(series, closed, strict=True))
    return first, second, third


def rotate(w: Float[Array, "*b 3"], x: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    """Rotate x by |w| radians about the axis w (equation 1)."""
    first, second, _ = _coefficients(w)
    across = jnp.cross(w, x)
    return x + first * across + second * jnp.cross(w, across)  # equation 1


def translation(twist: Float[Array, "*b 6"]) -> Float[Array, "*b 3"]:
    """Compute the translation V v of a twist (w, v) (equation 2)."""
    w, v = twist[..., :3], twist[..., 3:]
    _, second, third = _coefficients(w)
    across = jnp.cross(w, v)
    return v + second * across + third * jnp.cross(w, across)  # equation 2


def move_rays(rays: Rays, twist: Float[Array, "*b 6"]) -> Rays:
    """Move rays by a twist about their origins, the camera centres (equation 3)."""
    directions, viewdirs = (rotate(twist[..., :3], x) for x in (rays.directions, rays.viewdirs))
    return dataclasses.replace(
        rays, origins=rays.origins + translation(twist), directions=directions, viewdirs=viewdirs
    )


def move_cameras(cameras: Cameras, twist: Float[Array | np.ndarray, "*n 6"]) -> Cameras:
    """Move cameras by twists about their centres (equation 3)."""
    twist, c2w = jnp.asarray(twist), jnp.asarray(cameras.c2w)
    # The columns of c2w are the camera's axes and its centre.
    axes = [rotate(twist[..., :3], c2w[..., i]) for i in range(3)]
    moved = jnp.stack([*axes, c2w[..., 3] + translation(twist)], -1)
    return dataclasses.replace(cameras, c2w=np.asarray(moved))


def drift(positions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 6 k"]:
    """Return an orthonormal basis of the twists that move all cameras together.

    Such twists rotate (w, w x c), translate (0, v) or scale (0, c) the complete world, where c is a
    camera's position. k is at most 7, and less if the positions are degenerate.
    """
    # Seven columns: three rotations about the mean position, three translations, one scaling.
    spread = positions - positions.mean(0)
    zero = np.zeros_like(spread)
    axes = [np.broadcast_to(axis, spread.shape) for axis in np.eye(3)]
    turns = [np.concatenate([axis, np.cross(axis, spread)], -1) for axis in axes]
    shifts = [np.concatenate([zero, axis], -1) for axis in axes]
    modes = np.stack([*turns, *shifts, np.concatenate([zero, spread], -1)], -1).reshape(-1, 7)
    # The left singular vectors are an orthonormal basis. Columns that depend on the others have a
    # singular value of zero, e.g. the scaling if all positions are equal.
    u, s, _ = np.linalg.svd(modes, full_matrices=False)
    return u[:, s > 1e-6 * s.max()].reshape(len(positions), 6, -1)


def without_drift(twists: Float[Array, "n 6"], modes: Float[Array, "n 6 k"]) -> Float[Array, "n 6"]:
    """Subtract from twists their projection onto orthonormal modes, see `drift`."""
    found = jnp.einsum("nik,ni->k", modes, twists, precision="highest")
    return twists - jnp.einsum("nik,k->ni", modes, found, precision="highest")


class CameraRefinement(nnx.Module):
    """A learned twist for each training image, without the drift of all cameras together.

    A common motion of all cameras is removed because it would move the scene, not improve poses.

    Args:
      positions: of the training cameras, normalised world.

    Attributes:
      refined: the learned twists, shape (n, 6), before the drift is removed.
      modes: basis of the drift, shape (n, 6, k).
    """

    def __init__(self, positions: Float[np.ndarray, "n 3"]):
        self.refined = nnx.Param(jnp.zeros((len(positions), 6)))
        modes = drift(np.asarray(positions, np.float64))
        self.modes = nnx.Variable(jnp.asarray(modes, jnp.float32))

    @property
    def twists(self) -> Float[Array, "n 6"]:
        """Return the twist of each training camera."""
        return without_drift(self.refined[...], self.modes[...])

    def __call__(self, rays: Rays) -> Rays:
        """Move the rays of training images; keep the rays of other cameras."""
        known = (rays.image >= 0)[..., None]
        return move_rays(rays, jnp.where(known, self.twists[rays.image], 0.0))
