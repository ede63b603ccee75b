"""Read and write the lenses of COLMAP's models (its `models.h`, version 4.2).

Most are lenses of `nerf.cameras.lenses`. Division lenses, FOV and EUCM map angle to radius by other
formulas; a supported lens is fitted to them (see `nerf.scenes.fits`), and they are refused if its
error exceeds a twentieth of a pixel.
"""

import math

import numpy as np
from jaxtyping import Float

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, PERSPECTIVE
from nerf.scenes.base import Problem, SceneError
from nerf.scenes.fits import SAMPLES, corner_distance, fit_lens
from nerf.scenes.formats.colmap_model import PARAMETERS, UNDISTORT, Lens
from nerf.scenes.formats.lens_keys import DISTORTION

REFUSED = ("RAD_TAN_THIN_PRISM_FISHEYE",)
FITTED = ("SIMPLE_DIVISION", "DIVISION", "FOV", "EUCM")


class LensError(ValueError):
    """Error for a COLMAP camera that cannot be represented.

    Args:
      reason: the problem; becomes the message.
      fix: how the user can fix it.

    Attributes:
      fix: how the user can fix it.
    """

    def __init__(self, reason: str, fix: str = UNDISTORT):
        super().__init__(reason)
        self.fix = fix


def camera_of(lens: Lens) -> tuple[np.ndarray, tuple[float, float], int, np.ndarray]:
    """Convert a COLMAP lens to K, size, lens model and distortion of `Cameras`.

    Raises:
      LensError: for a lens that cannot be represented.
    """
    names = PARAMETERS[lens.kind][1].split()
    given = dict(zip(names, lens.parameters.tolist(), strict=True))
    size = float(lens.size[0]), float(lens.size[1])
    if lens.kind in REFUSED:
        raise LensError(f"camera model {lens.kind} is not supported")
    if not (np.abs(lens.parameters) < 1e12).all():
        raise LensError("numbers that are not finite", "estimate the poses again")
    if lens.kind == "EQUIRECTANGULAR":
        if size[0] != 2 * size[1]:
            reason = f"a panorama of {size[0]:g}x{size[1]:g} does not cover the whole sphere"
            raise LensError(reason, "give panoramas that are twice as wide as high")
        # The focal lengths of a panorama are pixels per radian: 2 pi across, pi down.
        K = intrinsics(size[0] / (2 * math.pi), size[1] / math.pi, size[0] / 2, size[1] / 2)
        return K, size, EQUIRECTANGULAR, np.zeros(8)
    fx, fy = (given["f" if "f" in given else name] for name in ("fx", "fy"))
    K = intrinsics(fx, fy, given["cx"], given["cy"])
    if lens.kind in FITTED:
        return _fit(lens.kind, given, K, size)
    model = FISHEYE if "FISHEYE" in lens.kind else PERSPECTIVE
    return K, size, model, np.array([given.get(name, 0.0) for name in DISTORTION[model]])


def _fit(
    kind: str, given: dict[str, float], K: Float[np.ndarray, "3 3"], size: tuple[float, float]
) -> tuple[np.ndarray, tuple[float, float], int, np.ndarray]:
    """Fit a supported lens to one of `FITTED`, up to the farthest corner."""
    shown = f"{size[0]:g}x{size[1]:g}"
    refused = LensError(
        f"camera model {kind} is bent too strongly to be represented within {shown}"
    )
    focal = float(np.abs(np.diag(K)[:2]).max())
    if not (min(size) >= 1 and np.diag(K)[:2].min() > 1e-3 and np.abs(K).max() < 1e9):
        raise refused
    # Sample the curve from angle to radius, the latter in focal lengths. Impossible radii give NaN,
    # which `fit_lens` refuses.
    farthest = corner_distance(K, size)
    with np.errstate(all="ignore"):
        theta, slope = _angles(kind, given, np.linspace(0.0, farthest, SAMPLES + 1)[1:])
        fit = fit_lens(theta, np.linspace(0.0, farthest, SAMPLES + 1)[1:], focal, slope)
    if fit is None:
        raise refused
    # The fit rescales the focal lengths, and keeps the principal point.
    K = K * np.array([[fit.zoom, 1.0, 1.0], [1.0, fit.zoom, 1.0], [1.0, 1.0, 1.0]])
    return K, size, fit.model, fit.distortion


def _angles(
    kind: str, given: dict[str, float], r: Float[np.ndarray, " n"]
) -> tuple[np.ndarray, float]:
    """Return the angles theta to the optical axis at radii r, and dr / dtheta on the axis.

    r is the distance from the principal point in focal lengths, theta is in radians.

    Division: tan(theta) = r / (1 + k r^2) (Fitzgibbon 2001). FOV: tan(theta) = tan(omega r) / (2
    tan(omega / 2)) (Devernay & Faugeras 2001). EUCM: r = sin / (alpha sqrt(beta sin^2 + cos^2) + (1
    - alpha) cos) of theta, with the inverse tan(theta) = r / m_z, m_z = (1 - beta alpha^2 r^2) /
    (alpha sqrt(1 - (2 alpha - 1) beta r^2) + 1 - alpha) (Khomutenko et al. 2016).
    """
    if "DIVISION" in kind:
        return np.arctan2(r, 1.0 + given["k"] * r * r), 1.0
    if kind == "FOV":
        omega = given["omega"]
        if abs(omega) < 1e-6:
            return np.arctan(r), 1.0  # the limit is a pinhole
        bent = np.where(np.abs(omega * r) < 0.5 * np.pi, np.tan(omega * r), np.nan)
        half = 2.0 * np.tan(0.5 * omega)
        return np.arctan(bent / half), float(half / omega)
    alpha, beta = given["alpha"], given["beta"]
    root = alpha * np.sqrt(1.0 - (2.0 * alpha - 1.0) * beta * r * r) + 1.0 - alpha
    return np.arctan2(r, (1.0 - beta * alpha * alpha * r * r) / root), 1.0


def lens_of(camera: Cameras, name: str) -> Lens:
    """Convert one camera, without leading axes, to a COLMAP lens.

    Args:
      camera: the camera.
      name: its image, for the error.

    Raises:
      SceneError: for an orthographic camera, which COLMAP does not have.
    """
    size = int(camera.size[0]), int(camera.size[1])
    model = int(camera.model)
    if model == EQUIRECTANGULAR:
        return Lens("EQUIRECTANGULAR", size, np.array(size, np.float64))
    kind = {PERSPECTIVE: "FULL_OPENCV", FISHEYE: "THIN_PRISM_FISHEYE"}.get(model)
    if kind is None:
        reason = "COLMAP has no orthographic lens"
        raise SceneError([Problem(name, "", reason, "use transforms.json instead")])
    K, distortion = np.asarray(camera.K, float), np.asarray(camera.distortion, float)
    known = dict(zip(DISTORTION[model], distortion, strict=True))
    known |= {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    if not distortion.any() and kind == "FULL_OPENCV":
        kind = "PINHOLE"
    return Lens(kind, size, np.array([known[word] for word in PARAMETERS[kind][1].split()]))
