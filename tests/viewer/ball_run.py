"""A run that nobody trained: a ball, the cameras around it, and photos of it."""

import dataclasses

import numpy as np
from flax import nnx

from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage
from nerf.runs.read import Run
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import Scene, Similarity
from nerf.viewer.backdrop import make_backdrop
from nerf.viewer.modes import mode_names
from nerf.viewer.poses import pinhole
from nerf.viewer.server import Viewer
from nerf.viewer.shown_run import show_run
from nerf.viewer.turns import Turns
from nerf.viewer.views import Views, views_of
from tests.pages.test_baking import Ball
from tests.pages.test_browser import ring

BACKGROUND = [1.0, 0.9, 0.8]
# The file's world is three times as large, turned about x, and lies elsewhere.
TURNED = Similarity(
    1.0 / 3.0, np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]), np.array([0.1, 0.2, -0.3])
)


def make_run(folder, radius=0.7, transform=TURNED, edge_rays=1, steps=24):
    """Return the run of a ball; its training cameras stand in a ring around it."""
    model = Model(
        {"ball": Stage(UniformSteps(steps), Ball(radius))}, ("ball",), edge_rays=edge_rays
    )
    folder.mkdir(parents=True, exist_ok=True)
    cameras = ring()
    return Run(
        folder=folder,
        config={"background": BACKGROUND, "chunk": 1024, "eval_split": "test"},
        model=model,
        step=7,
        transform=transform,
        cameras={"train": cameras[np.arange(4)], "test": cameras[np.arange(4, 6)]},
        names={"train": [f"photo {i}" for i in range(4)], "test": ["test a", "test b"]},
        stamp="ball",
    )


def photos_of(run, split, noise=0.0):
    """Return the scene of a split, whose photos are renders of the run with noise."""
    render = make_render_image(run.model, run.config["background"], 1024)
    cameras, rng = run.cameras[split], np.random.default_rng(0)
    images = []
    for i in range(len(cameras)):
        image = np.clip(render(cameras[i])["rgb"], 0.0, 1.0)
        image = np.clip(image + (i + 1) * noise * rng.normal(size=image.shape), 0.0, 1.0)
        images.append(np.rint(255 * image).astype(np.uint8))
    return Scene(images, cameras, run.names[split], run.transform, unbounded=False)


def open_viewer(*runs, points=3000, noise=0.02, **options):
    """Return a viewer of runs on a free port."""
    turns = Turns()
    shown = tuple(show_run(run, turns) for run in runs)
    first = runs[0]
    for each in shown:
        warm = each.renderer.warm_up(pinhole(np.eye(3, 4), 0.8, (64, 64)))
    views = Views(
        views_of(first.cameras, first.names),
        shown[0].renderer,
        first.config["background"],
        {},
        lambda split: photos_of(first, split, noise),
    )
    backdrop = make_backdrop(first, points)
    return Viewer(shown, views, backdrop, mode_names(warm.picture), first.folder, port=0, **options)


class Labelled(nnx.Module):
    """A ball that also has a number and scores of five labels at each place."""

    def __init__(self, ball):
        self.ball = ball

    def __call__(self, samples):
        height = samples.means[..., 2]
        scores = (height[..., None] * 5.0 - np.arange(-2.0, 3.0)[(None,) * height.ndim]) ** 2
        return {**self.ball(samples), "height": height, "labels": -scores}


def with_labels(run):
    """Return the run with the quantities "height" and "labels"."""
    stage = run.model.stages[0]
    model = Model({"ball": Stage(stage.sampler, Labelled(stage.field))}, ("ball",))
    return dataclasses.replace(run, model=model)
