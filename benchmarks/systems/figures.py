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
from nerf.scenes.images import on_background

SIDE = 1.7  # inches of a picture
ERROR = 0.25  # error, in units of white, that is drawn brightest
QUALITY = 80  # of the WebP


def truth_of(arm: Arm) -> Float[np.ndarray, "h w 3"]:
    """Return the photo that `Trainer.picture` renders, on the arm's background."""
    scenes = arm.scenes()
    whole = "mask" in scenes["train"].maps or arm.seen
    image = scenes["train" if whole else "test"].images[0]
    return on_background(image, arm.resolve()["background"])


def draw_row(file: Path, row: Row, result: Mapping[str, Any]) -> None:
    """Draw a row's figure as WebP: a column for each arm, with its truth, picture and error.

    Args:
      file: the file to write; its folder is made if it is missing.
      row: the row.
      result: its measurements, with the pictures of the first seeds.
    """
    arms = [arm for arm in row.arms if result["arms"][arm.name]["picture"]]
    if not arms:  # every first seed diverged
        file.unlink(missing_ok=True)
        return
    figure = Figure(figsize=(SIDE * len(arms) + 2.8, 3 * SIDE + 0.5), layout="constrained")
    axes = figure.subplots(3, len(arms) + 1, width_ratios=[*[SIDE] * len(arms), 2.6], squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for column, arm in zip(axes.T, arms, strict=False):
        measured, truth = result["arms"][arm.name], truth_of(arm)
        rendered = iio.imread(base64.b64decode(measured["picture"])) / 255.0
        column[0].imshow(truth)
        column[1].imshow(rendered)
        column[1].set_title(f"{arm.name}\n{np.mean(measured['psnr']):.1f} dB", fontsize=8)
        column[2].imshow(np.abs(rendered - truth).mean(-1), cmap="magma", vmin=0.0, vmax=ERROR)
    axes[0, 0].set_title("truth", fontsize=8)
    axes[2, 0].set_title(f"error, 0 to {ERROR:g}", fontsize=8)
    curves = figure.add_subplot(axes[0, -1].get_gridspec()[:, -1])
    for name, measured in result["arms"].items():
        parts = len(measured["curve"])
        steps = (np.arange(parts) + 0.5) / max(parts, 1) * measured["steps"]
        curves.plot(steps, measured["curve"], label=name, linewidth=1.2)
    curves.set_xlabel("step", fontsize=8)
    curves.set_title("PSNR of training batches, dB", fontsize=8)
    curves.tick_params(labelsize=7)
    curves.legend(fontsize=6, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").save(file, "WEBP", quality=QUALITY, method=6)
