"""Mesh files are read back by another library, in the right units, axes and colours."""

import dataclasses
import json
import struct

import numpy as np
import pytest
import trimesh

from nerf.meshes.files import write_mesh
from nerf.meshes.texture import bake_texture
from nerf.scenes.colour import srgb_to_linear
from tests.meshes.shapes import cube, sphere
from tests.meshes.test_texture import gradient

UPRIGHT = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # the file's +x is up
FAR = np.array([1.0e6, -2.0e6, 50.0])  # such as coordinates of a map


def placed():
    """Return a sphere far from the origin, with colours."""
    mesh = sphere(0.6, 16)
    colours = gradient(mesh.vertices, None)
    return dataclasses.replace(mesh, vertices=mesh.vertices + FAR, colours=colours)


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj"])
def test_vertices_come_back_in_the_units_of_the_file(tmp_path, suffix):
    mesh = placed()
    assert write_mesh(tmp_path / f"m{suffix}", mesh, UPRIGHT) == [tmp_path / f"m{suffix}"]
    read = trimesh.load(tmp_path / f"m{suffix}", force="mesh", process=False)
    expected = mesh.vertices
    if suffix == ".glb":
        # The node turns the file's axes: up, +x here, becomes +y.
        expected = np.stack([expected[:, 1], expected[:, 0], -expected[:, 2]], -1)
    tolerance = 1e-2 if suffix == ".obj" else 1e-6
    np.testing.assert_allclose(read.vertices, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(read.faces, mesh.faces)
    assert read.is_watertight and read.volume > 0


def test_glb_has_linear_colours_and_an_unlit_material(tmp_path):
    mesh = placed()
    write_mesh(tmp_path / "m.glb", mesh, UPRIGHT)
    data = (tmp_path / "m.glb").read_bytes()
    magic, version, total, length = struct.unpack("<4sIII", data[:16])
    assert (magic, version, total) == (b"glTF", 2, len(data))
    document = json.loads(data[20 : 20 + length])
    assert document["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    accessor = document["accessors"][attributes["COLOR_0"]]
    start = 28 + length + document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    stored = np.frombuffer(data, "<f4", 3 * accessor["count"], start).reshape(-1, 3)
    np.testing.assert_allclose(stored, srgb_to_linear(mesh.colours / 255.0), atol=1e-6)
    # Middle grey of sRGB, 188, is about one half in linear light.
    np.testing.assert_allclose(
        srgb_to_linear(np.array([[0, 188, 255]]) / 255.0), [[0, 0.503, 1]], atol=2e-3
    )


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_textures_come_back_in_their_places(tmp_path, suffix):
    mesh = bake_texture(cube(0.8), 256, gradient)
    written = write_mesh(tmp_path / f"m{suffix}", mesh, np.eye(3))
    assert all(file.is_file() for file in written)
    assert len(written) == (1 if suffix == ".glb" else 3)
    read = trimesh.load(tmp_path / f"m{suffix}", force="mesh", process=False)
    colours = read.visual.to_color().vertex_colors[:, :3] / 255.0
    vertices = np.asarray(read.vertices)
    if suffix == ".glb":
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], -1)
    np.testing.assert_allclose(colours, 0.5 + vertices / 2.0, atol=0.02)


def test_ply_has_colours_and_normals(tmp_path):
    mesh = placed()
    write_mesh(tmp_path / "m.ply", mesh, UPRIGHT)
    read = trimesh.load(tmp_path / "m.ply", process=False)
    np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], mesh.colours)
    along = (read.vertex_normals * (read.vertices - FAR)).sum(-1)
    assert (along > 0.5).all()
