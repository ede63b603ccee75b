"""What pictures show by themselves: copies, blur, and jumps of exposure."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import RayMatches, grey
from nerf.scenes.base import Scene
from nerf.scenes.hull import contradicting_views

THUMBNAIL_SIDE = 24  # pixels of the pictures that copies are looked for in
MAX_CELL_SAMPLES = 8  # pixels along each side of such a pixel that it is a mean of, about: more would only cost time
MAX_COPY_ERROR = 0.4 / 255  # root mean square by which two thumbnails of one picture differ at most
BLUR_SIDE = 400  # longest side, in pixels, in which blur is looked for
MIN_SHARPNESS = (
    0.2  # of the sharpness that views usually have: a Gaussian of about two of those pixels
)
NEIGHBOURS = 8  # views that a view is compared with
MIN_MATCHES = 24  # matches of a view that its brightness is judged by
MIN_EXPOSURE_JUMP = 0.35  # natural logarithm of brightness: 1.4 times, half a stop


def copies(scene: Scene) -> Iterator[Diagnostic]:
    """Pictures that are there twice; with two poses, one of them is wrong."""
    thumbs = np.stack([_thumbnail(image) for image in scene.images])
    flat = thumbs.reshape(len(thumbs), -1)
    place = np.asarray(scene.cameras.c2w, np.float64)
    for i in range(1, len(flat)):
        apart = np.sqrt(np.square(flat[:i] - flat[i]).mean(-1))
        j = int(apart.argmin())
        if apart[j] < MAX_COPY_ERROR and flat[i].std() > 0.02:
            moved = np.abs(place[i] - place[j]).max() > 1e-3
            why = (
                "the same picture with two poses, one of which is wrong"
                if moved
                else "the same picture and pose"
            )
            yield Diagnostic(
                (scene.names[j], scene.names[i]), "copies", why, "remove one of the two frames"
            )


def _thumbnail(image: np.ndarray) -> Float[np.ndarray, "t t"]:
    """The picture's brightness in THUMBNAIL_SIDE x THUMBNAIL_SIDE cells; zeros where it has fewer pixels."""
    down, across = (max(1, side // (THUMBNAIL_SIDE * MAX_CELL_SAMPLES)) for side in image.shape[:2])
    few = image[::down, ::across]
    h, w = few.shape[0] // THUMBNAIL_SIDE, few.shape[1] // THUMBNAIL_SIDE
    if not h or not w:
        return np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.float32)
    return (
        grey(few[: THUMBNAIL_SIDE * h, : THUMBNAIL_SIDE * w])
        .reshape(THUMBNAIL_SIDE, h, THUMBNAIL_SIDE, w)
        .mean((1, 3))
    )


def wrong_silhouettes(scene: Scene) -> Iterator[Diagnostic]:
    """Find photos whose alpha hides a piece that all others show."""
    if scene.has_alpha and not scene.unbounded:
        for view in contradicting_views(scene):
            why = "it is transparent where all other views show matter"
            yield Diagnostic(
                (scene.names[view],),
                "wrong alpha",
                why,
                "correct its background removal, or remove it",
            )


def blurred(scene: Scene) -> Iterator[Diagnostic]:
    """Pictures with much less fine detail than those taken from nearby."""
    sharp = np.array([_detail(image) for image in scene.images])
    place = np.asarray(scene.cameras.c2w, np.float64)
    apart = np.linalg.norm(place[:, None, :, 3] - place[None, :, :, 3], axis=-1)
    apart = (
        apart / max(np.median(apart), 1e-9)
        + 1.0
        - np.einsum("ni,mi->nm", place[:, :, 2], place[:, :, 2])
    )
    near = np.argsort(apart, 1)[:, 1 : NEIGHBOURS + 1]
    usual = np.minimum(np.median(sharp[near], -1), np.median(sharp)) if near.shape[1] else sharp
    for i in np.flatnonzero(sharp < MIN_SHARPNESS * usual).tolist():
        why = f"{sharp[i] / usual[i]:.2f} of the fine detail that its neighbours have"
        yield Diagnostic(
            (scene.names[i],), "blurred", why, "remove it, or replace it by a sharper one"
        )


def _detail(image: np.ndarray) -> float:
    step = max(1, -(-max(image.shape[:2]) // BLUR_SIDE))
    return sharpness(grey(image[::step, ::step]))


def exposure_jumps(
    matches: RayMatches, fits: np.ndarray, names: Sequence[str]
) -> Iterator[Diagnostic]:
    """Views in which the same points are much brighter or darker than in the other views.

    gain_i = the median over matches of log brightness there less log brightness in the other view, less its own gain.
    """
    good = matches.select(
        fits & (matches.brightness > 0.02).all(-1) & (matches.brightness < 0.95).all(-1)
    )
    ratio = np.log(good.brightness[:, 0] / good.brightness[:, 1])
    ends = np.concatenate([good.views, good.views[:, ::-1]])
    ratio = np.concatenate([ratio, -ratio])
    of_view = [np.nonzero(ends[:, 0] == i)[0] for i in range(matches.count)]
    gain = np.zeros(matches.count)
    for _ in range(5):
        rest = ratio + gain[ends[:, 1]]
        gain = np.array(
            [np.median(rest[own]) if len(own) >= MIN_MATCHES else 0.0 for own in of_view]
        )
        gain -= np.median(gain)
    for i in np.flatnonzero(np.abs(gain) > MIN_EXPOSURE_JUMP).tolist():
        word = "brighter" if gain[i] > 0 else "darker"
        why = f"what it shows is {np.exp(np.abs(gain[i])):.2f} times {word} than in the other views"
        fix = "remove the view or correct it; lock the exposure when taking photos"
        yield Diagnostic((names[i],), "exposure", why, fix)


def sharpness(grey: Float[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]) -> float:
    """Variance of the Laplacian: falls where a picture is blurred."""
    return float(ndimage.laplace(grey.astype(np.float32)).var())
