"""Blender imports mesh files with the right triangles, axes, units, colours and textures."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from nerf.meshes.files import WRITERS, write_mesh
from nerf.meshes.mesh import Mesh, volume
from nerf.meshes.texture import bake_texture
from nerf.scenes.colour import srgb_to_linear
from tests.conftest import ROOT
from tests.meshes.shapes import sphere
from tests.meshes.test_files import FAR, UPRIGHT
from tests.meshes.test_texture import gradient

pytestmark = [pytest.mark.slow, pytest.mark.whole]

SHIFT = np.array([10.0, -20.0, 50.0])
UNIT = 3.0  # of the mesh in the units of the file
# From the axes of the file to Blender's, in which +z is up. PLY files keep theirs; the importer of
# OBJ takes +y for up.
AXES = {
    ".glb": UPRIGHT,
    ".ply": np.eye(3),
    ".obj": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Return what Blender finds in files of each format: with colours, with a texture, and far."""
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("Blender is not installed: pip install bpy==4.2.0, for Python 3.11")
    folder = tmp_path_factory.mktemp("blender")
    mesh = sphere(0.6, 16)
    coloured = dataclasses.replace(mesh, colours=gradient(mesh.vertices, None))
    meshes = {
        "vertex": moved(coloured, SHIFT),
        "texture": moved(bake_texture(mesh, 512, gradient), SHIFT),
        "far": moved(coloured, FAR),
    }
    names = [(kind, suffix) for kind in meshes for suffix in WRITERS]
    paths = [folder / f"{kind}{suffix}" for kind, suffix in names]
    for path, (kind, _) in zip(paths, names, strict=True):
        write_mesh(path, meshes[kind], UPRIGHT)
    command = [sys.executable, "-m", "tests.meshes.blender", str(folder / "found.json")]
    subprocess.run([*command, *map(str, paths)], cwd=ROOT, check=True, timeout=300)
    found = json.loads((folder / "found.json").read_text())
    return dict(zip(names, found, strict=True))


def moved(mesh, shift):
    return dataclasses.replace(mesh, vertices=UNIT * mesh.vertices + shift)


@pytest.mark.parametrize("kind", ["vertex", "texture"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_triangles_are_those_of_the_file_in_its_units_with_blenders_axes(imported, suffix, kind):
    found, mesh = imported[kind, suffix], moved(sphere(0.6, 16), SHIFT)
    assert found["sides"] == [3]
    np.testing.assert_allclose(found["triangles"], mesh.corners @ AXES[suffix].T, atol=1e-4)
    np.testing.assert_allclose(found["scale"], 1.0, atol=1e-6)
    corners = np.array(found["triangles"]).reshape(-1, 3)
    turned = Mesh(corners, np.arange(len(corners)).reshape(-1, 3))
    assert volume(turned) == pytest.approx(4 / 3 * np.pi * (UNIT * 0.6) ** 3, rel=0.05)


@pytest.mark.parametrize("suffix", WRITERS)
def test_colours_of_vertices_are_linear_in_blender(imported, suffix):
    colours = imported["vertex", suffix]["colours"]
    assert list(colours) == ["vertex"]
    expected = 0.5 + sphere(0.6, 16).corners.reshape(-1, 3) / 2.0
    np.testing.assert_allclose(colours["vertex"]["srgb"], expected, atol=0.01)
    np.testing.assert_allclose(colours["vertex"]["linear"], srgb_to_linear(expected), atol=0.01)


@pytest.mark.parametrize(("suffix", "shader"), [(".glb", "EMISSION"), (".obj", "BSDF_PRINCIPLED")])
def test_the_texture_colours_the_material_in_its_places(imported, suffix, shader):
    colours = imported["texture", suffix]["colours"]
    assert list(colours) == ["texture"]
    assert colours["texture"]["space"] == "sRGB"
    # glTF's material is unlit, which Blender shows as light that is emitted.
    assert colours["texture"]["shader"] == shader
    expected = 0.5 + sphere(0.6, 16).corners.reshape(-1, 3) / 2.0
    np.testing.assert_allclose(colours["texture"]["srgb"], expected, atol=0.02)


def test_a_glb_keeps_its_shape_far_from_the_origin(imported):
    np.testing.assert_allclose(imported["far", ".glb"]["extent"], UNIT * 1.2, atol=1e-5)
    middle = np.mean(imported["far", ".glb"]["triangles"], (0, 1))
    np.testing.assert_allclose(middle, UPRIGHT @ FAR, atol=0.2)
