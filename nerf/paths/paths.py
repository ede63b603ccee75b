"""Camera paths: compute the cameras of a video from training cameras or a keyframe file.

A path is a function `(train: Cameras, frames: int, **options) -> c2w (frames, 3, 4)`. It returns
camera-to-world matrices in the normalised world (focus near the origin, +z up), OpenGL axes,
float64. `make_path` finds the function by name, calls it and adds intrinsics. A path of your own is
such a function in a file of yours, named "my_package.my_file:my_path". It may also have the
parameters `transform`, the similarity from the scene's file world to the normalised world, and
`depth`, see `make_path`.

The paths are equivariant: moving, scaling or rotating the training cameras about +z moves, scales
or rotates the path in the same way. No option and no constant here is a length unless its
docstring says so.
"""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras
from nerf.foundation.instantiate import build, parameters_of
from nerf.paths.keyframe_reader import Keyframes, PathError, path_error
from nerf.paths.keyframes import is_path_file, read_keyframes
from nerf.paths.keyframes import save_keyframes as save_keyframes
from nerf.paths.motion import Number, Poses, distinct, even_steps, travel, travel_order, upright
from nerf.paths.path_options import NAMES, check_known, converted, find_wrong_name
from nerf.paths.video_cameras import film_size, to_cameras
from nerf.scenes.base import Similarity, check_poses
from nerf.scenes.focus import axes_meet, focus_point

DEFAULT_FPS = 24.0
DEFAULT_FRAMES = 192  # 8 seconds
MAX_FRAMES = 100_000
# `follow` uses every k-th view if there are more: ordering 3000 random views takes a minute.
MAX_VIEWS = 500
# Smallest spread of cameras that are at different positions, in units of the normalised world.
MIN_SPREAD = 1e-6
MIN_COMMON_DIRECTION = 0.7  # length of the mean viewing direction of forward-facing cameras
# Degrees of azimuth. In the middle of a larger gap without photos, an orbit shows unseen regions.
MAX_ORBIT_GAP = 120.0
Z_UP = np.array([0.0, 0.0, 1.0])


def usual_path(train: Cameras, unbounded: bool) -> str:
    """Choose the default path for a capture.

    It is an orbit for a single view, and for a bounded scene that is seen from all around.
    Otherwise it is `follow`.

    Args:
      train: the training cameras.
      unbounded: whether the scene may extend beyond the normalised box.

    Returns:
      "orbit" or "follow".
    """
    positions = np.asarray(train.c2w, np.float64)[:, :, 3]
    one_place = len(positions) > 1 and _spread(positions) < MIN_SPREAD
    distinct_views = len(distinct(np.asarray(train.c2w, np.float64), loop=False)) > 1
    around = distinct_views and _largest_gap(np.asarray(train.c2w, np.float64)) < MAX_ORBIT_GAP
    return "follow" if (distinct_views and (unbounded or not around)) or one_place else "orbit"


def _largest_gap(c2w: Float[np.ndarray, "n 3 4"]) -> float:
    """Return the largest gap in azimuth around the subject without a camera, in degrees."""
    offsets = c2w[:, :2, 3] - subject(c2w)[:2]
    angles = np.sort(np.degrees(np.arctan2(offsets[:, 1], offsets[:, 0])))
    return float(np.diff(angles, append=angles[0] + 360.0).max())


def make_path(
    name: str | os.PathLike[str],
    train: Cameras,
    transform: Similarity,
    frames: int | None = None,
    width: int | None = None,
    height: int | None = None,
    focal: Number | None = None,
    fov: Number | None = None,
    plugins: tuple[str, ...] = (),
    distance: Number | None = None,
    keys: Keyframes | None = None,
    **options: Any,
) -> Cameras:
    """Make the cameras of a path from its name, import path or keyframe file.

    Args:
      name: one of `NAMES`, "package.module:function" or a keyframe file "*.json".
      train: the training cameras, normalised world.
      transform: from the scene's file world, in which keyframes are, to the normalised world.
      frames: default: the number in the keyframe file, otherwise 192.
      width: pixels; default: that of the keyframe file, otherwise see `film_size`.
      height: pixels; like `width`. If only one is given, the aspect ratio is kept.
      focal: pixels; default: the keyframe file's field of view, otherwise see `to_cameras`.
      fov: vertical field of view in degrees, instead of `focal`.
      plugins: packages outside `nerf` that the name may be in.
      distance: from the training cameras to the surface they see, normalised world; passed to the
        path function as `depth` unless `options` has one.
      keys: the content of the keyframe file, if it was read already.
      **options: further arguments of the path function. For the paths of `NAMES`, `radius`,
        `depth`, `focus_depth` and `focus` are in the units and axes of the scene's file.

    Raises:
      PathError: a value or file is wrong.
      ConfigError: the import path or an option of it does not exist.
    """
    name = os.fspath(name)
    if is_path_file(name):
        keys = read_keyframes(name, **_file_options(name, options)) if keys is None else keys
    frames = _number_of_frames(name, frames, keys)
    if keys is None:
        context: dict[str, Any] = {"train": train, "transform": transform, "depth": distance}
        c2w = _call(name, plugins, options, frames=frames, **context)
        return to_cameras(c2w, train, film_size(train, width, height), focal, fov)
    c2w, own_fov = keys.path(transform, frames)
    size = keys.size
    if size is None or width is not None or height is not None:
        size = film_size(train, width, height, size[0] / size[1] if size else keys.aspect)
    chosen_fov = own_fov if focal is None and fov is None else fov
    return to_cameras(c2w, train, size, focal, chosen_fov, keys.lens)


def _number_of_frames(name: str, frames: int | None, keys: Keyframes | None) -> int:
    """Return the number of frames of a path.

    Args:
      name: name of the path, for the error.
      frames: the requested number; None: see `make_path`.
      keys: the content of the keyframe file, if the path is one.

    Raises:
      PathError: the number is out of range.
    """
    if frames is None:
        frames = keys.frames if keys else DEFAULT_FRAMES
    if not 1 <= frames <= MAX_FRAMES:
        fix = "give another number of frames"
        if keys:
            fix = "give --frames, or change seconds or fps in the file"
        raise path_error(name, "frames", f"{frames} is not from 1 to {MAX_FRAMES}", fix)
    return frames


def _file_options(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a keyframe file; `dataparser` is the only one."""
    for key in options:
        if key != "dataparser":
            reason = "not an option of a keyframe file"
            raise path_error(name, key, reason, "remove it; the only option is dataparser")
    return {key: str(value) for key, value in options.items()}


def _call(
    name: str, plugins: tuple[str, ...], options: Mapping[str, Any], frames: int, **context: Any
) -> Poses:
    """Call a path function and check its result.

    Args:
      name: see `make_path`.
      plugins: see `make_path`.
      options: see `make_path`.
      frames: the number of poses that the function must return.
      **context: further arguments, for functions that have parameters with these names.
    """
    if name not in NAMES and (wrong := find_wrong_name(name)) is not None:
        raise wrong
    target = name
    if name in NAMES:
        target = f"{__name__}:{name}"
        check_known(name, options, parameters_of(globals()[name]).keys() - {"train", "frames"})
        options = {
            key: converted(name, key, value, context["transform"]) for key, value in options.items()
        }
    c2w = np.asarray(
        build({"name": target, **options}, plugins=plugins, frames=frames, **context), np.float64
    )
    if c2w.shape != (frames, 3, 4):
        fix = f"return c2w of shape ({frames}, 3, 4)"
        raise path_error(name, "", f"returned shape {c2w.shape}", fix)
    if problems := list(check_poses(c2w, name, [f"frame {i}" for i in range(frames)])):
        raise PathError(problems)
    return c2w


def _spread(positions: Float[np.ndarray, "n 3"]) -> float:
    """Return the largest distance of a position from the mean position."""
    return float(np.linalg.norm(positions - positions.mean(0), axis=-1).max())


def subject(c2w: Float[np.ndarray, "n 3 4"], depth: Number | None = None) -> Float[np.ndarray, "3"]:
    """Return the point that the cameras look at.

    It is the point nearest to all optical axes. If the axes do not meet, it lies at the distance
    `depth` in front of the cameras' mean position; see `nerf.scenes.focus.focus_point`.

    Args:
      c2w: the poses of the cameras.
      depth: the distance, in the units of `c2w`; default: the spread of the cameras.
    """
    if depth is None and not axes_meet(c2w):
        depth = _spread(c2w[:, :, 3])
    return focus_point(c2w, depth)


def _refuse_one_place(name: str, c2w: Float[np.ndarray, "n 3 4"]) -> None:
    """Raise PathError if all photos were taken from one place, which gives no path size."""
    if len(distinct(c2w, loop=False)) < 2:
        fix = "use orbit, which circles the point that it looks at"
        raise path_error(name, "", "a single view gives no path", fix)
    if _spread(c2w[:, :, 3]) < MIN_SPREAD:
        reason = "all photos were taken from one place, so there is nothing to circle"
        raise path_error(name, "", reason, "use follow")


def look_at(
    positions: Float[np.ndarray, "f 3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Poses:
    """Make camera-to-world matrices of cameras that look at a point.

    Args:
      positions: the positions of the cameras.
      target: the point.
      up: the direction that is up in the image; not parallel to a viewing direction.
    """
    # The camera looks along -z: `back` is its z axis, `right` its x axis, their product its y axis.
    back = positions - target
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    right = np.cross(up, back)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([right, np.cross(back, right), back, positions], -1)


def orbit(
    train: Cameras,
    frames: int,
    elevation: Number | None = None,
    radius: Number | None = None,
    focus: Float[np.ndarray, "3"] | None = None,
    depth: Number | None = None,
) -> Poses:
    """Circle once about +z around the focus, starting at the first camera's azimuth.

    Args:
      train: the training cameras.
      frames: the number of poses.
      elevation: degrees above the focus, clipped to +-89; default: the training cameras' median.
      radius: distance to the focus in normalised units; default: the training cameras' median.
      focus: the point to look at; default: see `subject`.
      depth: see `subject`.
    """
    c2w = np.asarray(train.c2w, np.float64)
    if focus is None and radius is None and len(distinct(c2w, loop=False)) > 1:
        _refuse_one_place("orbit", c2w)
    focus = subject(c2w, depth) if focus is None else np.asarray(focus, np.float64)
    offsets = c2w[:, :, 3] - focus
    distances = np.linalg.norm(offsets, axis=-1)
    radius = float(np.median(distances)) if radius is None else radius
    if radius < MIN_SPREAD:
        fix = "give a point to circle, in the axes of the scene's file: orbit:focus=X,Y,Z"
        reason = "the distance of the point that the training cameras look at is unknown"
        raise path_error("orbit", "focus", reason, fix)
    if elevation is None:
        elevation = math.degrees(
            np.median(np.arctan2(offsets[:, 2], np.hypot(offsets[:, 0], offsets[:, 1])))
        )
    # At 90 degrees the azimuth would be undefined.
    tilt = math.radians(min(max(elevation, -89.0), 89.0))
    angle = math.atan2(offsets[0, 1], offsets[0, 0]) + 2 * math.pi * np.arange(frames) / frames
    circle = [
        math.cos(tilt) * np.cos(angle),
        math.cos(tilt) * np.sin(angle),
        np.full(frames, math.sin(tilt)),
    ]
    return look_at(focus + radius * np.stack(circle, -1), focus, Z_UP)


def ellipse(
    train: Cameras,
    frames: int,
    percentile: Number = 90.0,
    focus: Float[np.ndarray, "3"] | None = None,
    depth: Number | None = None,
) -> Poses:
    """Travel once around the focus on an ellipse fitted to the training cameras.

    The ellipse is horizontal and the speed constant, as in the videos of mip-NeRF 360 (2111.12077).
    The semi-axes are percentiles of the distances from the focus along the principal axes of the
    cameras' (x, y); the height is the cameras' median.

    Args:
      train: the training cameras.
      frames: the number of poses.
      percentile: percentile of the distances, from 0 to 100.
      focus: the point to look at; default: see `subject`.
      depth: see `subject`.
    """
    c2w = np.asarray(train.c2w, np.float64)
    _refuse_one_place("ellipse", c2w)
    focus = subject(c2w, depth) if focus is None else np.asarray(focus, np.float64)
    offsets = c2w[:, :, 3] - focus
    # Principal axes of the horizontal offsets, as columns; the second is flipped if needed, so that
    # they are right-handed and the path turns counterclockwise.
    flat = offsets[:, :2]
    axes = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True))[1]
    axes[:, 1] *= np.sign(np.linalg.det(axes))
    semi = np.percentile(np.abs(flat @ axes), percentile, axis=0)
    if semi.max() < MIN_SPREAD:
        reason = "the training cameras are directly above the point they look at"
        raise path_error("ellipse", "", reason, "use orbit")
    # If the cameras are on a line over the focus, a flat ellipse would flip the view in the middle.
    semi = np.maximum(semi, 0.1 * semi.max())
    start = np.arctan2(*(flat[0] @ axes / semi)[::-1])
    height = np.median(offsets[:, 2])

    def position(angle: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m 3"]:
        x, y = axes @ (semi * np.stack([np.cos(angle), np.sin(angle)], -1)).T
        return focus + np.stack([x, y, np.full_like(x, height)], -1)

    angle = even_steps(position, start, start + 2 * math.pi, frames, loop=True)
    return look_at(position(angle), focus, Z_UP)


def spiral(
    train: Cameras,
    frames: int,
    turns: int = 2,
    percentile: Number = 90.0,
    focus_depth: Number | None = None,
    depth: Number | None = None,
) -> Poses:
    """Travel on a closed spiral around the mean pose of a forward-facing capture.

    This is the path of LLFF's videos (1905.00889).

    Args:
      train: the training cameras.
      frames: the number of poses.
      turns: circles in the image plane per swing forward and back.
      percentile: percentile of the cameras' offsets from their mean; it gives the radii of the
        spiral along the axes of the mean camera.
      focus_depth: distance of the point that all frames look at, in normalised units; default:
        the depth of `subject`, but at least three times the largest radius if `depth` is not given
        or not used.
      depth: see `subject`.
    """
    c2w = upright(np.asarray(train.c2w, np.float64))
    _refuse_one_place("spiral", c2w)
    back, up = c2w[:, :, 2].mean(0), c2w[:, :, 1].mean(0)
    if np.linalg.norm(back) < MIN_COMMON_DIRECTION:
        raise path_error(
            "spiral", "", "the training cameras do not face one way", "use orbit, ellipse or follow"
        )
    centre = c2w[:, :, 3].mean(0)
    mean = look_at(centre[None], centre - back, up)[0]
    radii = np.percentile(np.abs((c2w[:, :, 3] - centre) @ mean[:, :3]), percentile, axis=0)
    if focus_depth is None:
        focus_depth = float((centre - subject(c2w, depth)) @ mean[:, 2])
        if depth is None or axes_meet(c2w):
            focus_depth = max(focus_depth, 3.0 * float(radii.max()))
    # x and y of the mean camera circle `turns` times while z swings forward and back once.
    angle = 2 * math.pi * turns * np.arange(frames) / frames
    local = radii * np.stack([np.cos(angle), np.sin(angle), np.sin(angle / turns)], -1)
    return look_at(centre + local @ mean[:, :3].T, centre - focus_depth * mean[:, 2], mean[:, 1])


def follow(train: Cameras, frames: int, smooth: Number | None = None, loop: bool = False) -> Poses:
    """Follow the path of the capture without its shake, upright and at constant speed.

    The views are visited in the order of the file, or on a short tour if they are not in the order
    of a path (see `travel_order`).

    Args:
      train: the training cameras.
      frames: the number of poses.
      smooth: remove shake with periods below this number of training views; 0 passes through every
        view. Default: a sixteenth of the views (half a second of an eight-second video), but at
        least 10 and at most a quarter of the views.
      loop: return to the first view.
    """
    c2w = upright(np.asarray(train.c2w, np.float64))
    c2w = c2w[:: -(-len(c2w) // MAX_VIEWS)]  # every k-th view, with k rounded up
    c2w = c2w[travel_order(c2w)]
    c2w = c2w[distinct(c2w, loop)]
    if len(c2w) < 2:
        fix = "use orbit, which circles the point that it looks at"
        raise path_error("follow", "", "a single view gives no path", fix)
    if smooth is None:
        smooth = min(max(10.0, len(c2w) / 16), len(c2w) / 4)
    return travel(c2w, np.zeros((len(c2w), 0)), frames, loop=loop, smooth=smooth)[0]
