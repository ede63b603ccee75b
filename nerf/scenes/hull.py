"""Where matter can be, from silhouettes alone: the visual hull of a scene with transparency (Laurentini 1994)."""

import numpy as np
from jaxtyping import Bool, Float, Int

from nerf.cameras.lenses import PERSPECTIVE
from nerf.scenes.base import Scene

CONTRADICTION_CELLS = (
    24  # along each axis, of the coarse grid on which silhouettes are held against each other
)
MIN_VIEWS = 12  # fewer silhouettes cannot be held against each other
CONTRADICTION_RATIO = 5.0  # times the usual number of cells that a view carves against all others
MIN_CONTRADICTION = 0.12  # fraction of the hull; an extreme view rightly carves up to 0.08 alone


def visual_hull(scene: Scene, resolution: int, coarsest: int = 16) -> Bool[np.ndarray, "n n n"]:
    """Return the cells of [-1, 1]^3 that no view sees as wholly transparent.

    A cell stands if the square around its picture holds a pixel with alpha > 0, or a masked one, or
    leaves the image, in every view, so that nothing visible is ever carved. Views through other
    lenses than OpenCV's polynomial carve nothing, and `contradicting_views` neither.

    Args:
      scene: views with alpha.
      resolution: cells along each axis.
      coarsest: cells are subdivided from the `resolution` halved while it is even and above this.

    Returns: True where matter can be.
    """
    wrong = contradicting_views(scene)
    tables = {view: table for view, table in _tables(scene).items() if view not in wrong}
    n = resolution
    while n > coarsest and n % 2 == 0:
        n //= 2
    cells = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    while True:
        for view, table in tables.items():
            cells = cells[
                _may_hold(scene, view, table, (cells + 0.5) * (2.0 / n) - 1.0, np.sqrt(3.0) / n)
            ]
        if n >= resolution:
            break
        n *= 2
        corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
        cells = (2 * cells[:, None] + corners).reshape(-1, 3)
    hull = np.zeros((n, n, n), bool)
    hull[tuple(cells.T)] = True
    return hull


def contradicting_views(scene: Scene) -> list[int]:
    """Return the views whose silhouettes carve much that all other views keep, the worst first.

    Every silhouette carves some cells that no other carves. One that is wrong, as of a photo whose
    background was removed badly, carves a piece of the object itself: many times as many. Of few
    views each carves so much alone that nothing can be said.
    """
    tables, n = _tables(scene), CONTRADICTION_CELLS
    if len(tables) < MIN_VIEWS:
        return []
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centres = (index + 0.5) * (2.0 / n) - 1.0
    carved = np.stack(
        [
            ~_may_hold(scene, view, table, centres, np.sqrt(3.0) / n)
            for view, table in tables.items()
        ]
    )
    trusted = np.ones(len(tables), bool)
    views = list(tables)
    wrong: list[int] = []
    while trusted.sum() >= MIN_VIEWS:
        votes = carved[trusted].sum(0)
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
    """Return the summed-area table of what each view may show as matter, of views that can carve."""
    return {
        view: _counts(_seen(scene, view))
        for view in range(len(scene))
        if _is_polynomial(scene, view)
    }


def _seen(scene: Scene, view: int) -> Bool[np.ndarray, "h w"]:
    """Where a view may show matter: whatever its mask leaves out may."""
    there = scene.images[view][..., 3] > 0
    return there if scene.masks is None else there | ~scene.masks[view]


def _is_polynomial(scene: Scene, view: int) -> bool:
    """Whether a lens is perspective with k1 k2 p1 p2 k3 alone, whose stretch has a simple bound."""
    cameras = scene.cameras
    return bool(cameras.model[view] == PERSPECTIVE and not np.any(cameras.distortion[view, 5:]))


def _counts(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h+1 w+1"]:
    """Summed-area table: how many True pixels lie above and left of each corner."""
    return np.pad(mask.astype(np.int32).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _may_hold(
    scene: Scene, view: int, table: np.ndarray, centres: Float[np.ndarray, "m 3"], radius: float
) -> Bool[np.ndarray, " m"]:
    """Whether a ball around each centre may be seen as matter in a view; True for what leaves the image."""
    c2w, K = scene.cameras.c2w[view], scene.cameras.K[view]
    width, height = scene.cameras.size[view]
    local = (centres - c2w[:, 3]) @ c2w[:, :3]
    depth = -local[:, 2]
    near = depth < 2.0 * radius
    depth = np.where(near, 1.0, depth)
    plane = np.stack([local[:, 0], -local[:, 1]], -1) / depth[:, None]
    rim = np.linalg.norm(plane, axis=-1)
    reach = (
        radius * np.sqrt(1.0 + rim**2) / (depth - np.where(near, 0.0, radius))
    )  # |dx - (x / z) dz| / (z - radius)
    plane, bend = _distort(plane, rim + reach, np.asarray(scene.cameras.distortion[view]))
    pixel = plane * K[[0, 1], [0, 1]] + K[:2, 2]
    reach = (reach * (1.0 + bend) * max(K[0, 0], K[1, 1]) + 1.0)[:, None]
    low, high = np.floor(pixel - reach).astype(int), np.ceil(pixel + reach).astype(int)
    outside = (bend >= 1.0) | (low < 0).any(-1) | (high[:, 0] > width) | (high[:, 1] > height)
    (x0, y0), (x1, y1) = np.clip(low, 0, [width, height]).T, np.clip(high, 0, [width, height]).T
    seen = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return near | outside | (seen > 0)


def _distort(
    plane: Float[np.ndarray, "m 2"], rim: Float[np.ndarray, " m"], distortion: np.ndarray
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, " m"]]:
    """`lenses.distort` in numpy, and by how much the lens stretches at most within `rim` of the axis, less 1.

    The lens may fold where that is 1 or more: points outside the picture then seem to be inside.
    """
    k1, k2, p1, p2, k3 = distortion[:5].astype(np.float64)
    x, y = plane.T
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent = [
        x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
        y * radial + 2.0 * p2 * x * y + p1 * (r2 + 2.0 * y * y),
    ]
    bend = (
        3.0 * abs(k1) * rim**2
        + 5.0 * abs(k2) * rim**4
        + 7.0 * abs(k3) * rim**6
        + 8.0 * (abs(p1) + abs(p2)) * rim
    )
    return np.stack(bent, -1), bend
