"""A look at a scene before training: what is wrong, with which views, and what fixes it.

check_scene(scene) -> Report        # seconds: pictures are matched with one another and held against the cameras
quick_check(scene) -> findings    # at every start of a training: only what costs next to nothing
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import join_cameras
from nerf.check.causes import diagnose
from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import (
    MATCHING_SIDE,
    MAX_ERROR,
    RayMatches,
    agreement,
    agreement_by_view,
    as_rays,
    in_strong_pairs,
    match_pictures,
    points_of_view,
    reprojection_error,
)
from nerf.check.layout import (
    Layout,
    axis_diagnostics,
    lay_out,
    lens_diagnostics,
    place_diagnostics,
    up_diagnostics,
)
from nerf.check.looks import blurred, copies, exposure_jumps, wrong_silhouettes
from nerf.check.resection import apart, fit_pose, misses
from nerf.scenes import Problem, Scene, SceneError, load
from nerf.scenes.base import NoViews

MIN_MATCHES = 100  # matches, without which the pictures decide nothing
MIN_POINTS_OF_VIEW = 16  # points that a view must share with others for the same
DOUBTFUL_RATIO = 0.6  # times the part that agrees in other views; a view with less is looked at
MIN_OTHER_POSE = 0.5  # part of its points that must fit another pose before its own is called wrong
FOCAL_FACTORS = 2.0 ** (
    np.arange(-8, 9) / 16
)  # focal lengths that an inaccurate one may be taken for
MAX_INACCURACY = 8.0  # times the error of a match that fits: poses are inaccurate rather than wrong
MIN_AGREEMENT = 0.4  # part of the matches that agree with right cameras, at least
QUICK_CHECK_VIEWS = 24  # views that a quick_check matches, where the cameras look odd
MAX_QUICK_LINES = 3  # findings of a quick_check
MAX_DISTANCE_POINTS = 2000  # points that distances are taken of


@dataclasses.dataclass(frozen=True)
class Report:
    """What a look found.

    Attributes:
      findings: what is wrong.
      facts: what is known now, one line each.
      layout: how the cameras stand.
      points: those of the file, or else where matches meet; in the file's world.
    """

    diagnostics: Sequence[Diagnostic]
    facts: Sequence[str]
    layout: Layout
    points: Float[np.ndarray, "m 3"]


def load_all(root: str | Path, max_side: int = 1024) -> Scene:
    """Load all views of a scene, of every split, each once, sorted by name.

    Raises SceneError with the problems of all splits; that a scene has no held-out views is none.
    """
    parts: list[Scene] = []
    problems: list[Problem] = []
    for split in ("train", "val", "test"):
        try:
            parts.append(load(root, split, max_side=max_side))
        except SceneError as error:
            if split == "train" or not isinstance(error, NoViews):
                problems += error.problems
    if problems:
        raise SceneError(list(dict.fromkeys(problems)))
    whole = parts[0]
    for part in parts[1:]:
        new = [i for i, name in enumerate(part.names) if name not in set(whole.names)]
        whole = _join(whole, part.select(new)) if new else whole
    return whole.select(sorted(range(len(whole)), key=lambda i: whole.names[i]))


def _join(a: Scene, b: Scene) -> Scene:
    """The views of both."""
    cameras = join_cameras([a.cameras, b.cameras])
    images, names = [*a.images, *b.images], [*a.names, *b.names]
    return dataclasses.replace(
        a, images=images, cameras=cameras, names=names, masks=None, depths=None
    )


def check_scene(scene: Scene) -> Report:
    """Everything that can be found out from cameras and pictures."""
    layout = lay_out(scene)
    matches = as_rays(scene, match_pictures(scene))
    consistent, agreed = contradictions(scene, layout, matches)
    error, points = reprojection_error(matches, layout.c2w)
    fits = error < MAX_ERROR
    found = [*consistent, *lens_diagnostics(scene), *place_diagnostics(scene, layout)]
    if all(
        diagnostic.views for diagnostic in consistent
    ):  # else up is what is wrong with all poses
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
    points, whose = points[fits], "points where matches meet"
    if scene.points is not None and len(scene.points):
        points, whose = (
            scene.transform.points_back(scene.points.astype(np.float64)),
            "points of the file",
        )
    return Report(found, [*facts, *_distance_facts(layout, points, whose)], layout, points)


def quick_check(scene: Scene) -> list[str]:
    """Lines to tell at the start of a training: at most a few, none where nothing is wrong.

    Pictures are matched, which takes seconds, only where the cameras do not look at one thing.
    """
    layout = lay_out(scene)
    found = [*lens_diagnostics(scene), *place_diagnostics(scene, layout), *copies(scene)]
    found += [*wrong_silhouettes(scene), *blurred(scene)]
    if not layout.inward and len(scene) > 3:  # so it is in a room too, and nothing is wrong
        some = scene.select(
            np.unique(np.linspace(0, len(scene) - 1, QUICK_CHECK_VIEWS).astype(int)).tolist()
        )
        found = [
            *contradictions(some, lay_out(some), as_rays(some, match_pictures(some)))[0],
            *found,
        ]
    lines = [f"check: {diagnostic}" for diagnostic in found[:MAX_QUICK_LINES]]
    if len(found) > MAX_QUICK_LINES:
        lines.append(
            f"check: {len(found) - MAX_QUICK_LINES} more findings: python capture.py --check=SCENE lists all"
        )
    return lines


def contradictions(
    scene: Scene, layout: Layout, matches: RayMatches
) -> tuple[list[Diagnostic], float]:
    """What the matches between pictures say about the cameras, and the part of them that agrees."""
    if len(matches.views) < MIN_MATCHES:
        return list(axis_diagnostics(layout)), 0.0
    agreed, diagnosis = diagnose(matches, layout.c2w, scene.names)
    if diagnosis is not None:
        return [diagnosis], agreed
    wrong = (
        list(_wrong_views(matches, layout.c2w, scene.names)) if agreed > MIN_AGREEMENT / 2 else []
    )
    rest = in_strong_pairs(matches.select(_without(matches, [view for view, _ in wrong])))
    if len(rest.views) < MIN_MATCHES or (
        len(wrong) * 3 < matches.count and agreement(rest, layout.c2w) > MIN_AGREEMENT
    ):
        return [diagnostic for _, diagnostic in wrong], agreed
    return [_all_wrong(rest, layout.c2w)], agreed


def _all_wrong(matches: RayMatches, c2w: np.ndarray) -> Diagnostic:
    """The finding that most views contradict one another: by some pixels, or without any relation."""
    error = reprojection_error(matches, c2w)[0]
    again = "estimate the poses again: python capture.py IMAGES --out=NEW_SCENE"
    if (error < MAX_INACCURACY * MAX_ERROR).mean() > 0.5:
        why = f"matches between pictures miss by {np.median(error):.1f} pixels of pictures {MATCHING_SIDE} wide (median)"
        medians = [
            float(np.median(reprojection_error(matches, c2w, zoom)[0])) for zoom in FOCAL_FACTORS
        ]
        best = int(np.argmin(medians))
        if medians[best] < 0.6 * np.median(error):
            why += f", by {medians[best]:.1f} with the focal length times {FOCAL_FACTORS[best]:.2f}"
            return Diagnostic((), "the focal length is inaccurate", why, f"correct it, or {again}")
        return Diagnostic(
            (), "poses or lenses are inaccurate", why, f"expect blurred renders, or {again}"
        )
    why = f"only {100 * (error < MAX_ERROR).mean():.0f} % of the matches between pictures agree; no single edit fixes it"
    return Diagnostic((), "poses and pictures do not belong together", why, again)


def _wrong_views(
    matches: RayMatches, c2w: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[int, Diagnostic]]:
    """Views whose picture fits another pose than theirs, while the others agree among themselves; the worst first."""
    wrong: list[int] = []
    cleared: list[int] = []
    while True:
        rest = matches.select(
            _without(matches, wrong)
        )  # what a wrong view says is not held against others
        part, total = agreement_by_view(rest, reprojection_error(rest, c2w)[0] < MAX_ERROR)
        usual = float(np.median(part[total > 0])) if total.any() else 0.0
        known = [*wrong, *cleared]
        doubtful = [
            i
            for i in np.argsort(part).tolist()
            if part[i] < DOUBTFUL_RATIO * usual and i not in known
        ]
        if not doubtful:
            return
        diagnostic = _another_pose(rest, c2w, doubtful[0], names)
        if diagnostic is None:
            cleared.append(doubtful[0])
        else:
            wrong.append(doubtful[0])
            yield doubtful[0], diagnostic


def _another_pose(
    matches: RayMatches, c2w: np.ndarray, view: int, names: Sequence[str]
) -> Diagnostic | None:
    """The finding that a view's picture was taken from elsewhere, if most of what it shows says so."""
    points, rays, focal = points_of_view(matches, c2w, view)
    if len(points) < MIN_POINTS_OF_VIEW:
        return None
    tolerance = MAX_ERROR / float(np.median(focal))
    now = float((misses(c2w[view], points, rays) < tolerance).mean())
    pose, part = fit_pose(points, rays, c2w, tolerance)
    if part < max(MIN_OTHER_POSE, 2.0 * now):
        return None
    distance, angle = apart(c2w[view], pose)
    elsewhere = f"moved by {distance:.2g} units and turned by {angle:.1f} degrees"
    why = f"{100 * now:.0f} % of {len(points)} points shared with other views fit; {100 * part:.0f} % would, {elsewhere}"
    fit = (misses(c2w, points, rays) < tolerance).mean(-1)
    other = int(fit.argmax())
    if other != view and fit[other] > 0.8 * part:
        return Diagnostic(
            (names[view],),
            "wrong pose",
            why,
            f"that is the pose of {names[other]}: exchange the two",
        )
    return Diagnostic(
        (names[view],), "wrong pose", why, "remove the frame, or estimate its pose again"
    )


def _without(matches: RayMatches, views: Sequence[int]) -> np.ndarray:
    """Which matches are between other views."""
    return np.logical_not(np.isin(matches.views, views).any(-1))


def _layout_facts(scene: Scene, layout: Layout) -> Iterator[str]:
    """How many cameras, around what, how much they cover, and where up is."""
    away = layout.c2w[:, :, 3] - layout.focus
    distance = np.linalg.norm(away, axis=-1)
    if not layout.inward:
        yield f"cameras: {len(scene)}, looking outwards or side by side"
    else:
        yield f"cameras: {len(scene)}, {distance.min():.3g} to {distance.max():.3g} units from the point they look at"
        if layout.up.any():
            yield _coverage(away / np.maximum(distance, 1e-12)[:, None], layout.up)
    if layout.up.any():
        x, y, z = layout.up
        yield f"up: ({x:.2f}, {y:.2f}, {z:.2f}) in the axes of the file"


def _coverage(unit: Float[np.ndarray, "n 3"], up: Float[np.ndarray, "3"]) -> str:
    height = np.degrees(np.arcsin(np.clip(unit @ up, -1, 1)))
    side = np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    turn = np.sort(np.degrees(np.arctan2(unit @ np.cross(up, side), unit @ side)))
    gap = float(np.diff(np.append(turn, turn[0] + 360)).max())
    around = f"{360 - gap:.0f} degrees around (largest gap {gap:.0f})"
    return f"coverage: {around}, {height.min():.0f} to {height.max():.0f} degrees up"


def _distance_facts(layout: Layout, points: np.ndarray, whose: str) -> Iterator[str]:
    """Near and far, from points of the scene."""
    distances = layout.distances(points[:: max(1, len(points) // MAX_DISTANCE_POINTS)])
    if len(distances):
        near, middle, far = np.percentile(distances, [1, 50, 95])
        yield f"{whose}: {near:.3g} (near) to {far:.3g} units (far) from the cameras, half nearer than {middle:.3g}"
