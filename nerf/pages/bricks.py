"""The baked form of a field: values at the vertices of a sparse grid, made for textures.

The box [-1, 1]^3 has R^3 cells. Bricks of 4^3 vertices are stored where training views see
something; everywhere else is empty. A vertex stores eight numbers u in [0, 1], which become 8 bits:
one for the density, three for the diffuse colour and four features of the view dependence.

Equation:
  u(x) = sum_v w_v(x) u_v   trilinear, over the vertices v around x
  density = exp(LOG_DENSITY[0] + (LOG_DENSITY[1] - LOG_DENSITY[0]) u_0(x))
  D = sum_i w_i u_(1..3)(x_i) with F = sum_i w_i (2 u_(4..7)(x_i) - 1)   along a ray
  C = D + F B(viewdir) + T background   with B_kc(d) = sum_j M_kjc Y_j(d)

The activation of the density follows the interpolation, so that a surface is sharper than a cell
(MERF, 2302.12249, section 4.1). The view dependence is linear in the features, so it is decoded
once per ray instead of once per sample (SNeRG, 2103.14645, decodes with a network). Y are spherical
harmonics.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from nerf.cameras.cameras import Rays
from nerf.encodings.interpolation import cells, multilinear
from nerf.encodings.spherical_harmonics import SphericalHarmonics
from nerf.fields import Samples
from nerf.rendering.compositing import Rendering
from nerf.rendering.model import Model, last_field, render_rays

BRICK = 4  # vertices along the side of a brick
CHANNELS = 8  # numbers of a vertex: density, diffuse colour, features
FEATURES = 4
LEVELS = 255  # steps of a stored number
LOG_DENSITY = (-4.0, 8.0)  # natural logarithm of the density at u = 0 and u = 1
HARMONICS = SphericalHarmonics(num_degrees=3)


class Bricks(nnx.Module):
    """A field of values at the vertices of stored bricks; see the top of this module.

    Args:
      stored: which bricks of the box are stored.

    Attributes:
      bricks: number of bricks along each axis of the box, n.
      slots: number of each brick in the store, from 1; 0 for a brick that is not stored. Flat, in
        the order of (x, y, z).
      values: u of each vertex, 64 rows for each slot. The rows of slot 0 stand for every vertex
        that is not stored.
      basis: M, the view dependence of each feature.
    """

    def __init__(self, stored: Bool[np.ndarray, "n n n"]):
        self.bricks = stored.shape[0]
        flat = stored.reshape(-1)
        self.slots = nnx.Variable(jnp.asarray(np.where(flat, np.cumsum(flat), 0), jnp.int32))
        self.values = nnx.Param(jnp.zeros(((int(flat.sum()) + 1) * BRICK**3, CHANNELS)))
        self.basis = nnx.Param(jnp.zeros((FEATURES, HARMONICS.num_features, 3)))

    def vertices(self) -> Float[np.ndarray, "m 3"]:
        """Return the places in the box of the stored vertices, in the order of their rows."""
        n = self.bricks
        stored = np.argwhere(np.asarray(self.slots[...]).reshape(n, n, n) > 0)
        local = np.stack(np.meshgrid(*[np.arange(BRICK)] * 3, indexing="ij"), -1).reshape(-1, 3)
        vertex = (stored[:, None] * BRICK + local).reshape(-1, 3)
        return (vertex * (2.0 / (n * BRICK)) - 1.0).astype(np.float32)

    def rows(self, vertex: Int[Array, "3 ..."]) -> Int[Array, "..."]:
        """Return the row of `values` of each vertex."""
        n = self.bricks
        brick = jnp.minimum(vertex // BRICK, n - 1)
        inside = (vertex < n * BRICK).all(0)
        slot = self.slots[...][(brick[0] * n + brick[1]) * n + brick[2]]
        local = vertex % BRICK
        row = (local[0] * BRICK + local[1]) * BRICK + local[2]
        return jnp.where(inside & (slot > 0), slot * BRICK**3 + row, 0)

    def interpolate(self, points: Float[Array, "*b 3"]) -> Float[Array, "*b 8"]:
        """Return u at points, as a texture unit interpolates the stored 8-bit numbers."""
        x = jnp.clip(points.reshape(-1, 3).T * 0.5 + 0.5, 0.0, 1.0)
        floor, place = cells(x, self.bricks * BRICK)
        corners, weights = multilinear(place)
        rows = self.rows(floor.astype(jnp.int32)[:, None] + corners.astype(jnp.int32))
        found = rounded(self.values[...][rows])  # (k, m, 8)
        u = (found * weights[..., None]).sum(0)
        return u.reshape(*points.shape[:-1], CHANNELS)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        u = self.interpolate(samples.means)
        low, high = LOG_DENSITY
        density = jnp.exp(low + (high - low) * u[..., 0])
        return {"density": density, "rgb": u[..., 1:4], "features": 2.0 * u[..., 4:] - 1.0}


def rounded(u: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Round to 8 bits; the gradient is that of the identity."""
    return u + jax.lax.stop_gradient(jnp.round(u * LEVELS) / LEVELS - u)


def render_bricks(
    model: Model,
    rays: Rays,
    background: Float[Array, "*b 3"],
    keys: Key[Array, "*b"] | None = None,
) -> list[Rendering]:
    """Render rays and decode the view dependence once per ray; a renderer of `Model`.

    Args:
      model: a model whose field is `Bricks`.
      rays: (*b) rays.
      background: sRGB behind each ray.
      keys: one random key per ray for jitter; None is deterministic.
    """
    (rendering,) = render_rays(model, rays, background, keys)
    basis = last_field(model).basis[...]
    decode = jnp.einsum("...j,kjc->...kc", HARMONICS(rays.viewdirs), basis, precision="highest")
    assert rendering.rgb is not None, "bricks have a colour"
    view = jnp.einsum("...k,...kc->...c", rendering.extras["features"], decode, precision="highest")
    return [dataclasses.replace(rendering, rgb=rendering.rgb + view)]
