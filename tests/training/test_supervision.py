"""A scene without what a loss needs is refused in one line, before the model is built."""

import dataclasses
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from nerf.foundation.instantiate import ConfigError
from nerf.losses.silhouette import Silhouette
from nerf.losses.slopes import SlopeError
from nerf.scenes import picture
from nerf.training import step
from nerf.training.loop import train
from nerf.training.session import Session
from nerf.training.supervision import check_supervision
from tests.support.plugins import small_toybox, white_room
from tests.support.small_scenes import write_small_tabletop

LOSS = {"silhouette": Silhouette()}
PHOTOS = "losses.silhouette: Silhouette needs alpha, and {}: make their background transparent and"


def with_alpha(scene, least):
    """Return a scene whose alpha is at least `least`."""
    images = [image.copy() for image in scene.images]
    for image in images:
        image[..., 3] = np.maximum(image[..., 3], least)
    return dataclasses.replace(scene, images=images)


def refusal(losses, scene):
    with pytest.raises(ConfigError) as error:
        check_supervision(losses, scene)
    (line,) = str(error.value).splitlines()
    return line


def test_photos_without_alpha_are_refused_with_what_to_do():
    scene = white_room(None, "train")
    line = refusal(LOSS, scene)
    assert line.startswith(PHOTOS.format("the photos have no alpha channel"))
    assert line.endswith(
        "save them as RGBA PNG, or use a config without this loss, such as surface"
    )
    check_supervision({"silhouette": Silhouette(required=False)}, scene)
    masks = {"mask": [np.ones(image.shape[:2], bool) for image in scene.images]}
    line = refusal(LOSS, dataclasses.replace(scene, maps=masks))
    assert "no alpha channel (masks only say which pixels to ignore): make" in line


def test_alpha_that_is_opaque_everywhere_is_refused_and_any_other_is_not():
    scene = small_toybox("train")
    check_supervision(LOSS, scene)
    check_supervision(LOSS, with_alpha(scene, 254))
    line = refusal(LOSS, with_alpha(scene, 255))
    assert line.startswith(PHOTOS.format("no photo has a transparent pixel"))
    some = with_alpha(scene, 255)
    some.images[3][5, 7, 3] = 0
    check_supervision(LOSS, some)


def test_a_map_that_is_missing_is_named_with_those_that_are_there():
    drawing = np.zeros((8, 8, 3), np.uint8)
    losses = {"colours": lambda context: 0.0, "shape": SlopeError()}
    check_supervision(losses, picture.load(None, "train", source=drawing, slopes=True))
    line = refusal(losses, picture.load(None, "train", source=drawing))
    expected = "losses.shape: SlopeError needs the map 'slopes', and the scene has mask: give the"
    assert line.startswith(expected)


@pytest.mark.parametrize("name", ["dvr", "idr"])
def test_it_is_refused_before_the_model_is_built(name, monkeypatch):
    monkeypatch.setattr(step, "prepare_model", None)
    config = import_module(f"configs.systems.{name}").get_config().to_dict()
    with pytest.raises(ConfigError, match=r"^losses\.silhouette: .* have no alpha channel"):
        Session(config, white_room(None, "train"))


@pytest.mark.whole
def test_a_folder_of_photos_without_alpha_is_refused_and_leaves_no_run(tmp_path):
    scene = write_small_tabletop(tmp_path / "scene")
    for photo in scene.rglob("*.png"):
        with Image.open(photo) as image:
            image.convert("RGB").save(photo)
    config = import_module("configs.systems.dvr").get_config().to_dict()
    with pytest.raises(
        ConfigError, match=r"^losses\.silhouette: .* have no alpha channel"
    ) as error:
        train(config, scene, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run" / "config.json").exists()
