"""Draw the figure of a row: the truth, what each arm renders, its errors, and training curves."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.systems.claims import Arm, Row
from nerf.scenes import to_unit
from nerf.scenes.images import over

SIDE = 1.7  # inches of a picture
ERROR = 0.25  # error, in units of white, that is drawn brightest
QUALITY = 80  # of the WebP
MAX_ARMS = 4  # that a figure shows


def truth_of(arm: Arm) -> Float[np.ndarray, "h w 3"]:
    """Return the photo that `Trainer.picture` renders, on the arm's background."""
    scenes = arm.scenes()
    whole = scenes["train"].masks is not None or arm.seen
    image = np.asarray(to_unit(scenes["train" if whole else "test"].images[0]))
    return np.asarray(over(image, np.asarray(arm.resolve()["background"], np.float32)))


def draw_row(file: Path, row: Row, result: Mapping[str, Any]) -> None:
    """Draw a row's figure as WebP.

    Args:
      file: the file to write; its folder is made if it is missing.
      row: the row.
      result: its measurements, with the pictures of the first seeds.
    """
    arms = row.arms[:MAX_ARMS]
    figure = Figure(figsize=(SIDE * (len(arms) + 1) + 2.6, 2 * SIDE + 0.5), layout="constrained")
    axes = figure.subplots(
        2, len(arms) + 2, width_ratios=[*[SIDE] * (len(arms) + 1), 2.4], squeeze=False
    )
    for axis in axes[:, :-1].flat:
        axis.axis("off")
    truths = [truth_of(arm) for arm in arms]
    axes[0, 0].imshow(truths[0])
    axes[0, 0].set_title("truth", fontsize=8)
    for i, (arm, truth) in enumerate(zip(arms, truths, strict=True), 1):
        measured = result["arms"][arm.name]
        rendered = iio.imread(base64.b64decode(measured["picture"])) / 255.0
        axes[0, i].imshow(rendered)
        axes[0, i].set_title(f"{arm.name}\n{np.mean(measured['psnr']):.1f} dB", fontsize=8)
        error = np.abs(rendered - truth).mean(-1)
        axes[1, i].imshow(error, cmap="magma", vmin=0.0, vmax=ERROR)
    axes[1, 1].set_title(f"error, 0 to {ERROR:g}", fontsize=8)
    axes[1, -1].axis("off")
    curves = figure.add_subplot(axes[0, -1].get_gridspec()[:, -1])
    axes[0, -1].axis("off")
    for name, measured in result["arms"].items():
        parts = len(measured["curve"])
        steps = (np.arange(parts) + 0.5) / parts * measured["steps"]
        curves.plot(steps, measured["curve"], label=name, linewidth=1.2)
    curves.set_xlabel("step", fontsize=8)
    curves.set_title("PSNR of training batches, dB", fontsize=8)
    curves.tick_params(labelsize=7)
    curves.legend(fontsize=6, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").save(file, "WEBP", quality=QUALITY, method=6)
