"""The views of a run: their cameras, their PSNR, and photo | render | error of each."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from nerf.cameras.cameras import Cameras, project, repeat_camera
from nerf.evaluation.evaluate import true_picture
from nerf.evaluation.metrics import apply_mask, psnr
from nerf.foundation.errors import UserError
from nerf.foundation.png import to_bytes
from nerf.runs.read import Run
from nerf.scenes import Scene
from nerf.viewer.frames import FrameRenderer, centres
from nerf.viewer.modes import colour_error

UNKNOWN_COLOUR = (140, 140, 140)  # of a view without a PSNR
WORST, BEST = 5.0, 95.0  # percentiles of the PSNRs that are red and green
BEST_HUE, SCORE_BRIGHTNESS = 1.0 / 3.0, 0.8  # green; dark enough for a white background
SAME_PLACE = 1e-3  # distance of two camera centres, in the normalised world, that counts as none
PLACES = 4096  # positions projected at once


@dataclasses.dataclass(frozen=True)
class View:
    """A photo that was trained on or held out.

    Attributes:
      split: "train", "val" or "test".
      index: in its split.
      name: unique in its split.
      camera: in the normalised world, without leading axes.
    """

    split: str
    index: int
    name: str
    camera: Cameras

    @property
    def label(self) -> str:
        """Return a name that is unique among all views."""
        return f"{self.split} {self.index}: {self.name}"


class Views:
    """The views of a run, whose photos are read when they are first asked for.

    Args:
      views: all views, the training views first.
      renderer: of the run's frames.
      background: sRGB behind transparent rays and photos.
      scores: PSNR of views by their label, as far as it is known.
      load: returns the scene of a split; raises UserError if it cannot be read.

    Attributes:
      scores: PSNR of views by their label, as far as it is known.
      problem: why there are no photos, in one line; empty if there are.
    """

    def __init__(
        self,
        views: Sequence[View],
        renderer: FrameRenderer,
        background: Sequence[float],
        scores: Mapping[str, float],
        load: Callable[[str], Scene],
    ):
        self.views, self.renderer, self.load = list(views), renderer, load
        self.background = np.asarray(background, np.float32)
        self.scores = dict(scores)
        self.problem = ""
        self._scenes: dict[str, Scene | None] = {}
        self._lock = threading.Lock()

    def find(self, label: str) -> View | None:
        """Return the view with a label, or None."""
        return next((view for view in self.views if view.label == label), None)

    def nearest(self, position: Float[np.ndarray, "3"]) -> View | None:
        """Return the view whose photo was taken from a position, or None."""
        if not self.views:
            return None
        places = np.stack([np.asarray(view.camera.position) for view in self.views])
        distance = np.linalg.norm(places - position, axis=-1)
        best = int(distance.argmin())
        return self.views[best] if distance[best] < SAME_PLACE else None

    def truth(self, view: View) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a view's photo over the background and its mask; None if it is missing."""
        with self._lock:
            if view.split not in self._scenes:
                self._scenes[view.split] = self._load(view.split)
            scene = self._scenes[view.split]
        return None if scene is None else true_picture(scene, view.index, self.background)

    def _load(self, split: str) -> Scene | None:
        try:
            return self.load(split)
        except (UserError, OSError) as error:
            reason = str(error).splitlines()[0]
            self.problem = f"no photos of split {split!r}, so no errors: {reason}"
            return None

    def compare(self, view: View) -> tuple[dict[str, UInt8[np.ndarray, "h w 3"]], float | None]:
        """Render a view and compare it with its photo.

        Returns:
          "photo", "render" and "error" as pictures, only "render" without a photo; and the PSNR.
        """
        rendered = self.renderer.still(view.camera).picture["rgb"]
        found = self.truth(view)
        if found is None:
            return {"render": to_bytes(rendered)}, None
        truth, there = found
        shown = apply_mask(rendered, there, self.background)
        score = psnr(shown[there], truth[there])
        self.scores[view.label] = score
        error = colour_error(shown, truth)
        return {"photo": to_bytes(truth), "render": to_bytes(shown), "error": error}, score

    def score_next(self) -> View | None:
        """Score one view that has no PSNR yet and return it; None if no view is left."""
        for view in self.views:
            if view.label not in self.scores and not self.problem:
                self.compare(view)
                return view if view.label in self.scores else None
        return None

    def photo_from(self, view: View) -> Callable[[Cameras], tuple[np.ndarray, np.ndarray]] | None:
        """Return a function that gives a photo as another camera at its place would have taken it.

        It is None if there is no photo. The function returns the picture, and where it is known.
        """
        found = self.truth(view)
        if found is None:
            return None
        truth, there = found
        return lambda camera: photo_as_seen(view.camera, truth, there, camera)


def views_of(cameras: Mapping[str, Cameras], names: Mapping[str, Sequence[str]]) -> list[View]:
    """Return the views of all splits, the training views first."""
    splits = sorted(cameras, key=lambda split: split != "train")
    return [
        View(split, i, name, cameras[split][i])
        for split in splits
        for i, name in enumerate(names[split])
    ]


def recorded_scores(run: Run, views: list[View]) -> dict[str, float]:
    """Return the PSNRs that the run's results have, by label; none of an unfinished run."""
    try:
        results: Mapping[str, Any] = run.results
    except UserError:
        return {}
    split, scores = results["protocol"]["split"], results["per_image"]
    found = {}
    for view in views:
        score = scores.get(view.name, {}).get("psnr") if view.split == split else None
        if score is not None:
            found[view.label] = float(score)
    return found


def score_colours(scores: Mapping[str, float]) -> dict[str, tuple[int, int, int]]:
    """Return a colour from red (worst) to green (best) for each PSNR."""
    from matplotlib.colors import hsv_to_rgb

    if not scores:
        return {}
    low, high = np.percentile(list(scores.values()), [WORST, BEST])
    shares = {key: (value - low) / max(high - low, 1e-9) for key, value in scores.items()}
    colours = {}
    for key, share in shares.items():
        hue = BEST_HUE * float(np.clip(share, 0.0, 1.0))
        red, green, blue = hsv_to_rgb((hue, 1.0, SCORE_BRIGHTNESS))
        colours[key] = (round(255 * red), round(255 * green), round(255 * blue))
    return colours


def photo_as_seen(
    taken: Cameras,
    photo: Float[np.ndarray, "h w 3"],
    there: Bool[np.ndarray, "h w"],
    camera: Cameras,
) -> tuple[Float[np.ndarray, "h2 w2 3"], Bool[np.ndarray, "h2 w2"]]:
    """Return a photo as another camera at the same place would have taken it.

    Args:
      taken: the photo's camera, with any lens.
      photo: sRGB.
      there: its mask.
      camera: perspective and without leading axes.

    Returns:
      The picture, interpolated linearly; and where the photo shows it.
    """
    width, height = (int(side) for side in camera.size)
    places = centres(np.ones((height, width), bool))
    K, c2w = np.asarray(camera.K, np.float64), np.asarray(camera.c2w, np.float64)
    local = np.concatenate([(places - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones((len(places), 1))], -1)
    ahead = np.matmul(local * [1.0, -1.0, -1.0], c2w[:, :3].T)
    points = np.asarray(taken.position, np.float64) + ahead
    padded = np.zeros((-(-len(points) // PLACES) * PLACES, 3), np.float32)
    padded[: len(points)] = points
    device = jax.tree.map(jnp.asarray, taken)
    parts = [_project(device, padded[i : i + PLACES]) for i in range(0, len(padded), PLACES)]
    pixels, inside = (np.concatenate(part)[: len(points)] for part in zip(*parts, strict=True))
    colours, known = _interpolate(photo, there, np.where(inside[:, None], pixels, 0.5))
    known &= inside
    return colours.reshape(height, width, 3), known.reshape(height, width)


@jax.jit
def _project(
    camera: Cameras, points: Float[Array, "n 3"]
) -> tuple[Float[Array, "n 2"], Bool[Array, " n"]]:
    """Return the pixel positions of points, and whether they are in the picture."""
    return project(repeat_camera(camera, points.shape[0]), points)


def _interpolate(
    photo: Float[np.ndarray, "h w 3"], there: Bool[np.ndarray, "h w"], places: np.ndarray
) -> tuple[Float[np.ndarray, "m 3"], Bool[np.ndarray, " m"]]:
    """Return a photo's colours at positions (x, y), and whether its mask has the pixel."""
    height, width = there.shape
    at = np.clip(places - 0.5, 0.0, [width - 1, height - 1])
    low = np.minimum(at.astype(int), np.maximum([width - 2, height - 2], 0))
    share = (at - low)[..., None]
    x, y = low.T
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    top = photo[y, x] * (1.0 - share[:, 0]) + photo[y, right] * share[:, 0]
    bottom = photo[below, x] * (1.0 - share[:, 0]) + photo[below, right] * share[:, 0]
    nearest = np.rint(at).astype(int)
    return top * (1.0 - share[:, 1]) + bottom * share[:, 1], there[nearest[:, 1], nearest[:, 0]]
