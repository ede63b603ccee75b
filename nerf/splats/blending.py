"""Blend the splats of tiles front to back, with a gradient that needs little memory and time.

JAX would store every step of the loop. Here the gradient goes back to front, and every step is
undone from what the last one left (as in the original renderer, 2308.04079, appendix C).

Equation:
  (1) alpha_i = o_i exp(-1/2 r_i^2) with r_i^2 = (p - m_i)^T S_i^-1 (p - m_i), 0 for r_i > CUTOFF
  (2) C = sum_i T_i alpha_i c_i + T_n background with T_i = prod_(j<i) (1 - alpha_j)
  (3) dC / dalpha_i = T_i c_i - B_i / (1 - alpha_i)   B_i: what is seen behind splat i
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

CUTOFF = 3.0  # standard deviations at which a splat ends
TILE = 8  # pixels along the sides of the squares that are rendered together
MAX_OPACITY = 0.999  # so that equation 3 can divide by 1 - alpha

# Pixel centres (x, y) of a tile from its corner, row by row, and their products.
PIXELS = np.stack(np.meshgrid(*[np.arange(TILE)] * 2), -1).reshape(-1, 2).astype(np.float32) + 0.5
X, Y = PIXELS.T
MOMENTS = np.stack([np.ones_like(X), X, Y, X * X, X * Y, Y * Y], -1)


class Shown(NamedTuple):
    """Splats in a picture, one for each entry of the leading axes `*b`.

    Attributes:
      centre: m, in pixels; for `blend` from the corner of the tile.
      conic: the entries xx, xy and yy of S^-1.
      opacity: o.
      rgb: colour towards the camera.
    """

    centre: Float[Array, "*b 2"]
    conic: Float[Array, "*b 3"]
    opacity: Float[Array, "*b"]
    rgb: Float[Array, "*b 3"]


@jax.custom_vjp
def blend(
    shown: Shown, count: Int[Array, ""], background: Float[Array, "3"]
) -> Float[Array, "t p 3"]:
    """Return the colours of the pixels of tiles, equation 2.

    Args:
      shown: (k, t) splats of each tile, front to back along the first axis.
      count: how many of the k are used; they come first.
      background: sRGB behind the splats.
    """
    return _forward(shown, count, background)[0]


def _forward(
    shown: Shown, count: Int[Array, ""], background: Float[Array, "3"]
) -> tuple[Float[Array, "t p 3"], Float[Array, "t p"]]:
    """Return the colours, and the transmittance of all splats together."""
    shape = (shown.opacity.shape[1], len(PIXELS))

    def add(
        k: Int[Array, ""], carry: tuple[Float[Array, "t p"], Float[Array, "t p 3"]]
    ) -> tuple[Float[Array, "t p"], Float[Array, "t p 3"]]:
        transmittance, colour = carry
        splat = _entry(shown, k)
        alpha = splat.opacity[:, None] * _falloff(splat)
        colour = colour + (transmittance * alpha)[..., None] * splat.rgb[:, None]
        return transmittance * (1.0 - alpha), colour

    start = (jnp.ones(shape), jnp.zeros((*shape, 3)))
    transmittance, colour = jax.lax.fori_loop(0, count, add, start)
    return colour + transmittance[..., None] * background[None, None], transmittance


def _entry(shown: Shown, k: Int[Array, ""]) -> Shown:
    """Return the k-th splat of every tile, with an opacity below 1."""
    splat = jax.tree.map(lambda x: x[k], shown)
    return splat._replace(opacity=jnp.minimum(splat.opacity, MAX_OPACITY))


def _falloff(splat: Shown) -> Float[Array, "t p"]:
    """Return exp(-1/2 r^2) of one splat of each tile in all of its pixels, 0 beyond the cutoff."""
    dx = X[None] - splat.centre[:, :1]
    dy = Y[None] - splat.centre[:, 1:]
    xx, xy, yy = (splat.conic[:, i, None] for i in range(3))
    square = xx * dx * dx + 2.0 * xy * dx * dy + yy * dy * dy
    return jnp.where(square < CUTOFF**2, jnp.exp(-0.5 * square), 0.0)


def _keep(
    shown: Shown, count: Int[Array, ""], background: Float[Array, "3"]
) -> tuple[Float[Array, "t p 3"], tuple]:
    colour, transmittance = _forward(shown, count, background)
    return colour, (shown, count, background, transmittance)


def _backward(kept: tuple, slope: Float[Array, "t p 3"]) -> tuple[Shown, None, Float[Array, "3"]]:
    """Return the gradients, from that of the colours."""
    shown, count, background, transmittance = kept
    behind = transmittance * jnp.matmul(slope, background, precision="highest")
    red, green, blue = jnp.moveaxis(slope, -1, 0)

    def undo(k: Int[Array, ""], carry: tuple) -> tuple:
        """Undo the splat k from the end: `after` is T behind it, `behind` its share of the loss."""
        after, behind, moments, colours = carry
        k = count - 1 - k
        splat = _entry(shown, k)
        falloff = _falloff(splat)
        alpha = splat.opacity[:, None] * falloff
        before = after / (1.0 - alpha)
        r, g, b = (splat.rgb[:, i, None] for i in range(3))
        own = red * r + green * g + blue * b
        # Equation 3, times the falloff: the gradient of the loss in the opacity, pixel by pixel.
        each = (before * own - behind / (1.0 - alpha)) * falloff
        moments = moments.at[k].set(jnp.matmul(each, MOMENTS, precision="highest"))
        weight = before * alpha
        seen = jnp.stack([(weight * c).sum(-1) for c in (red, green, blue)], -1)
        return before, behind + weight * own, moments, colours.at[k].set(seen)

    shape = shown.opacity.shape
    start = (transmittance, behind, jnp.zeros((*shape, 6)), jnp.zeros((*shape, 3)))
    _, _, moments, colours = jax.lax.fori_loop(0, count, undo, start)
    own = _from_moments(shown, moments)._replace(rgb=colours)
    return own, None, (transmittance[..., None] * slope).sum((0, 1))


def _from_moments(shown: Shown, moments: Float[Array, "k t 6"]) -> Shown:
    """Return the gradients in centre, conic and opacity.

    Args:
      shown: the splats.
      moments: sums over the pixels of (1, x, y, x^2, x y, y^2) times the gradient in the opacity.
    """
    one, x, y, xx, xy, yy = jnp.moveaxis(moments, -1, 0)
    cx, cy = jnp.moveaxis(shown.centre, -1, 0)
    # Moments about the centre of the splat instead of the corner of the tile.
    dx, dy = x - cx * one, y - cy * one
    dxx, dyy = xx - 2.0 * cx * x + cx * cx * one, yy - 2.0 * cy * y + cy * cy * one
    dxy = xy - cx * y - cy * x + cx * cy * one
    o = jnp.minimum(shown.opacity, MAX_OPACITY)
    a, b, c = jnp.moveaxis(shown.conic, -1, 0)
    centre = o[..., None] * jnp.stack([a * dx + b * dy, b * dx + c * dy], -1)
    conic = o[..., None] * jnp.stack([-0.5 * dxx, -dxy, -0.5 * dyy], -1)
    opacity = jnp.where(shown.opacity < MAX_OPACITY, one, 0.0)
    return Shown(centre, conic, opacity, jnp.zeros_like(shown.rgb))


blend.defvjp(_keep, _backward)
