"""Train one arm: compiled once for all seeds, learning rates and numbers of steps."""

import base64
import contextlib
import dataclasses
import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import imageio.v3 as iio
import numpy as np
from jaxtyping import Float

from nerf.evaluation.evaluate import evaluate
from nerf.evaluation.metrics import psnr
from nerf.foundation.png import to_bytes
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model
from nerf.runs.budget import Budget
from nerf.scenes import Scene
from nerf.scenes.images import on_background
from nerf.training.nonfinite import TrainingError
from nerf.training.session import Session

MEASURES = tuple(
    f"benchmarks.systems.{name}" for name in ("measures", "surface_measures", "label_measures")
)
CURVE_POINTS = 24  # of the training curve that a run keeps
DIVERGED = -100.0  # dB, of a run whose numbers are not finite


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model, its validation scores and its training curve.

    Attributes:
      model: the model.
      before: PSNR on "val" after the first three quarters of the steps.
      after: PSNR on "val" at the end.
      curve: mean PSNR of the training batches in equal parts of the training.
      ms_per_step: median milliseconds per step.
    """

    model: Model
    before: float
    after: float
    curve: list[float]
    ms_per_step: float


def module_of(measure: str) -> str:
    """Return the name of the module with a measure, one of `MEASURES`."""
    return next(module for module in MEASURES if hasattr(import_module(module), measure))


def rounded(config: Mapping[str, Any], steps: float) -> int:
    """Return the nearest number of steps that whole calls of a config make."""
    unit = config["steps_per_call"]
    return max(round(steps / unit), 1) * unit


class Trainer:
    """A config, compiled once: seed, learning rate and steps are arguments.

    Args:
      config: the complete config.
      scenes: the scene by split.
      shifted: see `Arm`.
    """

    def __init__(
        self, config: Mapping[str, Any], scenes: Mapping[str, Scene], shifted: bool = False
    ):
        self.config, self.scenes, self.shifted = config, scenes, shifted
        self.session = Session(config, self.scenes["train"])
        self.session.compile()

    def choose(self, seed: int, rate: float, steps: float) -> float:
        """Train with a seed, a factor of the learning rate and a number of steps.

        Returns: the mean PSNR of the views of "val"; `DIVERGED` if numbers are not finite.
        """
        self.session.restart(seed, rate)
        try:
            for _ in self.session.calls(Budget(rounded(self.config, steps))):
                pass
            self.session.check_finite()
        except TrainingError:
            return DIVERGED
        score = self.score(self.session.model(), "val")
        return score if np.isfinite(score) else DIVERGED

    def train(self, seed: int, rate: float, steps: float) -> Trained:
        """Train, and score "val" before and after the last quarter; see `choose`.

        Raises:
          TrainingError: numbers are not finite.
        """
        self.session.restart(seed, rate)
        steps = rounded(self.config, steps)
        curve: list[float] = []
        ends = [0.0]
        before = float("nan")
        for call in self.session.calls(Budget(steps)):
            curve.extend(call.metrics["psnr"].tolist())
            ends.append(call.seconds)
            if np.isnan(before) and call.step >= 0.75 * steps:
                before = self.score(self.session.model(), "val")
        self.session.check_finite()
        model = self.session.model()
        parts = np.array_split(np.array(curve), min(CURVE_POINTS, len(curve)))
        return Trained(
            model=model,
            before=before,
            after=self.score(model, "val"),
            curve=[float(part.mean()) for part in parts],
            ms_per_step=1e3 * float(np.median(np.diff(ends))) / self.config["steps_per_call"],
        )

    def score(self, model: Model, split: str) -> float:
        """Return the mean PSNR of the views of a split."""
        return float(np.mean(self.scores(model, split)))

    def scores(self, model: Model, split: str) -> list[float]:
        """Return the PSNR of each pose of a split, as nerf train scores it.

        Views of several sizes from one pose are one score, their mean, since they are not
        independent.
        """
        scene, config = self.scenes[split], self.config
        if self.shifted:
            return [
                psnr(self.render(model, split, view), self._truth(split, view))
                for view in range(len(scene))
            ]
        # The laboratory has a line of progress of its own.
        silent = io.StringIO()
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            found = evaluate(
                model, scene, split, config["background"], config["chunk"], folder=None
            )
        assert found is not None
        by_pose: dict[bytes, list[float]] = {}
        for pose, name in zip(np.asarray(scene.cameras.c2w), scene.names, strict=True):
            by_pose.setdefault(pose.tobytes(), []).append(found["per_image"][name]["psnr"])
        return [float(np.mean(scores)) for scores in by_pose.values()]

    def picture(self, model: Model) -> bytes:
        """Return a PNG of the first test view; of a picture, all of its pixels."""
        split = "train" if "mask" in self.scenes["train"].maps else "test"
        image = to_bytes(self.render(model, split, 0))
        return iio.imwrite("<bytes>", image, extension=".png")

    def render(self, model: Model, split: str, view: int) -> Float[np.ndarray, "h w 3"]:
        """Render a view of a split, with the mean colour of its photo if pictures are shifted."""
        render = make_render_image(model, self.config["background"], self.config["chunk"])
        image = render(self.scenes[split].cameras[view])["rgb"]
        if not self.shifted:
            return image
        return np.clip(image + (self._truth(split, view) - image).mean((0, 1)), 0.0, 1.0)

    def _truth(self, split: str, view: int) -> Float[np.ndarray, "h w 3"]:
        """Return the photo of a view of a split over the background."""
        return on_background(self.scenes[split].images[view], self.config["background"])

    def measure(
        self, seed: int, rate: float, steps: float, measures: Sequence[str]
    ) -> dict[str, Any]:
        """Train a seed and measure everything, as JSON.

        Args:
          seed: the seed.
          rate: factor of the learning rate.
          steps: training steps.
          measures: names of functions in the modules `MEASURES`.

        Returns: "diverged", and unless that is true the measurements; "picture" is a PNG in base 64
        of the first seed, otherwise empty.
        """
        try:
            trained = self.train(seed, rate, steps)
        except TrainingError:
            return {"diverged": True, "steps": rounded(self.config, steps)}
        scores = self.scores(trained.model, "test")
        if not np.isfinite([trained.before, trained.after, *scores]).all():
            return {"diverged": True, "steps": rounded(self.config, steps)}
        numbers: dict[str, float] = {"ms_per_step": trained.ms_per_step}
        for name in measures:
            measure = getattr(import_module(module_of(name)), name)
            numbers |= measure(trained.model, self.config, self.scenes["test"])
        picture = self.picture(trained.model) if seed == 0 else b""
        return {
            "diverged": False,
            "psnr": scores,
            "val": [trained.before, trained.after],
            "numbers": numbers,
            "curve": trained.curve,
            "steps": rounded(self.config, steps),
            "picture": base64.b64encode(picture).decode(),
        }
