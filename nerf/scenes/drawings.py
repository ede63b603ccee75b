"""Small synthetic pictures for the image task: a random network, and text.

They need no files and are equal on every machine with the same numpy and Pillow.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

SAMPLES = 4  # number of samples along each side of a pixel
WORDS = ("NeRF", "rays", "f(x)", "JAX!", "a=2b")


def cppn(
    size: int = 64,
    seed: int = 5,
    depth: int = 3,
    width: int = 12,
    latent: Sequence[float] = (),
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a compositional pattern-producing network (Stanley 2007).

    It is a random network from x, y, r and a latent vector z to colours, with sine, Gaussian, tanh
    and |x| activations. A picture changes smoothly with z.

    Equation:
      h_1 = f(W (x, y, r) + V z + b)
      h_l = f(W_l h_(l-1) + b_l)   f: each function on a quarter of the units
      rgb = sigmoid(1.5 (U h - mean) / std)   over the pixels, per channel

    Args:
      size: number of pixels along each side.
      seed: seed of the weights.
      depth: number of layers of the network.
      width: number of units of each layer; a multiple of 4.
      latent: z; numbers of about 1 change the picture clearly. Zeros draw the picture without z.

    Returns:
      The sRGB picture.
    """
    rng = np.random.default_rng(seed)
    # Sample coordinates in [-1, 1], several along each side of a pixel.
    fine = size * SAMPLES
    axis = (np.arange(fine) + 0.5) / fine * 2.0 - 1.0
    y, x = np.meshgrid(axis, axis, indexing="ij")
    h = np.stack([x, y, np.hypot(x, y)], -1)
    kinds: tuple[Callable, ...] = (np.sin, lambda v: np.exp(-(v**2)), np.tanh, np.abs)
    # The weights V have random numbers of their own, so that z = 0 changes nothing.
    shift = np.asarray(latent) @ np.random.default_rng([seed, 1]).normal(size=(len(latent), width))
    for layer in range(depth):
        # The first layer has large weights, which set the spatial frequency of the picture.
        scale = 6.0 if layer == 0 else 2.5 / np.sqrt(h.shape[-1])
        h = h @ rng.normal(0.0, scale, (h.shape[-1], width)) + rng.normal(0.0, 1.0, width)
        h = h + shift if layer == 0 else h
        h = np.concatenate(
            [kind(part) for kind, part in zip(kinds, np.split(h, len(kinds), -1), strict=True)], -1
        )
    # Standardise each channel, so that the sigmoid uses the range of colours.
    last = h @ rng.normal(0.0, 1.0, (width, 3))
    return _shrink(1.0 / (1.0 + np.exp(-1.5 * (last - last.mean((0, 1))) / last.std((0, 1)))))


def text(size: int = 64, stroke: float = 2.5) -> UInt8[np.ndarray, "h w 3"]:
    """Draw words of several colours on a dark background that varies slowly.

    Args:
      size: number of pixels along each side.
      stroke: side of a dot of Pillow's built-in bitmap font in pixels: the width of a stroke.

    Returns:
      The sRGB picture.
    """
    # Draw the font at its own resolution, one pixel per dot, in lines of shifted words.
    dots = int(np.ceil(size / stroke))
    mask = Image.new("L", (dots, dots))
    draw, font = ImageDraw.Draw(mask), ImageFont.load_default_imagefont()
    for i, top in enumerate(range(-1, dots - 6, 9)):
        draw.text((1, top), " ".join((WORDS * dots)[i : i + dots // 24 + 1]), fill=255, font=font)
    # Scale the dots to the width of the strokes; `ink` is the opacity of the text at each sample.
    fine = size * SAMPLES
    box = (0, 0, size / stroke, size / stroke)
    ink = np.asarray(mask.resize((fine, fine), Image.Resampling.BOX, box)) / 255.0
    y, x = np.mgrid[:fine, :fine] / fine
    # Blend a smooth background and a colour that changes from the top to the bottom.
    ground = np.stack([0.15 + 0.2 * x, 0.1 + 0.15 * y, 0.3 - 0.15 * x * y], -1)
    colour = 0.7 + 0.3 * np.cos(2.0 * np.pi * (1.3 * y[..., None] + np.arange(3) / 3.0))
    return _shrink(ground + ink[..., None] * (colour - ground))


def _shrink(colour: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "n n 3"]:
    """Average the samples of each pixel and convert to 8 bits."""
    n = colour.shape[0] // SAMPLES
    return np.rint(255.0 * colour.reshape(n, SAMPLES, n, SAMPLES, 3).mean((1, 3))).astype(np.uint8)
