"""Check pictures: copies, wrong alpha, blur and jumps of exposure."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import RayMatches, grey
from nerf.scenes.base import Scene
from nerf.scenes.hull import contradicting_views

THUMBNAIL_SIDE = 24  # cells along each side of the thumbnails in which copies are searched
# About this many pixels along a side of a cell are averaged; more would only cost time.
MAX_CELL_SAMPLES = 8
MAX_COPY_ERROR = 0.4 / 255  # root mean square difference of two thumbnails of the same picture
BLUR_SIDE = 400  # longest side, in pixels, of the pictures in which blur is searched
# Of the usual sharpness; a Gaussian blur of about two of those pixels falls below it.
MIN_SHARPNESS = 0.2
NEIGHBOURS = 8  # number of nearby views that a view is compared with
MIN_MATCHES = 24  # the brightness of a view with fewer matches is not judged
MIN_EXPOSURE_JUMP = 0.35  # natural logarithm of brightness: 1.4 times, half a stop


def copies(scene: Scene) -> Iterator[Diagnostic]:
    """Yield pairs of equal pictures; if their poses differ, one of them is wrong."""
    thumbs = np.stack([_thumbnail(image) for image in scene.images])
    flat = thumbs.reshape(len(thumbs), -1)
    place = np.asarray(scene.cameras.c2w, np.float64)
    for i in range(1, len(flat)):
        apart = np.sqrt(np.square(flat[:i] - flat[i]).mean(-1))
        j = int(apart.argmin())
        # Pictures that show nothing all look alike and are no copies.
        if apart[j] < MAX_COPY_ERROR and flat[i].std() > 0.02:
            moved = np.abs(place[i] - place[j]).max() > 1e-3
            why = "the same picture and pose"
            if moved:
                why = "the same picture with two poses, one of which is wrong"
            pair = (scene.names[j], scene.names[i])
            yield Diagnostic(pair, "copies", why, "remove one of the two frames")


def _thumbnail(image: np.ndarray) -> Float[np.ndarray, "t t"]:
    """Return mean brightness in square cells; zeros if the picture has fewer pixels."""
    down, across = (max(1, side // (THUMBNAIL_SIDE * MAX_CELL_SAMPLES)) for side in image.shape[:2])
    few = image[::down, ::across]
    h, w = few.shape[0] // THUMBNAIL_SIDE, few.shape[1] // THUMBNAIL_SIDE
    if not h or not w:
        return np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.float32)
    luma = grey(few[: THUMBNAIL_SIDE * h, : THUMBNAIL_SIDE * w])
    return luma.reshape(THUMBNAIL_SIDE, h, THUMBNAIL_SIDE, w).mean((1, 3))


def wrong_silhouettes(scene: Scene) -> Iterator[Diagnostic]:
    """Yield photos whose alpha hides a piece that all others show."""
    if scene.has_alpha and not scene.unbounded:
        for view in contradicting_views(scene):
            why = "it is transparent where all other views show matter"
            fix = "correct its background removal, or remove it"
            yield Diagnostic((scene.names[view],), "wrong alpha", why, fix)


def blurred(scene: Scene) -> Iterator[Diagnostic]:
    """Yield pictures with much less fine detail than those taken from nearby."""
    sharp = np.array([_detail(image) for image in scene.images])
    place = np.asarray(scene.cameras.c2w, np.float64)
    apart = np.linalg.norm(place[:, None, :, 3] - place[None, :, :, 3], axis=-1)
    # Nearby views stand close together and look in similar directions.
    cosine = np.einsum("ni,mi->nm", place[:, :, 2], place[:, :, 2])
    apart = apart / max(np.median(apart), 1e-9) + 1.0 - cosine
    near = np.argsort(apart, 1)[:, 1 : NEIGHBOURS + 1]
    # The median of all views guards against neighbours that are unusually sharp.
    usual = np.minimum(np.median(sharp[near], -1), np.median(sharp)) if near.shape[1] else sharp
    for i in np.flatnonzero(sharp < MIN_SHARPNESS * usual).tolist():
        why = f"{sharp[i] / usual[i]:.2f} of the fine detail that its neighbours have"
        fix = "remove it, or replace it by a sharper one"
        yield Diagnostic((scene.names[i],), "blurred", why, fix)


def _detail(image: np.ndarray) -> float:
    """Return the sharpness of a picture, reduced to at most BLUR_SIDE pixels."""
    step = max(1, -(-max(image.shape[:2]) // BLUR_SIDE))
    return sharpness(grey(image[::step, ::step]))


def exposure_jumps(
    matches: RayMatches, fits: np.ndarray, names: Sequence[str]
) -> Iterator[Diagnostic]:
    """Yield views much brighter or darker than others at the same points.

    The gain of a view solves
    gain_i = median over its matches of (log brightness in i - log brightness in j + gain_j).

    Args:
      matches: the matches between pictures.
      fits: whether each match agrees with the cameras; the others are not used.
      names: names of the views.
    """
    # Dark and saturated pixels tell nothing about exposure.
    good = matches.select(
        fits & (matches.brightness > 0.02).all(-1) & (matches.brightness < 0.95).all(-1)
    )
    ratio = np.log(good.brightness[:, 0] / good.brightness[:, 1])
    # Each match counts for both of its views, with opposite signs.
    ends = np.concatenate([good.views, good.views[:, ::-1]])
    ratio = np.concatenate([ratio, -ratio])
    of_view = [np.nonzero(ends[:, 0] == i)[0] for i in range(matches.count)]
    gain = np.zeros(matches.count)
    # Fixed-point iterations; the median view keeps gain 0.
    for _ in range(5):
        rest = ratio + gain[ends[:, 1]]
        gain = np.array(
            [np.median(rest[own]) if len(own) >= MIN_MATCHES else 0.0 for own in of_view]
        )
        gain -= np.median(gain)
    for i in np.flatnonzero(np.abs(gain) > MIN_EXPOSURE_JUMP).tolist():
        word = "brighter" if gain[i] > 0 else "darker"
        why = f"it is {np.exp(np.abs(gain[i])):.2f} times {word} than the other views"
        fix = "remove the view or correct it; lock the exposure when taking photos"
        yield Diagnostic((names[i],), "exposure", why, fix)


def sharpness(grey: Float[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]) -> float:
    """Return the variance of the Laplacian, which blur reduces."""
    return float(ndimage.laplace(grey.astype(np.float32)).var())
