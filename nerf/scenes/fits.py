"""Fit the lenses of `nerf.cameras.lenses` to radially symmetric ones that are written by other formulas.

A lens without tangential terms is one curve: from the angle theta between a direction and the optical axis to the
distance r from the principal point, in focal lengths. It is given as samples from the axis to the farthest corner, and
the fit is checked at them: a lens that does not fit to within `MAX_ERROR` pixels is not replaced by another.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nerf.cameras.lenses import FISHEYE, PERSPECTIVE

MAX_ERROR = 0.05  # pixels
GOOD_ERROR = 0.005  # pixels; fewer coefficients are preferred to a better fit than that
MAX_ANGLE = np.radians(80.0)  # to the axis, for a perspective lens
REWEIGHTINGS = 8
SAMPLES = 400


class Fit(NamedTuple):
    """A lens that stands for another: `model`, its `distortion`, and the factor by which focal lengths change."""

    model: int
    distortion: Float[np.ndarray, "8"]
    zoom: float


def fit_lens(
    theta: Float[np.ndarray, " n"], r: Float[np.ndarray, " n"], focal: float, slope: float = 1.0
) -> Fit | None:
    """Fit a perspective lens, or a fisheye where the field is wide.

    Args:
      theta: angles to the axis in radians, growing from above 0 to the farthest corner.
      r: their distances from the principal point, in focal lengths.
      focal: pixels for a focal length, for the error.
      slope: of r by theta on the axis.

    Returns:
      The lens, or None where neither fits.
    """
    if not (
        np.isfinite(theta).all() and np.isfinite(r).all() and (np.diff(theta) > 0).all() and (np.diff(r) > 0).all()
    ):
        return None
    if theta[-1] < MAX_ANGLE:
        straight = np.tan(theta)
        if (rational := fit_rational(straight**2, r / (slope * straight), slope * focal * straight)) is not None:
            k1, k2, k3, *below = rational
            return Fit(PERSPECTIVE, np.array([k1, k2, 0.0, 0.0, k3, *below]), slope)
    return _fit_fisheye(theta, r, focal)


def fit_rational(
    square: Float[np.ndarray, " n"],
    radial: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    max_error: float = MAX_ERROR,
) -> Float[np.ndarray, "6"] | None:
    """Fit (1 + k1 s + k2 s^2 + k3 s^3) / (1 + k4 s + k5 s^2 + k6 s^3), with s = r^2, to a curve that begins at 1.

    Multiplied by the denominator the problem is linear; its rows are divided by the denominator of the fit before
    (Sanathanan and Koerner, 1963), so that in the end pixels are minimised. A denominator may have no zero up to twice
    the picture's radius, where a lens would show what lies outside of the picture.

    Args:
      square: s, up to that of the farthest corner.
      radial: the curve.
      weight: pixels of a unit of it.
      max_error: pixels.

    Returns:
      k1 to k6, or None where the error exceeds `max_error`.
    """
    s = square / square[-1]
    powers = s[:, None] ** np.arange(1, 4)
    far = np.linspace(0.0, 4.0, SAMPLES)[:, None] ** np.arange(1, 4)
    best, least = None, max_error
    for count in range(4):  # of coefficients of the denominator
        rows = np.concatenate([powers, -radial[:, None] * powers[:, :count]], -1)
        below = np.ones_like(s)
        for _ in range(REWEIGHTINGS):
            scale = weight / np.maximum(below, 1e-6)
            found = np.linalg.lstsq(rows * scale[:, None], (radial - 1.0) * scale, rcond=1e-12)[0]
            above, below = 1.0 + powers @ found[:3], 1.0 + powers[:, :count] @ found[3:]
        if not (np.isfinite(found).all() and (1.0 + far[:, :count] @ found[3:] > 0.0).all() and (below > 0.0).all()):
            continue
        error = float(np.abs((above / below - radial) * weight).max())
        if error < least:
            best, least = np.concatenate([found, np.zeros(3 - count)]), error
        if least < GOOD_ERROR:
            break
    return None if best is None else best / square[-1] ** np.tile(np.arange(1.0, 4.0), 2)


def _fit_fisheye(theta: np.ndarray, r: np.ndarray, focal: float) -> Fit | None:
    """Fit r = zoom theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)."""
    unit = theta / theta[-1]
    powers = unit[:, None] ** np.arange(1, 10, 2)
    found = np.linalg.lstsq(powers, r, rcond=1e-12)[0]
    if not np.isfinite(found).all() or not found[0] > 0 or np.abs(powers @ found - r).max() * focal > MAX_ERROR:
        return None
    k = found[1:] / found[0] / theta[-1] ** np.arange(2, 9, 2)
    return Fit(FISHEYE, np.array([*k, 0.0, 0.0, 0.0, 0.0]), float(found[0] / theta[-1]))


def corner_distance(K: Float[np.ndarray, "3 3"], size: tuple[int, int] | tuple[float, float]) -> float:
    """Return the distance of an image's farthest corner from its principal point, in focal lengths."""
    corners = np.array([[x, y] for x in (0.0, size[0]) for y in (0.0, size[1])])
    return float(np.linalg.norm((corners - K[:2, 2]) / np.diag(K)[:2], axis=-1).max())
