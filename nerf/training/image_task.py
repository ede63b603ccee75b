"""What a config may be trained for besides a scene: the same encoding and network on another task."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from nerf.evaluation import metrics
from nerf.foundation.instantiate import CONTEXT, ConfigError, build, parameters_of
from nerf.scenes import picture

PLANE = {"name": "nerf.sampling.spaces:Plane"}
LAYERS = ("width", "depth")  # of a field without a section `network`


def image_task(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with which the encoding and the network of a field are trained on one picture.

    The field is asked once a ray, in the plane of the picture, with points of two coordinates. A field that has no
    section `network` gets layers with ReLU of its own width and depth. Of the section `scene`, `max_side` is kept.

    Raises ConfigError where the last field of the config has no encoding.
    """
    field = config["model"]["stages"][_last_stage(config)]["field"]
    if "encoding" not in field:
        raise ConfigError(
            f"--task=image: {field['name']} has no encoding: choose a config whose field has one, as --config=ngp"
        )
    plain = {
        "name": "nerf.networks.relu:ReLU",
        **{key: field[key] for key in LAYERS if key in field},
    }
    drawn = {
        "name": "nerf.fields.image:ImageField",
        "encoding": field["encoding"],
        "network": field.get("network", plain),
    }
    sampler = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 1}
    return {
        **config,
        "scene": {"name": "nerf.scenes.picture:load", **_of_picture(config["scene"])},
        "spaces": {"bounded": PLANE, "unbounded": PLANE},
        "model": {
            "name": "nerf.rendering.model:Model",
            "order": ("main",),
            "stages": {
                "main": {"name": "nerf.rendering.model:Stage", "sampler": sampler, "field": drawn}
            },
            "opacity": {"name": "nerf.geometry.opaque:Opaque"},
        },
    }


def unused_by_image_task(config: Mapping[str, Any], changes: Sequence[str]) -> list[str]:
    """Return a line for each changed value of a config that the image task does not use.

    Args:
      config: with its changes.
      changes: "key.of.it=value", as for `load_config`.
    """
    stage = _last_stage(config)
    keys = (
        ["encoding", "network"]
        if "network" in config["model"]["stages"][stage]["field"]
        else ["encoding", *LAYERS]
    )
    used = [f"scene.{key}" for key in _of_picture(config["scene"])]
    used += [f"model.stages.{stage}.field.{key}" for key in keys]
    lines = []
    for change in changes:
        key = change.partition("=")[0].strip()
        replaced = key.partition(".")[0] in ("scene", "spaces", "model")
        if replaced and not any(f"{key}.".startswith(f"{part}.") for part in used):
            lines.append(
                f"--config.{change}: not used by --task=image, which uses {', '.join(used)} of these"
            )
    return lines


def _last_stage(config: Mapping[str, Any]) -> str:
    """Return the name of the last stage that has a field of its own."""
    model = config["model"]
    return next(
        name for name in reversed(model["order"]) if model["stages"][name].get("field") is not None
    )


def _of_picture(scene: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a config's scene that a picture has as well: what else is there names a format."""
    return {key: scene[key] for key in scene.keys() & parameters_of(picture.load).keys() - CONTEXT}


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
