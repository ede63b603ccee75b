"""Build the untrained model of a config for a scene."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import nnx

from nerf.cameras.cameras import Cameras
from nerf.foundation.instantiate import build
from nerf.rendering.model import Model
from nerf.scenes import Problem, Scene, SceneError
from nerf.scenes.base import LabelClass
from nerf.scenes.hull import visual_hull


def build_model(
    config: Mapping[str, Any],
    unbounded: bool,
    cameras: Cameras,
    plugins: tuple[str, ...],
    classes: Sequence[LabelClass] = (),
) -> Model:
    """Build the untrained model of a config.

    Args:
      config: as plain data.
      unbounded: whether the scene is; selects one of the config's spaces.
      cameras: of the training views, for parts that have parameters per image.
      plugins: packages outside `nerf` that the config may name.
      classes: of the scene's label maps.
    """
    facts = {
        "num_images": len(cameras),
        "positions": np.asarray(cameras.position),
        "classes": tuple(classes),
    }
    space = build(config["spaces"]["unbounded" if unbounded else "bounded"], plugins=plugins)
    context = {
        "rngs": nnx.Rngs(config["seed"]),
        "space": space,
        "num_dims": space.num_dims,
        **facts,
    }
    return build(config["model"], plugins=plugins, **context)


def prepare_model(config: Mapping[str, Any], scene: Scene, plugins: tuple[str, ...]) -> Model:
    """Build the untrained model of a config for a scene.

    The occupancy grid is restricted to the visual hull of images with alpha, unless poses are
    learned: a hull of wrong poses would cut matter away.

    Args:
      config: as plain data.
      scene: the training views.
      plugins: packages outside `nerf` that the config may name.

    Raises:
      SceneError: the visual hull is empty.
    """
    model = build_model(config, scene.unbounded, scene.cameras, plugins, scene.classes)
    if (
        model.occupancy is not None
        and model.poses is None
        and scene.has_alpha
        and not scene.unbounded
    ):
        hull = visual_hull(scene, model.occupancy.resolution)
        if not hull.any():
            reason = "the alpha of its images leaves no place that every view shows as matter"
            fix = "nerf capture --check=SCENE says which poses or images are wrong"
            raise SceneError([Problem("scene", "", reason, fix)])
        model.occupancy.restrict(hull)
    return model
