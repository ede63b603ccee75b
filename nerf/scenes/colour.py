"""Convert colours of other spaces to sRGB: primaries and transfer curves.

In-gamut colours are kept exactly and the others are clipped (relative colorimetric): views of one thing stay
consistent with one another, which a perceptual mapping does not promise. Light brighter than the white of
an HDR signal is compressed into the last tenth.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Real

Curve = Callable[[np.ndarray], np.ndarray]

# Chromaticities x, y of red, green, blue and white, by their number in ITU-T H.273, which video, PNG's cICP chunk
# and HEIF share.
_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
PRIMARIES = {
    1: (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65),  # BT.709, sRGB
    4: (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, *_C),  # BT.470 M, the first NTSC
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, *_D65),  # BT.470 B/G, PAL
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),  # SMPTE 170M, NTSC
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),  # SMPTE 240M
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),  # film
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),  # BT.2020
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),  # DCI-P3
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),  # Display P3
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),  # EBU 3213
}
ADOBE_RGB = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, *_D65)
ADOBE_GAMMA = 563 / 256
UNSPECIFIED = 2  # of primaries and of curves

# The curves of H.273 whose signal every display shows through about the same curve, whatever the camera used: such
# values are sRGB's as they are, as players show them.
DISPLAY_CURVES = (1, UNSPECIFIED, 4, 5, 6, 7, 11, 12, 13, 14, 15)
LINEAR, PQ, HLG = 8, 16, 18
CURVE_NAMES = {3: "reserved", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE 428"}

HDR_KNEE = 0.9  # of SDR's white, in linear light: darker light is not touched
PQ_WHITE = 203 / 10000  # of PQ's peak: diffuse white (BT.2408)
MAX_SRGB_ERROR = 1  # levels of 255 by which a profile may differ from sRGB and be taken for it
MAX_MATRIX = 100.0  # entry of a matrix between primaries; those of real ones stay below 4
PIXELS_AT_ONCE = 1 << 20  # converted at a time, which bounds the memory

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])  # the white of ICC's connection space


class ImageError(ValueError):
    """Report an image that cannot be read as it is meant; the message is the reason.

    Attributes:
      fix: what the user can do.
    """

    def __init__(self, reason: str, fix: str):
        super().__init__(reason)
        self.fix = fix


@dataclasses.dataclass(frozen=True)
class ColourSpace:
    """Describe what RGB numbers of a file stand for.

    Attributes:
      curves: numbers in [0, 1] to linear light, for red, green and blue.
      matrix: linear light to that of sRGB's primaries.
      peak: the largest linear light, where SDR's white is 1.
    """

    curves: tuple[Curve, Curve, Curve]
    matrix: Float[np.ndarray, "3 3"]
    peak: float = 1.0

    def is_srgb(self) -> bool:
        """Return whether conversion would change no 8-bit colour by more than a level."""
        x = np.linspace(0.0, 1.0, 64)
        close = [np.abs(linear_to_srgb(curve(x)) - x).max() < MAX_SRGB_ERROR / 255 for curve in self.curves]
        return self.peak == 1.0 and all(close) and bool(np.abs(self.matrix - np.eye(3)).max() < 2e-3)


def srgb_to_linear(x: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Decode sRGB values (IEC 61966-2-1)."""
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)


def gamma(exponent: float) -> Curve:
    """Return the curve x ** exponent."""
    return lambda x: x**exponent


def _hlg_scene_light(x: np.ndarray) -> np.ndarray:
    """Apply the inverse OETF of hybrid log-gamma (BT.2100, table 5); 1 is the largest."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(x <= 0.5, x**2 / 3, (np.exp((x - c) / a) + b) / 12)


# Signal level 75 % is diffuse white (BT.2408).
HLG_WHITE = float(_hlg_scene_light(np.array(0.75)))


def _hlg(x: np.ndarray) -> np.ndarray:
    """Decode HLG to the light of the scene, as sRGB photos of the same scene hold it.

    The rest of HLG's transfer function (OOTF) belongs to the display, and is nearly the identity for
    one as bright as SDR's (BT.2100, note 5f: an exponent of 0.91 at 203 cd/m2).
    """
    return _hlg_scene_light(x) / HLG_WHITE


def _pq(x: np.ndarray) -> np.ndarray:
    """Decode SMPTE ST 2084 (BT.2100, table 4); 1 is diffuse white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = x ** (1 / m2)
    return (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1) / PQ_WHITE


def _rgb_to_xyz(chromaticities: Sequence[float]) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ, where white has Y = 1."""
    xy = np.array(chromaticities, np.float64).reshape(4, 2)
    xyz = np.concatenate([xy, 1.0 - xy.sum(1, keepdims=True)], 1) / xy[:, 1:]
    return xyz[:3].T * np.linalg.solve(xyz[:3].T, xyz[3])


def _adaptation(white: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the matrix that adapts XYZ under one white to another (Bradford)."""
    gains = (_BRADFORD @ target) / (_BRADFORD @ white)
    return np.linalg.solve(_BRADFORD, gains[:, None] * _BRADFORD)


def matrix_to_srgb(chromaticities: Sequence[float]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB of these primaries and white to sRGB's.

    Raises: ImageError, where they are no triangle around a white.
    """
    srgb = _rgb_to_xyz(PRIMARIES[1])
    try:
        with np.errstate(all="raise"):
            own = _rgb_to_xyz(chromaticities)
            matrix = np.linalg.solve(srgb, _adaptation(own.sum(1), srgb.sum(1)) @ own)
        if np.abs(matrix).max() < MAX_MATRIX:
            return matrix
    except (np.linalg.LinAlgError, FloatingPointError):
        pass
    shown = ", ".join(f"{value:g}" for value in chromaticities)
    raise ImageError(f"its primaries are no colours ({shown})", "save it as sRGB")


def from_chromaticities(chromaticities: Sequence[float], curve: Curve = srgb_to_linear) -> ColourSpace:
    """Return the space of these primaries and white: x, y of red, green, blue and white.

    Raises: ImageError, where they are no triangle around a white.
    """
    return ColourSpace((curve,) * 3, matrix_to_srgb(chromaticities))


def matrix_from_pcs() -> Float[np.ndarray, "3 3"]:
    """Return the matrix from XYZ of ICC's connection space to linear sRGB."""
    srgb = _rgb_to_xyz(PRIMARIES[1])
    return np.linalg.inv(_adaptation(srgb.sum(1), D50) @ srgb)


def from_cicp(primaries: int, transfer: int) -> ColourSpace:
    """Return the space of two code points of ITU-T H.273.

    Raises: ImageError, for one that is not known.
    """
    if primaries not in PRIMARIES and primaries != UNSPECIFIED:
        raise ImageError(f"its primaries have the unknown code {primaries}", "save it as sRGB")
    curves = {LINEAR: (lambda x: x, 1.0), PQ: (_pq, 1 / PQ_WHITE), HLG: (_hlg, 1 / HLG_WHITE)}
    curves |= dict.fromkeys(DISPLAY_CURVES, (srgb_to_linear, 1.0))
    if transfer not in curves:
        name = CURVE_NAMES.get(transfer, f"code {transfer}")
        raise ImageError(f"its transfer curve ({name}) is not supported", "save it as sRGB")
    curve, peak = curves[transfer]
    matrix = matrix_to_srgb(PRIMARIES[1 if primaries == UNSPECIFIED else primaries])
    return ColourSpace((curve,) * 3, matrix, peak)


def _compress(linear: np.ndarray, peak: float) -> np.ndarray:
    """Fit linear light of up to `peak` into [0, 1]; hues are kept, and all below the knee.

    Reinhard's curve with a white point (2002, equation 4), from the knee on.
    """
    brightest = np.maximum(linear.max(-1, keepdims=True), 1e-6)
    u = np.maximum(brightest - HDR_KNEE, 0.0) / (1.0 - HDR_KNEE)
    u_peak = (peak - HDR_KNEE) / (1.0 - HDR_KNEE)
    fitted = HDR_KNEE + (1.0 - HDR_KNEE) * u * (1.0 + u / u_peak**2) / (1.0 + u)
    return linear * np.where(brightest > HDR_KNEE, fitted / brightest, 1.0)


def to_srgb(pixels: Real[np.ndarray, "h w c"], space: ColourSpace) -> Real[np.ndarray, "h w c"]:
    """Convert uint8 or uint16 pixels to sRGB in the same type; a fourth channel is kept.

    Pixels of a space that is sRGB are returned as they are.
    """
    if space.is_srgb():
        return pixels
    levels = np.iinfo(pixels.dtype).max
    steps = np.arange(levels + 1) / levels
    tables = [curve(steps).astype(np.float32) for curve in space.curves]
    matrix = space.matrix.astype(np.float32)
    result = pixels.copy()
    rows = max(PIXELS_AT_ONCE // max(pixels.shape[1], 1), 1)
    for first in range(0, len(pixels), rows):
        part = pixels[first : first + rows]
        linear = np.stack([table[part[..., i]] for i, table in enumerate(tables)], -1) @ matrix.T
        linear = linear if space.peak == 1.0 else _compress(linear, space.peak)
        encoded = linear_to_srgb(np.clip(linear, 0.0, 1.0))
        result[first : first + rows, :, :3] = np.rint(encoded * levels)
    return result
