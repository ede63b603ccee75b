"""Find one cause behind wrong poses, lenses or image order.

Each candidate cause changes the cameras of the file to the cameras that would be right if it were
true. The candidate that agrees with by far the most matches is the diagnosis.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import RayMatches, agreement

MAX_MATCHES = 3000  # about this many matches are compared with the cameras of each cause
MIN_AGREEMENT = 0.4  # fraction of the matches that must agree with a diagnosis
MIN_IMPROVEMENT = 1.3  # a diagnosis must agree with this many times as many matches as the file
FOCAL_FACTORS = 2.0 ** (np.arange(-12, 13) / 4)  # from an eighth to eight times


@dataclasses.dataclass(frozen=True)
class Cause:
    """A possible mistake in a file.

    Attributes:
      reason: what is wrong, for the message.
      fix: the edit that corrects it.
      c2w: the correct camera-to-world poses if this is the cause.
      zoom: factor on the focal lengths that corrects them.
    """

    reason: str
    fix: str
    c2w: Float[np.ndarray, "n 3 4"]
    zoom: float = 1.0


def diagnose(
    matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], names: Sequence[str]
) -> tuple[float, Diagnostic | None]:
    """Find one cause that explains why matches and cameras disagree.

    Args:
      matches: the matches between pictures.
      c2w: camera-to-world poses in the file's world.
      names: names of the views' images.

    Returns: the fraction of the matches that agree with `c2w`, and the diagnostic, or None if no
      cause is convincing.
    """
    few = _some(matches)
    now = agreement(few, c2w)
    scores = []
    for cause in candidate_causes(c2w, names):
        scores.append((agreement(few, cause.c2w, cause.zoom), cause))
    score, best = max(scores, key=lambda pair: pair[0])
    if score < max(MIN_AGREEMENT, MIN_IMPROVEMENT * now):
        return now, None
    why = f"{100 * now:.0f} % of the matches between pictures agree with the cameras as they are"
    why += f", {100 * score:.0f} % with this corrected"
    return now, Diagnostic((), best.reason, why, best.fix)


def _some(matches: RayMatches) -> RayMatches:
    """Return about MAX_MATCHES matches: all matches of randomly chosen features.

    Only together do the matches of a feature determine its distance.
    """
    share = MAX_MATCHES / max(len(matches.views), 1)
    chosen = np.random.default_rng(0).uniform(size=int(matches.features.max(initial=0)) + 1) < share
    return matches.select(np.flatnonzero(chosen[matches.features[:, 0]]))


def candidate_causes(c2w: Float[np.ndarray, "n 3 4"], names: Sequence[str]) -> Iterator[Cause]:
    """Yield all known causes, simple ones first."""
    yield from _other_axes(c2w)
    # A pose with its rotation transposed and its position unchanged.
    turned = np.concatenate([c2w[..., :3].transpose(0, 2, 1), c2w[..., 3:]], -1)
    yield Cause(
        "the rotations are transposed", "transpose the 3x3 part of every pose matrix", turned
    )
    for order, fix in _orders(names):
        yield Cause("the images are in another order than the poses", fix, c2w[order])
    for zoom in FOCAL_FACTORS:
        size = "give the size of the images that it was measured on"
        fix = f"multiply the focal length by {zoom:.2g}, or {size}"
        if zoom > 1:
            reason = f"that of smaller images, about {zoom:.2g} times too small"
        else:
            reason = f"that of larger images, about {1 / zoom:.2g} times too large"
        yield Cause(f"the focal length is {reason}", fix, c2w, float(zoom))


def _other_axes(c2w: Float[np.ndarray, "n 3 4"]) -> Iterator[Cause]:
    """Yield the causes of other camera axes and inverted matrices.

    A camera's axes can be named in 24 ways: the rotations of a cube.
    """
    rotation = c2w[..., :3].transpose(0, 2, 1)
    # The inverse of [R | t] is [R^T | -R^T t].
    inverse = np.concatenate([rotation, -rotation @ c2w[..., 3:]], -1)
    invert = "invert every pose matrix"
    for axes in _rotations_of_a_cube():
        columns = ", ".join(
            "-+"[int(row.sum() > 0)] + "xyz"[int(np.abs(row).argmax())] for row in axes.T
        )
        if (axes == np.diag([1, -1, -1])).all():
            kind, fix = "OpenCV's (+y down, +z ahead)", "negate its second and third column"
        else:
            kind, fix = "others than OpenGL's", f"take its first three columns as ({columns})"
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
    """Yield the 24 signed permutation matrices with determinant 1."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            axes = np.eye(3, dtype=int)[:, list(order)] * signs
            if round(np.linalg.det(axes)) == 1:
                yield axes


def _turn(c2w: Float[np.ndarray, "n 3 4"], axes: np.ndarray) -> Float[np.ndarray, "n 3 4"]:
    """Return poses whose camera axes are turned."""
    return np.concatenate([c2w[..., :3] @ axes, c2w[..., 3:]], -1)


def _orders(names: Sequence[str]) -> Iterator[tuple[np.ndarray, str]]:
    """Yield possible mix-ups of the lists of images and poses.

    Each is, for every view, the number of the pose that really belongs to it, and the fix.
    """
    count = np.arange(len(names))
    yield count[::-1], "one of the two lists is reversed: reverse it"
    for shift in (1, -1, 2, -2):
        offset = f"{abs(shift)} {'later' if shift > 0 else 'earlier'}"
        yield (
            np.roll(count, -shift),
            f"every image's pose is listed {offset}: drop the surplus at the list's end",
        )
    # Files sorted by letters (1, 10, 2) and by numbers (1, 2, 10) may have been paired.
    plain = np.argsort(np.array(names, object), kind="stable")
    natural = np.array(sorted(range(len(names)), key=lambda i: _natural(names[i])))
    back = np.argsort(natural), np.argsort(plain)
    fix = "images sorted as 1, 2, 10 met poses sorted as 1, 10, 2: sort both the same way"
    if (plain != natural).any():
        yield plain[back[0]], fix
        yield natural[back[1]], fix


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers inside names by their size."""
    return [
        (len(part.lstrip("0")), part) if part.isdigit() else (0, part)
        for part in re.split(r"(\d+)", name)
    ]
