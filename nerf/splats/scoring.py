"""Score splats on the held-out views of a run, beside its field."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from nerf.evaluation.evaluate import true_picture
from nerf.evaluation.metrics import apply_mask, psnr
from nerf.foundation.errors import UserError
from nerf.foundation.progress import track
from nerf.output.classes import shows_classes
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run, reload_split
from nerf.sampling.spaces import Cropped
from nerf.splats.rasterizer import rasterize
from nerf.splats.splats import Splats

MAX_VIEWS = 20  # that are scored


class Score(NamedTuple):
    """Mean PSNR over held-out views, in dB.

    Attributes:
      splats: of the pictures of the splats.
      field: of those of the field; None if these are what the splats are compared with.
      views: number of views.
      split: the views' split.
      reason: why there are no photos to compare with; empty if there are.
    """

    splats: float
    field: float | None
    views: int
    split: str
    reason: str

    def __str__(self) -> str:
        where = f"over {self.views} views ({self.split})"
        if self.field is None:
            return f"PSNR {self.splats:.2f} dB against the field, {where}: {self.reason}"
        return f"PSNR {self.splats:.2f} dB, of the field {self.field:.2f} dB, {where}"


class Truth(NamedTuple):
    """The photo of a view over the background, and the pixels that count."""

    picture: Float[np.ndarray, "h w 3"]
    there: Bool[np.ndarray, "h w"]


def score_splats(
    run: Run, splats: Splats, root: str | Path | None = None, plugins: tuple[str, ...] = ()
) -> Score | None:
    """Compare pictures of splats and of the field with the photos of the held-out views.

    The protocol is that of `nerf.evaluation.metrics.psnr`. Without photos, or if the field is
    cropped or shows its classes, the splats are compared with the field alone.

    Args:
      run: the trained run.
      splats: in the normalised world.
      root: the scene's folder; None: where it was at training.
      plugins: packages outside `nerf` that the config may name.

    Returns:
      The mean scores; None if the run has no held-out views.
    """
    split = run.config["eval_split"]
    cameras = run.cameras.get(split)
    if cameras is None or not len(cameras):
        return None
    chosen = np.unique(np.linspace(0, len(cameras) - 1, MAX_VIEWS).astype(int))
    truths, reason = _photos(run, split, chosen, root, plugins)
    background = np.asarray(run.config["background"], np.float32)
    render = make_render_image(run.model, run.config["background"], run.config["chunk"])
    of_splats, of_field = [], []
    for n, i in enumerate(track(chosen, "scores", "view", len(chosen))):
        field = render(cameras[int(i)])["rgb"]
        truth = truths[n] if truths else Truth(field, np.ones(field.shape[:2], bool))
        shown = rasterize(splats, cameras[int(i)], background)
        of_splats.append(_psnr(shown, truth, background))
        of_field.append(_psnr(field, truth, background))
    compared = float(np.mean(of_field)) if truths else None
    return Score(float(np.mean(of_splats)), compared, len(chosen), split, reason)


def _photos(
    run: Run,
    split: str,
    chosen: np.ndarray,
    root: str | Path | None,
    plugins: tuple[str, ...],
) -> tuple[list[Truth], str]:
    """Return the photos of the chosen views; none, and the reason, if there are none to use."""
    if isinstance(run.model.space, Cropped):
        return [], "photos show what lies outside of the crop, too"
    if shows_classes(run):
        return [], "photos show all classes in their own colours"
    try:
        scene = reload_split(run, split, root, plugins)
    except UserError:
        # A reason in one line; the error itself has the details, and may have many lines.
        return [], "the scene's photos are not where they were: give its folder with --scene"
    background = np.asarray(run.config["background"], np.float32)
    return [Truth(*true_picture(scene, int(i), background)) for i in chosen], ""


def _psnr(
    picture: Float[np.ndarray, "h w 3"], truth: Truth, background: Float[np.ndarray, "3"]
) -> float:
    return psnr(
        apply_mask(picture, truth.there, background)[truth.there], truth.picture[truth.there]
    )
