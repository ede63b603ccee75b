"""Camera paths: training cameras or a keyframe file -> the cameras of a video.

Contract. A path is a function `(train: Cameras, frames: int, **options) -> c2w (frames, 3, 4)`: camera-to-world in
the normalised world (focus near the origin, +z up), OpenGL axes, float64. `make_path` finds it by name, calls it and
adds intrinsics. A path of your own is such a function in a file of yours, named "my_package.my_file:my_path".

Moving, scaling or turning the training cameras about +z moves, scales or turns every path alike: no option and no
constant here is a length unless its docstring says so.
"""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nerf.building import build, did_you_mean
from nerf.cameras import Cameras, intrinsics
from nerf.keyframes import PathError, path_error, read_keyframes
from nerf.keyframes import save_keyframes as save_keyframes
from nerf.lenses import COEFFICIENTS, PERSPECTIVE
from nerf.motion import Number, Poses, distinct, even_steps, travel, travel_order
from nerf.scenes.base import Similarity, check_poses, focus_point

NAMES = ("orbit", "ellipse", "spiral", "follow")
DEFAULT_FRAMES = 120
MAX_FRAMES = 100_000
MAX_VIEWS = 500  # `follow` takes every k-th of more: ordering 3000 random views takes a minute
Z_UP = np.array([0.0, 0.0, 1.0])


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
      name: one of `NAMES`, "package.module:function" (outside `nerf` only if `plugins` allows it), or a file "*.json".
      train: the training cameras, normalised world.
      transform: the scene's file world to the normalised one; keyframe files are in the units of the former.
      frames: how many; default: what a keyframe file says, else 240.
      width, height: pixels; default: what a keyframe file says, else as `to_cameras`.
      focal: pixels at that size; default: the field of view of a keyframe file, else as `to_cameras`.
      options: further arguments of the path function.

    Raises: PathError for a wrong value or file, ConfigError for an import path or an option that does not exist.
    """
    name = os.fspath(name)
    keys = read_keyframes(name) if name.endswith(".json") else None
    if frames is None:
        frames = keys.frames if keys else DEFAULT_FRAMES
    if not 1 <= frames <= MAX_FRAMES:
        raise path_error(name, "frames", f"{frames} is not in 1 ... {MAX_FRAMES}", "ask for other frames")
    if keys is None:
        c2w = _call(name, plugins, options, train=train, frames=frames, transform=transform)
        return to_cameras(c2w, train, width, height, focal)
    if options:
        raise path_error(name, ", ".join(options), "a keyframe file takes no options", "leave them out")
    if keys.size and width is None and height is None:
        width, height = keys.size
    c2w, fov = keys.path(transform, frames)
    return to_cameras(c2w, train, width, height, focal, fov)


def _call(name: str, plugins: tuple[str, ...], options: Mapping[str, Any], frames: int, **context: Any) -> Poses:
    """What the path function `name` returns, checked."""
    if name not in NAMES and ":" not in name:
        mend = f"{did_you_mean(name, NAMES)}, or give a .json file or 'package.module:function'"
        raise path_error(name, "", "no such camera path", mend)
    target = f"{__name__}:{name}" if name in NAMES else name
    c2w = np.asarray(build({"name": target, **options}, plugins=plugins, frames=frames, **context), np.float64)
    if c2w.shape != (frames, 3, 4):
        raise path_error(name, "", f"returned shape {c2w.shape}", f"return c2w of shape ({frames}, 3, 4)")
    if problems := list(check_poses(c2w, name, [f"frame {i}" for i in range(frames)])):
        raise PathError(problems)
    return c2w


def to_cameras(
    c2w: Poses,
    train: Cameras,
    width: int | None = None,
    height: int | None = None,
    focal: Number | None = None,
    fov: Float[np.ndarray, " f"] | None = None,
) -> Cameras:
    """Pinhole cameras at the poses of a path: square pixels, central principal point, no distortion, float32.

    Args:
      width, height: pixels; default: the first training camera's; one of them alone keeps that camera's aspect.
      focal: pixels; default: from `fov` (vertical, degrees), else the median focal length of the perspective training
        views, scaled so that the picture is nowhere wider than one of them (the larger of the two ratios of sizes);
        where there are none, 90 degrees across the longer side.
    """
    wide, high = (int(side) for side in train.size[0])
    if width is None:
        width = wide if height is None else round(height * wide / high)
    if height is None:
        height = round(width * high / wide)
    if min(width, height) < 1 or (focal is not None and focal <= 0):
        raise path_error("camera path", "", f"size {width}x{height}, focal {focal}", "give numbers above zero")
    if focal is not None:
        focals = np.full(len(c2w), float(focal))
    elif fov is not None:
        focals = 0.5 * height / np.tan(np.radians(fov) / 2)
    else:
        focals = np.full(len(c2w), _usual_focal(train, np.array([width, height])))
    return Cameras(
        c2w=c2w.astype(np.float32),
        K=intrinsics(focals, focals, width / 2, height / 2).astype(np.float32),
        distortion=np.zeros((len(c2w), COEFFICIENTS), np.float32),
        size=np.tile(np.array([width, height], np.int32), (len(c2w), 1)),
    )


def _usual_focal(train: Cameras, size: Int[np.ndarray, "2"]) -> float:
    """The default of `to_cameras`."""
    flat = np.asarray(train.model) == PERSPECTIVE
    if not flat.any():
        return size.max() / 2
    K = np.asarray(train.K, np.float64)[flat]
    ratio = (size / np.asarray(train.size, np.float64)[flat]).max(-1)
    return float(np.median(ratio * (K[:, 0, 0] + K[:, 1, 1]) / 2))


def look_at(positions: Float[np.ndarray, "f 3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]) -> Poses:
    """Camera-to-world at `positions`, looking at `target`, with `up` (not along the view) up in the image."""
    back = positions - target
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    right = np.cross(up, back)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([right, np.cross(back, right), back, positions], -1)


def orbit(train: Cameras, frames: int, elevation: Number | None = None, radius: Number | None = None) -> Poses:
    """One turn about +z around the focus of the training cameras, from the azimuth of the first of them.

    Args:
      elevation: degrees above the focus, held within +-89; default: the training cameras' median.
      radius: distance to the focus in normalised units; default: the training cameras' median.
    """
    c2w = np.asarray(train.c2w, np.float64)
    focus = focus_point(c2w)
    offsets = c2w[:, :, 3] - focus
    distances = np.linalg.norm(offsets, axis=-1)
    radius = float(np.median(distances)) if radius is None else radius
    if radius < 1e-6:
        raise path_error("orbit", "radius", "all training cameras stand in their focus", "give a radius")
    if elevation is None:
        elevation = math.degrees(np.median(np.arctan2(offsets[:, 2], np.hypot(offsets[:, 0], offsets[:, 1]))))
    tilt = math.radians(min(max(elevation, -89.0), 89.0))
    angle = math.atan2(offsets[0, 1], offsets[0, 0]) + 2 * math.pi * np.arange(frames) / frames
    circle = [math.cos(tilt) * np.cos(angle), math.cos(tilt) * np.sin(angle), np.full(frames, math.sin(tilt))]
    return look_at(focus + radius * np.stack(circle, -1), focus, Z_UP)


def ellipse(train: Cameras, frames: int, percentile: Number = 90.0) -> Poses:
    """One turn at constant speed on an ellipse about +z fitted to the cameras, looking at their focus.

    After mip-NeRF 360's videos (2111.12077): the semi-axes are percentiles of the distances from the focus
    along the principal axes of the cameras' x, y; the height is their median.

    Args:
      percentile: of the distances, in 0 ... 100.
    """
    c2w = np.asarray(train.c2w, np.float64)
    focus = focus_point(c2w)
    offsets = c2w[:, :, 3] - focus
    flat = offsets[:, :2]
    axes = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True))[1]
    axes[:, 1] *= np.sign(np.linalg.det(axes))
    semi = np.percentile(np.abs(flat @ axes), percentile, axis=0)
    if semi.max() < 1e-6:
        raise path_error("ellipse", "", "the training cameras stand above the point they look at", "use follow")
    # A capture along a line over the focus would turn the camera over at its middle.
    semi = np.maximum(semi, 0.1 * semi.max())
    start = np.arctan2(*(flat[0] @ axes / semi)[::-1])
    height = np.median(offsets[:, 2])

    def position(angle):
        x, y = axes @ (semi * np.stack([np.cos(angle), np.sin(angle)], -1)).T
        return focus + np.stack([x, y, np.full_like(x, height)], -1)

    angle = even_steps(position, start, start + 2 * math.pi, frames, loop=True)
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
    c2w = np.asarray(train.c2w, np.float64)
    back, up = c2w[:, :, 2].mean(0), c2w[:, :, 1].mean(0)
    if np.linalg.norm(back) < 0.7:
        raise path_error("spiral", "", "the training cameras do not face one way", "use orbit, ellipse or follow")
    centre = c2w[:, :, 3].mean(0)
    mean = look_at(centre[None], centre - back, up)[0]
    radii = np.percentile(np.abs((c2w[:, :, 3] - centre) @ mean[:, :3]), percentile, axis=0)
    if focus_depth is None:
        focus_depth = max(float((centre - focus_point(c2w)) @ mean[:, 2]), 3.0 * float(radii.max()))
    if focus_depth < 1e-6:
        raise path_error("spiral", "focus_depth", "the training cameras stand at one point", "give a focus_depth")
    angle = 2 * math.pi * turns * np.arange(frames) / frames
    local = radii * np.stack([np.cos(angle), np.sin(angle), np.sin(angle / turns)], -1)
    return look_at(centre + local @ mean[:, :3].T, centre - focus_depth * mean[:, 2], mean[:, 1])


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
    c2w = np.asarray(train.c2w, np.float64)
    c2w = c2w[:: -(-len(c2w) // MAX_VIEWS)]
    c2w = c2w[travel_order(c2w)]
    c2w = c2w[distinct(c2w, loop)]
    if len(c2w) < 2:
        raise path_error("follow", "", "the training cameras have one pose", "use orbit with a radius")
    if smooth is None:
        smooth = min(max(10.0, len(c2w) / 16), len(c2w) / 4)
    return travel(c2w, np.zeros((len(c2w), 0)), frames, loop=loop, smooth=smooth)[0]
