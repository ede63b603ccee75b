"""Do the pictures agree with the cameras? Matches as pairs of rays: these meet in front of both if all is right.

matches = gather_evidence(scene)                 # seconds: features and matches
error = reprojection_error(matches, poses)             # pixels, of each match
agreement(error)                              # the part of the matches that fits
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

MATCHING_SIDE = 480  # pictures are looked at in this size
MAX_ERROR = 2.0  # pixels of that size by which a match may miss
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class PixelMatches:
    """Matches between pictures, whatever their cameras are.

    Attributes:
      views: the two views of each match.
      features: which feature it is in each; no two views share a number.
      pixels: where it is in each, in pixels of the scene's images.
      brightness: of the two pictures around the two points, in [0, 1].
      reduced: by how much each view's picture was reduced to be looked at.
    """

    views: Int[np.ndarray, "m 2"]
    features: Int[np.ndarray, "m 2"]
    pixels: Float[np.ndarray, "m 2 2"]
    brightness: Float[np.ndarray, "m 2"]
    reduced: Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class RayMatches:
    """The same as rays of cameras at the origin.

    Attributes:
      views, features, brightness: see `PixelMatches`.
      rays: unit directions in the axes of the two cameras.
      focal: of each match, in pixels of the size that was looked at.
      count: how many views there are.
    """

    views: Int[np.ndarray, "m 2"]
    features: Int[np.ndarray, "m 2"]
    rays: Float[np.ndarray, "m 2 3"]
    brightness: Float[np.ndarray, "m 2"]
    focal: Float[np.ndarray, " m"]
    count: int

    def select(self, chosen: Bool[np.ndarray, " m"] | Int[np.ndarray, " k"]) -> "RayMatches":
        """Some of the matches."""
        rays, brightness, focal = (
            part[chosen] for part in (self.rays, self.brightness, self.focal)
        )
        return RayMatches(
            self.views[chosen], self.features[chosen], rays, brightness, focal, self.count
        )


def grey(image: Real[np.ndarray, "h w c"], factor: int = 1) -> Float[np.ndarray, "h2 w2"]:
    """Luma in [0, 1], on grey where transparent, box-filtered down by `factor`."""
    h, w = image.shape[0] // factor, image.shape[1] // factor
    pixels = np.asarray(to_unit(image[: h * factor, : w * factor]))
    luma = pixels[..., :3] @ LUMA_WEIGHTS
    if image.shape[-1] == 4:
        luma = luma * pixels[..., 3] + 0.5 * (1.0 - pixels[..., 3])
    return luma.reshape(h, factor, w, factor).mean((1, 3))


def match_pictures(scene: Scene) -> PixelMatches:
    """Features of all views, and matches of all pairs of views (of some, where there are more than 120).

    None of orthographic cameras: their rays have no common origin.
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
        pixels[here], brightness[here] = points * factors[view], _brightness(picture, points)
    numbers = matches.features + matches.views * max(
        (len(found.points) for found in features), default=0
    )
    return PixelMatches(matches.views, numbers, pixels, brightness, np.array(factors, np.float64))


def _brightness(
    picture: Float[np.ndarray, "h w"], points: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, " m"]:
    """The mean of nine pixels in and around each point."""
    x, y = np.clip(points.astype(int), 2, [picture.shape[1] - 3, picture.shape[0] - 3]).T
    return np.mean([picture[y + dy, x + dx] for dy in (-2, 0, 2) for dx in (-2, 0, 2)], axis=0)


def as_rays(scene: Scene, matches: PixelMatches) -> RayMatches:
    """Matches as rays through the scene's lenses."""
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
    """By how many pixels each match misses, and the point in the world that it shows.

    A feature lies where its ray comes nearest to the rays of its matches: at the median of their distances, weighted by
    the sines of the angles between the rays, so that most of the matches decide and the wide ones count. A match misses
    by the angle between the other ray and the direction to that point, times the focal length, from the worse end. Rays
    that come nearest behind a camera could only meet at infinity. Two views alone would say little: only across the
    plane of their rays can these miss one another. `zoom` multiplies the focal lengths.
    """
    rays = matches.rays * np.array([1.0, 1.0, zoom])
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    cameras = c2w[matches.views]
    u, v = np.moveaxis(np.einsum("mkij,mkj->mki", cameras[..., :3], rays), 1, 0)
    p, q = np.moveaxis(cameras[..., 3], 1, 0)
    cosine, base = (u * v).sum(-1), q - p
    along_u, along_v = (base * u).sum(-1), (base * v).sum(-1)
    sine2 = np.maximum(1.0 - cosine**2, 1e-12)
    s, t = (along_u - cosine * along_v) / sine2, (cosine * along_u - along_v) / sine2
    ahead, weights = (s > 0) & (t > 0), np.sqrt(sine2)
    s = _medians(np.where(ahead, s, np.inf), weights, matches.features[:, 0])
    t = _medians(np.where(ahead, t, np.inf), weights, matches.features[:, 1])
    error = np.maximum(_miss(p, u, s, q, v), _miss(q, v, t, p, u))
    return error * matches.focal * zoom, p + np.where(np.isfinite(s), s, 0.0)[:, None] * u


def _miss(
    p: np.ndarray, u: np.ndarray, s: np.ndarray, q: np.ndarray, v: np.ndarray
) -> Float[np.ndarray, " m"]:
    """Angle between rays (q, v) and the direction to the point at distance s, perhaps infinite, along (p, u)."""
    far = np.isinf(s)
    return _angle(np.where(far[:, None], u, p + np.where(far, 0.0, s)[:, None] * u - q), v)


def _medians(
    values: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"], groups: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """For each entry the weighted median of the entries of its group."""
    if not len(values):
        return values
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
    across = np.linalg.norm(np.cross(a, unit), axis=-1)
    return np.arctan2(across, (a * unit).sum(-1))


def agreement(matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], zoom: float = 1.0) -> float:
    """The part of the matches that misses by less than MAX_ERROR pixels."""
    return (
        float((reprojection_error(matches, c2w, zoom)[0] < MAX_ERROR).mean())
        if len(matches.views)
        else 0.0
    )


def agreement_by_view(
    matches: RayMatches, fits: Bool[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """For each view the part of its matches that fit, and how many it has."""
    total = np.bincount(matches.views.ravel(), minlength=matches.count)
    return np.bincount(matches.views.ravel(), np.repeat(fits, 2), matches.count) / np.maximum(
        total, 1
    ), total


def in_strong_pairs(matches: RayMatches, least: int = 30) -> RayMatches:
    """Matches of pairs that have many: false ones, as between things that look alike, come in small numbers."""
    _, which, counts = np.unique(matches.views, axis=0, return_inverse=True, return_counts=True)
    return matches.select(counts[which.ravel()] >= least)


def points_of_view(
    matches: RayMatches, c2w: Float[np.ndarray, "n 3 4"], view: int
) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 3"], Float[np.ndarray, " k"]]:
    """Points in the world that a view's matches show, known from the other views alone; its rays, focal lengths."""
    own = (matches.views == view).any(-1)
    others = matches.select(np.flatnonzero(np.logical_not(own)))
    _, places = reprojection_error(others, c2w)
    features, first = np.unique(others.features[:, 0], return_index=True)
    end = 1 - (matches.views[own] == view).argmax(-1)  # the end of each match in the other view
    rows = np.arange(len(end))
    feature = matches.features[own][rows, end]
    known = np.isin(feature, features)
    points = places[first[np.searchsorted(features, feature[known])]]
    return points, matches.rays[own][rows, 1 - end][known], matches.focal[own][known]
