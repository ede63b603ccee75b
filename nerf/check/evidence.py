"""Compare pictures with cameras by their matches, as pairs of rays.

The two rays of a correct match meet in front of both cameras if poses and lenses are right.

    matches = as_rays(scene, match_pictures(scene))     # seconds: features and matches
    error, points = reprojection_error(matches, c2w)    # pixels and position of each match
    agreement(matches, c2w)                             # fraction of the matches that fit
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Real

from nerf.cameras.cameras import pixels_to_rays
from nerf.cameras.lenses import ORTHOGRAPHIC
from nerf.check.features import find_features
from nerf.check.matches import match, pairs_of
from nerf.scenes.base import Scene, to_unit

# Pictures are reduced until their longest side has at most this many pixels.
MATCHING_SIDE = 480
MAX_ERROR = 2.0  # matches with a smaller reprojection error fit, in pixels of the reduced pictures
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (BT.601)


@dataclasses.dataclass(frozen=True)
class PixelMatches:
    """Matches between pictures, independent of their cameras.

    Attributes:
      views: the two views of each match.
      features: number of the feature in each of the two views; no two views share a number.
      pixels: position (x, y) in each view, in pixels of the scene's images.
      brightness: mean brightness around the feature in each view, in [0, 1].
      reduced: integer factor by which each view's picture was reduced for matching.
    """

    views: Int[np.ndarray, "m 2"]
    features: Int[np.ndarray, "m 2"]
    pixels: Float[np.ndarray, "m 2 2"]
    brightness: Float[np.ndarray, "m 2"]
    reduced: Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class RayMatches:
    """Matches between pictures as rays of cameras at the origin.

    Attributes:
      views, features, brightness: see `PixelMatches`.
      rays: unit directions in the axes of the two cameras.
      focal: mean focal length of the two cameras, in pixels of the reduced pictures.
      count: number of views of the scene.
    """

    views: Int[np.ndarray, "m 2"]
    features: Int[np.ndarray, "m 2"]
    rays: Float[np.ndarray, "m 2 3"]
    brightness: Float[np.ndarray, "m 2"]
    focal: Float[np.ndarray, " m"]
    count: int

    def select(self, chosen: Bool[np.ndarray, " m"] | Int[np.ndarray, " k"]) -> "RayMatches":
        """Return the matches with the given mask or indices."""
        return RayMatches(
            self.views[chosen],
            self.features[chosen],
            self.rays[chosen],
            self.brightness[chosen],
            self.focal[chosen],
            self.count,
        )


def grey(image: Real[np.ndarray, "h w c"], factor: int = 1) -> Float[np.ndarray, "h2 w2"]:
    """Return luma in [0, 1] over grey, box-filtered down by `factor`."""
    h, w = image.shape[0] // factor, image.shape[1] // factor
    pixels = np.asarray(to_unit(image[: h * factor, : w * factor]))
    luma = pixels[..., :3] @ LUMA_WEIGHTS
    if image.shape[-1] == 4:
        luma = luma * pixels[..., 3] + 0.5 * (1.0 - pixels[..., 3])
    return luma.reshape(h, factor, w, factor).mean((1, 3))


def match_pictures(scene: Scene) -> PixelMatches:
    """Match the features of all pairs of views.

    With more than 120 views only some pairs are compared, see `pairs_of`. A scene with an
    orthographic camera has no matches, as its rays have no common origin.
    """
    if (np.asarray(scene.cameras.model) == ORTHOGRAPHIC).any():
        scene = scene.select([])
    factors = [max(1, -(-max(image.shape[:2]) // MATCHING_SIDE)) for image in scene.images]
    pictures = [grey(image, factor) for image, factor in zip(scene.images, factors, strict=True)]
    features = [find_features(picture) for picture in pictures]
    matches = match(features, pairs_of(len(scene)))
    pixels, brightness = np.zeros((*matches.views.shape, 2)), np.zeros(matches.views.shape)
    for view, (found, picture) in enumerate(zip(features, pictures, strict=True)):
        here = matches.views == view
        points = found.points[matches.features[here]]
        pixels[here] = points * factors[view]
        brightness[here] = _brightness(picture, points)
    # Number the features of all views together, so that a number names one feature of one view.
    most = max((len(found.points) for found in features), default=0)
    numbers = matches.features + matches.views * most
    return PixelMatches(matches.views, numbers, pixels, brightness, np.array(factors, np.float64))


def _brightness(
    picture: Float[np.ndarray, "h w"], points: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, " m"]:
    """Return the mean of nine pixels in and around each point."""
    x, y = np.clip(points.astype(int), 2, [picture.shape[1] - 3, picture.shape[0] - 3]).T
    return np.mean([picture[y + dy, x + dx] for dy in (-2, 0, 2) for dx in (-2, 0, 2)], axis=0)


def as_rays(scene: Scene, matches: PixelMatches) -> RayMatches:
    """Return the matches as rays through the lenses of the scene."""
    if not len(matches.views):
        return RayMatches(
            matches.views,
            matches.features,
            np.zeros((0, 2, 3)),
            matches.brightness,
            np.zeros(0),
            len(scene),
        )
    focal = np.asarray(scene.cameras.K, np.float64)[:, 0, 0] / matches.reduced
    # All cameras stand at the origin, so that the rays do not depend on the poses.
    origin = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (*matches.views.shape, 3, 4))
    cameras = jax.tree.map(
        jnp.asarray, dataclasses.replace(scene.cameras[matches.views], c2w=origin)
    )
    rays = pixels_to_rays(
        cameras, jnp.asarray(matches.pixels, jnp.float32), jnp.full(matches.views.shape, -1)
    )
    directions = np.asarray(rays.directions, np.float64)
    return RayMatches(
        matches.views,
        matches.features,
        directions,
        matches.brightness,
        focal[matches.views].mean(-1),
        len(scene),
    )


def reprojection_error(
    matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], zoom: float = 1.0
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m 3"]]:
    """Compute the reprojection error and the point of each match.

    A feature lies where its ray comes nearest to the rays of its matches. Its distance along the
    ray is the median over its matches, weighted by the sines of the angles between the rays: most
    of the matches decide, and wide baselines count more. The error is the angle between the other
    ray and the direction to that point, times the focal length; the larger of both directions
    counts. Rays that come nearest behind a camera could only meet at infinity. Two views alone
    reveal little, as their rays can only miss each other across the epipolar plane.

    Args:
      matches: m matches.
      c2w: camera-to-world poses of the n views, OpenGL axes.
      zoom: factor on the focal lengths.

    Returns: errors in pixels of the reduced pictures, and points in the world of `c2w`.
    """
    # A focal length `zoom` times as long moves the image plane away by this factor.
    rays = matches.rays * np.array([1.0, 1.0, zoom])
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    cameras = c2w[matches.views]
    # Unit directions u, v and origins p, q of the two rays of each match, in the world.
    u, v = np.moveaxis(np.einsum("mkij,mkj->mki", cameras[..., :3], rays), 1, 0)
    p, q = np.moveaxis(cameras[..., 3], 1, 0)
    # Distances s, t along the rays at which p + s u and q + t v come nearest to each other.
    cosine = (u * v).sum(-1)
    base = q - p
    along_u = (base * u).sum(-1)
    along_v = (base * v).sum(-1)
    sine2 = np.maximum(1.0 - cosine**2, 1e-12)
    s = (along_u - cosine * along_v) / sine2
    t = (cosine * along_u - along_v) / sine2
    # Rays that come nearest behind a camera meet at infinity at best.
    ahead = (s > 0) & (t > 0)
    weights = np.sqrt(sine2)
    # All matches of a feature agree on one distance: the median, weighted by the sine.
    s = _medians(np.where(ahead, s, np.inf), weights, matches.features[:, 0])
    t = _medians(np.where(ahead, t, np.inf), weights, matches.features[:, 1])
    error = np.maximum(_miss(p, u, s, q, v), _miss(q, v, t, p, u))
    return error * matches.focal * zoom, p + np.where(np.isfinite(s), s, 0.0)[:, None] * u


def _miss(
    p: np.ndarray, u: np.ndarray, s: np.ndarray, q: np.ndarray, v: np.ndarray
) -> Float[np.ndarray, " m"]:
    """Return the angles between rays (q, v) and points on rays (p, u).

    The points lie at distance s along (p, u), which may be infinite.
    """
    far = np.isinf(s)
    return _angle(np.where(far[:, None], u, p + np.where(far, 0.0, s)[:, None] * u - q), v)


def _medians(
    values: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"], groups: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Return the weighted median of the group of each entry."""
    if not len(values):
        return values
    # Sorted by group and value, the median is where a group's cumulative weight passes one half.
    order = np.lexsort((values, groups))
    total = np.cumsum(weights[order])
    _, first, which = np.unique(groups[order], return_index=True, return_inverse=True)
    last = np.append(first[1:], len(order)) - 1
    before = total[first] - weights[order][first]
    middle = np.clip(np.searchsorted(total, 0.5 * (before + total[last])), first, last)
    result = np.empty_like(values)
    result[order] = values[order][middle][which]
    return result


def _angle(a: Float[np.ndarray, "m 3"], unit: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " m"]:
    """Return the angle in radians between vectors and unit vectors."""
    across = np.linalg.norm(np.cross(a, unit), axis=-1)
    return np.arctan2(across, (a * unit).sum(-1))


def agreement(matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], zoom: float = 1.0) -> float:
    """Return the fraction of the matches whose error is below MAX_ERROR.

    Args:
      matches: the matches; 0 is returned if there are none.
      c2w: camera-to-world poses.
      zoom: factor on the focal lengths.
    """
    if not len(matches.views):
        return 0.0
    return float((reprojection_error(matches, c2w, zoom)[0] < MAX_ERROR).mean())


def agreement_by_view(
    matches: RayMatches, fits: Bool[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the fraction of each view's matches that fit, and their number."""
    total = np.bincount(matches.views.ravel(), minlength=matches.count)
    fitting = np.bincount(matches.views.ravel(), np.repeat(fits, 2), matches.count)
    return fitting / np.maximum(total, 1), total


def in_strong_pairs(matches: RayMatches, least: int = 30) -> RayMatches:
    """Return the matches of view pairs with at least `least` matches.

    False matches, as between similar things, come in small numbers.
    """
    _, which, counts = np.unique(matches.views, axis=0, return_inverse=True, return_counts=True)
    return matches.select(counts[which.ravel()] >= least)


def points_of_view(
    matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], view: int
) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 3"], Float[np.ndarray, " k"]]:
    """Return the points that a view shares, triangulated without it.

    Args:
      matches: the matches of all views.
      c2w: camera-to-world poses; the pose of `view` is not used.
      view: number of the view.

    Returns: the points, the view's unit rays to them in its own axes, and the focal lengths.
    """
    own = (matches.views == view).any(-1)
    # Triangulate from the other views alone, so that a wrong pose of this view has no effect.
    others = matches.select(np.flatnonzero(np.logical_not(own)))
    _, places = reprojection_error(others, c2w)
    features, first = np.unique(others.features[:, 0], return_index=True)
    # For each match of the view, the end in the other view, and the feature there.
    end = 1 - (matches.views[own] == view).argmax(-1)
    rows = np.arange(len(end))
    feature = matches.features[own][rows, end]
    known = np.isin(feature, features)
    points = places[first[np.searchsorted(features, feature[known])]]
    return points, matches.rays[own][rows, 1 - end][known], matches.focal[own][known]
