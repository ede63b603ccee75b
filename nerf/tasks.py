"""What a config may be trained for besides a scene: the same encoding and network on another task."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from nerf import metrics
from nerf.building import ConfigError, build

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


def beside_files(config: Mapping[str, Any], scene: Any, results: Mapping[str, Any]) -> str:
    """One line on what the network of an image task weighs, beside other ways to keep the picture."""
    image = build(config["scene"], root=scene, split="train").images[0][..., :3]
    count = results["parameters"]
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG", optimize=True)
    return (
        f"network: {4 * count / 1000:.1f} kB as float32, {results['psnr']:.2f} dB; a grid of as many numbers, averaged"
        f" from the whole picture: {grid_psnr(image, count):.2f} dB; PNG, lossless: {len(png.getvalue()) / 1000:.1f} kB"
    )


def grid_psnr(image: UInt8[np.ndarray, "h w 3"], count: int) -> float:
    """PSNR, over the pixels of odd row and column, of the means of `count` / 3 cells, enlarged by bicubic splines."""
    height, width = image.shape[:2]
    ratio = min(math.sqrt(count / image.size), 1.0)
    size = (max(int(width * ratio), 1), max(int(height * ratio), 1))

    def through_grid(channel: np.ndarray) -> np.ndarray:
        small = Image.fromarray(channel.astype(np.float32)).resize(size, Image.Resampling.BOX)
        return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))

    again = np.stack([through_grid(image[..., c]) for c in range(3)], -1)
    return metrics.psnr(again[1::2, 1::2] / 255.0, image[1::2, 1::2] / 255.0)
