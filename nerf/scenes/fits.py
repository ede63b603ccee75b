"""Fit the lens models of `nerf.cameras.lenses` to radially symmetric lenses of other models.

A lens without tangential terms is a curve r(theta): theta is the angle between a direction and the
optical axis, and r the distance from the principal point, in focal lengths. The curve is given as
samples from the axis to the farthest corner. A fit is rejected if it differs from them by more than
`MAX_ERROR` pixels.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import FISHEYE, PERSPECTIVE

MAX_ERROR = 0.05  # pixels
GOOD_ERROR = 0.005  # pixels; below this, fewer coefficients are preferred to a better fit
MAX_ANGLE = np.radians(80.0)  # largest angle to the axis for a perspective lens
REWEIGHTINGS = 8  # iterations of the linearised fit
SAMPLES = 400  # samples of a lens curve, and points at which its denominator is checked


class Fit(NamedTuple):
    """A lens that approximates another.

    Attributes:
      model: a lens model of `nerf.cameras.lenses`.
      distortion: its coefficients.
      zoom: factor by which the focal lengths change.
    """

    model: int
    distortion: Float[np.ndarray, "8"]
    zoom: float


def fit_lens(
    theta: Float[np.ndarray, " n"], r: Float[np.ndarray, " n"], focal: float, slope: float = 1.0
) -> Fit | None:
    """Fit a perspective lens, or otherwise a fisheye lens.

    A perspective lens is tried if the field is not too wide.

    Args:
      theta: angles to the axis in radians, increasing from above 0 to the farthest corner.
      r: distances from the principal point at these angles, in focal lengths.
      focal: focal length in pixels, for the error.
      slope: derivative of r with respect to theta on the axis.

    Returns:
      The lens, or None if neither model fits.
    """
    # A curve that is not increasing cannot be inverted.
    if not (
        np.isfinite(theta).all()
        and np.isfinite(r).all()
        and (np.diff(theta) > 0).all()
        and (np.diff(r) > 0).all()
    ):
        return None
    if theta[-1] < MAX_ANGLE:
        # A pinhole camera has r = slope * tan(theta); the fit gives the ratio to it.
        pinhole = np.tan(theta)
        weight = slope * focal * pinhole
        rational = fit_rational(pinhole**2, r / (slope * pinhole), weight)
        if rational is not None:
            k1, k2, k3, *below = rational
            return Fit(PERSPECTIVE, np.array([k1, k2, 0.0, 0.0, k3, *below]), slope)
    return _fit_fisheye(theta, r, focal)


def fit_rational(
    square: Float[np.ndarray, " n"],
    radial: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    max_error: float = MAX_ERROR,
) -> Float[np.ndarray, "6"] | None:
    """Fit a rational radial distortion to a curve that begins at 1.

    The distortion is (1 + k1 s + k2 s^2 + k3 s^3) / (1 + k4 s + k5 s^2 + k6 s^3), with s = r^2.
    Multiplied by the denominator, the problem is linear. Its rows are divided by the denominator of
    the previous fit (Sanathanan and Koerner, 1963), so that the iteration minimises errors in
    pixels. The denominator may have no zero up to twice the picture's radius: beyond one, the lens
    would map directions outside of the picture into it.

    Args:
      square: values of s, up to that of the farthest corner.
      radial: the curve at these values.
      weight: pixels per unit of the curve at these values.
      max_error: largest error in pixels.

    Returns:
      k1 to k6, or None if the error exceeds `max_error`.
    """
    # Scale s to [0, 1] for numerical accuracy.
    s = square / square[-1]
    best = None
    min_error = max_error
    for count in range(4):
        found, error = _fit_denominator(s, radial, weight, count)
        if error < min_error:
            best = np.concatenate([found, np.zeros(3 - count)])
            min_error = error
            if error < GOOD_ERROR:
                break
    if best is None:
        return None
    # Undo the scaling of s.
    return best / square[-1] ** np.tile(np.arange(1.0, 4.0), 2)


def _fit_denominator(
    s: np.ndarray, radial: np.ndarray, weight: np.ndarray, count: int
) -> tuple[np.ndarray, float]:
    """Fit a rational distortion with `count` coefficients in the denominator, for s in [0, 1].

    Returns:
      The coefficients of numerator and denominator, and the largest error in pixels; infinity for a
      denominator with a zero in the picture or up to twice its radius.
    """
    powers = s[:, None] ** np.arange(1, 4)
    far = np.linspace(0.0, 4.0, SAMPLES)[:, None] ** np.arange(1, 4)
    # N(s) = radial * D(s) is linear in the coefficients of N and D.
    rows = np.concatenate([powers, -radial[:, None] * powers[:, :count]], -1)
    below = np.ones_like(s)
    for _ in range(REWEIGHTINGS):
        scale = weight / np.maximum(below, 1e-6)
        found = np.linalg.lstsq(rows * scale[:, None], (radial - 1.0) * scale, rcond=1e-12)[0]
        above = 1.0 + powers @ found[:3]
        below = 1.0 + powers[:, :count] @ found[3:]
    if not (
        np.isfinite(found).all()
        and (1.0 + far[:, :count] @ found[3:] > 0.0).all()
        and (below > 0.0).all()
    ):
        return found, np.inf
    return found, float(np.abs((above / below - radial) * weight).max())


def _fit_fisheye(theta: np.ndarray, r: np.ndarray, focal: float) -> Fit | None:
    """Fit r = zoom theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)."""
    # The odd polynomial is linear in its coefficients; angles are scaled to [0, 1] for accuracy.
    unit = theta / theta[-1]
    powers = unit[:, None] ** np.arange(1, 10, 2)
    found = np.linalg.lstsq(powers, r, rcond=1e-12)[0]
    if (
        not np.isfinite(found).all()
        or not found[0] > 0
        or np.abs(powers @ found - r).max() * focal > MAX_ERROR
    ):
        return None
    # Undo the scaling, and factor out the linear coefficient.
    k = found[1:] / found[0] / theta[-1] ** np.arange(2, 9, 2)
    return Fit(FISHEYE, np.array([*k, 0.0, 0.0, 0.0, 0.0]), float(found[0] / theta[-1]))


def corner_distance(
    K: Float[np.ndarray, "3 3"], size: tuple[int, int] | tuple[float, float]
) -> float:
    """Return the farthest corner's distance from the principal point, in focal lengths."""
    corners = np.array([[x, y] for x in (0.0, size[0]) for y in (0.0, size[1])])
    return float(np.linalg.norm((corners - K[:2, 2]) / np.diag(K)[:2], axis=-1).max())
