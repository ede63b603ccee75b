"""Masks as silhouettes: what is outside of them is empty."""

import dataclasses

import numpy as np
import pytest

import nerf.scenes
from nerf.scenes import SceneError, synthetic
from nerf.scenes.cutting import cut_out
from nerf.scenes.hull import visual_hull


def masked(**replaced):
    """The synthetic scene with opaque photos, and its silhouettes as masks."""
    scene = synthetic.load(None, "train")
    inside = [image[..., 3] > 0 for image in scene.images]
    grey = [np.where(image[..., 3:] > 0, image[..., :3], 128) for image in scene.images]
    images = [image.astype(np.uint8) for image in grey]
    depth = [np.ones(mask.shape, np.float32) for mask in inside]
    maps = {"mask": inside, "depth": depth}
    return dataclasses.replace(scene, images=images, maps=maps, **replaced)


def test_pixels_outside_of_masks_become_transparent_and_others_stay():
    scene = masked(notes=["a note"])
    cut = cut_out(scene)
    for before, after, mask in zip(scene.images, cut.images, scene.maps["mask"], strict=True):
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after[..., 3], np.where(mask, 255, 0))
        np.testing.assert_array_equal(after[mask][:, :3], before[mask])
    assert set(cut.maps) == {"depth"} and cut.notes[0] == "a note"
    # Where photos have an alpha of their own, it stays inside of the mask.
    half = [
        np.concatenate([image, np.full_like(image[..., :1], 100)], -1) for image in scene.images
    ]
    again = cut_out(dataclasses.replace(scene, images=half))
    np.testing.assert_array_equal(again.images[0][..., 3], np.where(scene.maps["mask"][0], 100, 0))


def test_what_is_outside_is_known_to_be_empty():
    true = visual_hull(synthetic.load(None, "train"), 16)
    np.testing.assert_array_equal(visual_hull(cut_out(masked()), 16), true)
    assert 0.0 < true.mean() < 0.5


def test_a_scene_without_masks_is_refused(tmp_path):
    with pytest.raises(SceneError, match="no masks to cut along"):
        cut_out(synthetic.load(None, "train"))


def test_a_scene_of_idr_is_loaded_with_its_object_cut_out(dataset):
    folder = dataset("dtu_scan24")
    plain, cut = (
        nerf.scenes.load(folder, "test", max_side=100, cut_out=cut) for cut in (False, True)
    )
    assert "mask" in plain.maps and "mask" not in cut.maps
    assert all(image[..., 3].min() == 255 for image in plain.images)
    inside = [image[..., 3] > 0 for image in cut.images]
    for mask, known in zip(inside, plain.maps["mask"], strict=True):
        np.testing.assert_array_equal(mask, known)
