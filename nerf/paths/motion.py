"""Smooth motion through camera poses: their order, the curve, and the speed along it.

Poses are camera-to-world (n, 3, 4), float64. No constant in this module is a length: the motion is
equivariant, so moving, scaling or rotating the poses moves, scales or rotates it in the same way.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.interpolate import CubicSpline
from scipy.sparse.linalg import spsolve
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

Poses = Float[np.ndarray, "f 3 4"]
Number = int | float  # options may come from a command line or a JSON file
# Poses that differ by less are equal: a fraction of a path's extent, and entries of a rotation.
EQUAL_TOLERANCE = 1e-9
# Sine of the angle (17 degrees) between view direction and vertical above which "up" is defined.
MIN_TILT_SINE = 0.3


def travel(
    c2w: Float[np.ndarray, "n 3 4"],
    extra: Float[np.ndarray, "n k"],
    frames: int,
    times: Float[np.ndarray, " n"] | None = None,
    loop: bool = False,
    smooth: Number = 0.0,
) -> tuple[Poses, Float[np.ndarray, "f k"]]:
    """Interpolate poses with a C2 spline, and extra values with them.

    A pose is a point in R^7: its position, and `2 reach` times its quaternion (see `_reach`).
    Distances there approximate sqrt(|translation|^2 + (reach * angle)^2), so that even steps of arc
    length count rotations as well as translations.

    Args:
      c2w: n >= 2 poses.
      extra: k values per pose.
      frames: the number of poses to return.
      times: increasing times of the poses, for even steps in time; None for even steps in arc
        length, i.e. constant speed.
      loop: return to the first pose.
      smooth: the period of `smoothed`, in poses.

    Returns:
      The interpolated poses and extra values.
    """
    n = len(c2w)
    # A loop is padded with further laps on both sides, so that its ends join smoothly.
    pad = n if loop else 0
    laps = np.arange(-pad, n + 2 * pad)
    scaled = 2 * _reach(c2w) * _quaternions(c2w[laps % n, :, :3])
    points = smoothed(np.concatenate([c2w[laps % n, :, 3], scaled], -1), smooth)
    if times is None:
        # Centripetal knots avoid cusps and loops between uneven keyframes (Yuksel et al., 2011).
        knots = np.cumsum(
            np.sqrt(np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=-1))
        )
    else:
        knots = times[laps % n] + laps // n * lap_time(times)
    curve = CubicSpline(knots, points, bc_type="natural")
    first, last = knots[pad], knots[pad + n - (0 if loop else 1)]
    even_times = np.linspace(first, last, frames, endpoint=not loop)
    t = even_steps(curve, first, last, frames, loop) if times is None else even_times
    at = curve(t)
    # `Rotation.from_quat` normalises the interpolated quaternions.
    c2w = np.concatenate([Rotation.from_quat(at[:, 3:]).as_matrix(), at[:, :3, None]], -1)
    return c2w, CubicSpline(knots, extra[laps % n], bc_type="natural")(t)


def quarter_turns(c2w: Float[np.ndarray, "n 3 4"]) -> Int[np.ndarray, " n"]:
    """Return for each view the number of quarter turns about its axis that make it upright.

    Up is +z. Photos that are stored sideways need one or three turns. A view that looks nearly
    straight up or down has no "up" of its own: it is turned like the view with the most similar
    direction that has one, or like the first view if no view has.
    """
    # The up vector of the image after 0, 1, 2 and 3 turns. One turn makes the left side up.
    ups = np.stack([c2w[:, :, 1], -c2w[:, :, 0], -c2w[:, :, 1], c2w[:, :, 0]], 1)
    turns = ups[..., 2].argmax(1)
    tilted = np.linalg.norm(c2w[:, 2, :2], axis=-1) > MIN_TILT_SINE
    if not tilted.any():
        turns[0] = 0
    known = np.flatnonzero(tilted) if tilted.any() else np.array([0])
    for i in np.flatnonzero(~tilted):
        like = known[(c2w[known, :, 2] @ c2w[i, :, 2]).argmax()]
        turns[i] = (ups[i] @ ups[like, turns[like]]).argmax()
    return turns


def upright(c2w: Float[np.ndarray, "n 3 4"]) -> Poses:
    """Turn every view about its optical axis by the quarter turns that make it upright."""
    angle = 0.5 * math.pi * quarter_turns(c2w)
    turned = c2w[:, :, :3] @ Rotation.from_rotvec(angle[:, None] * [0.0, 0.0, 1.0]).as_matrix()
    return np.concatenate([turned, c2w[:, :, 3:]], -1)


def level(c2w: Float[np.ndarray, "n 3 4"]) -> Poses:
    """Turn every view about a horizontal axis until it looks horizontally, with +z up.

    A view straight down looks to where the top of its picture was, one straight up to its bottom.
    """
    ahead, top = -c2w[:, :2, 2], c2w[:, :2, 1]
    vertical = np.linalg.norm(ahead, axis=-1, keepdims=True) < EQUAL_TOLERANCE
    ahead = np.where(vertical, top * np.sign(c2w[:, 2:, 2]), ahead)
    x, y = (ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)).T
    zero = np.zeros_like(x)
    right, up, back = (y, -x, zero), (zero, zero, zero + 1.0), (-x, -y, zero)
    turned = np.stack([np.stack(axis, -1) for axis in (right, up, back)], -1)
    return np.concatenate([turned, c2w[:, :, 3:]], -1)


def _quaternions(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 4"]:
    """Convert to unit quaternions, with signs that make consecutive ones close."""
    q = Rotation.from_matrix(rotations).as_quat()
    flips = np.where((q[1:] * q[:-1]).sum(-1) < 0, -1.0, 1.0)
    return q * np.cumprod(np.append(1.0, flips))[:, None]


def _reach(c2w: Float[np.ndarray, "n 3 4"]) -> float:
    """Return the length that counts as much as a rotation by one radian.

    It is the standard deviation of the positions, or 1 if they are all equal.
    """
    return float(np.linalg.norm(c2w[:, :, 3].std(0))) or 1.0


def lap_time(times: Float[np.ndarray, " n"]) -> float:
    """Return the duration of a loop; the way back to the first keyframe takes the mean interval."""
    return float(times[-1] - times[0]) * len(times) / (len(times) - 1)


def smoothed(x: Float[np.ndarray, "n k"], period: Number) -> Float[np.ndarray, "n k"]:
    """Smooth a sequence with a Whittaker smoother.

    The result is the y that minimises |y - x|^2 + (period / 2 pi)^6 |third differences of y|^2. A
    wave of `period` samples keeps half its amplitude, one of twice that period 98 %, and one of
    half that period 2 %. A period of 0 changes nothing.
    """
    n = len(x)
    if period == 0 or n < 4:
        return x
    third = sparse.diags_array([-1.0, 3.0, -3.0, 1.0], offsets=[0, 1, 2, 3], shape=(n - 3, n))
    system = sparse.eye_array(n) + (period / (2 * math.pi)) ** 6 * third.T @ third
    return spsolve(system.tocsc(), x)


def even_steps(
    curve: Callable[[np.ndarray], np.ndarray], first: Number, last: Number, frames: int, loop: bool
) -> Float[np.ndarray, " f"]:
    """Return parameters of a curve at even steps of arc length.

    Args:
      curve: maps parameters (m,) to points (m, k).
      first: the first parameter.
      last: the last parameter; excluded for a loop.
      frames: the number of parameters to return.
      loop: whether the curve is closed.
    """
    # Measure the arc length at many parameters and invert it by linear interpolation.
    t = np.linspace(first, last, 50 * max(frames, 100))
    steps = np.linalg.norm(np.diff(curve(t), axis=0), axis=-1)
    length = np.append(0.0, np.cumsum(steps))
    return np.interp(np.linspace(0.0, length[-1], frames, endpoint=not loop), length, t)


def distinct(c2w: Float[np.ndarray, "n 3 4"], loop: bool) -> Int[np.ndarray, " m"]:
    """Return the indices of the poses that differ from the next pose.

    In a loop the last pose is compared with the first one, otherwise it is always kept. Positions
    differ if they are further apart than `EQUAL_TOLERANCE` times the path's extent, and further
    than the rounding error of their coordinates, which is large in map coordinates.
    """
    positions = c2w[:, :, 3]
    rounding = 4.0 * np.finfo(np.float64).eps * np.abs(positions).max()
    step = np.abs(np.roll(c2w, -1, axis=0) - c2w)
    moves = step[:, :, 3].max(1) > max(
        EQUAL_TOLERANCE * float(np.ptp(positions, axis=0).max()), rounding
    )
    keep = moves | (step[:, :, :3].max((1, 2)) > EQUAL_TOLERANCE)
    keep[-1] |= not loop
    return np.flatnonzero(keep)


def travel_order(c2w: Float[np.ndarray, "n 3 4"]) -> Int[np.ndarray, " n"]:
    """Return the order in which a camera travels through the poses.

    The result is 0 ... n-1 if the poses are already in the order of a path, otherwise a short tour.
    They are not in order if both hold: one step in twenty is longer than 0.3 times the mean
    distance of all pairs of views, and the total length is more than twice that of the tour. A
    capture on foot has short and similar steps, even if it is shaky or has several laps. Views in
    random order have steps as long as the distance of any two views, and names sorted as text
    (1, 10, 11, ..., 2, 20) jump at every tenth view.
    """
    # Compare poses as `travel` does: |R1 - R2| / sqrt(2) approximates the angle between rotations.
    features = np.concatenate(
        [c2w[:, :, 3], _reach(c2w) * c2w[:, :, :3].reshape(-1, 9) / math.sqrt(2)], -1
    )
    distance = cdist(features, features)
    as_filed = np.arange(len(c2w))
    steps = np.diagonal(distance, 1)
    if len(steps) == 0 or np.percentile(steps, 95) <= 0.3 * distance.mean():
        return as_filed
    tour = short_tour(distance)
    return tour if steps.sum() > 2 * distance[tour[:-1], tour[1:]].sum() else as_filed


def short_tour(distance: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"]:
    """Compute a short open tour by nearest neighbours and 2-opt.

    2-opt reverses a stretch of the tour whenever that shortens it.
    """
    n = len(distance)
    # An extra node n at distance 0 from all others turns the open tour into a closed one: it is
    # the gap between the ends.
    d = np.pad(distance, (0, 1))
    order, left = [n, 0], np.arange(1, n)
    while len(left):
        nearest = d[order[-1], left].argmin()
        order.append(int(left[nearest]))
        left = np.delete(left, nearest)
    # 2-opt: `gain[j]` is how much shorter the tour gets if the j + 1 nodes after a are reversed.
    tour, shortened = np.array(order), True
    while shortened:
        shortened = False
        for i in range(n):
            a, b, c, after = tour[i], tour[i + 1], tour[i + 1 :], np.roll(tour, -1)[i + 1 :]
            gain = d[a, b] + d[c, after] - d[a, c] - d[b, after]
            j = gain.argmax()
            if gain[j] > 1e-9 * d.max():
                tour[i + 1 : i + j + 2] = tour[i + 1 : i + j + 2][::-1]
                shortened = True
        # Move the gap to the longest edge of the round trip; no reversal does that.
        round_trip = d[tour[1:], np.roll(tour[1:], -1)]
        longest = round_trip.argmax()
        if round_trip[longest] > round_trip[-1] + 1e-9 * d.max():
            tour[1:] = np.roll(tour[1:], -1 - longest)
            shortened = True
    return tour[1:]
