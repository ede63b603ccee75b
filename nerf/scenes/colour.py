"""Convert colours of other spaces to sRGB: primaries and transfer curves.

The intent is relative colorimetric: colours that sRGB can show are exact, and the others are
clipped. This keeps views of the same object consistent, which a perceptual mapping may not.
HDR light that is brighter than SDR's white is compressed into the range above `HDR_KNEE`.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Real

Curve = Callable[[np.ndarray], np.ndarray]

# Chromaticities x, y of red, green, blue and white, by their code in ITU-T H.273. Video, PNG's cICP
# chunk and HEIF use these codes.
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
UNSPECIFIED = 2  # code of primaries and of curves

# Codes of H.273 for camera curves whose signal displays decode with about the same curve. Video
# players show such values as sRGB, and so does this module.
DISPLAY_CURVES = (1, UNSPECIFIED, 4, 5, 6, 7, 11, 12, 13, 14, 15)
LINEAR, PQ, HLG = 8, 16, 18
CURVE_NAMES = {3: "reserved", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE 428"}

HDR_KNEE = 0.9  # linear light, as a fraction of SDR's white, up to which HDR is unchanged
PQ_WHITE = 203 / 10000  # diffuse white (BT.2408) as a fraction of PQ's peak
MAX_SRGB_ERROR = 1  # levels of 255; a profile that differs less is treated as sRGB
MAX_MATRIX = 100.0  # largest entry of a matrix between primaries; real ones are below 4
PIXELS_AT_ONCE = 1 << 20  # number of pixels converted at a time; limits the memory

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D50 = np.array([0.9642, 1.0, 0.8249])  # XYZ of the white of ICC's profile connection space


class ImageError(ValueError):
    """An image that cannot be read correctly; the message is the reason.

    Attributes:
      fix: what the user can do.
    """

    def __init__(self, reason: str, fix: str):
        super().__init__(reason)
        self.fix = fix


@dataclasses.dataclass(frozen=True)
class ColourSpace:
    """Colour space of a file's RGB values.

    Attributes:
      curves: functions from values in [0, 1] to linear light, for red, green and blue.
      matrix: from linear light in the file's primaries to linear light in sRGB's.
      peak: the largest linear light, in units of SDR's white.
    """

    curves: tuple[Curve, Curve, Curve]
    matrix: Float[np.ndarray, "3 3"]
    peak: float = 1.0

    def is_srgb(self) -> bool:
        """Return whether conversion changes 8-bit colours by less than `MAX_SRGB_ERROR` levels."""
        x = np.linspace(0.0, 1.0, 64)
        close = [
            np.abs(linear_to_srgb(curve(x)) - x).max() < MAX_SRGB_ERROR / 255
            for curve in self.curves
        ]
        return (
            self.peak == 1.0 and all(close) and bool(np.abs(self.matrix - np.eye(3)).max() < 2e-3)
        )


def srgb_to_linear(x: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Decode sRGB values (IEC 61966-2-1)."""
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    return np.where(
        x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    )


def gamma(exponent: float) -> Curve:
    """Return the curve x ** exponent."""
    return lambda x: x**exponent


def _hlg_scene_light(x: np.ndarray) -> np.ndarray:
    """Apply HLG's inverse OETF (BT.2100, table 5); the maximum is 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(x <= 0.5, x**2 / 3, (np.exp((x - c) / a) + b) / 12)


# A signal level of 75 % is diffuse white (BT.2408).
HLG_WHITE = float(_hlg_scene_light(np.array(0.75)))


def _hlg(x: np.ndarray) -> np.ndarray:
    """Decode HLG to scene light, in units of diffuse white.

    sRGB photos of the same scene decode to the same light. HLG's display transfer function (OOTF)
    is omitted: it is nearly the identity for a display as bright as SDR's (BT.2100, note 5f: an
    exponent of 0.91 at 203 cd/m2).
    """
    return _hlg_scene_light(x) / HLG_WHITE


def _pq(x: np.ndarray) -> np.ndarray:
    """Decode PQ (BT.2100, table 4) to light in units of diffuse white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = x ** (1 / m2)
    return (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1) / PQ_WHITE


def _rgb_to_xyz(chromaticities: Sequence[float]) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ that gives white Y = 1."""
    xy = np.array(chromaticities, np.float64).reshape(4, 2)
    # XYZ of each primary and of white, scaled to Y = 1: (x, y, 1 - x - y) / y.
    xyz = np.concatenate([xy, 1.0 - xy.sum(1, keepdims=True)], 1) / xy[:, 1:]
    # Scale the primaries so that their sum is white.
    return xyz[:3].T * np.linalg.solve(xyz[:3].T, xyz[3])


def _adaptation(white: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the Bradford matrix that adapts XYZ from one white to another."""
    gains = (_BRADFORD @ target) / (_BRADFORD @ white)
    return np.linalg.solve(_BRADFORD, gains[:, None] * _BRADFORD)


def matrix_to_srgb(chromaticities: Sequence[float]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB of these chromaticities to linear sRGB.

    Raises:
      ImageError: the primaries are not a triangle around the white.
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
    raise ImageError(f"its primaries are not valid colours ({shown})", "save it as sRGB")


def from_chromaticities(
    chromaticities: Sequence[float], curve: Curve = srgb_to_linear
) -> ColourSpace:
    """Return the colour space of these chromaticities.

    They are x, y of red, green, blue and white.

    Raises:
      ImageError: the primaries are not a triangle around the white.
    """
    return ColourSpace((curve,) * 3, matrix_to_srgb(chromaticities))


def matrix_from_pcs() -> Float[np.ndarray, "3 3"]:
    """Return the matrix from XYZ of ICC's profile connection space to linear sRGB."""
    srgb = _rgb_to_xyz(PRIMARIES[1])
    return np.linalg.inv(_adaptation(srgb.sum(1), D50) @ srgb)


def from_cicp(primaries: int, transfer: int) -> ColourSpace:
    """Return the colour space of two codes of ITU-T H.273.

    Raises:
      ImageError: a code is unknown or not supported.
    """
    if primaries not in PRIMARIES and primaries != UNSPECIFIED:
        raise ImageError(f"its primaries have the unknown code {primaries}", "save it as sRGB")
    # The curve and the peak of each transfer code. Light is in units of SDR's white.
    curves = {LINEAR: (lambda x: x, 1.0), PQ: (_pq, 1 / PQ_WHITE), HLG: (_hlg, 1 / HLG_WHITE)}
    curves |= dict.fromkeys(DISPLAY_CURVES, (srgb_to_linear, 1.0))
    if transfer not in curves:
        name = CURVE_NAMES.get(transfer, f"code {transfer}")
        raise ImageError(f"its transfer curve ({name}) is not supported", "save it as sRGB")
    curve, peak = curves[transfer]
    matrix = matrix_to_srgb(PRIMARIES[1 if primaries == UNSPECIFIED else primaries])
    return ColourSpace((curve,) * 3, matrix, peak)


def _compress(linear: np.ndarray, peak: float) -> np.ndarray:
    """Compress linear light of at most `peak` to [0, 1], with unchanged hues.

    Light below the knee is unchanged; above it, Reinhard's curve with a white point applies
    (Reinhard et al. 2002, equation 4).
    """
    # The curve applies to the largest channel; all channels are scaled by the same factor.
    brightest = np.maximum(linear.max(-1, keepdims=True), 1e-6)
    u = np.maximum(brightest - HDR_KNEE, 0.0) / (1.0 - HDR_KNEE)
    u_peak = (peak - HDR_KNEE) / (1.0 - HDR_KNEE)
    # Reinhard's equation 4: u (1 + u / u_peak^2) / (1 + u).
    fitted = HDR_KNEE + (1.0 - HDR_KNEE) * u * (1.0 + u / u_peak**2) / (1.0 + u)
    return linear * np.where(brightest > HDR_KNEE, fitted / brightest, 1.0)


def to_srgb(pixels: Real[np.ndarray, "h w c"], space: ColourSpace) -> Real[np.ndarray, "h w c"]:
    """Convert uint8 or uint16 pixels to sRGB of the same type.

    A fourth channel is unchanged. If the space is sRGB, the pixels are returned unchanged.
    """
    if space.is_srgb():
        return pixels
    # Tabulate the curves at every level of the type.
    levels = np.iinfo(pixels.dtype).max
    steps = np.arange(levels + 1) / levels
    tables = [curve(steps).astype(np.float32) for curve in space.curves]
    matrix = space.matrix.astype(np.float32)
    result = pixels.copy()
    # Convert a few rows at a time, since the linear values need much more memory.
    rows = max(PIXELS_AT_ONCE // max(pixels.shape[1], 1), 1)
    for first in range(0, len(pixels), rows):
        part = pixels[first : first + rows]
        linear = np.stack([table[part[..., i]] for i, table in enumerate(tables)], -1) @ matrix.T
        if space.peak != 1.0:
            linear = _compress(linear, space.peak)
        encoded = linear_to_srgb(np.clip(linear, 0.0, 1.0))
        result[first : first + rows, :, :3] = np.rint(encoded * levels)
    return result
