"""Files of splats, read by the descriptions of their formats, in the units of the scene's file."""

import dataclasses
import os

import numpy as np
import pytest

from nerf.foundation.errors import UserError
from nerf.meshes.gltf import Y_UP
from nerf.scenes import Similarity
from nerf.scenes.colour import srgb_to_linear
from nerf.scenes.ply import read_points
from nerf.splats.files import HEADER, bytes_per_splat, write_splats
from nerf.splats.splats import inverse, transform_splats
from tests.splats.reading import attributes_of, read_glb, read_ply
from tests.splats.test_splats import colours_from, covariances, random_splats

TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
TRANSFORM = Similarity(1 / 37, TURN * np.sign(np.linalg.det(TURN)), np.array([0.3, -0.2, 0.1]))


def upright(points):
    """Map points of the file's world to axes with +y up, without a change of units."""
    return points @ (Y_UP @ TRANSFORM.rotation).T


def assert_same(found, expected):
    np.testing.assert_allclose(found.means, expected.means, atol=2e-5)
    np.testing.assert_allclose(found.opacities, expected.opacities, atol=1e-6)
    np.testing.assert_allclose(covariances(found), covariances(expected), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.harmonics, expected.harmonics, atol=1e-6)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_ply_file_has_the_units_and_axes_of_the_scenes_file(tmp_path, degree):
    splats, path = random_splats(degree=degree), tmp_path / "splats.ply"
    write_splats(path, splats, TRANSFORM)
    found = read_ply(path)
    assert_same(found, transform_splats(splats, inverse(TRANSFORM)))
    eye = np.array([3.0, 1.0, 0.5])
    seen = colours_from(found, TRANSFORM.points_back(eye))
    np.testing.assert_allclose(seen, colours_from(splats, eye), atol=3e-6)
    points, _ = read_points(path, "splats.ply")  # as a cloud of points, for other programs
    np.testing.assert_allclose(points, TRANSFORM.points_back(splats.means.astype(float)), atol=2e-5)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_glb_file_stands_upright_in_the_units_of_the_scenes_file(tmp_path, degree):
    splats, path = random_splats(degree=degree), tmp_path / "splats.glb"
    write_splats(path, splats, TRANSFORM)
    found = read_glb(path)
    eye = np.array([3.0, 1.0, 0.5])
    placed = upright(TRANSFORM.points_back(splats.means.astype(float)))
    np.testing.assert_allclose(found.means, placed, atol=2e-5)
    seen = colours_from(found, upright(TRANSFORM.points_back(eye)))
    np.testing.assert_allclose(seen, colours_from(splats, eye), atol=3e-6)
    turn = Y_UP
    expected = 37.0**2 * turn @ covariances(splats) @ turn.T
    np.testing.assert_allclose(covariances(found), expected, rtol=1e-4, atol=1e-4)


def test_a_glb_file_says_what_the_extension_asks_for(tmp_path):
    splats = random_splats(degree=1)
    write_splats(tmp_path / "a.glb", splats, TRANSFORM)
    found, document = attributes_of(tmp_path / "a.glb")
    (primitive,) = document["meshes"][0]["primitives"]
    assert document["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert primitive["mode"] == 0, "points"
    expected = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    assert primitive["extensions"]["KHR_gaussian_splatting"] == expected
    kinds = {
        name.partition(":")[2] or name: document["accessors"][number]["type"]
        for name, number in primitive["attributes"].items()
    }
    harmonics = ["SH_DEGREE_0_COEF_0", *(f"SH_DEGREE_1_COEF_{i}" for i in range(3))]
    vectors = dict.fromkeys(["POSITION", "SCALE", *harmonics], "VEC3")
    assert kinds == {**vectors, "COLOR_0": "VEC4", "ROTATION": "VEC4", "OPACITY": "SCALAR"}
    # Programs without splats show linear colours.
    plain = srgb_to_linear(splats.colours.astype(float))
    np.testing.assert_allclose(found["COLOR_0"][:, :3], plain, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(found["COLOR_0"][:, 3], splats.opacities, atol=0.5 / 255 + 1e-6)
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    np.testing.assert_allclose(position["max"], found["POSITION"].max(0))
    np.testing.assert_allclose(position["min"], found["POSITION"].min(0))


def test_a_glb_file_keeps_small_distances_far_from_the_origin(tmp_path):
    far = Similarity(1.0, np.eye(3), np.array([-5e6, 4e5, 0.0]))
    write_splats(tmp_path / "a.glb", random_splats(), far)
    expected = far.points_back(random_splats().means.astype(float)) @ Y_UP.T
    np.testing.assert_allclose(read_glb(tmp_path / "a.glb").means, expected, atol=1e-6)


def test_opacities_of_zero_and_one_and_no_size_are_finite_numbers(tmp_path):
    splats = random_splats(count=2)
    splats = dataclasses.replace(splats, opacities=np.array([0.0, 1.0], np.float32))
    write_splats(tmp_path / "a.ply", splats, TRANSFORM)
    found = read_ply(tmp_path / "a.ply")
    np.testing.assert_allclose(found.opacities, [0.0, 1.0], atol=2e-6)
    assert np.isfinite(np.log(found.opacities / (1.0 - found.opacities))).all()


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
@pytest.mark.parametrize("degree", [0, 3])
def test_the_size_of_a_file_is_known_before_it_is_written(tmp_path, suffix, degree):
    path, count = tmp_path / f"a{suffix}", 1000
    write_splats(path, random_splats(count, degree), TRANSFORM)
    size, known = path.stat().st_size, count * bytes_per_splat(suffix, degree)
    assert known < size < known + HEADER


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.ply"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="make room"):
        write_splats(path, random_splats(), TRANSFORM)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
