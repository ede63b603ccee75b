"""Read and write the lens keys of `transforms.json`: model, size, focal length, centre, distortion.

The file's keys apply to every frame that does not override them. Keys that describe one property
are overridden together: a frame with a focal length of its own uses none of the file's focal keys,
whichever notation either uses.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import (
    COEFFICIENTS,
    EQUIRECTANGULAR,
    FISHEYE,
    ORTHOGRAPHIC,
    PERSPECTIVE,
    rational_radial,
)
from nerf.foundation.instantiate import did_you_mean
from nerf.scenes.fits import MAX_ERROR, SAMPLES, corner_distance, fit_rational
from nerf.scenes.lookup import Report
from nerf.scenes.tally import Tally

# Names of lenses in nerfstudio and COLMAP. "ORTHOGRAPHIC" is an extension of this program: its fl_x
# and fl_y are pixels per unit of the file's world.
LENSES = {
    "PINHOLE": PERSPECTIVE,
    "SIMPLE_PINHOLE": PERSPECTIVE,
    "SIMPLE_RADIAL": PERSPECTIVE,
    "RADIAL": PERSPECTIVE,
    "OPENCV": PERSPECTIVE,
    "FULL_OPENCV": PERSPECTIVE,
    "PERSPECTIVE": PERSPECTIVE,
    "OPENCV_FISHEYE": FISHEYE,
    "SIMPLE_RADIAL_FISHEYE": FISHEYE,
    "RADIAL_FISHEYE": FISHEYE,
    "THIN_PRISM_FISHEYE": FISHEYE,
    "FISHEYE": FISHEYE,
    "SIMPLE_FISHEYE": FISHEYE,
    "EQUIRECTANGULAR": EQUIRECTANGULAR,
    "ORTHOGRAPHIC": ORTHOGRAPHIC,
}
OUTPUT_NAMES = {
    PERSPECTIVE: "OPENCV",
    FISHEYE: "OPENCV_FISHEYE",
    EQUIRECTANGULAR: "EQUIRECTANGULAR",
    ORTHOGRAPHIC: "ORTHOGRAPHIC",
}
RATIONAL = "FULL_OPENCV"  # under this name k4, k5 and k6 are OpenCV's denominator
# The keys of each lens's distortion, in the order of its coefficients.
DISTORTION = {
    PERSPECTIVE: ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    FISHEYE: ("k1", "k2", "k3", "k4", "p1", "p2", "sx1", "sy1"),
}

# Groups of keys that are overridden together; x_fov and y_fov are in degrees.
FOCAL = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "x_fov", "y_fov")
SIZE = ("w", "h")
CENTRE = ("cx", "cy")
MODEL = ("camera_model", "is_fisheye")
DISTORTION_KEYS = tuple(dict.fromkeys(name for names in DISTORTION.values() for name in names))
PAIRS = (("fl_x", "fl_y"), ("camera_angle_x", "camera_angle_y"), ("x_fov", "y_fov"))
KEYS = frozenset((*FOCAL, *SIZE, *CENTRE, *MODEL, *DISTORTION_KEYS))
# instant-ngp's keys for lenses that are not supported, and the fix for each.
UNSUPPORTED_LENSES = {
    "ftheta_p0": "undistort the images to OPENCV or PINHOLE",
    "latlong": "write camera_model EQUIRECTANGULAR for a panorama",
    "equirectangular": "write camera_model EQUIRECTANGULAR for a panorama",
}
# Largest error of the rational fit to an r^8 polynomial, as a fraction of the longer side: 0.4
# pixels of 4000.
MAX_FIT_ERROR = 1e-4
MAX_FOLD_ERROR = 1.0  # pixels by which the fit may fold farther out than the polynomial
FOLD_SEARCH_FACTOR = 4.0  # the fold of the fit is searched up to this multiple of the polynomial's
UNITS = {
    "camera_angle_x": "radians",
    "camera_angle_y": "radians",
    "x_fov": "degrees",
    "y_fov": "degrees",
}
MAX_ANGLES = {
    "camera_angle_x": math.pi,
    "camera_angle_y": math.pi,
    "x_fov": 180.0,
    "y_fov": 180.0,
}
# Largest distance of a principal point from the image centre, as a fraction of the side; one that
# is farther out belongs to an image of another size.
MAX_CENTRE_OFFSET = 0.15


def number(value: Any) -> float | None:
    """Return a number, possibly given as a string; None for anything else or beyond 1e12."""
    if isinstance(value, str) and len(value) < 100 and "_" not in value:
        try:
            value = float(value)
        except ValueError:
            return None
    ok = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if ok else None


def flag(value: Any) -> bool:
    """Return a truth value, possibly given as a string: "true", "1" or "yes"."""
    return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)


def merge(own: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return a frame's own keys, and those of the file that it does not override."""
    replaced: set[str] = set()
    # A frame with a lens model of its own does not use the file's distortion: its coefficients mean
    # something else.
    groups = (
        (FOCAL, ()),
        (CENTRE, ()),
        (SIZE, ()),
        (DISTORTION_KEYS, ()),
        (MODEL, DISTORTION_KEYS),
    )
    for group, follows in groups:
        if any(key in own for key in group):
            replaced.update(group, follows)
    if replaced.issuperset(SIZE) and not _fits_centre(own, shared):
        replaced.update(CENTRE)
    return {**{key: value for key, value in shared.items() if key not in replaced}, **own}


def _fits_centre(own: Mapping[str, Any], shared: Mapping[str, Any]) -> bool:
    """Return whether the file's principal point fits an image of the frame's own size."""
    for side, centre in zip(SIZE, CENTRE, strict=True):
        own_side = number(own.get(side))
        file_side = number(shared.get(side))
        file_centre = number(shared.get(centre))
        if own_side is None or file_centre is None:
            continue
        if file_side is not None and abs(own_side - file_side) > 0.5:
            return False
        # Without a size in the file, a principal point near the centre of the frame's image is
        # taken as its own.
        offset = abs(file_centre / max(own_side, 1e-6) - 0.5)
        if file_side is None and not offset < MAX_CENTRE_OFFSET:
            return False
    return True


def read_lens(
    own: Mapping[str, Any],
    shared: Mapping[str, Any],
    size: tuple[int, int],
    report: Report,
    tally: Tally,
) -> tuple[int, np.ndarray, np.ndarray, tuple[float, float]] | None:
    """Read the lens of a frame.

    Args:
      own: keys of the frame.
      shared: keys at the top level of its file.
      size: width and height of the stored image in pixels; the file's may be another.
      report: called with key, reason and fix for each problem.
      tally: collects notes on values that may be meant differently.

    Returns:
      The lens model (of `nerf.cameras.lenses`), K in pixels of the stored image, distortion (8,),
      and the size in the file; None after a problem.
    """
    keys = merge(own, shared)
    model = _model(keys, report)
    if model is None:
        return None
    given = _dimensions(keys, () if model == EQUIRECTANGULAR else (*SIZE, *FOCAL, *CENTRE), report)
    numbers = _distortion(keys, model, report)
    if given is None or numbers is None:
        return None
    wide, high = size
    w = given.get("w", given["h"] * wide / high if "h" in given else float(wide))
    h = given.get("h", w * high / wide)
    # A panorama shows 2 pi radians across and pi down: its focal lengths are pixels per radian.
    fx, fy = (w / (2 * math.pi), h / math.pi) if model == EQUIRECTANGULAR else _focal(given, w, h)
    if not fx:
        report("fl_x", "no focal length", "give fl_x in pixels or camera_angle_x in radians")
        return None
    if model == EQUIRECTANGULAR and wide != 2 * high:
        reason = f"a panorama of {wide}x{high} does not cover the whole sphere"
        report("camera_model", reason, "give panoramas that are twice as wide as high")
        return None
    if not _overrides_pairs(own, shared, report):
        return None
    # K is given for the size in the file, and scaled to the stored image.
    K = intrinsics(fx, fy, given.get("cx", w / 2), given.get("cy", h / 2))
    K = np.diag([wide / w, high / h, 1.0]) @ K
    distortion = _convert_distortion(keys, model, numbers, K, size, report, tally)
    return None if distortion is None else (model, K, distortion, (w, h))


def _overrides_pairs(own: Mapping[str, Any], shared: Mapping[str, Any], report: Report) -> bool:
    """Return whether a frame overrides focal keys in pairs; report one that it overrides alone."""
    for first, second in PAIRS:
        if (first in own) != (second in own) and first in shared and second in shared:
            alone, other = (first, second) if first in own else (second, first)
            reason = f"the frame has {alone} but not {other}, the file has both"
            report(alone, reason, f"give {other} in the frame too")
            return False
    return True


def _model(keys: Mapping[str, Any], report: Report) -> int | None:
    """Return the lens model, of `nerf.cameras.lenses`; None if it is not supported."""
    for key, fix in UNSUPPORTED_LENSES.items():
        if keys.get(key) not in (None, False, 0):
            report(key, "this lens of instant-ngp is not supported", fix)
            return None
    name = keys.get("camera_model") or OUTPUT_NAMES[PERSPECTIVE]
    model = LENSES.get(name.upper() if isinstance(name, str) else "")
    if model is None:
        hint = did_you_mean(name.upper(), LENSES) if isinstance(name, str) else "write OPENCV"
        fix = f"{hint}; or undistort the images to PINHOLE"
        report("camera_model", f"{name!r} is not supported", fix)
    return FISHEYE if model == PERSPECTIVE and flag(keys.get("is_fisheye")) else model


def _distortion(keys: Mapping[str, Any], model: int, report: Report) -> list[float] | None:
    """Return the distortion coefficients in the order of the lens, padded with zeros to 8."""
    names = DISTORTION.get(model, ())
    numbers = []
    for name in names:
        value = number(keys.get(name) or 0.0)
        if value is None or not abs(value) < 1e6:
            reason = f"distortion is not a number: {keys[name]!r}"
            report(name, reason, f"write {', '.join(names)} of the lens")
            return None
        numbers.append(value)
    return [*numbers, *[0.0] * (COEFFICIENTS - len(names))]


def _dimensions(
    keys: Mapping[str, Any], names: Sequence[str], report: Report
) -> dict[str, float] | None:
    """Return the named sizes, lengths and angles that are given; None if one is invalid."""
    given = {}
    for key in (key for key in names if key in keys):
        value = number(keys[key])
        if value is None or (value < 1e-6 and key not in CENTRE):
            kind = "a number" if key in CENTRE else "a positive number"
            report(key, f"{keys[key]!r} is not {kind}", f"write {UNITS.get(key, 'pixels')}")
            return None
        if key in MAX_ANGLES and not value < MAX_ANGLES[key]:
            reason = f"{value:g} is not an angle below {MAX_ANGLES[key]:.4g} {UNITS[key]}"
            report(key, reason, f"write {UNITS[key]}, or fl_x and fl_y in pixels")
            return None
        given[key] = value
    return given


def _focal(given: Mapping[str, float], w: float, h: float) -> tuple[float, float]:
    """Return fx and fy in pixels of a w x h image; zeros if no focal length is given.

    An axis without a focal length takes that of the other axis.
    """
    found = []
    for axis, side in (("x", w), ("y", h)):
        angle = given.get(f"camera_angle_{axis}", math.radians(given.get(f"{axis}_fov", 0.0)))
        # An angle of view gives f = side / (2 tan(angle / 2)); fl_x and fl_y take precedence.
        from_angle = 0.5 * side / math.tan(0.5 * angle) if angle else 0.0
        found.append(given.get(f"fl_{axis}", from_angle))
    return found[0] or found[1], found[1] or found[0]


def _convert_distortion(
    keys: Mapping[str, Any],
    model: int,
    numbers: list[float],
    K: np.ndarray,
    size: tuple[int, int],
    report: Report,
    tally: Tally,
) -> np.ndarray | None:
    """Return the distortion of `nerf.cameras.lenses`; None after a problem.

    The meaning of k4 depends on the file. In OpenCV it is part of a denominator, which only
    FULL_OPENCV, k5 and k6 imply. Otherwise k4 is nerfstudio's, written by RealityCapture and
    Metashape: the coefficient of r^8. Then the polynomial is replaced by a rational function that
    fits it within the image.
    """
    name = str(keys.get("camera_model")).upper()
    if name.endswith("PINHOLE") and any(numbers):
        tally.add("camera_model is a pinhole's, but its distortion is not 0 and is used", name)
    k1, k2, _, _, k3, k4, k5, k6 = numbers
    if model != PERSPECTIVE or name == RATIONAL or not k4 or k5 or k6:
        return np.array(numbers, np.float64)
    fitted = _fit_eighth_power((k1, k2, k3, k4), K, size)
    if fitted is None:
        fix = f"undistort the images; write camera_model {RATIONAL} if k4 is OpenCV's denominator"
        report("k4", "a polynomial with r^8 that no supported lens can represent", fix)
        return None
    hint = f"camera_model {RATIONAL} would make it OpenCV's"
    tally.add("k4 is read as nerfstudio's, the factor of r^8", hint)
    return np.array([*fitted[:2], *numbers[2:4], *fitted[2:]], np.float64)


def _fit_eighth_power(
    k: tuple[float, float, float, float], K: np.ndarray, size: tuple[int, int]
) -> np.ndarray | None:
    """Fit the rational lens' k1 to k6 to 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8 within the image.

    If the distorted radius stops growing before the corners (the polynomial folds), it is fitted up
    to that radius, and the fit must fold there too, because pixels beyond the fold are masked.

    Returns:
      k1 to k6; None if the fit is off by more than `MAX_FIT_ERROR` or folds elsewhere.
    """
    farthest = 1.02 * corner_distance(K, size)  # tangential terms move the corners a little
    focal = float(np.diag(K)[:2].max())
    # Find the range of undistorted radii over which the distorted radius grows.
    r = np.geomspace(1e-3, 1e3, 8001)
    with np.errstate(over="ignore", invalid="ignore"):
        bent = r * np.polyval([*k[::-1], 1.0], r**2)
        before_fold = bent[np.cumprod(np.diff(bent, prepend=0.0) > 0).astype(bool)]
    end = int(np.searchsorted(before_fold, farthest))
    folds = end >= len(before_fold)
    if not farthest > 1e-3 or not len(before_fold):
        return None
    # Fit up to the fold or the farthest corner, whichever comes first.
    last = r[len(before_fold) - 1 if folds else end]
    r = np.linspace(0.0, last, SAMPLES + 1)[1:]
    max_error = max(MAX_ERROR, MAX_FIT_ERROR * max(size))
    found = fit_rational(r**2, np.polyval([*k[::-1], 1.0], r**2), r * focal, max_error)
    if found is None or not folds:
        return found
    # Find the largest distorted radius that the fit reaches before it folds.
    r = np.linspace(0.0, FOLD_SEARCH_FACTOR * last, 8 * SAMPLES)
    above, below = rational_radial(r**2, np.array([*found[:2], 0.0, 0.0, *found[2:]]))
    bent = r * above / below
    reached = bent[1:][np.cumprod(np.diff(bent) > 0).astype(bool)].max()
    return found if reached < before_fold[-1] + MAX_FOLD_ERROR / focal else None


def cameras_to_frames(cameras: Cameras, names: Sequence[str]) -> list[dict[str, Any]]:
    """Convert cameras in the file's world to frames of a transforms file, each with its own lens.

    `check_frames` reads the same cameras back, to the precision of float32.

    Args:
      cameras: n cameras in the file's world.
      names: the n `file_path`s.
    """
    frames = []
    for i, name in enumerate(names):
        lens = int(cameras.model[i])
        (fx, _, cx), (_, fy, cy), _ = np.asarray(cameras.K[i], np.float64).tolist()
        distortion = np.asarray(cameras.distortion[i], np.float64).tolist()
        sizes = dict(zip(SIZE, np.asarray(cameras.size[i]).tolist(), strict=True))
        focal = {} if lens == EQUIRECTANGULAR else {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
        # Zeros are not written. A denominator needs the name under which k4 is read as one.
        bent = {
            key: value
            for key, value in zip(DISTORTION.get(lens, ()), distortion, strict=False)
            if value
        }
        rational = lens == PERSPECTIVE and any(distortion[5:])
        model = RATIONAL if rational else OUTPUT_NAMES[lens]
        matrix = [*np.asarray(cameras.c2w[i], np.float64).tolist(), [0.0, 0.0, 0.0, 1.0]]
        frame = {"file_path": name, "camera_model": model, **sizes, **focal, **bent}
        frames.append({**frame, "transform_matrix": matrix})
    return frames
