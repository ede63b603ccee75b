"""Image metrics and their protocols.

Both images are first clipped to [0, 1] and rounded to 8 bits.
"""

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial

import dm_pix
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from nerf.evaluation import lpips
from nerf.foundation.png import to_bytes

PROTOCOL = {
    "psnr": (
        "10 log10(1 / mean squared error), 8-bit-rounded clipped sRGB, "
        "mean over images of each image's value"
    ),
    "ssim": (
        "Gaussian window 11x11, sigma 1.5, k1 0.01, k2 0.03, mean over channels, "
        "valid pixels only, same rounding"
    ),
    "psnr_corrected": (
        "psnr after the affine map of the rendering's colours that fits each view's own truth best"
    ),
    "flip": "LDR-FLIP, 67 pixels per degree, mean over pixels, same rounding",
    "lpips": (
        f"AlexNet, linear weights 0.1, sha256 {lpips.ALEX.sha256[:16]}, "
        "same rounding, input in [-1, 1]"
    ),
    "lpips_vgg": (
        f"VGG16, linear weights 0.1, sha256 {lpips.VGG.sha256[:16]}, "
        "same rounding, input in [-1, 1]"
    ),
}

# By default accelerators multiply with reduced precision, so SSIM and LPIPS would depend on the
# device.
MATMUL_PRECISION = "highest"
PRECISION = f"products of SSIM and LPIPS in float32 (JAX matmul precision '{MATMUL_PRECISION}')"

NO_MASK = "none: every pixel counts"
MASK = (
    "the scene's: PSNR over its pixels only, other metrics on images with background outside of it"
)


def apply_mask(
    image: Float[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | None,
    background: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "h w 3"]:
    """Fill an image with the background colour outside its mask.

    Args:
      image: the image.
      mask: True for pixels to keep; None keeps all.
      background: sRGB outside the mask.

    Returns:
      The filled image.
    """
    return image if mask is None else np.where(mask[..., None], image, background.reshape(1, 1, 3))


def describe_scores(scores: Mapping[str, float | None]) -> str:
    """Format the mean scores in one line; SSIM may be None, all but PSNR and SSIM are optional."""
    ssim = "" if scores["ssim"] is None else f", SSIM {scores['ssim']:.4f}"
    more = {"psnr_corrected": "with colours corrected", "psnr_aligned": "with cameras aligned"}
    others = ", ".join(
        f"{scores[key]:.2f} {words}" for key, words in more.items() if scores.get(key) is not None
    )
    overlaps = {"miou": "mIoU", "instance_iou": "IoU of objects"}
    labels = "".join(
        f", {words} {scores[key]:.3f}"
        for key, words in overlaps.items()
        if scores.get(key) is not None
    )
    return f"PSNR {scores['psnr']:.2f} dB{f' ({others})' if others else ''}{ssim}{labels}"


def psnr(image: Float[np.ndarray, "*b c"], truth: Float[np.ndarray, "*b c"]) -> float:
    """Compute the peak signal-to-noise ratio in dB, at most 100."""
    difference = to_bytes(image).astype(np.float64) - to_bytes(truth)
    return float(-10.0 * np.log10(max(np.square(difference / 255.0).mean(), 1e-10)))


def colour_corrected(
    image: Float[np.ndarray, "*b 3"], truth: Float[np.ndarray, "*b 3"]
) -> Float[np.ndarray, "*b 3"]:
    """Apply the affine colour map, one for all pixels, that fits the truth best (least squares)."""
    given = np.clip(image, 0.0, 1.0).reshape(-1, 3).astype(np.float64)
    given = np.concatenate([given, np.ones_like(given[:, :1])], -1)
    matrix = np.linalg.lstsq(given, truth.reshape(-1, 3).astype(np.float64), rcond=None)[0]
    return (given @ matrix).reshape(image.shape)


def psnr_corrected(image: Float[np.ndarray, "*b 3"], truth: Float[np.ndarray, "*b 3"]) -> float:
    """Compute the PSNR after colour correction, which removes exposure and white balance."""
    return psnr(colour_corrected(image, truth), truth)


@jax.jit
def _ssim(a: Float[Array, "h w c"], b: Float[Array, "h w c"]) -> Float[Array, ""]:
    # One program in place of some hundred, each of which is compiled and called on its own.
    return dm_pix.ssim(a, b)


def ssim(image: Float[np.ndarray, "h w c"], truth: Float[np.ndarray, "h w c"]) -> float | None:
    """Compute the structural similarity (Wang et al. 2004); None if a side is under 11 pixels."""
    if min(image.shape[:2]) < 11:
        return None
    a, b = (to_bytes(x).astype(np.float32) / 255.0 for x in (image, truth))
    with jax.default_matmul_precision(MATMUL_PRECISION):
        return float(_ssim(a, b))


def flip(image: Float[np.ndarray, "h w 3"], truth: Float[np.ndarray, "h w 3"]) -> float:
    """Compute the mean LDR-FLIP error (Andersson et al. 2020), from 0 (equal) to 1.

    FLIP models the difference a viewer sees when alternating between the two images.
    """
    from flip_evaluator import evaluate

    a, b = (to_bytes(x).astype(np.float32) / 255.0 for x in (truth, image))
    return float(evaluate(a, b, "LDR", applyMagma=False, parameters={"ppd": 67.0})[1])


def perceptual(
    image: Float[np.ndarray, "h w 3"],
    truth: Float[np.ndarray, "h w 3"],
    network: lpips.Network = lpips.ALEX,
) -> float | None:
    """Compute LPIPS, see `nerf.evaluation.lpips`.

    Args:
      image: the rendering, in [0, 1].
      truth: the photo, in [0, 1].
      network: the network whose features are compared.

    Returns:
      The distance; None if its weights are not installed or the image is too small.
    """
    file = lpips.weights_file(network)
    if file is None or min(image.shape[:2]) < network.smallest:
        return None
    a, b = (to_bytes(x).astype(np.float32) / 127.5 - 1.0 for x in (image, truth))
    with jax.default_matmul_precision(MATMUL_PRECISION):
        return float(lpips.distance(lpips.load_weights(file, network.sha256), a, b, network))


def installed() -> dict[str, Callable[[np.ndarray, np.ndarray], float | None]]:
    """Return all metrics by name, including optional ones whose packages are installed."""
    found: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
        "psnr": psnr,
        "psnr_corrected": psnr_corrected,
        "ssim": ssim,
    }
    if importlib.util.find_spec("flip_evaluator"):
        found["flip"] = flip
    for key, network in (("lpips", lpips.ALEX), ("lpips_vgg", lpips.VGG)):
        if lpips.weights_file(network):
            found[key] = partial(perceptual, network=network)
    return found
