"""Smooth motion through camera poses: in which order, along which curve, how fast.

Contract. Poses are camera-to-world (n, 3, 4), float64. No constant here is a length: moving, scaling or turning
the poses moves, scales or turns the motion alike.
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
SAME = 1e-9  # of a path's extent, and of a rotation's entries: poses that differ by less are one
MIN_TILT = 0.3  # sine of the angle to the vertical at which a view has an up: 17 degrees


def travel(
    c2w: Float[np.ndarray, "n 3 4"],
    extra: Float[np.ndarray, "n k"],
    frames: int,
    times: Float[np.ndarray, " n"] | None = None,
    loop: bool = False,
    smooth: Number = 0.0,
) -> tuple[Poses, Float[np.ndarray, "f k"]]:
    """`frames` poses on a C2 spline through n >= 2 poses, and `extra` values interpolated alike.

    At `times` where given (even time steps), else at even steps of the way, which counts turns as well as moves. A
    pose is a point in R^7 here, its position and `2 reach` times its quaternion, whose distances approximate
    sqrt(|move|^2 + (reach * turn)^2). `smooth` as in `smoothed`.
    """
    n = len(c2w)
    pad = n if loop else 0  # a loop is a lap among others
    laps = np.arange(-pad, n + 2 * pad)
    scaled = 2 * _reach(c2w) * _quaternions(c2w[laps % n, :, :3])
    points = smoothed(np.concatenate([c2w[laps % n, :, 3], scaled], -1), smooth)
    if times is None:
        # Centripetal knots: no cusps or loops where keyframes lie unevenly (Yuksel et al., 2011).
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
    c2w = np.concatenate([Rotation.from_quat(at[:, 3:]).as_matrix(), at[:, :3, None]], -1)
    return c2w, CubicSpline(knots, extra[laps % n], bc_type="natural")(t)


def quarter_turns(c2w: Float[np.ndarray, "n 3 4"]) -> Int[np.ndarray, " n"]:
    """Count the quarter turns about its axis that bring each view upright, up being +z.

    Photos stored sideways are turned by one or three. A view that looks nearly straight up or down has no up of its
    own: it is turned as the upright view that looks most nearly the same way, or as the first view where none is.
    """
    # What is up in the picture after 0, 1, 2 and 3 turns; a turn takes the right to up and up to the left.
    ups = np.stack([c2w[:, :, 1], -c2w[:, :, 0], -c2w[:, :, 1], c2w[:, :, 0]], 1)
    turns = ups[..., 2].argmax(1)
    tilted = np.linalg.norm(c2w[:, 2, :2], axis=-1) > MIN_TILT
    if not tilted.any():
        turns[0] = 0
    known = np.flatnonzero(tilted) if tilted.any() else np.array([0])
    for i in np.flatnonzero(~tilted):
        like = known[(c2w[known, :, 2] @ c2w[i, :, 2]).argmax()]
        turns[i] = (ups[i] @ ups[like, turns[like]]).argmax()
    return turns


def upright(c2w: Float[np.ndarray, "n 3 4"]) -> Poses:
    """Turn every view about its axis by the quarter turns that bring it upright."""
    angle = 0.5 * math.pi * quarter_turns(c2w)
    turned = c2w[:, :, :3] @ Rotation.from_rotvec(angle[:, None] * [0.0, 0.0, 1.0]).as_matrix()
    return np.concatenate([turned, c2w[:, :, 3:]], -1)


def _quaternions(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 4"]:
    """Unit quaternions, each with the sign that is nearer to the one before."""
    q = Rotation.from_matrix(rotations).as_quat()
    flips = np.where((q[1:] * q[:-1]).sum(-1) < 0, -1.0, 1.0)
    return q * np.cumprod(np.append(1.0, flips))[:, None]


def _reach(c2w: Float[np.ndarray, "n 3 4"]) -> float:
    """The length that counts as much as a turn of one radian: the spread of the positions (1 where none)."""
    return float(np.linalg.norm(c2w[:, :, 3].std(0))) or 1.0


def lap_time(times: Float[np.ndarray, " n"]) -> float:
    """The duration of a loop through keyframes at `times`: the way back takes the mean interval."""
    return float(times[-1] - times[0]) * len(times) / (len(times) - 1)


def smoothed(x: Float[np.ndarray, "n k"], period: Number) -> Float[np.ndarray, "n k"]:
    """Whittaker smoothing: the y that minimises |y - x|^2 + (period / 2 pi)^6 |third differences of y|^2.

    A wave of `period` samples keeps half its amplitude, one of twice the period 98%, one of half of it 2%.
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
    """Parameters at even steps of arc length on `curve` from `first` to `last`; a loop leaves `last` out."""
    t = np.linspace(first, last, 50 * max(frames, 100))
    steps = np.linalg.norm(np.diff(curve(t), axis=0), axis=-1)
    length = np.append(0.0, np.cumsum(steps))
    return np.interp(np.linspace(0.0, length[-1], frames, endpoint=not loop), length, t)


def distinct(c2w: Float[np.ndarray, "n 3 4"], loop: bool) -> Int[np.ndarray, " m"]:
    """Return the indices of the poses that differ from the next one (in a loop, the last from the first).

    Positions differ by more than `SAME` of the path's extent, and by more than the rounding of their coordinates, which
    are large in maps.
    """
    positions = c2w[:, :, 3]
    rounding = 4.0 * np.finfo(np.float64).eps * np.abs(positions).max()
    step = np.abs(np.roll(c2w, -1, axis=0) - c2w)
    moves = step[:, :, 3].max(1) > max(SAME * float(np.ptp(positions, axis=0).max()), rounding)
    keep = moves | (step[:, :, :3].max((1, 2)) > SAME)
    keep[-1] |= not loop
    return np.flatnonzero(keep)


def travel_order(c2w: Float[np.ndarray, "n 3 4"]) -> Int[np.ndarray, " n"]:
    """0 ... n-1 where the poses are in the order of a path, else the order of a short tour through them.

    They are in the order of a path unless both hold: one step in twenty is longer than 0.3 of the mean distance
    between any two views, and their way is more than twice as long as the tour. The steps of a capture on foot are
    short and alike, in several laps or shaky too; those of views drawn at random are as long as the distance of any
    two, and names sorted as text (1, 10, 11, ..., 2, 20) make a leap at every tenth.
    """
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
    """An open tour: each time the nearest one left, then 2-opt (reverse a stretch where that is shorter)."""
    n = len(distance)
    d = np.pad(
        distance, (0, 1)
    )  # node n is at no distance from all: the gap between the ends of the tour
    order, left = [n, 0], np.arange(1, n)
    while len(left):
        nearest = d[order[-1], left].argmin()
        order.append(int(left[nearest]))
        left = np.delete(left, nearest)
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
        round_trip = d[tour[1:], np.roll(tour[1:], -1)]
        longest = round_trip.argmax()
        if (
            round_trip[longest] > round_trip[-1] + 1e-9 * d.max()
        ):  # end there, which no reversal finds
            tour[1:] = np.roll(tour[1:], -1 - longest)
            shortened = True
    return tour[1:]
