"""Find and describe SIFT features with numpy.

Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004: extrema of differences
of Gaussians (section 3), refined and without edges (4), each with an orientation (5) and a
histogram of gradients (6). They are compared by the ratio of the two nearest distances (7.1).
Descriptors are square roots of L1-normalised ones (Arandjelovic and Zisserman 2012, "RootSIFT").
Differences from Lowe: one orientation for each point, and patches are resampled, so that gradients
are in the axes of the patch.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float
from scipy import ndimage

LEVELS = 3  # levels in an octave, s in section 3
FIRST_BLUR = 1.6  # blur of an octave's first level, in its pixels
CAMERA_BLUR = 0.5  # blur that every picture is assumed to have, in pixels
MIN_CONTRAST = 0.012  # weaker extrema are noise; colours are in [0, 1]
MAX_CURVATURE_RATIO = 10.0  # ratio of principal curvatures above which an extremum is an edge
BORDER = 4  # pixels of an octave, next to its border, without features
PATCH, CELLS, BINS = 16, 4, 8  # samples along a patch, cells along it, and directions of a cell
MIN_SIDE = 300  # pictures whose longest side is shorter are doubled first


@dataclasses.dataclass(frozen=True)
class Features:
    """The features of one picture.

    Attributes:
      points: positions (x, y) in pixels; the first pixel's centre is (0.5, 0.5).
      scales: blur at which each was found, as a standard deviation in pixels.
      angles: orientations in radians.
      descriptors: unit vectors.
    """

    points: Float[np.ndarray, "n 2"]
    scales: Float[np.ndarray, " n"]
    angles: Float[np.ndarray, " n"]
    descriptors: Float[np.ndarray, "n 128"]


def find_features(grey: Float[np.ndarray, "h w"], most: int = 400) -> Features:
    """Find the `most` features with the highest contrast in a grey picture in [0, 1]."""
    zoom = 2.0 if max(grey.shape) < MIN_SIDE else 1.0
    image = _double(grey) if zoom == 2.0 else grey
    # Add only the blur that the picture does not have yet; variances add.
    level = ndimage.gaussian_filter(
        image.astype(np.float32), np.sqrt(FIRST_BLUR**2 - (zoom * CAMERA_BLUR) ** 2)
    )
    octaves, steps = [], [1.0 / zoom]
    while min(level.shape) > 4 * BORDER:
        octaves.append(_octave(level))
        # This level has twice the blur of the first one, so every second pixel suffices.
        level = octaves[-1][LEVELS][::2, ::2]
        steps.append(2.0 * steps[-1])
    found = [_extrema(levels) for levels in octaves]
    # The contrast of the weakest feature that is kept, over all octaves.
    contrast = np.concatenate([np.zeros(0), *(part[:, 3] for part in found)])
    least = np.sort(contrast)[-most] if len(contrast) > most else 0.0
    parts = []
    for levels, some, step in zip(octaves, found, steps[:-1], strict=True):
        some = some[some[:, 3] >= least]
        sigma = FIRST_BLUR * 2.0 ** (some[:, 0] / LEVELS)
        # Convert pixels of the octave to pixels of the picture, whose first centre is at 0.5.
        parts.append((some[:, [2, 1]] * step + 0.5, sigma * step, *_describe(levels, some, sigma)))
    none = (
        np.zeros((0, 2)),
        np.zeros(0),
        np.zeros(0),
        np.zeros((0, CELLS * CELLS * BINS), np.float32),
    )
    return Features(*(np.concatenate(arrays) for arrays in zip(none, *parts, strict=True)))


def _double(grey: np.ndarray) -> np.ndarray:
    """Enlarge twice, linearly; pixel i becomes pixel 2 i."""
    return ndimage.zoom(grey, (2 * np.array(grey.shape) - 1) / grey.shape, order=1, grid_mode=False)


def _octave(first: np.ndarray) -> Float[np.ndarray, "l h w"]:
    """Return levels with blur FIRST_BLUR * 2**(i / LEVELS); `first` is level 0."""
    sigmas = FIRST_BLUR * 2.0 ** (np.arange(LEVELS + 3) / LEVELS)
    levels = [first]
    for low, high in zip(sigmas[:-1], sigmas[1:], strict=True):
        levels.append(ndimage.gaussian_filter(levels[-1], np.sqrt(high**2 - low**2)))
    return np.stack(levels)


def _extrema(levels: Float[np.ndarray, "l h w"]) -> Float[np.ndarray, "n 4"]:
    """Find the extrema of the differences of levels in position and scale.

    Returns: one row (level, y, x, contrast) for each; y and x are refined.
    """
    d = np.diff(levels, axis=0)
    s, y, x = _peaks(d)
    here = d[s, y, x]
    right, left = d[s, y, x + 1], d[s, y, x - 1]
    below, above = d[s, y + 1, x], d[s, y - 1, x]
    # Gradient and Hessian in the plane of the picture, by central differences.
    dx, dy = (right - left) / 2, (below - above) / 2
    dxx, dyy = right + left - 2 * here, below + above - 2 * here
    dxy = (d[s, y + 1, x + 1] + d[s, y - 1, x - 1] - d[s, y + 1, x - 1] - d[s, y - 1, x + 1]) / 4
    determinant = dxx * dyy - dxy**2
    # Reject edges by the ratio r of principal curvatures (section 4.1):
    # trace^2 / det < (r + 1)^2 / r.
    trace, ratio = dxx + dyy, MAX_CURVATURE_RATIO
    good = (determinant > 0) & (trace**2 * ratio < (ratio + 1) ** 2 * determinant)
    # A Newton step -H^-1 g refines the position; extrema that move a pixel or more are unstable.
    safe = np.where(good, determinant, 1.0)
    moved = np.stack([y + (dxy * dx - dxx * dy) / safe, x + (dxy * dy - dyy * dx) / safe], -1)
    good &= np.abs(moved - np.stack([y, x], -1)).max(-1, initial=0.0) < 1.0
    return np.concatenate([s[:, None], moved, np.abs(here)[:, None]], -1)[good].astype(np.float64)


def _peaks(d: Float[np.ndarray, "l h w"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return level, y and x of the local extrema above MIN_CONTRAST.

    None of the 26 neighbours exceeds an extremum in its sign. Points at the border are excluded.
    """
    # The first and last difference have no neighbours in scale.
    inner = d[1:-1, BORDER:-BORDER, BORDER:-BORDER]
    s, y, x = np.nonzero(np.abs(inner) > MIN_CONTRAST)
    s, y, x = s + 1, y + BORDER, x + BORDER
    for step in itertools.product((0, -1, 1), repeat=3):
        sign = np.sign(d[s, y, x])
        peak = sign * d[s + step[0], y + step[1], x + step[2]] <= sign * d[s, y, x]
        s, y, x = s[peak], y[peak], x[peak]
    return s, y, x


def _describe(
    levels: np.ndarray, found: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return angles and descriptors of points with blur `sigma`."""
    # Orientation from an upright patch, whose Gaussian window is then about 1.5 sigma wide.
    upright = np.zeros(len(found))
    angles = _orientation(_gradients(_patches(levels, found, upright, 0.55 * sigma)))
    # Descriptor from a patch along that orientation, with cells of 4 samples, 3 sigma wide.
    along = _gradients(_patches(levels, found, angles, 0.75 * sigma))
    return angles, _histograms(along)


def _patches(
    levels: np.ndarray, found: np.ndarray, angles: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Sample squares of PATCH + 2 pixels around the points.

    They are turned by `angles`, and their samples are `step` pixels of the octave apart.
    """
    offset = np.arange(PATCH + 2) - (PATCH + 1) / 2
    v, u = np.meshgrid(offset, offset, indexing="ij")
    cosine, sine = (step * f(angles) for f in (np.cos, np.sin))
    # Rotate the offsets by the angle, scale them by the step, and move them to the points.
    x = found[:, 2, None, None] + cosine[:, None, None] * u[None] - sine[:, None, None] * v[None]
    y = found[:, 1, None, None] + sine[:, None, None] * u[None] + cosine[:, None, None] * v[None]
    level = np.broadcast_to(np.rint(found[:, 0, None, None]), x.shape)
    return ndimage.map_coordinates(levels, [level, y, x], order=1, mode="nearest", prefilter=False)


def _gradients(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return norm and direction of gradients inside the border."""
    dx = patches[:, 1:-1, 2:] - patches[:, 1:-1, :-2]
    dy = patches[:, 2:, 1:-1] - patches[:, :-2, 1:-1]
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def _bell(width: float) -> np.ndarray:
    """Return a Gaussian window of a patch; `width` is its standard deviation in samples."""
    offset = (np.arange(PATCH) - (PATCH - 1) / 2) / width
    return np.exp(-0.5 * (offset[:, None] ** 2 + offset[None, :] ** 2))


def _two_bins(direction: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two bins for each direction, and the second's share."""
    place = direction / (2 * np.pi) * bins
    low = np.floor(place)
    number = low.astype(int)
    return number % bins, (number + 1) % bins, place - low


def _orientation(gradients: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the dominant direction of the gradients (Lowe, section 5).

    It is the peak of the smoothed histogram, refined by a parabola through three bins.
    """
    size, direction = gradients
    bins, rows = 36, np.arange(len(size))
    # Each sample adds its norm, times a window, to the two bins around its direction.
    first, second, share = _two_bins(direction, bins)
    weights = size * _bell(PATCH / 6)[None]
    places = np.stack([first, second]) + bins * rows[None, :, None, None]
    shared = np.stack([weights * (1 - share), weights * share])
    flat: np.ndarray = np.bincount(places.ravel(), shared.ravel(), len(size) * bins)
    histogram = flat.reshape(len(size), bins)
    for _ in range(2):
        histogram = (np.roll(histogram, 1, -1) + histogram + np.roll(histogram, -1, -1)) / 3
    peak = histogram.argmax(-1)
    # The vertex of the parabola through the peak and its two neighbours.
    before, here, after = (histogram[rows, (peak + d) % bins] for d in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    return (peak + shift) * 2 * np.pi / bins


def _histograms(gradients: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "n 128"]:
    """Return the descriptors: 4 x 4 cells of 8 directions, clipped at 0.2.

    See Lowe, section 6.1; they are normalised as RootSIFT.
    """
    size, direction = gradients
    first, second, share = _two_bins(direction, BINS)
    weights, number = size * _bell(PATCH / 2)[None], np.arange(BINS)
    # Trilinear weights: two directions and up to four cells share each sample.
    soft = (first[..., None] == number[None, None, None]) * (weights * (1 - share))[..., None]
    soft += (second[..., None] == number[None, None, None]) * (weights * share)[..., None]
    centre = (np.arange(CELLS) + 0.5) * PATCH / CELLS - 0.5
    near = np.maximum(1 - np.abs(np.arange(PATCH)[:, None] - centre[None]) / (PATCH / CELLS), 0)
    cells = np.einsum("nyxb,yi,xj->nijb", soft, near, near, optimize=True)
    cells = cells.reshape(len(soft), CELLS * CELLS * BINS)
    # Clipping the L2-normalised vector reduces the effect of lighting; RootSIFT follows.
    unit = cells / np.maximum(np.linalg.norm(cells, axis=-1, keepdims=True), 1e-9)
    clipped = np.minimum(unit, 0.2)
    return np.sqrt(clipped / np.maximum(clipped.sum(-1, keepdims=True), 1e-9)).astype(np.float32)
