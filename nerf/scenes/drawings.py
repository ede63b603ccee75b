"""Small made-up pictures for the image task: a smooth composition of functions, and lines of text.

The same on every machine that has the same numpy and Pillow; no files.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

SAMPLES = 4  # along each side of a pixel
WORDS = ("NeRF", "rays", "f(x)", "JAX!", "a=2b")


def cppn(size: int = 64, seed: int = 5, depth: int = 3, width: int = 12) -> UInt8[np.ndarray, "h w 3"]:
    """A compositional pattern-producing network (Stanley 2007): random layers of sine, Gaussian, tanh and |x|.

    Args:
      size: pixels along a side.
      seed: of the weights.
      depth, width: of the network that is drawn, whose inputs are x, y and r.
    """
    rng = np.random.default_rng(seed)
    fine = size * SAMPLES
    axis = (np.arange(fine) + 0.5) / fine * 2.0 - 1.0
    y, x = np.meshgrid(axis, axis, indexing="ij")
    h = np.stack([x, y, np.hypot(x, y)], -1)
    kinds: tuple[Callable, ...] = (np.sin, lambda v: np.exp(-(v**2)), np.tanh, np.abs)
    for layer in range(depth):
        scale = 6.0 if layer == 0 else 2.5 / np.sqrt(h.shape[-1])
        h = h @ rng.normal(0.0, scale, (h.shape[-1], width)) + rng.normal(0.0, 1.0, width)
        h = np.concatenate([kind(part) for kind, part in zip(kinds, np.split(h, len(kinds), -1), strict=True)], -1)
    last = h @ rng.normal(0.0, 1.0, (width, 3))
    return _shrink(1.0 / (1.0 + np.exp(-1.5 * (last - last.mean((0, 1))) / last.std((0, 1)))))


def text(size: int = 64, stroke: float = 2.5) -> UInt8[np.ndarray, "h w 3"]:
    """Words in several colours, in Pillow's built-in bitmap font, on a dark ground that changes slowly.

    Args:
      size: pixels along a side.
      stroke: pixels along a dot of the font, which is the width of a stroke.
    """
    dots = int(np.ceil(size / stroke))
    mask = Image.new("L", (dots, dots))
    draw, font = ImageDraw.Draw(mask), ImageFont.load_default_imagefont()
    for i, top in enumerate(range(-1, dots - 6, 9)):
        draw.text((1, top), " ".join((WORDS * dots)[i : i + dots // 24 + 1]), fill=255, font=font)
    fine = size * SAMPLES
    ink = np.asarray(mask.resize((fine, fine), Image.Resampling.BOX, (0, 0, size / stroke, size / stroke))) / 255.0
    y, x = np.mgrid[:fine, :fine] / fine
    ground = np.stack([0.15 + 0.2 * x, 0.1 + 0.15 * y, 0.3 - 0.15 * x * y], -1)
    colour = 0.7 + 0.3 * np.cos(2.0 * np.pi * (1.3 * y[..., None] + np.arange(3) / 3.0))
    return _shrink(ground + ink[..., None] * (colour - ground))


def _shrink(colour: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "n n 3"]:
    """Mean over the samples of each pixel, 8 bits."""
    n = colour.shape[0] // SAMPLES
    return np.rint(255.0 * colour.reshape(n, SAMPLES, n, SAMPLES, 3).mean((1, 3))).astype(np.uint8)
