"""Render splats exactly as their definition says, slowly and with gradients.

The picture of a Gaussian is a Gaussian: the projection x -> pi(x) is linearised at its centre (EWA
splatting, Zwicker et al. 2001), and pixels see the splats one before the other.

Equation:
  (1) m = pi(mu), J = d pi / d x at mu
  (2) S = J Sigma J^T + BLUR I   covariance in the picture, with the blur of a pixel
  (3) alpha_i = o_i exp(-1/2 r^2) with r^2 = (p - m_i)^T S_i^-1 (p - m_i), 0 for r > CUTOFF
  (4) C = sum_i c_i alpha_i prod_(j<i) (1 - alpha_j) + background prod_i (1 - alpha_i)

The splats are ordered by their distance from the camera. CUTOFF is that of the original renderer
(2308.04079) and of KHR_gaussian_splatting. Their BLUR is 0.3, and that of renderers in browsers is
about 0.1. Splats that are fine-tuned with so much become thin, and have holes in windows with more
pixels than the photos. The projection is that of the camera's lens, whatever it is.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nerf.cameras.cameras import Cameras, project, repeat_camera
from nerf.meshes.chunks import in_chunks
from nerf.splats.blending import CUTOFF, TILE, Shown, blend
from nerf.splats.splats import Splats, colours_towards, rotation_matrices

BLUR = 0.05  # variance in pixels^2 that is added to every splat
# Splats whose centres are farther outside of the picture are skipped: the linearised projection is
# not valid there.
MARGIN = 0.15  # of the picture's size
MIN_MARGIN = 48  # pixels
NEAR = 0.02  # distance in world units; splats that are closer to the camera are skipped
MAX_TILES = 128  # tiles rendered at once
MAX_PAIRS = 2**15  # pairs of a tile and a splat at once, which bounds the memory
SHORTEST = 64  # splats of a tile, to which shorter lists are padded


class Tiles(NamedTuple):
    """Some tiles of a picture and the splats that reach each of them.

    Attributes:
      corners: first pixel (x, y) of each tile.
      splats: those that reach each tile, front to back.
      used: which of them are there; lists are padded to one length.
    """

    corners: Int[np.ndarray, "t 2"]
    splats: Int[np.ndarray, "t k"]
    used: Bool[np.ndarray, "t k"]


def rasterize(
    splats: Splats, camera: Cameras, background: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "h w 3"]:
    """Render the picture of one camera.

    Args:
      splats: in the world of the camera.
      camera: without leading axes.
      background: sRGB behind the splats.
    """
    width, height = (int(n) for n in camera.size)
    splats = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), splats)
    colour = jnp.asarray(background, jnp.float32)
    picture = np.empty((height + TILE, width + TILE, 3), np.float32)
    picture[:] = background
    moved = jax.tree.map(jnp.asarray, camera)
    for tiles in find_tiles(splats, camera):
        blocks = np.asarray(_render_tiles(splats, moved, tiles, colour))
        # Groups are padded by tiles without splats, which are no part of the picture.
        for i in np.flatnonzero(tiles.used.any(-1)):
            x, y = tiles.corners[i]
            picture[y : y + TILE, x : x + TILE] = blocks[i]
    return picture[:height, :width]


def render_tiles(
    splats: Splats, camera: Cameras, tiles: Tiles, background: Float[Array, "3"]
) -> Float[Array, "t s s 3"]:
    """Render tiles of a picture; differentiable in everything about the splats.

    Args:
      splats: in the world of the camera.
      camera: without leading axes.
      tiles: as `find_tiles` returns them.
      background: sRGB behind the splats.
    """
    # The first axis goes front to back.
    mine = jax.tree.map(lambda x: x[tiles.splats.T], splats)
    shown, _ = show(mine, camera)
    used = jnp.asarray(tiles.used.T)
    shown = shown._replace(
        centre=shown.centre - tiles.corners[None],
        opacity=jnp.where(used, shown.opacity, 0.0),
    )
    colour = blend(shown, used.any(1).sum(), background)
    return colour.reshape(-1, TILE, TILE, 3)


_render_tiles = jax.jit(render_tiles)


def show(splats: Splats, camera: Cameras) -> tuple[Shown, Float[Array, "*b 2"]]:
    """Project splats into a picture, equations 1 and 2.

    Args:
      splats: with any leading axes.
      camera: without leading axes.

    Returns:
      The splats, and the entries xx and yy of their covariances S.
    """
    means = jnp.asarray(splats.means).reshape(-1, 3)
    many = repeat_camera(camera, len(means))

    def place(points: Float[Array, "m 3"]) -> Float[Array, "m 2"]:
        return project(many, points)[0]

    centre = place(means)
    units = [jnp.broadcast_to(axis, means.shape) for axis in jnp.eye(3)]
    jacobian = jnp.stack([jax.jvp(place, (means,), (unit,))[1] for unit in units], -1)
    axes = rotation_matrices(splats.quaternions.reshape(-1, 4))
    # J R diag(s), whose rows' products are J Sigma J^T.
    rows = jnp.einsum(
        "mij,mjk,mk->mik", jacobian, axes, splats.scales.reshape(-1, 3), precision="highest"
    )
    xx = jnp.square(rows[:, 0]).sum(-1) + BLUR
    yy = jnp.square(rows[:, 1]).sum(-1) + BLUR
    xy = (rows[:, 0] * rows[:, 1]).sum(-1)
    determinant = xx * yy - xy * xy
    towards = means - camera.position[None]
    length = jnp.sqrt(jnp.maximum(jnp.square(towards).sum(-1, keepdims=True), 1e-24))
    harmonics = splats.harmonics.reshape(-1, *splats.harmonics.shape[-2:])
    flat = Shown(
        centre,
        jnp.stack([yy, -xy, xx], -1) / determinant[:, None],
        jnp.asarray(splats.opacities).reshape(-1),
        colours_towards(harmonics, towards / length),
    )
    shape = splats.opacities.shape
    both = (flat, jnp.stack([xx, yy], -1))
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), both)


@jax.jit
def _bounds(
    camera: Cameras, wide: Cameras, splats: Splats
) -> tuple[Float[Array, "n 2"], Float[Array, "n 2"], Bool[Array, " n"]]:
    """Return the centre of each splat, the half sides of its box, and whether it is drawn."""
    shown, variance = show(splats, camera)
    seen = project(repeat_camera(wide, len(splats)), jnp.asarray(splats.means))[1]
    far = jnp.square(splats.means - camera.position[None]).sum(-1) > NEAR**2
    return shown.centre, CUTOFF * jnp.sqrt(variance), seen & far


def find_tiles(splats: Splats, camera: Cameras) -> Iterator[Tiles]:
    """Yield the tiles of a picture that splats reach, in groups with lists of similar lengths.

    Args:
      splats: in the world of the camera.
      camera: without leading axes.
    """
    # The picture with a margin on all sides, whose pixels are counted from its own corner.
    size = np.asarray(camera.size)
    margin = np.maximum(np.ceil(MARGIN * size), MIN_MARGIN).astype(np.int32)
    K = np.array(camera.K, np.float32)
    K[:2, 2] += margin
    wide = dataclasses.replace(camera, K=K, size=size + 2 * margin)
    both = jax.tree.map(jnp.asarray, (camera, wide))
    numpy = jax.tree.map(np.asarray, splats)
    centre, reach, drawn = in_chunks(partial(_bounds, *both), numpy)
    distance = np.linalg.norm(numpy.means - np.asarray(camera.position), axis=-1)
    drawn &= np.isfinite(centre).all(-1) & np.isfinite(reach).all(-1)
    front_to_back = np.flatnonzero(drawn)
    front_to_back = front_to_back[np.argsort(distance[front_to_back], kind="stable")]
    columns, rows = -(-size // TILE)
    index, tile = _pairs(centre, reach, front_to_back, int(columns), int(rows))
    lengths = np.bincount(tile, minlength=int(columns * rows))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    by_length = np.argsort(lengths, kind="stable")
    by_length = by_length[lengths[by_length] > 0]
    while len(by_length):
        # The longest list of the group decides how many tiles fit into it.
        longest = SHORTEST
        while longest < lengths[by_length[0]]:
            longest *= 4
        count = max(1, min(MAX_TILES, MAX_PAIRS // longest))
        fits = by_length[lengths[by_length] <= longest]
        group, by_length = fits[:count], by_length[min(count, len(fits)) :]
        yield _padded(group, lengths, starts, index, longest, count, int(columns))


def _pairs(
    centre: Float[np.ndarray, "n 2"],
    reach: Float[np.ndarray, "n 2"],
    splats: Int[np.ndarray, " m"],
    columns: int,
    rows: int,
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return (splat, tile) for all tiles in the boxes of splats, tile after tile.

    Args:
      centre: of each splat, in pixels.
      reach: half sides of its box, in pixels.
      splats: the splats to use, front to back.
      columns: number of tiles along x.
      rows: number of tiles along y.
    """
    limit = np.array([columns, rows])
    low = np.clip(np.floor((centre - reach)[splats] / TILE), 0, limit).astype(np.int64)
    high = np.clip(np.floor((centre + reach)[splats] / TILE) + 1, 0, limit).astype(np.int64)
    extent = np.maximum(high - low, 0)
    count = extent.prod(-1)
    repeated = np.repeat(np.arange(len(splats)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x = low[repeated, 0] + within % extent[repeated, 0]
    y = low[repeated, 1] + within // extent[repeated, 0]
    tile = y * columns + x
    # A stable sort keeps the splats of each tile front to back.
    order = np.argsort(
        tile.astype(np.uint16 if columns * rows < 2**16 else np.int64), kind="stable"
    )
    return splats[repeated[order]], tile[order]


def _padded(
    group: Int[np.ndarray, " g"],
    lengths: Int[np.ndarray, " tiles"],
    starts: Int[np.ndarray, " ends"],
    index: Int[np.ndarray, " p"],
    longest: int,
    count: int,
    columns: int,
) -> Tiles:
    """Pad the lists of a group of tiles, and the group by tiles without splats.

    Args:
      group: numbers of the tiles.
      lengths: number of splats of every tile.
      starts: where the list of every tile begins.
      index: the lists of all tiles, one after the other.
      longest: the length to which lists are padded.
      count: the number of tiles to which the group is padded.
      columns: number of tiles along x.
    """
    number = np.zeros(count, np.int64)
    number[: len(group)] = group
    size = np.zeros(count, np.int64)
    size[: len(group)] = lengths[group]
    used = np.arange(longest)[None] < size[:, None]
    at = starts[number][:, None] + np.arange(longest)[None]
    chosen = np.where(used, index[np.minimum(at, len(index) - 1)], 0)
    corners = TILE * np.stack([number % columns, number // columns], -1)
    return Tiles(corners.astype(np.int32), chosen.astype(np.int32), used)
