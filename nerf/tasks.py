"""What a config may be trained for besides a scene: the same encoding and network on another task."""

from collections.abc import Mapping
from typing import Any

from nerf.building import ConfigError

PLANE = {"name": "nerf.spaces:Plane"}


def image_task(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with which the encoding and the network of a field are trained on one picture.

    The field is asked once a ray, in the plane of the picture, with points of two coordinates. A field that has no
    section `network` gets layers with ReLU of its own width and depth.

    Raises ConfigError where the last field of the config has no encoding.
    """
    model = config["model"]
    fields = [model["stages"][name].get("field") for name in model["order"]]
    field = next(field for field in reversed(fields) if field is not None)
    if "encoding" not in field:
        raise ConfigError(f"--task=image: {field['name']} has no encoding: choose a config whose field has one")
    plain = {"name": "nerf.networks.relu:ReLU", **{key: field[key] for key in ("width", "depth") if key in field}}
    picture = {
        "name": "nerf.fields.image:ImageField",
        "encoding": field["encoding"],
        "network": field.get("network", plain),
    }
    sampler = {"name": "nerf.sampling:Stratified", "num_samples": 1}
    return {
        **config,
        "scene": {"name": "nerf.scenes.picture:load", "max_side": 1024},
        "spaces": {"bounded": PLANE, "unbounded": PLANE},
        "model": {
            "name": "nerf.model:Model",
            "order": ("main",),
            "stages": {"main": {"name": "nerf.model:Stage", "sampler": sampler, "field": picture}},
            "opacity": {"name": "nerf.rendering:Opaque"},
        },
    }
