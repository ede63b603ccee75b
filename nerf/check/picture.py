"""Draw the cameras and the points of a scene."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib.figure import Figure

from nerf.check.check import Report
from nerf.foundation.files import replacing
from nerf.scenes.base import Scene, rotation_to_z

SHOWN_POINTS = 5000  # number of points of the scene that are drawn


def draw(scene: Scene, report: Report, file: Path) -> None:
    """Write a PNG with the cameras from above and from the side.

    Cameras with diagnostics are red and named.

    Args:
      scene: the scene.
      report: the result of its check.
      file: the PNG to write.
    """
    figure = make_figure(scene, report)
    with replacing(file) as temporary:
        figure.savefig(temporary, dpi=110)


def make_figure(scene: Scene, report: Report) -> Figure:
    """Draw the figure that `draw` writes."""
    layout = report.layout
    # Turn the scene so that up is +z; the focus becomes the origin.
    level = rotation_to_z(layout.up) if layout.up.any() else np.eye(3)
    place = (layout.c2w[:, :, 3] - layout.focus) @ level.T
    frusta = _frusta(scene, report) @ level.T
    points = (_some(report.points) - layout.focus) @ level.T
    reach = 1.2 * float(np.abs(frusta).max())
    bad = {name for diagnostic in report.diagnostics for name in diagnostic.views}
    figure = Figure(figsize=(13, 7.2))
    # Margins are fixed, because automatic layouts shrink square axes after placing their titles and
    # then cut the titles off.
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.13, top=0.93, wspace=0.12)
    sides = ((0, 1, "from above"), (0, 2, "from the side"))
    for axis, (i, j, title) in zip(figure.subplots(1, 2), sides, strict=True):
        inside = (np.abs(points) < reach).all(-1)
        axis.plot(
            points[inside, i],
            points[inside, j],
            ".",
            ms=1.5,
            color="0.6",
            label="points of the scene",
        )
        for name, centre, corners in zip(scene.names, place, frusta, strict=True):
            colour = "tab:red" if name in bad else "tab:blue"
            # A pyramid: edges from the centre to the corners, and the rectangle of the picture.
            for corner in (*corners, corners[0]):
                axis.plot([centre[i], corner[i]], [centre[j], corner[j]], color=colour, lw=0.5)
            axis.plot(*np.append(corners, corners[:1], 0)[:, [i, j]].T, color=colour, lw=0.5)
            if name in bad:
                axis.annotate(
                    Path(name).name, centre[[i, j]], fontsize=7, color=colour, annotation_clip=True
                )
        axis.plot(0, 0, "+", ms=12, color="tab:green", label="the point that the cameras look at")
        if j == 2 and layout.up.any():
            arrow = {"arrowstyle": "<-", "color": "tab:green"}
            axis.annotate("up", (0, 0), (0, 0.4 * reach), arrowprops=arrow, ha="center")
        axis.set(
            title=title,
            aspect="equal",
            xlim=(-reach, reach),
            ylim=(-reach, reach),
            xlabel="units of the file",
        )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, fontsize=9)
    return figure


def _frusta(scene: Scene, report: Report) -> np.ndarray:
    """Return the picture corners relative to the focus, (n, 4, 3).

    They are drawn a short distance in front of the cameras.
    """
    K, size = np.asarray(scene.cameras.K, np.float64), np.asarray(scene.cameras.size, np.float64)
    c2w = report.layout.c2w
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])[None] * size[:, None]
    plane = (corners - K[:, None, :2, 2]) / K[:, None, [0, 1], [0, 1]]
    # A fisheye sees more than can be drawn, so the plane is clipped at 45 degrees.
    x, y = np.moveaxis(np.clip(plane, -1.0, 1.0), -1, 0)
    local = np.stack([x, -y, -np.ones_like(x)], -1)
    spread = np.median(np.linalg.norm(c2w[:, :, 3] - np.median(c2w[:, :, 3], 0), axis=-1))
    ahead = 0.15 * max(float(spread), 1e-9)
    turned = np.einsum("nij,nkj->nki", c2w[:, :, :3], ahead * local)
    return turned + c2w[:, None, :, 3] - report.layout.focus


def _some(points: np.ndarray) -> np.ndarray:
    """Return at most SHOWN_POINTS of the points, chosen at random."""
    return points[np.random.default_rng(0).permutation(len(points))[:SHOWN_POINTS]]
