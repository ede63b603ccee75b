"""What pictures show by themselves: copies, blur, and jumps of exposure."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from nerf.check.evidence import Evidence, grey
from nerf.check.findings import Finding
from nerf.scenes.base import Scene
from nerf.scenes.hull import contradicting_views

THUMB = 24  # pixels of the pictures that copies are looked for in
SAMPLES = 8  # pixels along each side of such a pixel that it is a mean of, about: more would only cost time
SAME = 0.4 / 255  # root mean square by which two thumbnails of one picture differ at most
LOOKED_AT = 400  # longest side, in pixels, in which blur is looked for
BLURRED = 0.2  # of the sharpness that views usually have: a Gaussian of about two of those pixels
NEIGHBOURS = 8  # views that a view is compared with
ENOUGH = 24  # matches of a view that its brightness is judged by
JUMP = 0.35  # natural logarithm of brightness: 1.4 times, half a stop


def copies(scene: Scene) -> Iterator[Finding]:
    """Pictures that are there twice; with two poses, one of them is wrong."""
    thumbs = np.stack([_thumbnail(image) for image in scene.images])
    flat = thumbs.reshape(len(thumbs), -1)
    place = np.asarray(scene.cameras.c2w, np.float64)
    for i in range(1, len(flat)):
        apart = np.sqrt(np.square(flat[:i] - flat[i]).mean(-1))
        j = int(apart.argmin())
        if apart[j] < SAME and flat[i].std() > 0.02:
            moved = np.abs(place[i] - place[j]).max() > 1e-3
            why = (
                "the same picture with two poses, one of which is wrong"
                if moved
                else "the same picture and pose"
            )
            yield Finding(
                (scene.names[j], scene.names[i]), "copies", why, "remove one of the two frames"
            )


def _thumbnail(image: np.ndarray) -> Float[np.ndarray, "t t"]:
    """The picture's brightness in THUMB x THUMB cells; zeros where it has fewer pixels."""
    down, across = (max(1, side // (THUMB * SAMPLES)) for side in image.shape[:2])
    few = image[::down, ::across]
    h, w = few.shape[0] // THUMB, few.shape[1] // THUMB
    if not h or not w:
        return np.zeros((THUMB, THUMB), np.float32)
    return grey(few[: THUMB * h, : THUMB * w]).reshape(THUMB, h, THUMB, w).mean((1, 3))


def wrong_silhouettes(scene: Scene) -> Iterator[Finding]:
    """Find photos whose alpha hides a piece that all others show."""
    if scene.has_alpha and not scene.unbounded:
        for view in contradicting_views(scene):
            why = "it is transparent where all other views show matter"
            yield Finding(
                (scene.names[view],),
                "wrong alpha",
                why,
                "correct its background removal, or remove it",
            )


def blurred(scene: Scene) -> Iterator[Finding]:
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
    for i in np.flatnonzero(sharp < BLURRED * usual).tolist():
        why = f"{sharp[i] / usual[i]:.2f} of the fine detail that its neighbours have"
        yield Finding(
            (scene.names[i],), "blurred", why, "remove it, or replace it by a sharper one"
        )


def _detail(image: np.ndarray) -> float:
    step = max(1, -(-max(image.shape[:2]) // LOOKED_AT))
    return sharpness(grey(image[::step, ::step]))


def exposure_jumps(seen: Evidence, fits: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    """Views in which the same points are much brighter or darker than in the other views.

    gain_i = the median over matches of log brightness there less log brightness in the other view, less its own gain.
    """
    good = seen.select(fits & (seen.brightness > 0.02).all(-1) & (seen.brightness < 0.95).all(-1))
    ratio = np.log(good.brightness[:, 0] / good.brightness[:, 1])
    ends = np.concatenate([good.views, good.views[:, ::-1]])
    ratio = np.concatenate([ratio, -ratio])
    of_view = [np.nonzero(ends[:, 0] == i)[0] for i in range(seen.count)]
    gain = np.zeros(seen.count)
    for _ in range(5):
        rest = ratio + gain[ends[:, 1]]
        gain = np.array([np.median(rest[own]) if len(own) >= ENOUGH else 0.0 for own in of_view])
        gain -= np.median(gain)
    for i in np.flatnonzero(np.abs(gain) > JUMP).tolist():
        word = "brighter" if gain[i] > 0 else "darker"
        why = f"what it shows is {np.exp(np.abs(gain[i])):.2f} times {word} than in the other views"
        fix = "remove the view or correct it; lock the exposure when taking photos"
        yield Finding((names[i],), "exposure", why, fix)


def sharpness(grey: Float[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]) -> float:
    """Variance of the Laplacian: falls where a picture is blurred."""
    return float(ndimage.laplace(grey.astype(np.float32)).var())
