"""What cameras show by themselves: lenses that belong to other images, axes that meet nowhere, places far away."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import PERSPECTIVE
from nerf.check.diagnostics import Diagnostic
from nerf.scenes.base import Scene, focus_point
from nerf.scenes.normalise import distances_in_view

MAX_CENTRE_OFFSET = 0.15  # of the picture's side, by which the principal point of an uncropped picture is off at most
MAX_PIXEL_ASPECT = 1.1  # fx / fy of square pixels, at most
ANGLES_OF_VIEW = (
    8.0,
    130.0,
)  # degrees that the longer side of a picture spans at least and at most
MAX_DISTANCE_RATIO = 8.0  # times the usual distance from the middle of the cameras
MAX_VERTICAL = 0.9  # cosine of the angle between a view and the vertical: 26 degrees
MIN_INWARD = 0.6  # part of the cameras that see the point where most axes meet


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the cameras stand, in the units and axes of the scene's file.

    Attributes:
      c2w: poses.
      focus: the point nearest to all optical axes.
      sees: whether each camera has it in its picture.
      behind: whether it lies behind each camera.
      reach: half the angle of view along the picture's diagonal, in radians.
      up: unit mean of the cameras' up axes, or zeros where they cancel out.
    """

    c2w: Float[np.ndarray, "n 3 4"]
    focus: Float[np.ndarray, "3"]
    sees: np.ndarray
    behind: np.ndarray
    reach: Float[np.ndarray, " n"]
    up: Float[np.ndarray, "3"]

    def distances(self, points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " k"]:
        """Of all points from all cameras that have them in view."""
        return distances_in_view(self.c2w, self.reach, points)

    @property
    def inward(self) -> bool:
        """Whether most cameras see the focus."""
        return float(self.sees.mean()) >= MIN_INWARD


def lay_out(scene: Scene) -> Layout:
    """Where the cameras of a scene are and look."""
    c2w = scene.transform.poses_back(np.asarray(scene.cameras.c2w, np.float64))
    focus = focus_point(c2w)
    away = focus - c2w[:, :, 3]
    distance = np.linalg.norm(away, axis=-1)
    ahead = -(away * c2w[:, :, 2]).sum(-1) / np.maximum(distance, 1e-12)
    K, size = np.asarray(scene.cameras.K), np.asarray(scene.cameras.size)
    reach = np.arctan(np.linalg.norm(size / 2 / K[:, [0, 1], [0, 1]], axis=-1))
    spread = np.linalg.norm(c2w[:, :, 3] - c2w[:, :, 3].mean(0), axis=-1).mean()
    apart = distance > 0.05 * spread + 1e-12
    sees = apart & (np.arccos(np.clip(ahead, -1, 1)) < reach)
    up = c2w[:, :, 1].mean(0)
    length = np.linalg.norm(up)
    return Layout(c2w, focus, sees, ahead < 0, reach, up / length if length > 0.1 else np.zeros(3))


def lens_diagnostics(scene: Scene) -> Iterator[Diagnostic]:
    """Principal points, aspects and angles of view of perspective lenses that suit no picture of this size."""
    scene = scene.select(np.flatnonzero(np.asarray(scene.cameras.model) == PERSPECTIVE).tolist())
    K, size = np.asarray(scene.cameras.K, np.float64), np.asarray(scene.cameras.size, np.float64)
    off = np.abs(K[:, :2, 2] / size - 0.5).max(-1) > MAX_CENTRE_OFFSET
    if off.any():
        i = int(np.argmax(off))
        (cx, cy), (w, h) = K[i, :2, 2], size[i]
        why = f"at ({cx:.0f}, {cy:.0f}) in pictures of {w:.0f}x{h:.0f}: the middle of {2 * cx:.0f}x{2 * cy:.0f} ones"
        fix = "give the size of the images for which principal point and focal length were measured, or scale these"
        yield Diagnostic(_named(scene, off), "the principal point is far from the middle", why, fix)
    ratio = K[:, 0, 0] / K[:, 1, 1]
    odd = np.maximum(ratio, 1 / ratio) > MAX_PIXEL_ASPECT
    if odd.any():
        i = int(np.argmax(odd))
        why = f"focal lengths fx / fy = {ratio[i]:.3g}, pictures are {size[i, 0]:.0f}x{size[i, 1]:.0f}"
        fix = "use one focal length in pixels for both, or correct w and h"
        yield Diagnostic(_named(scene, odd), "pixels are not square", why, fix)
    angle = 2 * np.degrees(np.arctan((size / K[:, [0, 1], [0, 1]]).max(-1) / 2))
    odd = (angle < ANGLES_OF_VIEW[0]) | (angle > ANGLES_OF_VIEW[1])
    if odd.any():
        i = int(np.argmax(odd))
        why = f"the longer side spans {angle[i]:.1f} degrees"
        fix = "write the focal length in pixels of these images, or give the size that it was measured for"
        yield Diagnostic(_named(scene, odd), "the focal length suits no ordinary lens", why, fix)


def place_diagnostics(scene: Scene, layout: Layout) -> Iterator[Diagnostic]:
    """Cameras that stand far from all others, or all in one place."""
    place = layout.c2w[:, :, 3]
    distance = np.linalg.norm(place - np.median(place, axis=0), axis=-1)
    usual = float(np.median(distance))
    # Poses are kept as float32 of the normalised world; a file's large coordinates say nothing.
    rounding = 1e-6 / scene.transform.scale
    if len(place) > 2 and distance.max() < rounding:
        fix = "the position in a pose matrix, its fourth column, must be where the camera stood"
        yield Diagnostic((), "all cameras stand in one place", "nothing has a distance then", fix)
    for i in np.flatnonzero(distance > MAX_DISTANCE_RATIO * max(usual, rounding)).tolist():
        why = f"{distance[i] / usual:.0f} times as far from the middle of the cameras as the others"
        yield Diagnostic(
            (scene.names[i],),
            "stands far away",
            why,
            "remove the frame, or estimate its pose again",
        )


def up_diagnostics(scene: Scene, layout: Layout) -> Iterator[Diagnostic]:
    """Find scenes that keep their file's axes although the cameras' up axes lean elsewhere than to +z.

    Cameras that look straight down or up have up axes that say nothing of what is up.
    """
    upright = np.abs(layout.c2w[:, 2, 2]) < MAX_VERTICAL
    if scene.axes_kept and upright.mean() > 0.5 and layout.up.any() and layout.up[2] < 0.5:
        axis = "xyz"[int(np.abs(layout.up).argmax())]
        sign = "-" if layout.up[int(np.abs(layout.up).argmax())] < 0 else "+"
        why = f"the cameras' up axes lean to {sign}{axis} of the file; orbits and other paths go around +z"
        fix = "turn all poses so that +z is up, or write them as transforms.json, which is levelled"
        yield Diagnostic((), "up is not +z", why, fix)


def axis_diagnostics(layout: Layout) -> Iterator[Diagnostic]:
    """A guess where pictures cannot decide: cameras that all look away from one point."""
    if layout.behind.mean() > 0.9 and not layout.inward:
        why = f"the optical axes of {layout.behind.sum()} of {len(layout.behind)} cameras meet behind them"
        fix = "if they looked inwards, negate the second and third column of every pose matrix (OpenCV's axes)"
        yield Diagnostic((), "the cameras look outwards", why, fix)


def _named(scene: Scene, chosen: np.ndarray) -> tuple[str, ...]:
    return () if chosen.all() else tuple(scene.names[i] for i in np.flatnonzero(chosen).tolist())
