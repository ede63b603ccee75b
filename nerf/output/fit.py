"""Draw how well networks fit one image: pictures, errors and spectra, beside the truth.

The spectrum shows what a network cannot represent: a network of low bandwidth lacks the outer part
of it, and one of high bandwidth has more there than the image.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nerf.evaluation import metrics
from nerf.foundation.files import write_bytes
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run, load_run, reload_split
from nerf.scenes.images import on_background

SIDE = 2.0  # inches of a picture
DPI = 120
MAX_ERROR = 0.25  # error, in units of white, that is drawn brightest
DECADES = 6  # of spectral power that are drawn


def log_spectrum(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Return the log10 of an image's spectral power, the mean over channels, frequency 0 central.

    Equation:
      P(u, v) = |sum_xy w(x, y) (I(x, y) - mean(I)) e^(-2 pi i (u x + v y))|^2 / (h w)

    w is a Hann window, without which the borders would fill the axes of the spectrum.
    """
    height, width = image.shape[:2]
    window = np.outer(np.hanning(height), np.hanning(width))[..., None]
    power = np.abs(np.fft.fft2(window * (image - image.mean((0, 1))), axes=(0, 1))) ** 2
    return np.fft.fftshift(np.log10(power.mean(-1) / (height * width) + 1e-12))


def fits_figure(
    truth: Float[np.ndarray, "h w 3"], pictures: Mapping[str, Float[np.ndarray, "h w 3"]]
) -> Figure:
    """Draw pictures, their errors and spectra beside the truth.

    Args:
      truth: the image, in [0, 1].
      pictures: what each network makes of it, by name.
    """
    columns = 1 + len(pictures)
    figure = Figure(figsize=(SIDE * columns, 3 * SIDE + 0.8), layout="constrained")
    axes = figure.subplots(3, columns, squeeze=False)
    true_spectrum = log_spectrum(truth)
    scale = {"vmin": true_spectrum.max() - DECADES, "vmax": true_spectrum.max(), "cmap": "gray"}
    axes[0, 0].imshow(truth)
    axes[0, 0].set_title("image", fontsize=9)
    axes[2, 0].imshow(true_spectrum, **scale)
    axes[2, 0].set_title(f"spectrum, {DECADES} decades", fontsize=9)
    for i, (name, picture) in enumerate(pictures.items(), 1):
        axes[0, i].imshow(np.clip(picture, 0.0, 1.0))
        axes[0, i].set_title(f"{name}, {metrics.psnr(picture, truth):.2f} dB", fontsize=9)
        error = np.abs(picture - truth).mean(-1)
        axes[1, i].imshow(error, vmin=0.0, vmax=MAX_ERROR, cmap="magma")
        axes[1, i].set_title(f"error, 0 to {MAX_ERROR:g}", fontsize=9)
        axes[2, i].imshow(log_spectrum(picture), **scale)
    for axis in axes.flat:
        axis.axis("off")
    return figure


def fits_of_runs(runs: Mapping[str, Run], plugins: tuple[str, ...] = ()) -> Figure:
    """Draw what runs of the image task make of all pixels of their image; see `fits_figure`.

    PSNR is that of all pixels, seen and held out.

    Args:
      runs: runs on one image, by name.
      plugins: packages outside `nerf` that the runs' configs may name.

    Raises:
      UserError: the image cannot be read, or is not that of the runs any more.
    """
    first = next(iter(runs.values()))
    image = reload_split(first, "train", None, plugins).images[0]
    truth = on_background(image, first.config["background"])
    pictures = {}
    for name, run in runs.items():
        render = make_render_image(run.model, run.config["background"], run.config["chunk"])
        pictures[name] = np.asarray(render(run.cameras["train"][0])["rgb"])
    return fits_figure(truth, pictures)


def write_fit(folder: Path, name: str, plugins: tuple[str, ...] = ()) -> Path:
    """Write the figure of one run into its folder, as "fit.png".

    Args:
      folder: the run folder.
      name: name of the network in the figure.
      plugins: packages outside `nerf` that the run's config may name.

    Returns: the file.
    """
    buffer = io.BytesIO()
    fits_of_runs({name: load_run(folder, plugins)}, plugins).savefig(buffer, format="png", dpi=DPI)
    write_bytes(folder / "fit.png", buffer.getvalue())
    return folder / "fit.png"
