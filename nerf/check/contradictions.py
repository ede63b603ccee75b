"""Find cameras that contradict the pictures.

Uses the matches between pictures and their reprojection errors, see `nerf.check.evidence`.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from nerf.check.causes import diagnose
from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import (
    MATCHING_SIDE,
    MAX_ERROR,
    RayMatches,
    agreement,
    agreement_by_view,
    in_strong_pairs,
    points_of_view,
    reprojection_error,
)
from nerf.check.layout import Layout, axis_diagnostics
from nerf.check.resection import apart, fit_pose, misses
from nerf.scenes import Scene

MIN_MATCHES = 100  # with fewer matches in a scene, the pictures decide nothing
MIN_POINTS_OF_VIEW = 16  # a view that shares fewer points with others is not judged
DOUBTFUL_RATIO = 0.6  # a view is doubtful below this fraction of the median agreement of the views
MIN_OTHER_POSE = 0.5  # fraction of a view's points that must fit another pose to call its own wrong
# Factors on the focal length that are tried if poses or lenses are inaccurate.
FOCAL_FACTORS = 2.0 ** (np.arange(-8, 9) / 16)
# Poses are called inaccurate, not unrelated, if most errors are below this multiple of `MAX_ERROR`.
MAX_INACCURACY = 8.0
MIN_AGREEMENT = 0.4  # correct cameras agree with at least this fraction of the matches


def contradictions(
    scene: Scene, layout: Layout, matches: RayMatches
) -> tuple[list[Diagnostic], float]:
    """Return the contradictions between matches and cameras.

    One cause that explains all cameras is tried first, then single views with a wrong pose, and
    last that all poses are inaccurate or unrelated to the pictures.

    Args:
      scene: the scene, for the names of its views.
      layout: its cameras in the file's world.
      matches: the matches between its pictures.

    Returns: the diagnostics, and the fraction of the matches that agree with the cameras.
    """
    if len(matches.views) < MIN_MATCHES:
        return list(axis_diagnostics(layout)), 0.0
    agreed, diagnosis = diagnose(matches, layout.c2w, scene.names)
    if diagnosis is not None:
        return [diagnosis], agreed
    # If hardly any match agrees, no view can be told apart as the wrong one.
    wrong: list[tuple[int, Diagnostic]] = []
    if agreed > MIN_AGREEMENT / 2:
        wrong = list(_wrong_views(matches, layout.c2w, scene.names))
    rest = in_strong_pairs(matches.select(_without(matches, [view for view, _ in wrong])))
    # Single wrong views are the explanation if they are few and the other views agree.
    few_wrong = len(wrong) * 3 < matches.count
    if len(rest.views) < MIN_MATCHES or (few_wrong and agreement(rest, layout.c2w) > MIN_AGREEMENT):
        return [diagnostic for _, diagnostic in wrong], agreed
    return [_all_wrong(rest, layout.c2w)], agreed


def _all_wrong(matches: RayMatches, c2w: np.ndarray) -> Diagnostic:
    """Return the diagnostic of poses that are all inaccurate or unrelated."""
    error = reprojection_error(matches, c2w)[0]
    again = "estimate the poses again: nerf capture IMAGES --out=NEW_SCENE"
    if (error < MAX_INACCURACY * MAX_ERROR).mean() > 0.5:
        miss = f"{np.median(error):.1f} pixels of pictures {MATCHING_SIDE} wide (median)"
        why = f"matches between pictures miss by {miss}"
        # A slightly wrong focal length looks like inaccurate poses, but one factor repairs it.
        medians = []
        for zoom in FOCAL_FACTORS:
            medians.append(float(np.median(reprojection_error(matches, c2w, zoom)[0])))
        best = int(np.argmin(medians))
        if medians[best] < 0.6 * np.median(error):
            why += f", by {medians[best]:.1f} with the focal length times {FOCAL_FACTORS[best]:.2f}"
            return Diagnostic((), "the focal length is inaccurate", why, f"correct it, or {again}")
        fix = f"expect blurred renders, or {again}"
        return Diagnostic((), "poses or lenses are inaccurate", why, fix)
    percent = 100 * (error < MAX_ERROR).mean()
    why = f"only {percent:.0f} % of the matches between pictures agree; no single edit fixes it"
    return Diagnostic((), "poses and pictures do not belong together", why, again)


def _wrong_views(
    matches: RayMatches, c2w: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[int, Diagnostic]]:
    """Yield the views whose picture fits another pose, the worst first."""
    wrong: list[int] = []
    cleared: list[int] = []
    while True:
        # Matches of a view that is known to be wrong are not held against the other views.
        rest = matches.select(_without(matches, wrong))
        fractions, total = agreement_by_view(rest, reprojection_error(rest, c2w)[0] < MAX_ERROR)
        usual = float(np.median(fractions[total > 0])) if total.any() else 0.0
        known = [*wrong, *cleared]
        # Judge the view that agrees least, then start again without its matches.
        doubtful = [
            i
            for i in np.argsort(fractions).tolist()
            if fractions[i] < DOUBTFUL_RATIO * usual and i not in known
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
    """Return the diagnostic of a pose if another one fits better."""
    points, rays, focal = points_of_view(matches, c2w, view)
    if len(points) < MIN_POINTS_OF_VIEW:
        return None
    # The largest error in pixels as an angle in radians.
    tolerance = MAX_ERROR / float(np.median(focal))
    now = float((misses(c2w[view], points, rays) < tolerance).mean())
    pose, fitted = fit_pose(points, rays, c2w, tolerance)
    if fitted < max(MIN_OTHER_POSE, 2.0 * now):
        return None
    distance, angle = apart(c2w[view], pose)
    elsewhere = f"moved by {distance:.2g} units and turned by {angle:.1f} degrees"
    why = f"{100 * now:.0f} % of {len(points)} points shared with other views fit"
    why += f"; {100 * fitted:.0f} % would, {elsewhere}"
    # If the pose of another view fits almost as well, the two poses were probably exchanged.
    fit = (misses(c2w, points, rays) < tolerance).mean(-1)
    other = int(fit.argmax())
    if other != view and fit[other] > 0.8 * fitted:
        fix = f"that is the pose of {names[other]}: exchange the two"
        return Diagnostic((names[view],), "wrong pose", why, fix)
    fix = "remove the frame, or estimate its pose again"
    return Diagnostic((names[view],), "wrong pose", why, fix)


def _without(matches: RayMatches, views: Sequence[int]) -> np.ndarray:
    """Return a mask of the matches that involve none of `views`."""
    return np.logical_not(np.isin(matches.views, views).any(-1))
