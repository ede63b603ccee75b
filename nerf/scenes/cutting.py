"""Cut objects out of their photos, by masks that show them."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Real

from nerf.scenes.base import Problem, Scene, SceneError
from nerf.scenes.images import add_alpha


def cut_out(scene: Scene) -> Scene:
    """Return a scene in which pixels outside of the masks are transparent, and not unknown.

    Masks mark the pixels that count, and say nothing about the others. Where they are silhouettes
    of an object, as in the scenes of IDR and NeuS, the space around it is empty, which training
    then learns, too.

    Args:
      scene: with the map "mask".

    Raises:
      SceneError: the scene has no masks.
    """
    if "mask" not in scene.maps:
        reason = "the scene has no masks to cut along"
        fix = "add masks, or load it without this setting"
        raise SceneError([Problem("--config.scene.cut_out=True", "", reason, fix)])
    images = [
        _cut(image, mask) for image, mask in zip(scene.images, scene.maps["mask"], strict=True)
    ]
    maps = {name: arrays for name, arrays in scene.maps.items() if name != "mask"}
    notes = [*scene.notes, "pixels outside of the masks are transparent (scene.cut_out)"]
    return dataclasses.replace(scene, images=images, maps=maps, notes=notes)


def _cut(
    image: Real[np.ndarray, "h w c"], mask: Bool[np.ndarray, "h w"]
) -> Real[np.ndarray, "h w 4"]:
    """Return an image that is transparent outside of its mask."""
    cut = image if image.shape[-1] == 4 else add_alpha(image)
    return np.where(mask[..., None], cut, np.zeros((), cut.dtype))
