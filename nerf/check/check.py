"""Check a scene before training and explain how to fix it.

check_scene(scene) -> Report     # seconds: matches the pictures and compares them with the cameras
quick_check(scene) -> lines      # at the start of every training: only cheap checks
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import join_cameras
from nerf.check.contradictions import MIN_MATCHES, contradictions
from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import MAX_ERROR, as_rays, match_pictures, reprojection_error
from nerf.check.layout import (
    Layout,
    lay_out,
    lens_diagnostics,
    place_diagnostics,
    up_diagnostics,
)
from nerf.check.looks import blurred, copies, exposure_jumps, wrong_silhouettes
from nerf.scenes import Problem, Scene, SceneError, load
from nerf.scenes.base import NoViews

QUICK_CHECK_VIEWS = 24  # views that `quick_check` matches if the cameras look unusual
MAX_QUICK_LINES = 3  # diagnostics that `quick_check` prints
MAX_DISTANCE_POINTS = 2000  # points whose distances from the cameras are measured


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
      diagnostics: the problems that were found.
      facts: what is now known about the scene, one line each.
      layout: the cameras' positions and view directions.
      points: the file's points, or if it has none the points where matches meet; in the file's
        world.
    """

    diagnostics: Sequence[Diagnostic]
    facts: Sequence[str]
    layout: Layout
    points: Float[np.ndarray, "m 3"]


def load_all(root: str | Path, max_side: int = 1024) -> Scene:
    """Load the views of all splits, each once, sorted by name.

    Args:
      root: the scene's folder.
      max_side: longest side of the images in pixels; larger ones are reduced.

    Raises:
      SceneError: with the problems of all splits; missing held-out views are no problem.
    """
    loaded: list[Scene] = []
    problems: list[Problem] = []
    for split in ("train", "val", "test"):
        try:
            loaded.append(load(root, split, max_side=max_side))
        except SceneError as error:
            if split == "train" or not isinstance(error, NoViews):
                problems += error.problems
    if problems:
        raise SceneError(list(dict.fromkeys(problems)))
    scene = loaded[0]
    for part in loaded[1:]:
        # A view may be listed in several splits.
        new = [i for i, name in enumerate(part.names) if name not in set(scene.names)]
        scene = _join(scene, part.select(new)) if new else scene
    return scene.select(sorted(range(len(scene)), key=lambda i: scene.names[i]))


def _join(a: Scene, b: Scene) -> Scene:
    """Return a scene with the views of both."""
    cameras = join_cameras([a.cameras, b.cameras])
    images, names = [*a.images, *b.images], [*a.names, *b.names]
    return dataclasses.replace(a, images=images, cameras=cameras, names=names, maps={})


def check_scene(scene: Scene) -> Report:
    """Check cameras and pictures of a scene completely."""
    layout = lay_out(scene)
    matches = as_rays(scene, match_pictures(scene))
    consistent, agreed = contradictions(scene, layout, matches)
    error, points = reprojection_error(matches, layout.c2w)
    fits = error < MAX_ERROR
    found = [*consistent, *lens_diagnostics(scene), *place_diagnostics(scene, layout)]
    # If one cause explains all poses, an up axis that leans is only its consequence.
    if all(diagnostic.views for diagnostic in consistent):
        found += up_diagnostics(scene, layout)
    found += [
        *copies(scene),
        *wrong_silhouettes(scene),
        *blurred(scene),
        *exposure_jumps(matches, fits, scene.names),
    ]
    pairs = len(np.unique(matches.views, axis=0))
    facts = [
        *_layout_facts(scene, layout),
        f"pictures: {len(matches.views)} matches in {pairs} pairs of views",
    ]
    if len(matches.views) >= MIN_MATCHES:
        facts[-1] += f", {100 * agreed:.0f} % agree with the cameras"
    else:
        facts[-1] += ": too few to hold the cameras against them"
    # Near and far come from the file's points, otherwise from the triangulated matches.
    points, whose = points[fits], "points where matches meet"
    if scene.points is not None and len(scene.points):
        points = scene.transform.points_back(scene.points.astype(np.float64))
        whose = "points of the file"
    return Report(found, [*facts, *_distance_facts(layout, points, whose)], layout, points)


def quick_check(scene: Scene) -> list[str]:
    """Return a few lines about problems, or none.

    Matching pictures takes seconds, so it is done only if the cameras do not look at one point.
    """
    layout = lay_out(scene)
    found = [*lens_diagnostics(scene), *place_diagnostics(scene, layout), *copies(scene)]
    found += [*wrong_silhouettes(scene), *blurred(scene)]
    # Cameras that look outwards are right inside a room, so the pictures must decide.
    if not layout.inward and len(scene) > 3:
        spread = np.linspace(0, len(scene) - 1, QUICK_CHECK_VIEWS).astype(int)
        some = scene.select(np.unique(spread).tolist())
        matches = as_rays(some, match_pictures(some))
        found = [*contradictions(some, lay_out(some), matches)[0], *found]
    lines = [f"check: {diagnostic}" for diagnostic in found[:MAX_QUICK_LINES]]
    if len(found) > MAX_QUICK_LINES:
        more = f"{len(found) - MAX_QUICK_LINES} more findings"
        lines.append(f"check: {more}: nerf capture --check=SCENE lists all")
    return lines


def _layout_facts(scene: Scene, layout: Layout) -> Iterator[str]:
    """Yield the number of cameras, their coverage and the direction of up."""
    away = layout.c2w[:, :, 3] - layout.focus
    distance = np.linalg.norm(away, axis=-1)
    if not layout.inward:
        yield f"cameras: {len(scene)}, looking outwards or side by side"
    else:
        reach = f"{distance.min():.3g} to {distance.max():.3g} units"
        yield f"cameras: {len(scene)}, {reach} from the point they look at"
        if layout.up.any():
            yield _coverage(away / np.maximum(distance, 1e-12)[:, None], layout.up)
    if layout.up.any():
        x, y, z = layout.up
        yield f"up: ({x:.2f}, {y:.2f}, {z:.2f}) in the axes of the file"


def _coverage(unit: Float[np.ndarray, "n 3"], up: Float[np.ndarray, "3"]) -> str:
    """Return a line on the azimuths and elevations of the cameras."""
    # Elevation above the horizontal plane, and azimuth around `up` in it.
    height = np.degrees(np.arcsin(np.clip(unit @ up, -1, 1)))
    side = np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    turn = np.sort(np.degrees(np.arctan2(unit @ np.cross(up, side), unit @ side)))
    # The largest gap between neighbouring azimuths, around the circle.
    gap = float(np.diff(np.append(turn, turn[0] + 360)).max())
    around = f"{360 - gap:.0f} degrees around (largest gap {gap:.0f})"
    return f"coverage: {around}, {height.min():.0f} to {height.max():.0f} degrees up"


def _distance_facts(layout: Layout, points: np.ndarray, whose: str) -> Iterator[str]:
    """Yield a line on near and far distances from the cameras."""
    distances = layout.distances(points[:: max(1, len(points) // MAX_DISTANCE_POINTS)])
    if len(distances):
        near, middle, far = np.percentile(distances, [1, 50, 95])
        span = f"{near:.3g} (near) to {far:.3g} units (far) from the cameras"
        yield f"{whose}: {span}, half nearer than {middle:.3g}"
