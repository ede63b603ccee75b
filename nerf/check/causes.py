"""What may be wrong with all poses, lenses or the order of images at once; the pictures decide which it is.

Each hypothesis turns the cameras of a file into what they would be if it were true. The one that by far the most
matches agree with is the diagnosis, and its edit is the fix.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import RayMatches, agreement

MAX_MATCHES = 3000  # matches, about, at most
MIN_AGREEMENT = 0.4  # part of the matches that must agree with a diagnosis
MIN_IMPROVEMENT = 1.3  # and times the part that agrees with the cameras as they are
FOCAL_FACTORS = 2.0 ** (np.arange(-12, 13) / 4)  # an eighth to eight times


@dataclasses.dataclass(frozen=True)
class Cause:
    """What may be wrong, what fixes it, and the poses (and focal lengths, by `zoom`) that would be right."""

    reason: str
    fix: str
    c2w: Float[np.ndarray, "n 3 4"]
    zoom: float = 1.0


def diagnose(
    matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], names: Sequence[str]
) -> tuple[float, Diagnostic | None]:
    """The part of the matches that agree as it is, and what is wrong with all cameras, if one thing explains it.

    Args:
      matches: matches.
      c2w: poses in the file's world.
      names: of the views' images.
    """
    few = _some(matches)
    now = agreement(few, c2w)
    scores = [
        (agreement(few, guess.c2w, guess.zoom), guess) for guess in candidate_causes(c2w, names)
    ]
    score, best = max(scores, key=lambda pair: pair[0])
    if score < max(MIN_AGREEMENT, MIN_IMPROVEMENT * now):
        return now, None
    why = f"{100 * now:.0f} % of the matches between pictures agree with the cameras as they are, {100 * score:.0f} %"
    return now, Diagnostic((), best.reason, f"{why} with this put right", best.fix)


def _some(matches: RayMatches) -> RayMatches:
    """Matches of some features, all of these: only together do they say how far away a feature is."""
    share = MAX_MATCHES / max(len(matches.views), 1)
    chosen = np.random.default_rng(0).uniform(size=int(matches.features.max(initial=0)) + 1) < share
    return matches.select(np.flatnonzero(chosen[matches.features[:, 0]]))


def candidate_causes(c2w: Float[np.ndarray, "n 3 4"], names: Sequence[str]) -> Iterator[Cause]:
    """All that are known, simple ones first."""
    yield from _other_axes(c2w)
    turned = np.concatenate([c2w[..., :3].transpose(0, 2, 1), c2w[..., 3:]], -1)
    yield Cause(
        "the rotations are transposed", "transpose the 3x3 part of every pose matrix", turned
    )
    for order, fix in _orders(names):
        yield Cause("the images are in another order than the poses", fix, c2w[order])
    for zoom in FOCAL_FACTORS:
        what = "smaller" if zoom > 1 else "larger"
        fix = f"multiply the focal length by {zoom:.2g}, or give the size of the images that it was measured on"
        reason = f"the focal length is that of {what} images, about {zoom if zoom > 1 else 1 / zoom:.2g} times"
        yield Cause(f"{reason} {'too small' if zoom > 1 else 'too large'}", fix, c2w, float(zoom))


def _other_axes(c2w: Float[np.ndarray, "n 3 4"]) -> Iterator[Cause]:
    """Camera-to-world or its inverse, with each of the 24 ways to name a camera's axes."""
    rotation = c2w[..., :3].transpose(0, 2, 1)
    inverse = np.concatenate([rotation, -rotation @ c2w[..., 3:]], -1)
    invert = "invert every pose matrix"
    for axes in _rotations_of_a_cube():
        said = ", ".join(
            "-+"[int(row.sum() > 0)] + "xyz"[int(np.abs(row).argmax())] for row in axes.T
        )
        if (axes == np.diag([1, -1, -1])).all():
            kind, fix = "OpenCV's (+y down, +z ahead)", "negate its second and third column"
        else:
            kind, fix = "others than OpenGL's", f"take its first three columns as ({said})"
        same = (axes == np.eye(3)).all()
        if not same:
            yield Cause(
                f"the cameras' axes are {kind}", f"in every pose matrix, {fix}", _turn(c2w, axes)
            )
        reason = "the matrices are world-to-camera" + (
            "" if same else f", and the cameras' axes are {kind}"
        )
        yield Cause(reason, invert if same else f"{invert}, then {fix}", _turn(inverse, axes))


def _rotations_of_a_cube() -> Iterator[np.ndarray]:
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            axes = np.eye(3, dtype=int)[:, list(order)] * signs
            if round(np.linalg.det(axes)) == 1:
                yield axes


def _turn(c2w: Float[np.ndarray, "n 3 4"], axes: np.ndarray) -> Float[np.ndarray, "n 3 4"]:
    return np.concatenate([c2w[..., :3] @ axes, c2w[..., 3:]], -1)


def _orders(names: Sequence[str]) -> Iterator[tuple[np.ndarray, str]]:
    """Ways in which lists of images and poses are mixed up: for each view, whose pose is really its own."""
    count = np.arange(len(names))
    yield count[::-1], "one of the two lists is reversed: reverse it"
    for shift in (1, -1, 2, -2):
        said = f"{abs(shift)} {'later' if shift > 0 else 'earlier'}"
        yield (
            np.roll(count, -shift),
            f"every image's pose is listed {said}: drop what is too much at the list's end",
        )
    plain = np.argsort(np.array(names, object), kind="stable")
    natural = np.array(sorted(range(len(names)), key=lambda i: _natural(names[i])))
    back = np.argsort(natural), np.argsort(plain)
    fix = "images sorted as 1, 2, 10 met poses sorted as 1, 10, 2: sort both the same way"
    if (plain != natural).any():
        yield plain[back[0]], fix
        yield natural[back[1]], fix


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers inside names by their size."""
    return [
        (len(part.lstrip("0")), part) if part.isdigit() else (0, part)
        for part in re.split(r"(\d+)", name)
    ]
