"""Check cameras without their pictures: lenses, optical axes, positions and up axes."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import PERSPECTIVE
from nerf.check.diagnostics import Diagnostic
from nerf.scenes.base import Scene
from nerf.scenes.focus import focus_point
from nerf.scenes.normalise import distances_in_view

# The principal point of an uncropped picture is off by at most this fraction of its side.
MAX_CENTRE_OFFSET = 0.15
MAX_PIXEL_ASPECT = 1.1  # of fx to fy, for square pixels
ANGLES_OF_VIEW = (8.0, 130.0)  # smallest and largest angle of a picture's longer side, in degrees
MAX_DISTANCE_RATIO = 8.0  # of a camera to the usual distance from the middle of the cameras
# Cosine of the angle between view and vertical; larger ones are within 26 degrees.
MAX_VERTICAL = 0.9
MIN_INWARD = 0.6  # cameras look inwards if at least this fraction of them sees the focus


@dataclasses.dataclass(frozen=True)
class Layout:
    """Positions and view directions of cameras, in the file's world.

    Attributes:
      c2w: camera-to-world poses, OpenGL axes.
      focus: the point nearest to all optical axes.
      sees: whether the focus lies in each camera's picture.
      behind: whether the focus lies behind each camera.
      reach: half the angle of view along the picture's diagonal, in radians.
      up: unit mean of the cameras' up axes, or zeros if they cancel out.
    """

    c2w: Float[np.ndarray, "n 3 4"]
    focus: Float[np.ndarray, "3"]
    sees: np.ndarray
    behind: np.ndarray
    reach: Float[np.ndarray, " n"]
    up: Float[np.ndarray, "3"]

    def distances(self, points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " k"]:
        """Return the distances between points and cameras that see them."""
        return distances_in_view(self.c2w, self.reach, points)

    @property
    def inward(self) -> bool:
        """Report whether most cameras see the focus."""
        return float(self.sees.mean()) >= MIN_INWARD


def lay_out(scene: Scene) -> Layout:
    """Return the positions and view directions of the cameras of a scene."""
    c2w = scene.transform.poses_back(np.asarray(scene.cameras.c2w, np.float64))
    focus = focus_point(c2w)
    away = focus - c2w[:, :, 3]
    distance = np.linalg.norm(away, axis=-1)
    # Cosine of the angle between the view direction, -z, and the direction to the focus.
    ahead = -(away * c2w[:, :, 2]).sum(-1) / np.maximum(distance, 1e-12)
    K, size = np.asarray(scene.cameras.K), np.asarray(scene.cameras.size)
    reach = np.arctan(np.linalg.norm(size / 2 / K[:, [0, 1], [0, 1]], axis=-1))
    # A focus at the cameras themselves, as of a panorama, is seen by none of them.
    spread = np.linalg.norm(c2w[:, :, 3] - c2w[:, :, 3].mean(0), axis=-1).mean()
    apart = distance > 0.05 * spread + 1e-12
    sees = apart & (np.arccos(np.clip(ahead, -1, 1)) < reach)
    up = c2w[:, :, 1].mean(0)
    length = np.linalg.norm(up)
    return Layout(c2w, focus, sees, ahead < 0, reach, up / length if length > 0.1 else np.zeros(3))


def lens_diagnostics(scene: Scene) -> Iterator[Diagnostic]:
    """Yield perspective lenses that do not fit their pictures.

    Checks the principal point, the aspect of the pixels and the angle of view.
    """
    scene = scene.select(np.flatnonzero(np.asarray(scene.cameras.model) == PERSPECTIVE).tolist())
    K, size = np.asarray(scene.cameras.K, np.float64), np.asarray(scene.cameras.size, np.float64)
    off = np.abs(K[:, :2, 2] / size - 0.5).max(-1) > MAX_CENTRE_OFFSET
    if off.any():
        i = int(np.argmax(off))
        (cx, cy), (w, h) = K[i, :2, 2], size[i]
        why = f"at ({cx:.0f}, {cy:.0f}) in pictures of {w:.0f}x{h:.0f}"
        why += f": the middle of {2 * cx:.0f}x{2 * cy:.0f} ones"
        measured = "principal point and focal length were measured"
        fix = f"give the size of the images for which {measured}, or scale these"
        yield Diagnostic(_named(scene, off), "the principal point is far from the middle", why, fix)
    ratio = K[:, 0, 0] / K[:, 1, 1]
    odd = np.maximum(ratio, 1 / ratio) > MAX_PIXEL_ASPECT
    if odd.any():
        i = int(np.argmax(odd))
        pictures = f"pictures are {size[i, 0]:.0f}x{size[i, 1]:.0f}"
        why = f"focal lengths fx / fy = {ratio[i]:.3g}, {pictures}"
        fix = "use one focal length in pixels for both, or correct w and h"
        yield Diagnostic(_named(scene, odd), "pixels are not square", why, fix)
    angle = 2 * np.degrees(np.arctan((size / K[:, [0, 1], [0, 1]]).max(-1) / 2))
    odd = (angle < ANGLES_OF_VIEW[0]) | (angle > ANGLES_OF_VIEW[1])
    if odd.any():
        i = int(np.argmax(odd))
        why = f"the longer side spans {angle[i]:.1f} degrees"
        size_of_focal = "give the size that it was measured for"
        fix = f"write the focal length in pixels of these images, or {size_of_focal}"
        yield Diagnostic(_named(scene, odd), "the focal length suits no ordinary lens", why, fix)


def place_diagnostics(scene: Scene, layout: Layout) -> Iterator[Diagnostic]:
    """Yield cameras far from all others, or all in one place."""
    place = layout.c2w[:, :, 3]
    distance = np.linalg.norm(place - np.median(place, axis=0), axis=-1)
    usual = float(np.median(distance))
    # Poses are stored as float32 of the normalised world: large coordinates of the file cost no
    # precision.
    rounding = 1e-6 / scene.transform.scale
    if len(place) > 2 and distance.max() < rounding:
        fix = "the position in a pose matrix, its fourth column, must be where the camera stood"
        yield Diagnostic((), "all cameras stand in one place", "nothing has a distance then", fix)
    for i in np.flatnonzero(distance > MAX_DISTANCE_RATIO * max(usual, rounding)).tolist():
        why = "most of the other cameras stand in one place"
        if usual > rounding:
            times = f"{distance[i] / usual:.0f} times"
            why = f"{times} as far from the middle of the cameras as the others"
        yield Diagnostic(
            (scene.names[i],),
            "stands far away",
            why,
            "remove the frame, or estimate its pose again",
        )


def up_diagnostics(scene: Scene, layout: Layout) -> Iterator[Diagnostic]:
    """Yield a diagnostic if up is not +z although the format promises it.

    Cameras that look straight down or up have up axes that tell nothing about up.
    """
    upright = np.abs(layout.c2w[:, 2, 2]) < MAX_VERTICAL
    # Formats that promise +z as up are not levelled, so that cameras which disagree matter.
    if scene.axes_kept and upright.mean() > 0.5 and layout.up.any() and layout.up[2] < 0.5:
        axis = "xyz"[int(np.abs(layout.up).argmax())]
        sign = "-" if layout.up[int(np.abs(layout.up).argmax())] < 0 else "+"
        why = f"the cameras' up axes lean to {sign}{axis} of the file"
        why += "; orbits and other paths go around +z"
        fix = "turn all poses so that +z is up, or write them as transforms.json, which is levelled"
        yield Diagnostic((), "up is not +z", why, fix)


def axis_diagnostics(layout: Layout) -> Iterator[Diagnostic]:
    """Yield a guess without pictures if cameras look away from one point."""
    if layout.behind.mean() > 0.9 and not layout.inward:
        share = f"{layout.behind.sum()} of {len(layout.behind)} cameras"
        why = f"the optical axes of {share} meet behind them"
        edit = "negate the second and third column of every pose matrix (OpenCV's axes)"
        fix = f"if they looked inwards, {edit}"
        yield Diagnostic((), "the cameras look outwards", why, fix)


def _named(scene: Scene, chosen: np.ndarray) -> tuple[str, ...]:
    """Return the names of chosen views; empty if all are chosen."""
    if chosen.all():
        return ()
    return tuple(scene.names[i] for i in np.flatnonzero(chosen).tolist())
