"""Build the untrained model of a config for a scene."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import nnx

from nerf.cameras.cameras import Cameras
from nerf.foundation.instantiate import build
from nerf.rendering.model import Model
from nerf.scenes import Problem, Scene, SceneError
from nerf.scenes.hull import visual_hull


def build_model(
    config: Mapping[str, Any], unbounded: bool, cameras: Cameras, plugins: tuple[str, ...]
) -> Model:
    """The untrained model of a config for these training cameras, in the space for such scenes.

    The space says of how many dimensions points are.
    """
    facts = {"num_images": len(cameras), "positions": np.asarray(cameras.position)}
    space = build(config["spaces"]["unbounded" if unbounded else "bounded"], plugins=plugins)
    context = {
        "rngs": nnx.Rngs(config["seed"]),
        "space": space,
        "num_dims": space.num_dims,
        **facts,
    }
    return build(config["model"], plugins=plugins, **context)


def prepare_model(config: Mapping[str, Any], scene: Scene, plugins: tuple[str, ...]) -> Model:
    """The untrained model of a config in the scene's space, its grid in the visual hull unless poses are learned."""
    model = build_model(config, scene.unbounded, scene.cameras, plugins)
    if (
        model.occupancy is not None
        and model.poses is None
        and scene.has_alpha
        and not scene.unbounded
    ):
        hull = visual_hull(scene, model.occupancy.resolution)
        if not hull.any():
            reason = "the alpha of its images leaves no place that every view shows as matter"
            fix = "capture.py --check=SCENE says which poses or images are wrong"
            raise SceneError([Problem("scene", "", reason, fix)])
        model.occupancy.restrict(hull)
    return model
