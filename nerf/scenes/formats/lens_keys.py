"""Read and write a lens as `transforms.json` files have it: its model, size, focal length, centre and distortion.

What a file says holds for all frames that do not say otherwise. Values that describe one thing are replaced as a whole:
a frame with a focal length of its own has nothing of the file's, whichever keys they use.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.foundation.instantiate import did_you_mean
from nerf.scenes.fits import MAX_ERROR, SAMPLES, corner_distance, fit_rational
from nerf.scenes.lookup import Report
from nerf.scenes.tally import Tally

# nerfstudio's and COLMAP's names of lenses. "ORTHOGRAPHIC" is ours: fl_x and fl_y in pixels per unit of the file.
LENSES = {
    **dict.fromkeys(
        (
            "PINHOLE",
            "SIMPLE_PINHOLE",
            "SIMPLE_RADIAL",
            "RADIAL",
            "OPENCV",
            "FULL_OPENCV",
            "PERSPECTIVE",
        ),
        PERSPECTIVE,
    ),
    **dict.fromkeys(
        (
            "OPENCV_FISHEYE",
            "SIMPLE_RADIAL_FISHEYE",
            "RADIAL_FISHEYE",
            "THIN_PRISM_FISHEYE",
            "FISHEYE",
        ),
        FISHEYE,
    ),
    "SIMPLE_FISHEYE": FISHEYE,
    "EQUIRECTANGULAR": EQUIRECTANGULAR,
    "ORTHOGRAPHIC": ORTHOGRAPHIC,
}
WRITTEN = {
    PERSPECTIVE: "OPENCV",
    FISHEYE: "OPENCV_FISHEYE",
    EQUIRECTANGULAR: "EQUIRECTANGULAR",
    ORTHOGRAPHIC: "ORTHOGRAPHIC",
}
RATIONAL = "FULL_OPENCV"  # the name under which k4, k5 and k6 are OpenCV's denominator
# Which keys the distortion of a lens is made of, in its order.
DISTORTION = {
    PERSPECTIVE: ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    FISHEYE: ("k1", "k2", "k3", "k4", "p1", "p2", "sx1", "sy1"),
}

FOCAL = (
    "fl_x",
    "fl_y",
    "camera_angle_x",
    "camera_angle_y",
    "x_fov",
    "y_fov",
)  # the last two are degrees
SIZE = ("w", "h")
CENTRE = ("cx", "cy")
MODEL = ("camera_model", "is_fisheye")
BENT = tuple(dict.fromkeys(name for names in DISTORTION.values() for name in names))
PAIRS = (("fl_x", "fl_y"), ("camera_angle_x", "camera_angle_y"), ("x_fov", "y_fov"))
KEYS = frozenset((*FOCAL, *SIZE, *CENTRE, *MODEL, *BENT))
# instant-ngp's marks of lenses that this program does not have, and what to write for them.
OTHER_LENSES = {
    "ftheta_p0": "undistort the images to OPENCV or PINHOLE",
    "latlong": "write camera_model EQUIRECTANGULAR for a panorama",
    "equirectangular": "write camera_model EQUIRECTANGULAR for a panorama",
}
MAX_SIDE_ERROR = (
    1e-4  # of a picture's longer side, by which a lens with r^8 may be off: 0.4 pixels of 4000
)
MAX_FOLD_ERROR = 1.0  # pixels, by which it may fold later than what it stands for
FOLD_SEARCH = 4.0  # times the radius of the fold, up to where it is looked for
UNITS = {
    "camera_angle_x": "radians",
    "camera_angle_y": "radians",
    "x_fov": "degrees",
    "y_fov": "degrees",
}
LARGEST_ANGLES = {
    "camera_angle_x": math.pi,
    "camera_angle_y": math.pi,
    "x_fov": 180.0,
    "y_fov": 180.0,
}
OFF_CENTRE = (
    0.15  # of a side: a centre that is farther from the middle belongs to an image of another size
)


def number(value: Any) -> float | None:
    """Return a number, also one in quotes; None for anything else, or one beyond 1e12."""
    if isinstance(value, str) and len(value) < 100 and "_" not in value:
        try:
            value = float(value)
        except ValueError:
            return None
    ok = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if ok else None


def flag(value: Any) -> bool:
    """Return whether a value says yes, also one in quotes."""
    return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)


def merge(own: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a frame says, and of what its file says for all that which it does not replace."""
    replaced: set[str] = set()
    for group, follows in ((FOCAL, ()), (CENTRE, ()), (SIZE, ()), (BENT, ()), (MODEL, BENT)):
        if any(key in own for key in group):
            replaced.update(group, follows)
    if replaced.issuperset(SIZE) and not _fits_centre(own, shared):
        replaced.update(CENTRE)
    return {**{key: value for key, value in shared.items() if key not in replaced}, **own}


def _fits_centre(own: Mapping[str, Any], shared: Mapping[str, Any]) -> bool:
    """Return whether the file's principal point can be that of an image of the frame's own size."""
    for side, centre in zip(SIZE, CENTRE, strict=True):
        length, whole, place = (
            number(own.get(side)),
            number(shared.get(side)),
            number(shared.get(centre)),
        )
        if length is None or place is None:
            continue
        if whole is not None and abs(length - whole) > 0.5:
            return False
        if whole is None and not abs(place / max(length, 1e-6) - 0.5) < OFF_CENTRE:
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
      own: what the frame says.
      shared: what its file says for all frames.
      size: width and height of the image as it is stored; the file may speak of another size.
      report: told what is wrong.
      tally: told what is read in a way that its writer may not have meant.

    Returns:
      The lens of `nerf.cameras.lenses`, K in pixels of the stored image, distortion, and the size in the file;
      None where something is wrong.
    """
    keys = merge(own, shared)
    model = _model(keys, report)
    given = (
        None
        if model is None
        else _sizes(keys, () if model == EQUIRECTANGULAR else (*SIZE, *FOCAL, *CENTRE), report)
    )
    numbers = None if model is None else _distortion(keys, model, report)
    if model is None or given is None or numbers is None:
        return None
    wide, high = size
    w = given.get("w", given["h"] * wide / high if "h" in given else float(wide))
    h = given.get("h", w * high / wide)
    fx, fy = (w / (2 * math.pi), h / math.pi) if model == EQUIRECTANGULAR else _focal(given, w, h)
    if not fx:
        report("fl_x", "no focal length", "give fl_x in pixels or camera_angle_x in radians")
        return None
    if model == EQUIRECTANGULAR and wide != 2 * high:
        reason = f"a panorama of {wide}x{high} is not the whole sphere"
        report("camera_model", reason, "give panoramas that are twice as wide as high")
        return None
    for first, second in PAIRS:
        if (first in own) != (second in own) and first in shared and second in shared:
            alone, other = (first, second) if first in own else (second, first)
            report(
                alone,
                f"the frame has a {alone} and no {other}, the file has both",
                f"give {other} in the frame too",
            )
            return None
    K = np.diag([wide / w, high / h, 1.0]) @ intrinsics(
        fx, fy, given.get("cx", w / 2), given.get("cy", h / 2)
    )
    distortion = _meant(keys, model, numbers, K, size, report, tally)
    return None if distortion is None else (model, K, distortion, (w, h))


def _model(keys: Mapping[str, Any], report: Report) -> int | None:
    for key, fix in OTHER_LENSES.items():
        if keys.get(key) not in (None, False, 0):
            report(key, "instant-ngp's lens of this kind is not supported", fix)
            return None
    name = keys.get("camera_model") or WRITTEN[PERSPECTIVE]
    model = LENSES.get(name.upper() if isinstance(name, str) else "")
    if model is None:
        hint = did_you_mean(name.upper(), LENSES) if isinstance(name, str) else "write OPENCV"
        report(
            "camera_model",
            f"{name!r} is not supported",
            f"{hint}; or undistort the images to PINHOLE",
        )
    return FISHEYE if model == PERSPECTIVE and flag(keys.get("is_fisheye")) else model


def _distortion(keys: Mapping[str, Any], model: int, report: Report) -> list[float] | None:
    names = DISTORTION.get(model, ())
    numbers = []
    for name in names:
        value = number(keys.get(name) or 0.0)
        if value is None or not abs(value) < 1e6:
            report(
                name,
                f"distortion is not a number: {keys[name]!r}",
                f"write {', '.join(names)} of the lens",
            )
            return None
        numbers.append(value)
    return [*numbers, *[0.0] * (COEFFICIENTS - len(names))]


def _sizes(
    keys: Mapping[str, Any], names: Sequence[str], report: Report
) -> dict[str, float] | None:
    """Return those of the numbers that are there; None where one is wrong."""
    given = {}
    for key in (key for key in names if key in keys):
        value = number(keys[key])
        if value is None or (value < 1e-6 and key not in CENTRE):
            kind = "a number" if key in CENTRE else "a positive number"
            report(key, f"{keys[key]!r} is not {kind}", f"write {UNITS.get(key, 'pixels')}")
            return None
        if key in LARGEST_ANGLES and not value < LARGEST_ANGLES[key]:
            reason = f"{value:g} is not an angle below {LARGEST_ANGLES[key]:.4g} {UNITS[key]}"
            report(key, reason, f"write {UNITS[key]}, or fl_x and fl_y in pixels")
            return None
        given[key] = value
    return given


def _focal(given: Mapping[str, float], w: float, h: float) -> tuple[float, float]:
    """Return fx and fy in pixels of an image of w x h; zeros where there is no focal length.

    An axis without one has that of the other axis.
    """
    found = []
    for axis, side in (("x", w), ("y", h)):
        angle = given.get(f"camera_angle_{axis}", math.radians(given.get(f"{axis}_fov", 0.0)))
        seen = 0.5 * side / math.tan(0.5 * angle) if angle else 0.0
        found.append(given.get(f"fl_{axis}", seen))
    return found[0] or found[1], found[1] or found[0]


def _meant(
    keys: Mapping[str, Any],
    model: int,
    numbers: list[float],
    K: np.ndarray,
    size: tuple[int, int],
    report: Report,
    tally: Tally,
) -> np.ndarray | None:
    """Return the distortion of `nerf.cameras.lenses` for what a file's numbers mean under the name of its lens.

    OpenCV's k4 is in a denominator, which only FULL_OPENCV and k5 and k6 mean. Otherwise k4 is nerfstudio's, as it
    comes from RealityCapture and Metashape: the factor of r^8 (0 without k4).
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
        report("k4", "a polynomial with r^8 that no lens here can represent", fix)
        return None
    tally.add(
        "k4 is read as nerfstudio's, the factor of r^8",
        f"camera_model {RATIONAL} would make it OpenCV's",
    )
    return np.array([*fitted[:2], *numbers[2:4], *fitted[2:]], np.float64)


def _fit_eighth_power(
    k: tuple[float, float, float, float], K: np.ndarray, size: tuple[int, int]
) -> np.ndarray | None:
    """Fit k1 to k6 of the rational lens to 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8 within the image.

    Where the polynomial folds before the corners, it is fitted up to the fold, and the result must fold there too:
    pixels beyond are masked then. None where the result is off by more than MAX_SIDE_ERROR.
    """
    farthest = 1.02 * corner_distance(K, size)  # tangential terms move the corners a little
    focal = float(np.diag(K)[:2].max())
    r = np.geomspace(1e-3, 1e3, 8001)
    with np.errstate(over="ignore", invalid="ignore"):
        bent = r * np.polyval([*k[::-1], 1.0], r**2)
        before_fold = bent[np.cumprod(np.diff(bent, prepend=0.0) > 0).astype(bool)]
    end = int(np.searchsorted(before_fold, farthest))
    folds = end >= len(before_fold)
    if not farthest > 1e-3 or not len(before_fold):
        return None
    last = r[len(before_fold) - 1 if folds else end]
    r = np.linspace(0.0, last, SAMPLES + 1)[1:]
    max_error = max(MAX_ERROR, MAX_SIDE_ERROR * max(size))
    found = fit_rational(r**2, np.polyval([*k[::-1], 1.0], r**2), r * focal, max_error)
    if found is None or not folds:
        return found
    r = np.linspace(0.0, FOLD_SEARCH * last, 8 * SAMPLES)
    bent = r * np.polyval([*found[2::-1], 1.0], r**2) / np.polyval([*found[:2:-1], 1.0], r**2)
    reached = bent[1:][np.cumprod(np.diff(bent) > 0).astype(bool)].max()
    return found if reached < before_fold[-1] + MAX_FOLD_ERROR / focal else None


def cameras_to_frames(cameras: Cameras, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the frames of a transforms file, each with its own lens, of cameras in the file's world.

    Reading them gives the cameras back: as float32 gives their numbers, and rotations as `check_frames` wants them.
    """
    frames = []
    for i, name in enumerate(names):
        lens = int(cameras.model[i])
        (fx, _, cx), (_, fy, cy), _ = np.asarray(cameras.K[i], np.float64).tolist()
        distortion = np.asarray(cameras.distortion[i], np.float64).tolist()
        sizes = dict(zip(SIZE, np.asarray(cameras.size[i]).tolist(), strict=True))
        focal = {} if lens == EQUIRECTANGULAR else {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
        bent = {
            key: value
            for key, value in zip(DISTORTION.get(lens, ()), distortion, strict=False)
            if value
        }
        model = RATIONAL if lens == PERSPECTIVE and any(distortion[5:]) else WRITTEN[lens]
        matrix = [*np.asarray(cameras.c2w[i], np.float64).tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append(
            {
                "file_path": name,
                "camera_model": model,
                **sizes,
                **focal,
                **bent,
                "transform_matrix": matrix,
            }
        )
    return frames
