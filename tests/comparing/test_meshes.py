"""Meshes of compared runs: kept, measured, drawn from the same directions, and shown."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerf.comparing import mesh_child
from nerf.comparing.mesh_child import Kept, find_or_extract, measure, true_distance
from nerf.comparing.report import build
from nerf.comparing.report.meshes import ShownMesh
from nerf.comparing.report.page import write_page
from nerf.foundation.errors import UserError
from nerf.foundation.instantiate import ConfigError
from nerf.meshes import extraction
from nerf.meshes.extraction import Surface
from nerf.meshes.isosurface import Isosurface
from nerf.meshes.preview import draw_turntables
from nerf.rendering.model import Model, Stage
from nerf.runs.read import Run
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import Similarity, synthetic, toybox
from tests.comparing.test_report import EVIL, groups_of, study_of
from tests.meshes.shapes import EVERYTHING, distance_to, sphere, together

TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def run_in(folder, stamp="a", scene="nerf.scenes:load", transform=None):
    config = {"scene": {"name": scene}}
    model = Model({"main": Stage(UniformSteps(8), synthetic.field)}, ("main",))
    model.stamp = stamp  # by which the replaced extraction tells runs
    cameras = {"train": synthetic.load(None, "train").cameras}
    return Run(folder, config, model, 0, transform or Similarity(), cameras, {}, stamp)


@pytest.fixture
def extracted(monkeypatch):
    """Replace the extraction by spheres; return the runs and resolutions that were extracted."""
    asked = []

    def extract(model, cameras, resolution):
        asked.append((model.stamp, resolution))
        if model.stamp == "empty":
            raise UserError("mesh: the surface is empty: train longer")
        radius = {"a": 0.5, "b": 0.3}[model.stamp]
        mesh = Isosurface(sphere(radius), 1, 1)
        return Surface(mesh, 0.1, model.stamp == "b", EVERYTHING, cameras)

    monkeypatch.setattr(mesh_child, "extract_surface", extract)
    return asked


def test_a_mesh_is_kept_for_the_parameters_and_the_resolution_that_it_is_of(tmp_path, extracted):
    first = find_or_extract(run_in(tmp_path), 32)
    again = find_or_extract(run_in(tmp_path), 32)
    assert extracted == [("a", 32)] and not again.fused
    np.testing.assert_array_equal(first.mesh.faces, again.mesh.faces)
    np.testing.assert_allclose(first.mesh.vertices, again.mesh.vertices, atol=1e-7)
    find_or_extract(run_in(tmp_path), 48)
    other = find_or_extract(run_in(tmp_path, "b"), 32)
    assert extracted[1:] == [("a", 48), ("b", 32)] and other.fused
    assert np.abs(other.mesh.vertices).max() < 0.31
    (tmp_path / "compare" / "mesh_32.npz").write_bytes(b"damaged")
    find_or_extract(run_in(tmp_path, "b"), 32)
    assert extracted[3:] == [("b", 32)]
    assert find_or_extract(run_in(tmp_path, "b"), 32).fused and len(extracted) == 4


def test_the_true_distance_is_that_of_the_scene_s_module_in_the_normalised_world(tmp_path):
    world = Similarity(0.5, TURN, np.array([0.1, 0.0, 0.2]))
    exact = true_distance(run_in(tmp_path, scene="nerf.scenes.toybox:load", transform=world), ())
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 3))
    np.testing.assert_allclose(exact(world.points(points)), 0.5 * toybox.distance(points))
    assert true_distance(run_in(tmp_path), ()) is None


@pytest.mark.long
def test_the_chamfer_distance_is_in_diagonals_of_the_true_surface_s_box():
    mesh = together(sphere(0.6), sphere(0.1, centre=(0.85, 0.0, 0.0)))
    numbers = measure(Kept(mesh, False), None)
    assert numbers["chamfer"] is None and numbers["triangles"] == len(mesh.faces)
    assert numbers["outside_largest"] == pytest.approx(0.01 / 0.37, rel=0.15)
    numbers = measure(Kept(sphere(0.6), False), distance_to(0.5))
    assert numbers["chamfer"] == pytest.approx(0.1 / (1.0 * 3**0.5), rel=0.02)


@pytest.mark.long
def test_a_run_without_a_surface_is_a_row_and_the_others_are_drawn(
    tmp_path, extracted, monkeypatch
):
    runs = {stamp: str(tmp_path / stamp) for stamp in ("a", "empty", "b")}
    for place in runs.values():
        Path(place).mkdir()
    monkeypatch.setattr(
        mesh_child, "load_run", lambda place, plugins: run_in(Path(place), Path(place).name)
    )
    job = {"runs": runs, "resolution": 32, "plugins": []}
    (tmp_path / "job.json").write_text(json.dumps(job))
    mesh_child.main(tmp_path)
    results = json.loads((tmp_path / "meshes.json").read_text())
    assert list(results) == ["a", "empty", "b"]
    assert results["empty"] == {"failure": "mesh: the surface is empty: train longer"}
    large, small = (np.asarray(Image.open(tmp_path / f"{i}.png")) for i in (0, 2))
    assert large.shape == small.shape == (200, 1600, 3) and not (tmp_path / "1.png").exists()
    # The same cameras: areas of the pictures are as the squares of the radii.
    covered = [(picture < 255).any(-1).sum() for picture in (large, small)]
    assert covered[1] / covered[0] == pytest.approx((0.3 / 0.5) ** 2, rel=0.06)


@pytest.mark.long
def test_turntables_show_all_of_the_largest_parts_from_all_sides():
    """A ball at the side of another moves around it from picture to picture."""
    pair = together(sphere(0.3), sphere(0.15, centre=(0.6, 0.0, 0.0)))
    both, alone = draw_turntables([pair, sphere(0.5)], count=4)
    pictures = np.split((alone < 255).any(-1), 4, axis=1)
    for picture in pictures:
        assert picture.any() and not picture[[0, -1]].any() and not picture[:, [0, -1]].any()
        assert picture.sum() == pytest.approx(pictures[0].sum(), rel=0.02)
    columns = [np.nonzero((part < 255).any(-1).any(0))[0] for part in np.split(both, 4, axis=1)]
    widths = [found.max() - found.min() for found in columns]
    assert widths[1] > 1.3 * widths[0] and widths[3] > 1.3 * widths[2]


def shown(label, **numbers):
    facts = {"triangles": 12345, "outside_largest": 0.0123, "fused": False, "chamfer": None}
    return ShownMesh(label, {**facts, **numbers}, "AAAA")


@pytest.mark.long
def test_the_page_has_a_row_and_a_picture_for_each_mesh(tmp_path):
    study = study_of(groups_of(tmp_path))
    meshes = [
        shown(EVIL, chamfer=0.00456),
        shown("better", fused=True),
        ShownMesh("third", {"failure": "mesh: the surface is empty"}, ""),
    ]
    out = tmp_path / "page.html"
    numbers = write_page(dataclasses.replace(study, meshes=meshes), out)
    page = out.read_text()
    assert "12,345" in page and "1.23" in page and "0.456" in page and "rendered depth" in page
    assert "failed: mesh: the surface is empty" in page and page.count('class="mesh"') == 2
    assert "<script>alert" not in page
    assert numbers["meshes"]["better"]["fused"] and numbers["meshes"][EVIL]["chamfer"] == 0.00456
    write_page(study, out)
    assert 'id="meshes"' not in out.read_text()


def question(tmp_path, **changes):
    return build.Question(["a", "b"], "nerf compare", tmp_path / "page.html", **changes)


def test_flags_without_a_use_and_a_missing_library_are_told_before_anything_is_done(
    tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match="--resolution: has no effect here, only with --mesh"):
        build.check(question(tmp_path, resolution=64))
    with pytest.raises(ConfigError, match="--resolution=8: below 16"):
        build.check(question(tmp_path, mesh=True, resolution=8))
    build.check(question(tmp_path, mesh=True, resolution=64))
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(UserError, match=r"pip install 'nerf-compare\[mesh\]'"):
        build.check(question(tmp_path, mesh=True))
    build.check(question(tmp_path))


def test_few_cells_need_few_pixels_of_depth(tmp_path):
    cameras = toybox.load(None, "train", views=3, sizes=(32,)).cameras
    sides = [
        int(np.asarray(extraction.depth_cameras(cameras, resolution).size).max())
        for resolution in (32, 64, 1000)
    ]
    assert sides == [64, 128, 400]
