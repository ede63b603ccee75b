"""Image fitting (`--task=image`): train a config's encoding and network on a single image."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from nerf.evaluation import metrics
from nerf.foundation.instantiate import CONTEXT, ConfigError, build, parameters_of
from nerf.scenes import picture

PLANE = {"name": "nerf.sampling.spaces:Plane"}
PICTURE = "nerf.scenes.picture:load"
LAYERS = ("width", "depth")  # keys of a field without a section `network`


def image_task(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that trains a field's encoding and network on one image.

    The field is evaluated once per ray, at points with two coordinates in the image plane. A field
    without a section `network` gets ReLU layers of its own `width` and `depth`. Of the section
    `scene`, only keys that the image loader also has are kept, such as `max_side`.

    Raises:
      ConfigError: if the last field of the config has no encoding.
    """
    field = config["model"]["stages"][_last_stage(config)]["field"]
    if "encoding" not in field:
        raise ConfigError(
            f"--task=image: {field['name']} has no encoding: "
            "choose a config whose field has one, such as --config=ngp"
        )
    drawn = {
        "name": "nerf.fields.image:ImageField",
        "encoding": field["encoding"],
        "network": _network_of(field),
    }
    sampler = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 1}
    return {
        **config,
        "scene": {"name": PICTURE, **_of_picture(config["scene"])},
        "spaces": {"bounded": PLANE, "unbounded": PLANE},
        "model": {
            "name": "nerf.rendering.model:Model",
            "order": ("main",),
            "stages": {
                "main": {"name": "nerf.rendering.model:Stage", "sampler": sampler, "field": drawn}
            },
            "geometry": {"name": "nerf.geometry.opaque:Opaque"},
        },
    }


def is_image_task(config: Mapping[str, Any]) -> bool:
    """Report whether a config trains on one image."""
    return config["scene"]["name"] == PICTURE


def unused_by_image_task(config: Mapping[str, Any], changes: Sequence[str]) -> list[str]:
    """Return a line for each changed value of a config that the image task does not use.

    Args:
      config: the config with its changes applied.
      changes: the changes, each "key.of.it=value" as for `load_config`.
    """
    stage = _last_stage(config)
    field = config["model"]["stages"][stage]["field"]
    keys = ["encoding", *(["network"] if "network" in field else LAYERS)]
    if "network" in field and _continues(field):
        keys.append("colour.depth")
    used = [f"scene.{key}" for key in _of_picture(config["scene"])]
    used += [f"model.stages.{stage}.field.{key}" for key in keys]
    lines = []
    for change in changes:
        key = change.partition("=")[0].strip()
        # The image task replaces these sections; changes of all other sections apply.
        replaced = key.partition(".")[0] in ("scene", "spaces", "model")
        if replaced and not any(f"{key}.".startswith(f"{part}.") for part in used):
            lines.append(
                f"--config.{change}: not used by --task=image, "
                f"which uses {', '.join(used)} of these"
            )
    return lines


def _network_of(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network of an image: the layers of a field's network and of its colour network."""
    if "network" not in field:
        plain = {key: field[key] for key in LAYERS if key in field}
        return {"name": "nerf.networks.relu:ReLU", **plain}
    network = dict(field["network"])
    if _continues(field):
        network["depth"] += 1 + field["colour"]["depth"]
    return network


def _continues(field: Mapping[str, Any]) -> bool:
    """Report whether the colour network of a field continues its network, with equal layers."""
    network, colour = field["network"], field.get("colour", {})
    return colour.get("name") == network["name"] and "depth" in network and "depth" in colour


def _last_stage(config: Mapping[str, Any]) -> str:
    """Return the name of the last stage that has a field of its own."""
    model = config["model"]
    stages = model["stages"]
    return next(name for name in reversed(model["order"]) if stages[name].get("field") is not None)


def _of_picture(scene: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a config's scene that the image loader takes too.

    The other keys belong to scene formats.
    """
    return {key: scene[key] for key in scene.keys() & parameters_of(picture.load).keys() - CONTEXT}


def beside_files(config: Mapping[str, Any], scene: Any, results: Mapping[str, Any]) -> str:
    """Compare the size and PSNR of the network with a grid and a PNG file, in one line.

    Args:
      config: the config of the image task.
      scene: path of the image.
      results: results of the run, with "parameters" (their number) and "psnr".

    Returns:
      The line.
    """
    image = build(config["scene"], root=scene, split="train").images[0][..., :3]
    count = results["parameters"]
    png = iio.imwrite("<bytes>", image, plugin="pillow", extension=".png", optimize=True)
    return (
        f"network: {4 * count / 1000:.1f} kB as float32, {results['psnr']:.2f} dB; "
        "a grid of as many numbers, averaged from the complete image: "
        f"{grid_psnr(image, count):.2f} dB; PNG, lossless: {len(png) / 1000:.1f} kB"
    )


def grid_psnr(image: UInt8[np.ndarray, "h w 3"], count: int) -> float:
    """Compute the PSNR of a downscaled image of about `count` numbers.

    The image is averaged over `count` / 3 cells and enlarged by bicubic splines. The PSNR is over
    the pixels of odd row and column, the test pixels of the image task.
    """
    height, width = image.shape[:2]
    ratio = min(math.sqrt(count / image.size), 1.0)
    size = (max(int(width * ratio), 1), max(int(height * ratio), 1))

    def through_grid(channel: np.ndarray) -> np.ndarray:
        small = Image.fromarray(channel.astype(np.float32)).resize(size, Image.Resampling.BOX)
        return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))

    again = np.stack([through_grid(image[..., c]) for c in range(3)], -1)
    return metrics.psnr(again[1::2, 1::2] / 255.0, image[1::2, 1::2] / 255.0)
