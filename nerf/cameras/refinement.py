"""Small corrections of the training cameras' poses, learned with the scene (Wang et al., NeRF--, 2102.07064).

A correction is a twist (w, v) of SE(3), in the axes of the normalised world and about the camera's own centre c. With
a = |w| and w x the cross product,

  1.  R = I + sin(a) / a w x + (1 - cos(a)) / a^2 w x w x               exp of the rotation: Rodrigues' formula
  2.  V = I + (1 - cos(a)) / a^2 w x + (a - sin(a)) / a^3 w x w x       of SE(3): the translation is V v
  3.  directions' = R directions,  c' = c + V v
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
    """sin(a) / a, (1 - cos(a)) / a^2 and (a - sin(a)) / a^3; their series where a is small, with finite gradients."""
    square = jnp.square(w).sum(-1, keepdims=True)
    small = square < 1e-2
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
    """x turned by |w| radians about w. Equation 1."""
    first, second, _ = _coefficients(w)
    across = jnp.cross(w, x)
    return x + first * across + second * jnp.cross(w, across)


def translation(twist: Float[Array, "*b 6"]) -> Float[Array, "*b 3"]:
    """Where a twist (w, v) takes the point about which it turns, from there. Equation 2."""
    w, v = twist[..., :3], twist[..., 3:]
    _, second, third = _coefficients(w)
    across = jnp.cross(w, v)
    return v + second * across + third * jnp.cross(w, across)


def move_rays(rays: Rays, twist: Float[Array, "*b 6"]) -> Rays:
    """Rays of cameras that are moved by a twist about their centres, which are the rays' origins. Equation 3."""
    directions, viewdirs = (rotate(twist[..., :3], x) for x in (rays.directions, rays.viewdirs))
    return dataclasses.replace(
        rays, origins=rays.origins + translation(twist), directions=directions, viewdirs=viewdirs
    )


def move_cameras(cameras: Cameras, twist: Float[Array | np.ndarray, "*n 6"]) -> Cameras:
    """Cameras moved by twists about their centres. Equation 3."""
    twist, c2w = jnp.asarray(twist), jnp.asarray(cameras.c2w)
    axes = [rotate(twist[..., :3], c2w[..., i]) for i in range(3)]
    moved = jnp.stack([*axes, c2w[..., 3] + translation(twist)], -1)
    return dataclasses.replace(cameras, c2w=np.asarray(moved))


def drift(positions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 6 k"]:
    """Orthonormal twists of all cameras together: they turn (w, w x c), shift (0, v) or enlarge (0, c) the world."""
    spread = positions - positions.mean(0)
    zero = np.zeros_like(spread)
    axes = [np.broadcast_to(axis, spread.shape) for axis in np.eye(3)]
    turns = [np.concatenate([axis, np.cross(axis, spread)], -1) for axis in axes]
    shifts = [np.concatenate([zero, axis], -1) for axis in axes]
    modes = np.stack([*turns, *shifts, np.concatenate([zero, spread], -1)], -1).reshape(-1, 7)
    u, s, _ = np.linalg.svd(modes, full_matrices=False)
    return u[:, s > 1e-6 * s.max()].reshape(len(positions), 6, -1)


def without_drift(twists: Float[Array, "n 6"], modes: Float[Array, "n 6 k"]) -> Float[Array, "n 6"]:
    """Twists less what of them is in the modes."""
    return twists - jnp.einsum("nik,k->ni", modes, jnp.einsum("nik,ni->k", modes, twists))


class CameraRefinement(nnx.Module):
    """A twist for each training image, less what moves all cameras alike, which would move the scene instead.

    Args:
      positions: of the training cameras.
    """

    def __init__(self, positions: Float[np.ndarray, "n 3"]):
        self.refined = nnx.Param(jnp.zeros((len(positions), 6)))
        self.modes = nnx.Variable(
            jnp.asarray(drift(np.asarray(positions, np.float64)), jnp.float32)
        )

    @property
    def twists(self) -> Float[Array, "n 6"]:
        """What each training camera is moved by."""
        return without_drift(self.refined[...], self.modes[...])

    def __call__(self, rays: Rays) -> Rays:
        """The rays of training images moved; those of any other camera as they are."""
        known = (rays.image >= 0)[..., None]
        return move_rays(rays, jnp.where(known, self.twists[rays.image], 0.0))
