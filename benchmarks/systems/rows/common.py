"""Define the scenes, the sizes and the kinds of arm that the rows share."""

from collections.abc import Mapping
from typing import Any

from benchmarks.systems.claims import Arm

TOYBOX = {"name": "nerf.scenes.toybox:load", "sizes": (96,), "held_out": 8}
PICTURE = {"name": "nerf.scenes.picture:load"}
CPPN = {**PICTURE, "source": {"name": "nerf.scenes.drawings:cppn", "size": 128}}
FIELD = "model.stages.main.field"
SAMPLER = "model.stages.main.sampler"
# An occupancy grid makes every arm cheaper: 96 steps along a ray, of which the network evaluates
# those near matter.
GRID = {
    "name": "nerf.sampling.occupancy_grid:OccupancyGrid",
    "resolution": 48,
    "threshold": 2.0,
    "decay": 0.9,
    "update_every": 16,
    "min_weight": 0.01,
    "keep_weight": 0.05,
}
ON_TOYS = {
    "batch_size": 256,
    "steps": 6000,
    "steps_per_call": 20,
    "log_every": 20,
    "chunk": 4096,
    SAMPLER: {"name": "nerf.sampling.stratified:UniformSteps", "num_samples": 96},
    "model.max_samples_per_ray": 16,
    "model.occupancy": GRID,
}
# Every interval is evaluated, as the samplers of the row decide.
WITHOUT_GRID = {"model.max_samples_per_ray": None, "model.occupancy": None}
ON_PICTURES = {
    "batch_size": 2048,
    "steps": 2000,
    "steps_per_call": 50,
    "log_every": 50,
    "chunk": 4096,
}
LONG = {"steps": 8_000}  # a deep network learns fine texture slowly
SIX = {f"{FIELD}.encoding.num_freqs": 6}
FINE, MIDDLE, SMOOTH = {"cycles": 16}, {"cycles": 4}, {"cycles": 1}
SIZES = {"cycles": 8, "sizes": (16, 32, 64)}
# A highlight fills few of the views, so that many are needed.
GLOSSY = {"cycles": 1, "specular": True, "held_out": 24}
TABLE_RATES = (1.0, 3.0, 9.0)  # tables need higher learning rates than networks


def toys(
    name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = None, **more: Any
) -> Arm:
    """Return an arm on the toybox.

    Args:
      name: name of the arm.
      config: module of `configs.systems`.
      changes: values of the config to replace, by dotted key.
      scene: arguments of the toybox to replace; with a name, another scene.
      **more: other arguments of `Arm`.
    """
    other = scene is not None and "name" in scene
    return Arm(
        name,
        f"systems.{config}",
        {**ON_TOYS, **(changes or {})},
        dict(scene) if other else {**TOYBOX, **(scene or {})},
        **more,
    )


def drawn(
    name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = CPPN, **more: Any
) -> Arm:
    """Return an arm on a picture.

    Args:
      name: name of the arm.
      config: module of `configs.systems`.
      changes: values of the config to replace, by dotted key.
      scene: config section of the picture.
      **more: other arguments of `Arm`.
    """
    return Arm(
        name, f"systems.{config}", {**ON_PICTURES, **(changes or {})}, scene, image=True, **more
    )


def features(count: int) -> dict[str, Any]:
    """Return the change of the encoding's number of features."""
    return {f"{FIELD}.encoding.features": count}


def components(count: int) -> dict[str, Any]:
    """Return the change of the encoding's number of components."""
    return {f"{FIELD}.encoding.components": count}


def network(**values: Any) -> dict[str, Any]:
    """Return changes of the network section."""
    return {f"{FIELD}.network.{key}": value for key, value in values.items()}
