"""Visual hull: the space inside all silhouettes of a scene (Laurentini 1994)."""

import numpy as np
from jaxtyping import Bool, Float, Int

from nerf.cameras.lenses import PERSPECTIVE, bend, rational_radial
from nerf.scenes.base import Scene

CONTRADICTION_CELLS = 24  # cells along each axis of the grid on which silhouettes are compared
MIN_VIEWS = 12  # fewer silhouettes are not compared
# A view contradicts the others if it alone carves more cells than both of these limits:
CONTRADICTION_RATIO = 5.0  # multiple of the median number of cells that a view alone carves
MIN_CONTRADICTION = 0.12  # fraction of the hull; an extreme view correctly carves up to 0.08 alone


def visual_hull(scene: Scene, resolution: int, coarsest: int = 16) -> Bool[np.ndarray, "n n n"]:
    """Return the cells of [-1, 1]^3 that no view sees as fully transparent.

    A cell is kept if, in every view, the square around its projection contains a masked pixel or
    one with alpha > 0, or extends beyond the image. So nothing visible is ever carved. Views with
    another lens model than OpenCV's polynomial carve nothing, nor do `contradicting_views`.

    Args:
      scene: views with alpha.
      resolution: number of cells along each axis.
      coarsest: the coarsest grid has `resolution` halved while it is even and above this.

    Returns:
      True at cells that may be occupied.
    """
    wrong = contradicting_views(scene)
    tables = {view: table for view, table in _tables(scene).items() if view not in wrong}
    # Start with all cells of a coarse grid.
    n = resolution
    while n > coarsest and n % 2 == 0:
        n //= 2
    cells = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    while True:
        # Keep the cells whose circumscribed ball, of radius sqrt(3) / n, may be occupied.
        for view, table in tables.items():
            centres = (cells + 0.5) * (2.0 / n) - 1.0
            cells = cells[_may_hold(scene, view, table, centres, np.sqrt(3.0) / n)]
        if n >= resolution:
            break
        # Divide each remaining cell into eight.
        n *= 2
        corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
        cells = (2 * cells[:, None] + corners).reshape(-1, 3)
    hull = np.zeros((n, n, n), bool)
    hull[tuple(cells.T)] = True
    return hull


def contradicting_views(scene: Scene) -> list[int]:
    """Return the views that alone carve many cells, the worst first.

    Every silhouette carves some cells that no other silhouette carves. A wrong silhouette, such as
    that of a photo whose background was removed badly, carves a part of the object itself, which is
    many times as many cells. With fewer than `MIN_VIEWS` views the test is inconclusive, since each
    view carves many cells alone.
    """
    tables = _tables(scene)
    n = CONTRADICTION_CELLS
    if len(tables) < MIN_VIEWS:
        return []
    # Find the cells of a coarse grid that each view carves.
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centres = (index + 0.5) * (2.0 / n) - 1.0
    radius = np.sqrt(3.0) / n
    carved = np.stack(
        [~_may_hold(scene, view, table, centres, radius) for view, table in tables.items()]
    )
    # Remove the worst view until the others agree, since a wrong view affects their counts.
    trusted = np.ones(len(tables), bool)
    views = list(tables)
    wrong: list[int] = []
    while trusted.sum() >= MIN_VIEWS:
        votes = carved[trusted].sum(0)  # number of trusted views that carve each cell
        alone = np.where(trusted, (carved & (votes == 1)).sum(-1), 0)
        worst = int(alone.argmax())
        limit = max(
            MIN_CONTRADICTION * (votes == 0).sum(), CONTRADICTION_RATIO * np.median(alone[trusted])
        )
        if alone[worst] <= limit:
            break
        trusted[worst] = False
        wrong.append(views[worst])
    return wrong


def _tables(scene: Scene) -> dict[int, np.ndarray]:
    """Return the summed-area table (see `_counts`) of each view that can carve."""
    return {
        view: _counts(_seen(scene, view))
        for view in range(len(scene))
        if _is_polynomial(scene, view)
    }


def _seen(scene: Scene, view: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a view that may show an object, masked pixels included."""
    visible = scene.images[view][..., 3] > 0
    return visible | ~scene.maps["mask"][view] if "mask" in scene.maps else visible


def _is_polynomial(scene: Scene, view: int) -> bool:
    """Return whether a lens is perspective with polynomial distortion.

    It may have k1, k2, p1, p2 and k3. The stretch of such a lens has a simple bound (`_stretch`).
    """
    cameras = scene.cameras
    return bool(cameras.model[view] == PERSPECTIVE and not np.any(cameras.distortion[view, 5:]))


def _counts(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h+1 w+1"]:
    """Return the number of True pixels above and left of each pixel corner."""
    return np.pad(mask.astype(np.int32).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _may_hold(
    scene: Scene, view: int, table: np.ndarray, centres: Float[np.ndarray, "m 3"], radius: float
) -> Bool[np.ndarray, " m"]:
    """Return whether a view may show an object in each ball.

    Args:
      scene: views with alpha.
      view: index of the view.
      table: its summed-area table, see `_counts`.
      centres: centres in the normalised world.
      radius: radius of the balls.

    Returns:
      False only if all pixels that the ball covers are in the image and transparent.
    """
    c2w = scene.cameras.c2w[view]
    K = scene.cameras.K[view]
    width, height = scene.cameras.size[view]
    # Transform the centres to camera coordinates. Balls close to the image plane or behind it have
    # no bounded projection and are kept.
    local = (centres - c2w[:, 3]) @ c2w[:, :3]
    depth = -local[:, 2]
    near = depth < 2.0 * radius
    depth = np.where(near, 1.0, depth)
    # Project the centres to the plane at depth 1. The projection of the ball is within `reach` of
    # that of the centre: |dx - (x / z) dz| / (z - radius), with |(dx, dz)| <= radius.
    plane = np.stack([local[:, 0], -local[:, 1]], -1) / depth[:, None]
    rim = np.linalg.norm(plane, axis=-1)
    reach = radius * np.sqrt(1.0 + rim**2) / (depth - np.where(near, 0.0, radius))
    # Distort the centres and enlarge the reach by the largest stretch; add a pixel for rounding.
    distortion = np.asarray(scene.cameras.distortion[view], np.float64)
    (x, y), (p1, p2) = plane.T, distortion[2:4]
    radial = np.divide(*rational_radial(x * x + y * y, distortion))
    pixel = np.stack(bend(x, y, radial, p1, p2), -1) * K[[0, 1], [0, 1]] + K[:2, 2]
    stretch = _stretch(rim + reach, distortion)
    reach = (reach * (1.0 + stretch) * max(K[0, 0], K[1, 1]) + 1.0)[:, None]
    low = np.floor(pixel - reach).astype(int)
    high = np.ceil(pixel + reach).astype(int)
    outside = (stretch >= 1.0) | (low < 0).any(-1) | (high[:, 0] > width) | (high[:, 1] > height)
    # Count the possibly occupied pixels in the square.
    x0, y0 = np.clip(low, 0, [width, height]).T
    x1, y1 = np.clip(high, 0, [width, height]).T
    seen = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return near | outside | (seen > 0)


def _stretch(
    rim: Float[np.ndarray, " m"], distortion: Float[np.ndarray, "8"]
) -> Float[np.ndarray, " m"]:
    """Bound the stretch of a polynomial lens within distances `rim` from its axis, minus 1.

    If the bound is 1 or more, the lens may fold, so that points outside of the picture seem to be
    inside.
    """
    k1, k2, p1, p2, k3 = np.abs(distortion[:5])
    # Derivatives of r + k1 r^3 + k2 r^5 + k3 r^7, and a bound for the tangential terms.
    return 3.0 * k1 * rim**2 + 5.0 * k2 * rim**4 + 7.0 * k3 * rim**6 + 8.0 * (p1 + p2) * rim
