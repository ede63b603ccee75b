"""Camera paths: training cameras or a keyframe file -> the cameras of a video.

Contract. A path is a function `(train: Cameras, frames: int, **options) -> c2w (frames, 3, 4)`:
camera-to-world in the normalised world (focus near the origin, +z up), OpenGL axes, float64. `make_path`
finds it by name, calls it and adds intrinsics. A path of your own is such a function in a file of yours,
named "my_package.my_file:my_path".

Moving, scaling or turning the training cameras about +z moves, scales or turns every path alike: no option
and no constant here is a length unless its docstring says so.
"""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nerf.building import build, did_you_mean
from nerf.cameras import Cameras, intrinsics
from nerf.scenes.base import Problem, SceneError, Similarity, check_poses, focus_point

NAMES = ("orbit", "ellipse", "spiral", "follow")
DEFAULT_FRAMES = 240
MAX_FRAMES = 100_000
MAX_VIEWS = 500  # `follow` takes every k-th of more: its linear systems are dense, and a video shows no more
MAX_JSON_BYTES = 200_000_000

Poses = Float[np.ndarray, "f 3 4"]
Number = int | float  # options may come from a command line or a JSON file


class PathError(SceneError):
    """A camera path that cannot be made; the message lists all problems, one a line."""


def make_path(
    name: str | os.PathLike[str],
    train: Cameras,
    transform: Similarity,
    frames: int | None = None,
    width: int | None = None,
    height: int | None = None,
    focal: Number | None = None,
    plugins: tuple[str, ...] = (),
    **options: Any,
) -> Cameras:
    """The cameras of a path, by its name, its import path or its keyframe file.

    Args:
      name: one of `NAMES`, "package.module:function" (outside `nerf` only if `plugins` allows it), or a file
        "*.json".
      train: the training cameras, normalised world.
      transform: the scene's file world to the normalised one; keyframe files are in the units of the former.
      frames: how many; default: what a keyframe file says, else 240.
      width, height: pixels; default: what a keyframe file says, else as `to_cameras`.
      focal: pixels at that size; default: the field of view of a keyframe file, else as `to_cameras`.
      options: further arguments of the path function.

    Raises: PathError for a wrong value or file, ConfigError for an import path or an option that does not
    exist.
    """
    name = os.fspath(name)
    if frames is not None and not 1 <= frames <= MAX_FRAMES:
        raise _error(name, "frames", f"{frames} is not in 1 ... {MAX_FRAMES}", "ask for other frames")
    if name.endswith(".json"):
        if options:
            raise _error(name, ", ".join(options), "a keyframe file takes no options", "leave them out")
        return _from_file(Path(name), train, transform, frames, width, height, focal)
    if name not in NAMES and ":" not in name:
        mend = f"{did_you_mean(name, NAMES)}, or give a .json file or 'package.module:function'"
        raise _error(name, "", "no such camera path", mend)
    target = f"{__name__}:{name}" if name in NAMES else name
    frames = DEFAULT_FRAMES if frames is None else frames
    c2w = build({"name": target, **options}, plugins=plugins, train=train, frames=frames, transform=transform)
    c2w = np.asarray(c2w, np.float64)
    if c2w.shape != (frames, 3, 4):
        raise _error(name, "", f"returned shape {c2w.shape}", f"return c2w of shape ({frames}, 3, 4)")
    if problems := list(check_poses(c2w, name, [f"frame {i}" for i in range(frames)])):
        raise PathError(problems)
    return to_cameras(c2w, train, width, height, focal)


def _from_file(
    file: Path,
    train: Cameras,
    transform: Similarity,
    frames: int | None,
    width: int | None,
    height: int | None,
    focal: Number | None,
) -> Cameras:
    path = keyframes(file, transform, frames)
    if path.size and width is None and height is None:
        width, height = path.size
    cameras = to_cameras(path.c2w, train, width, height, focal)
    if focal is not None or path.fov is None:
        return cameras
    focals = 0.5 * np.asarray(cameras.size)[:, 1] / np.tan(np.radians(path.fov) / 2)
    return to_cameras(path.c2w, train, width, height, focals)


def to_cameras(
    c2w: Poses,
    train: Cameras,
    width: int | None = None,
    height: int | None = None,
    focal: Number | Float[np.ndarray, " f"] | None = None,
) -> Cameras:
    """Pinhole cameras at the poses of a path: square pixels, central principal point, no distortion, float32.

    Args:
      width, height: pixels; default: the first training camera's; one of them alone keeps that camera's
        aspect.
      focal: pixels; default: the median training focal length, scaled so that the picture is nowhere wider
        than a training view (the larger of the two ratios of sizes).
    """
    wide, high = (int(side) for side in train.size[0])
    if width is None:
        width = wide if height is None else round(height * wide / high)
    if height is None:
        height = round(width * high / wide)
    if min(width, height) < 1 or (focal is not None and np.min(focal) <= 0):
        raise _error("camera path", "", f"size {width}x{height}, focal {focal}", "give numbers above zero")
    if focal is None:
        sizes, K = np.asarray(train.size, np.float64), np.asarray(train.K, np.float64)
        ratio = (np.array([width, height]) / sizes).max(-1)
        focal = float(np.median(ratio * (K[:, 0, 0] + K[:, 1, 1]) / 2))
    focal = np.broadcast_to(focal, len(c2w))
    return Cameras(
        c2w=c2w.astype(np.float32),
        K=intrinsics(focal, focal, width / 2, height / 2).astype(np.float32),
        distortion=np.zeros((len(c2w), 4), np.float32),
        size=np.tile(np.array([width, height], np.int32), (len(c2w), 1)),
    )


def _error(where: str, key: str, reason: str, mend: str) -> PathError:
    return PathError([Problem(where, key, reason, mend)])


def _poses(train: Cameras) -> Float[np.ndarray, "n 3 4"]:
    return np.asarray(train.c2w, np.float64)


def look_at(
    positions: Float[np.ndarray, "f 3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Poses:
    """Camera-to-world at `positions`, looking at `target`, with `up` (not along the view) up in the image."""
    back = _unit(positions - target)
    right = _unit(np.cross(up, back))
    return np.stack([right, np.cross(back, right), back, positions], -1)


def _unit(v: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b k"]:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


Z_UP = np.array([0.0, 0.0, 1.0])


# Round the focus of the training cameras.


def orbit(
    train: Cameras, frames: int, elevation: Number | None = None, radius: Number | None = None
) -> Poses:
    """One turn about +z around the focus of the training cameras, from the azimuth of the first of them.

    Args:
      elevation: degrees above the focus, held within +-89; default: the training cameras' median.
      radius: distance to the focus in normalised units; default: the training cameras' median.
    """
    c2w = _poses(train)
    focus = focus_point(c2w)
    offsets = c2w[:, :, 3] - focus
    distances = np.linalg.norm(offsets, axis=-1)
    radius = float(np.median(distances)) if radius is None else radius
    if radius < 1e-6:
        raise _error("orbit", "radius", "all training cameras stand in their focus", "give a radius")
    if elevation is None:
        elevation = math.degrees(np.median(np.arctan2(offsets[:, 2], np.hypot(offsets[:, 0], offsets[:, 1]))))
    tilt = math.radians(min(max(elevation, -89.0), 89.0))
    angle = math.atan2(offsets[0, 1], offsets[0, 0]) + 2 * math.pi * np.arange(frames) / frames
    circle = [math.cos(tilt) * np.cos(angle), math.cos(tilt) * np.sin(angle), np.full(frames, math.sin(tilt))]
    return look_at(focus + radius * np.stack(circle, -1), focus, Z_UP)


def ellipse(train: Cameras, frames: int, percentile: Number = 90.0, height_variation: Number = 0.0) -> Poses:
    """One turn at constant speed on an ellipse about +z fitted to the cameras, looking at their focus.

    After mip-NeRF 360's videos (2111.12077): the semi-axes are percentiles of the distances from the focus
    along the principal axes of the cameras' x, y.

    Args:
      percentile: of the distances, in 0 ... 100.
      height_variation: 0 stays at the median height; 1 swings once between the 10th and 90th percentile of
        heights.
    """
    c2w = _poses(train)
    focus = focus_point(c2w)
    offsets = c2w[:, :, 3] - focus
    flat = offsets[:, :2]
    axes = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True))[1]
    axes[:, 1] *= np.sign(np.linalg.det(axes))
    semi = np.percentile(np.abs(flat @ axes), percentile, axis=0)
    if semi.max() < 1e-6:
        raise _error("ellipse", "", "the training cameras stand above the point they look at", "use follow")
    # A capture along a line over the focus would turn the camera over at its middle.
    semi = np.maximum(semi, 0.1 * semi.max())
    start = np.arctan2(*(flat[0] @ axes / semi)[::-1])
    low, high = np.percentile(offsets[:, 2], [10, 90])
    swing = 0.5 * height_variation * (high - low)

    def position(angle):
        x, y = axes @ (semi * np.stack([np.cos(angle), np.sin(angle)], -1)).T
        return focus + np.stack([x, y, np.median(offsets[:, 2]) + swing * np.cos(angle - start)], -1)

    angle = _even(position, start, start + 2 * math.pi, frames, loop=True)
    return look_at(position(angle), focus, Z_UP)


def spiral(
    train: Cameras, frames: int, turns: int = 2, percentile: Number = 90.0, focus_depth: Number | None = None
) -> Poses:
    """A closed spiral around the mean pose of a forward-facing capture (LLFF, 1905.00889).

    Args:
      turns: circles in the image plane to one swing forward and back.
      percentile: of the cameras' offsets from their mean, which gives the radii along the mean camera's axes.
      focus_depth: distance of the point that all frames look at, in normalised units; default: the training
        cameras' focus, but at least three times the largest radius, since parallel cameras have no focus.
    """
    c2w = _poses(train)
    back, up = c2w[:, :, 2].mean(0), c2w[:, :, 1].mean(0)
    if np.linalg.norm(back) < 0.7:
        raise _error("spiral", "", "the training cameras do not face one way", "use orbit, ellipse or follow")
    centre = c2w[:, :, 3].mean(0)
    mean = look_at(centre[None], centre - back, up)[0]
    radii = np.percentile(np.abs((c2w[:, :, 3] - centre) @ mean[:, :3]), percentile, axis=0)
    if focus_depth is None:
        focus_depth = max(float((centre - focus_point(c2w)) @ mean[:, 2]), 3.0 * float(radii.max()))
    if focus_depth < 1e-6:
        raise _error("spiral", "focus_depth", "the training cameras stand at one point", "give a focus_depth")
    angle = 2 * math.pi * turns * np.arange(frames) / frames
    local = radii * np.stack([np.cos(angle), np.sin(angle), np.sin(angle / turns)], -1)
    return look_at(centre + local @ mean[:, :3].T, centre - focus_depth * mean[:, 2], mean[:, 1])


# Along poses: the training cameras or keyframes.


def follow(train: Cameras, frames: int, smooth: Number | None = None, loop: bool = False) -> Poses:
    """The way the capture went, without its shake, at constant speed.

    The views are taken in the order of the file unless that way is more than twice as long as a short tour of
    them (`travel_order`).

    Args:
      smooth: shakes with periods below this many training views are removed; 0 passes through every view.
        Default: a sixteenth of the views (half a second of an eight second video) but at least 10, and at
        most a quarter.
      loop: return to the first view.
    """
    c2w = _poses(train)
    c2w = c2w[:: -(-len(c2w) // MAX_VIEWS)]
    c2w = _distinct(c2w[travel_order(c2w)], loop)[0]
    if len(c2w) < 2:
        raise _error("follow", "", "the training cameras have one pose", "use orbit with a radius")
    if smooth is None:
        smooth = min(max(10.0, len(c2w) / 16), len(c2w) / 4)
    return _travel(c2w, np.zeros((len(c2w), 0)), None, frames, loop, smooth)[0]


def travel_order(c2w: Float[np.ndarray, "n 3 4"]) -> Int[np.ndarray, " n"]:
    """0 ... n-1 where the poses are in the order of a path, else the order of a short tour through them.

    They are in the order of a path unless both hold: one step in twenty is longer than 0.3 of the mean
    distance between any two views, and their way is more than twice as long as the tour. The steps of a
    capture on foot are short and alike, in several laps or shaky too; those of views drawn at random are as
    long as the distance of any two, and names sorted as text (1, 10, 11, ..., 2, 20) make a leap at every
    tenth.
    """
    features = np.concatenate([c2w[:, :, 3], _reach(c2w) * c2w[:, :, :3].reshape(-1, 9) / math.sqrt(2)], -1)
    distance = np.linalg.norm(features[:, None] - features, axis=-1)
    as_filed = np.arange(len(c2w))
    steps = distance[as_filed[:-1], as_filed[1:]]
    if len(steps) == 0 or np.percentile(steps, 95) <= 0.3 * distance.mean():
        return as_filed
    tour = _short_tour(distance)
    return tour if steps.sum() > 2 * distance[tour[:-1], tour[1:]].sum() else as_filed


def _short_tour(distance: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"]:
    """An open tour: each time the nearest one left, then 2-opt (reverse a stretch where that is shorter)."""
    n = len(distance)
    d = np.pad(distance, (0, 1))  # node n is at no distance from all: the gap between the ends of the tour
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
        if round_trip[longest] > round_trip[-1] + 1e-9 * d.max():  # end there, which no reversal finds
            tour[1:] = np.roll(tour[1:], -1 - longest)
            shortened = True
    return tour[1:]


def _reach(c2w: Float[np.ndarray, "n 3 4"]) -> float:
    """The length that counts as much as a turn of one radian: the spread of the positions (1 where none)."""
    return float(np.linalg.norm(c2w[:, :, 3].std(0))) or 1.0


def _distinct(
    c2w: Float[np.ndarray, "n 3 4"], loop: bool
) -> tuple[Float[np.ndarray, "m 3 4"], Int[np.ndarray, " m"]]:
    """The poses that differ from the next one (in a loop, the last from the first), and their indices."""
    step = np.abs(np.roll(c2w, -1, axis=0) - c2w).max((1, 2))
    keep = step > 1e-9 * np.abs(c2w).max()
    keep[-1] |= not loop
    return c2w[keep], np.flatnonzero(keep)


def _travel(
    c2w: Float[np.ndarray, "n 3 4"],
    extra: Float[np.ndarray, "n k"],
    times: Float[np.ndarray, " n"] | None,
    frames: int,
    loop: bool,
    smooth: Number,
) -> tuple[Poses, Float[np.ndarray, "f k"]]:
    """`frames` poses on a C2 spline through n >= 2 poses, and `extra` values interpolated alike.

    At `times` where given (even time steps), else at even steps of the way, which counts turns as well as
    moves. A pose is a point in R^7 here, its position and `2 reach` times its quaternion, whose distances
    approximate sqrt(|move|^2 + (reach * turn)^2).
    """
    n = len(c2w)
    pad = n if loop else 0  # a loop is the middle lap of three
    laps = np.arange(-pad, n + 2 * pad)
    reach = _reach(c2w)
    points = np.concatenate([c2w[laps % n, :, 3], 2 * reach * _quaternions(c2w[laps % n, :, :3])], -1)
    points = _smoothed(points, smooth)
    if times is None:
        # Centripetal knots: no cusps or loops where keyframes lie unevenly (Yuksel et al., 2011).
        knots = np.cumsum(np.sqrt(np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=-1)))
    else:
        knots = times[laps % n] + laps // n * _lap(times)
    curve = _spline(knots, points)
    first, last = knots[pad], knots[pad + n - (0 if loop else 1)]
    even_times = np.linspace(first, last, frames, endpoint=not loop)
    t = _even(curve, first, last, frames, loop) if times is None else even_times
    at = curve(t)
    c2w = np.concatenate([_rotations(at[:, 3:]), at[:, :3, None]], -1)
    return c2w, _spline(knots, extra[laps % n])(t)


def _lap(times: Float[np.ndarray, " n"]) -> float:
    """The duration of a loop through keyframes at `times`: the way back takes the mean interval."""
    return float(times[-1] - times[0]) * len(times) / (len(times) - 1)


def _smoothed(x: Float[np.ndarray, "n k"], period: Number) -> Float[np.ndarray, "n k"]:
    """Whittaker smoothing: the y that minimises |y - x|^2 + (period / 2 pi)^6 |third differences of y|^2.

    A wave of `period` samples keeps half its amplitude, one of twice the period 98%, one of half of it 2%.
    """
    third = np.diff(np.eye(len(x)), 3, axis=0)
    return np.linalg.solve(np.eye(len(x)) + (period / (2 * math.pi)) ** 6 * third.T @ third, x)


def _spline(
    knots: Float[np.ndarray, " n"], values: Float[np.ndarray, "n k"]
) -> Callable[[Float[np.ndarray, " f"]], Float[np.ndarray, "f k"]]:
    """The natural cubic spline through `values` at increasing `knots`."""
    h = np.diff(knots)
    bends = np.diff(np.diff(values, axis=0) / h[:, None], axis=0)
    lhs = np.diag((h[:-1] + h[1:]) / 3) + np.diag(h[1:-1] / 6, 1) + np.diag(h[1:-1] / 6, -1)
    second = np.pad(np.linalg.solve(lhs, bends), ((1, 1), (0, 0)))

    def at(t):
        i = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(h) - 1)
        b = ((t - knots[i]) / h[i])[:, None]
        a = 1 - b
        cubic = (a**3 - a) * second[i] + (b**3 - b) * second[i + 1]
        return a * values[i] + b * values[i + 1] + cubic * (h[i] ** 2)[:, None] / 6

    return at


def _even(
    curve: Callable[[np.ndarray], np.ndarray], first: Number, last: Number, frames: int, loop: bool
) -> Float[np.ndarray, " f"]:
    """Parameters at even steps of arc length on `curve` from `first` to `last`; a loop leaves `last` out."""
    t = np.linspace(first, last, 50 * max(frames, 100))
    steps = np.linalg.norm(np.diff(curve(t), axis=0), axis=-1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    return np.interp(np.linspace(0.0, length[-1], frames, endpoint=not loop), length, t)


def _quaternions(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 4"]:
    """Unit quaternions (x, y, z, w), each with the sign that is nearer to the one before.

    4 q q^T - 1 is linear in the rotation; its leading eigenvector is stable for every angle (Bar-Itzhack,
    2000).
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(rotations, 0, -1)
    rows = [
        [xx - yy - zz, yx + xy, zx + xz, zy - yz],
        [yx + xy, yy - xx - zz, zy + yz, xz - zx],
        [zx + xz, zy + yz, zz - xx - yy, yx - xy],
        [zy - yz, xz - zx, yx - xy, xx + yy + zz],
    ]
    q = np.linalg.eigh(np.moveaxis(np.array(rows), -1, 0))[1][:, :, -1]
    flips = np.where((q[1:] * q[:-1]).sum(-1) < 0, -1.0, 1.0)
    return q * np.cumprod(np.concatenate([[1.0], flips]))[:, None]


def _rotations(q: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices of quaternions (x, y, z, w) of any length."""
    x, y, z, w = _unit(q).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


# Keyframe files.


class KeyframePath(NamedTuple):
    """A path from a file.

    Attributes:
      c2w: poses in the normalised world.
      fov: vertical field of view in degrees, where the file has it.
      size: width and height in pixels, where the file has them.
      fps: frames a second.
    """

    c2w: Poses
    fov: Float[np.ndarray, " f"] | None
    size: tuple[int, int] | None
    fps: float


@dataclasses.dataclass(frozen=True)
class _Keys:
    """A keyframe file as it is: poses in the file's world, degrees, seconds. `times` or `seconds` is None."""

    c2w: Float[np.ndarray, "n 3 4"]
    fov: Float[np.ndarray, " n"] | None
    times: Float[np.ndarray, " n"] | None
    fps: float
    seconds: float | None = None
    loop: bool = False
    size: tuple[int, int] | None = None

    @property
    def frames(self) -> int:
        if self.times is None:
            return round(self.fps * (self.seconds or 0.0))
        duration = _lap(self.times) if self.loop else float(self.times[-1] - self.times[0])
        return round(self.fps * duration) + (0 if self.loop else 1)


def keyframes(file: str | os.PathLike[str], transform: Similarity, frames: int | None = None) -> KeyframePath:
    """A path through the keyframes of a JSON file, in either of two formats; camera-to-world, OpenGL axes.

    Ours: {"keyframes": [{"c2w": 3x4 or 4x4, "fov": vertical degrees, "time": seconds}, ...], "loop": false,
    "fps": 30, "seconds": 8}. All but `c2w` may be left out; `fov` and `time` stand in every keyframe or in
    none. Poses are in the units and axes of the scene's file. Without `time` the speed is constant and the
    whole takes `seconds` (default: 2 a keyframe).

    nerfstudio's camera path: {"camera_type", "render_width", "render_height", "camera_path":
    [{"camera_to_world": 16 numbers by rows, "fov": vertical degrees}, ...], "fps"}; every entry is one frame.
    The poses are taken to be in the world of `transforms.json`. nerfstudio writes them in its own, which is
    the same only for a model trained with `--orientation-method none --center-method none --auto-scale-poses
    False`; undo `dataparser_transforms.json` else.

    Args:
      transform: the scene's file world to the normalised one.
      frames: how many; default: what the file says.

    Raises: PathError that lists every problem of the file.
    """
    keys = _read_keys(Path(file))
    count = keys.frames if frames is None else frames
    if not 1 <= count <= MAX_FRAMES:
        mend = "correct fps, seconds or time"
        raise _error(str(file), "", f"makes {count} frames, not 1 ... {MAX_FRAMES}", mend)
    c2w, kept = transform.poses(keys.c2w), np.arange(len(keys.c2w))
    if keys.times is None:
        c2w, kept = _distinct(c2w, keys.loop)
    if len(c2w) < 2:
        raise _error(str(file), "", "fewer than two different poses", "add keyframes")
    # The logarithm of the focal length: whatever the spline makes of it is a field of view in (0, 180).
    fovs = np.zeros((len(c2w), 0)) if keys.fov is None else keys.fov[kept, None]
    zoom = np.log(np.tan(np.radians(fovs) / 2))
    c2w, zoom = _travel(c2w, zoom, keys.times, count, keys.loop, smooth=0.0)
    fov = None if keys.fov is None else 2 * np.degrees(np.arctan(np.exp(zoom[:, 0])))
    return KeyframePath(c2w, fov, keys.size, keys.fps)


def save_keyframes(
    file: str | os.PathLike[str], cameras: Cameras, transform: Similarity, fps: Number = 30.0, every: int = 1
) -> None:
    """Write a path as keyframes in the scene's file world, to be edited and read again by `keyframes`.

    Args:
      fps: of the video, which the keyframes' times follow.
      every: write only every so many frames, and the last.
    """
    c2w = transform.poses_back(_poses(cameras))
    fov = 2 * np.degrees(np.arctan(0.5 * cameras.size[:, 1] / np.asarray(cameras.K, np.float64)[:, 1, 1]))
    kept = sorted({*range(0, len(c2w), every), len(c2w) - 1})
    entries = [{"c2w": c2w[i].tolist(), "fov": float(fov[i]), "time": i / fps} for i in kept]
    _replace(Path(file), json.dumps({"keyframes": entries, "loop": False, "fps": fps}, indent=1))


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Reader:
    """Values out of a JSON file; what is wrong with them is collected, not raised."""

    def __init__(self, file: str):
        self.file = file
        self.problems: list[Problem] = []

    def report(self, key: str, reason: str, mend: str) -> None:
        self.problems.append(Problem(self.file, key, reason, mend))

    def finish(self) -> None:
        if self.problems:
            raise PathError(self.problems)

    def number(
        self, data: Mapping[str, Any], key: str, low: float, high: float, where: str = ""
    ) -> float | None:
        """data[key] in the open interval (low, high), or None where it is missing or wrong."""
        value = data.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and low < value < high:
            return float(value)
        reason = f"{json.dumps(value)[:40]} is not a number between {low:g} and {high:g}"
        self.report(where + key, reason, "correct it")
        return None

    def pose(self, value: Any, where: str, shapes: tuple[tuple[int, ...], ...]) -> np.ndarray | None:
        """A rigid camera-to-world matrix (3, 4) from nested lists of one of `shapes`, or None."""
        try:
            array = np.asarray(value)
        except ValueError:  # ragged
            array = np.asarray(None)
        if array.dtype.kind not in "iuf" or array.shape not in shapes:
            wanted = " or ".join("x".join(map(str, shape)) for shape in shapes)
            self.report(where, f"not {wanted} numbers", "write camera-to-world, OpenGL axes")
            return None
        matrix = array.astype(np.float64).reshape(-1, 4)
        if len(matrix) == 4 and not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
            self.report(where, "last row is not 0 0 0 1", "write it by rows, the position in column 4")
            return None
        problems = list(check_poses(matrix[None, :3], self.file, [where]))
        self.problems += problems
        return None if problems else matrix[:3]

    def all_or_none(self, values: list[float | None], key: str) -> Float[np.ndarray, " n"] | None:
        """An array of `values`, or None where there are none."""
        given = [value for value in values if value is not None]
        if given and len(given) < len(values):
            reason = f"in {len(given)} of {len(values)} keyframes only"
            self.report(key, reason, "give it in every keyframe or in none")
        return np.array(given) if given else None

    def known(self, data: Mapping[str, Any], keys: tuple[str, ...], where: str = "") -> None:
        for key in data:
            if key not in keys:
                self.report(where + key, "unknown key", did_you_mean(key, keys))


def _read_keys(path: Path) -> _Keys:
    """Either format, checked. Raises PathError with all problems."""
    read = _Reader(str(path))
    data = _read_json(path)
    if isinstance(data.get("keyframes"), list) and "camera_path" not in data:
        return _read_ours(data, read)
    if isinstance(data.get("camera_path"), list):  # nerfstudio's file may hold its own `keyframes` too
        return _read_nerfstudio(data, read)
    mend = "give 'keyframes' (ours) or 'camera_path' (nerfstudio)"
    raise _error(str(path), "", "no list of keyframes", mend)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise _error(str(path), "", "implausibly large", "is this the right file?")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _error(str(path), "", error.strerror or str(error), "check its path") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, PathError):
            raise
        raise _error(str(path), "", f"not valid JSON ({error})", "export it again") from error
    return data if isinstance(data, dict) else {}


def _entries(data: Mapping[str, Any], key: str, read: _Reader) -> list[dict[str, Any]]:
    """The list data[key], with an empty object for every entry that is none."""
    for i, entry in enumerate(data[key]):
        if not isinstance(entry, dict):
            read.report(f"{key}[{i}]", "not an object", "write {...}")
    if len(data[key]) < 2:
        read.report(key, f"{len(data[key])} of them", "a path needs at least two")
    return [entry if isinstance(entry, dict) else {} for entry in data[key]]


def _read_ours(data: Mapping[str, Any], read: _Reader) -> _Keys:
    read.known(data, ("keyframes", "loop", "fps", "seconds"))
    entries = _entries(data, "keyframes", read)
    poses, fovs, times = [], [], []
    for i, entry in enumerate(entries):
        where = f"keyframes[{i}]."
        read.known(entry, ("c2w", "fov", "time"), where)
        poses.append(read.pose(entry.get("c2w"), where + "c2w", ((3, 4), (4, 4))))
        fovs.append(read.number(entry, "fov", 0.0, 180.0, where))
        times.append(read.number(entry, "time", -1e6, 1e6, where))
    time, fov = read.all_or_none(times, "time"), read.all_or_none(fovs, "fov")
    seconds = read.number(data, "seconds", 0.0, 1e6)
    if time is not None and (np.diff(time) <= 0).any():
        read.report("time", "does not increase from keyframe to keyframe", "put the keyframes in order")
    if time is not None and seconds is not None:
        read.report("seconds", "given as well as the keyframes' time", "leave one of them out")
    loop = data.get("loop", False)
    if not isinstance(loop, bool):
        read.report("loop", f"{json.dumps(loop)[:40]} is neither true nor false", "write true or false")
    fps = read.number(data, "fps", 0.0, 1000.0) or 30.0
    read.finish()
    return _Keys(
        np.array(poses),
        fov,
        time,
        fps,
        seconds or 2.0 * len(entries),
        loop is True,
    )


def _read_nerfstudio(data: Mapping[str, Any], read: _Reader) -> _Keys:
    entries = _entries(data, "camera_path", read)
    if data.get("camera_type", "perspective") != "perspective":
        reason = f"{json.dumps(data['camera_type'])[:40]} is not supported"
        read.report("camera_type", reason, "export it as perspective")
    poses, fovs = [], []
    for i, entry in enumerate(entries):
        where = f"camera_path[{i}]."
        poses.append(read.pose(entry.get("camera_to_world"), where + "camera_to_world", ((16,), (4, 4))))
        fovs.append(read.number(entry, "fov", 0.0, 180.0, where))
    fps = read.number(data, "fps", 0.0, 1000.0) or 24.0
    sides = [read.number(data, key, 0.0, 1e5) for key in ("render_width", "render_height")]
    fov = read.all_or_none(fovs, "fov")
    read.finish()
    return _Keys(
        np.array(poses),
        fov,
        np.arange(len(entries)) / fps,
        fps,
        size=(round(sides[0]), round(sides[1])) if sides[0] and sides[1] else None,
    )
