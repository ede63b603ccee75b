"""Antialiasing of images: pixels at edges are rendered again with several rays."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

CONTRAST = 0.2  # sRGB difference to a neighbour from which on a pixel is at an edge
AVERAGED = ("rgb", "opacity")

RenderPixels = Callable[[Float[np.ndarray, "m 2"]], Mapping[str, Float[np.ndarray, "m ..."]]]


def smooth_edges(
    image: Mapping[str, Float[np.ndarray, "h w ..."]], count: int, render: RenderPixels
) -> dict[str, Float[np.ndarray, "h w ..."]]:
    """Return an image whose pixels at edges are means over count x count rays (Whitted 1980).

    A photo shows the mean over each pixel, and one ray shows its centre. They differ where the
    colour changes within a pixel: at silhouettes, which a sharp surface leaves jagged, and in fine
    texture. Depth, and every quantity but the colour and the opacity, stays that of the centre,
    since the mean of two surfaces is on neither.

    Args:
      image: rendered with one ray per pixel, with "rgb" and "opacity".
      count: number of rays along each side of a pixel.
      render: image positions (x, y) -> rendered arrays by name.
    """
    row, column = np.nonzero(find_edges(image["rgb"]))
    smooth = dict(image)
    rendered = render(within_pixels(np.stack([column, row], -1), count))
    for name in AVERAGED:
        rays, smooth[name] = rendered[name], np.array(image[name])
        smooth[name][row, column] = rays.reshape(len(row), count**2, *rays.shape[1:]).mean(1)
    return smooth


def find_edges(rgb: Float[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels with a range of colours above `CONTRAST` among them and their neighbours.

    The neighbours are eight.
    """
    padded = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    return (around.max((-1, -2)) - around.min((-1, -2))).max(-1) > CONTRAST


def within_pixels(pixels: Int[np.ndarray, "m 2"], count: int) -> Float[np.ndarray, "k 2"]:
    """Return the middles of count x count equal parts of each pixel (x, y), pixel after pixel."""
    middles = (np.arange(count) + 0.5) / count
    offsets = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1).reshape(1, -1, 2)
    return (pixels[:, None] + offsets).reshape(-1, 2).astype(np.float32)
