"""Meshes of trained runs leave in the units of the scene's file, for every kind of geometry."""

import dataclasses
import json

import imageio.v3 as iio
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from nerf.foundation.errors import UserError
from nerf.geometry.signed_distance import SignedDistance
from nerf.geometry.udf import UnsignedDistance
from nerf.meshes import extraction
from nerf.meshes.export import export_mesh
from nerf.meshes.extraction import extract_surface, given_box
from nerf.meshes.isosurface import EmptySurfaceError, Isosurface
from nerf.meshes.mesh import Mesh, face_areas, open_edges, volume
from nerf.output.video_rendering import cropped
from nerf.paths.crops import read_crop
from nerf.rendering.model import Model, Stage
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import synthetic
from tests.meshes.test_open_surface import boundaries
from tests.output.test_export import CENTRE, MOVED, RADIUS, run_of

SIZE = 37.0  # of the normalised world's unit in the file's units


@pytest.fixture(scope="module")
def around():
    """Return cameras around the ball of `tests.output.test_export`."""
    scene = synthetic.load(None, "train", size=48, views=16)
    return {"train": scene.cameras}, {"train": scene.names}


def distance_field(samples):
    """Return the signed distance of the ball of `run_of`, and its colour."""
    points = samples.points
    away = jnp.linalg.norm(points - jnp.broadcast_to(CENTRE, points.shape), axis=-1)
    return {"sdf": away - RADIUS, "rgb": 0.5 + 0.5 * points}


def with_distance(around):
    stages = {"main": Stage(UniformSteps(64), distance_field)}
    model = Model(stages, ("main",), geometry=SignedDistance())
    return dataclasses.replace(run_of(*around), model=model)


def on_ball(vertices):
    """Return the distance of points of the file's world from the ball, in its units."""
    inside = MOVED.points(np.asarray(vertices))
    return SIZE * np.abs(np.linalg.norm(inside - CENTRE, axis=-1) - RADIUS)


@pytest.mark.long
def test_a_signed_distance_is_extracted_exactly_and_closed(around, tmp_path):
    done = export_mesh(with_distance(around), tmp_path / "ball.ply", 48, 0)
    # No view sees the ball from below.
    assert np.percentile(on_ball(done.mesh.vertices), 95) < 1e-4
    assert on_ball(done.mesh.vertices).max() < 0.1
    assert open_edges(done.mesh) == 0
    assert volume(done.mesh) == pytest.approx(4 / 3 * np.pi * (SIZE * RADIUS) ** 3, rel=0.01)
    normalised = MOVED.points(done.mesh.vertices)
    np.testing.assert_allclose(done.mesh.colours / 255, 0.5 + 0.5 * normalised, atol=0.01)
    read = trimesh.load(tmp_path / "ball.ply", process=False)
    np.testing.assert_allclose(read.vertices, done.mesh.vertices)
    assert any("closed" in note for note in done.notes)
    assert not any("fused" in note for note in done.notes)


@pytest.mark.long
def test_a_density_is_fused_from_depth_and_textured(around, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "SIDE", 96)  # pixels of a depth image
    done = export_mesh(run_of(*around), tmp_path / "ball.glb", 48, 2000)
    # A cell is 37 * 2 * RADIUS / 48 = 0.8 wide here.
    assert np.median(on_ball(done.mesh.vertices)) < 0.3
    assert len(done.mesh.faces) <= 2000
    assert any("depth of the training views was fused" in note for note in done.notes)
    assert done.mesh.texture is not None
    assert done.written == [tmp_path / "ball.glb", tmp_path / "ball_views.png"]
    picture = iio.imread(tmp_path / "ball_views.png")
    assert picture.shape == (640, 1280, 3)
    # A ball fills most of the four pictures, and nothing touches their borders.
    assert 0.4 < (picture < 255).any(-1).mean() < 0.8
    assert (picture[[0, -1]] == 255).all()
    read = trimesh.load(tmp_path / "ball.glb", force="mesh")
    assert read.extents == pytest.approx(2 * SIZE * RADIUS, rel=0.1)


def half_a_sphere(samples):
    """Return the unsigned distance of the lower half of the surface of `run_of`'s ball."""
    offset = samples.points - jnp.broadcast_to(CENTRE, samples.points.shape)
    flat, height = jnp.linalg.norm(offset[..., :2], axis=-1), offset[..., 2]
    away = jnp.hypot(flat, jnp.minimum(height, 0.0)) - RADIUS
    return {"udf": jnp.hypot(away, jnp.maximum(height, 0.0)), "rgb": 0.5 + 0.5 * samples.points}


@pytest.mark.long
def test_an_unsigned_distance_is_a_sheet_with_a_boundary(around, tmp_path):
    stages = {"main": Stage(UniformSteps(64), half_a_sphere)}
    model = Model(stages, ("main",), geometry=UnsignedDistance())
    run = dataclasses.replace(run_of(*around), model=model)
    done = export_mesh(run, tmp_path / "bowl.ply", 256, 0, sheets=True)
    assert on_ball(done.mesh.vertices).max() < 0.01 * SIZE
    assert len(boundaries(done.mesh)) == 1
    area = face_areas(done.mesh).sum()
    assert area == pytest.approx(2.0 * np.pi * (SIZE * RADIUS) ** 2, rel=0.04)
    # Cells are no smaller than a learned distance is fine.
    assert len(done.mesh.faces) < 20 * extraction.MAX_SHEET_RESOLUTION**2
    assert any("open edges" in note for note in done.notes)
    assert any("64 cells and not 256" in note for note in done.notes)
    assert not any("fused" in note for note in done.notes)


@pytest.mark.long
@pytest.mark.parametrize("sheets", [False, True])
def test_parts_that_no_ray_evaluates_are_dropped(around, sheets):
    def two_spheres(samples):
        points = jnp.stack([jnp.abs(samples.points[..., 0]) - 0.5, *samples.points.T[1:]], -1)
        distance = jnp.linalg.norm(points, axis=-1) - 0.3
        return {"sdf": distance, "udf": jnp.abs(distance), "rgb": samples.points}

    def extracted(kept):
        stages, grid = {"main": Stage(UniformSteps(64), two_spheres)}, OccupancyGrid(16)
        grid.restrict(np.broadcast_to(kept[:, None, None], (16, 16, 16)))
        geometry = UnsignedDistance() if sheets else SignedDistance()
        model = Model(stages, ("main",), geometry=geometry, occupancy=grid, max_samples_per_ray=64)
        return extract_surface(model, run_of(*around).cameras["train"], 32, sheets=sheets)

    middle = extracted(np.arange(16) >= 8).iso.mesh.vertices.mean(0)
    np.testing.assert_allclose(middle, [0.5, 0.0, 0.0], atol=0.02)
    says = "no ray has trained any of it" if sheets else "the training views see none of it"
    with pytest.raises(EmptySurfaceError, match=says):
        extracted(np.zeros(16, bool))


@pytest.mark.parametrize("coarse", [0, 1])
def test_a_surface_without_a_triangle_is_refused(around, monkeypatch, coarse):
    corners = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])

    def extract_in(box, resolution):
        faces = coarse if resolution <= 64 else 0
        mesh = Mesh(corners, np.arange(3, dtype=np.int32)[None].repeat(faces, 0))
        return Isosurface(mesh, 1, 1), 0.1

    monkeypatch.setattr(extraction, "_method", lambda *given: (extract_in, False))
    stages = {"main": Stage(UniformSteps(4), lambda samples: {})}
    views = run_of(*around).cameras["train"]
    with pytest.raises(EmptySurfaceError, match="no part with an area: train longer"):
        extract_surface(Model(stages, ("main",)), views, 128)


def test_sheets_need_an_unsigned_distance(around, tmp_path):
    with pytest.raises(UserError, match="no unsigned distance"):
        export_mesh(run_of(*around), tmp_path / "ball.ply", 48, 0, sheets=True)


def test_the_box_is_found_around_the_surface(around):
    run = with_distance(around)
    surface = extract_surface(run.model, run.cameras["train"], 48)
    assert (surface.box.low < CENTRE - RADIUS).all()
    assert (surface.box.high > CENTRE + RADIUS).all()
    assert (surface.box.high - surface.box.low).max() < 2 * RADIUS * 1.2


@pytest.mark.long
def test_a_crop_file_limits_the_mesh_in_the_units_of_the_file(around, tmp_path):
    centre = MOVED.points_back(CENTRE)
    crop = {"center": centre.tolist(), "size": [100, 100, 10], "rotation": [0, 90, 0]}
    (tmp_path / "crop.json").write_text(json.dumps(crop))
    run = cropped(with_distance(around), read_crop(tmp_path / "crop.json"))
    mesh = export_mesh(run, tmp_path / "part.ply", 64, 0).mesh
    # Turned by 90 degrees about y, the short side of the box is along x.
    assert np.abs(mesh.vertices - centre)[:, 0].max() < 5.0 + 100 / 64 * 8
    assert np.abs(mesh.vertices - centre)[:, 1:].max() > 0.98 * SIZE * RADIUS
    assert on_ball(mesh.vertices).max() < 1e-2


def test_a_crop_box_is_that_of_the_file(around, tmp_path):
    (tmp_path / "crop.json").write_text('{"center": [1, 2, 3], "size": [2, 4, 6]}')
    box = given_box(cropped(with_distance(around), read_crop(tmp_path / "crop.json")).model)
    assert box is not None
    ends = MOVED.points_back(np.stack([box.low @ box.axes, box.high @ box.axes]))
    np.testing.assert_allclose(ends, [[0, 0, 0], [2, 4, 6]], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not valid JSON"),
        ('{"center": [0, 0], "size": [1, 1, 1]}', "center: not 3 numbers"),
        ('{"center": [0, 0, 0]}', "size: not 3 numbers"),
        ('{"center": [0, 0, 0], "size": [1, 0, 1]}', "size: not above zero"),
        ('{"centre": [0, 0, 0], "size": [1, 1, 1]}', "did you mean"),
        ('{"center": [0, 0, 0], "size": [1, 1, 1], "rotation": 3}', "rotation: not 3"),
    ],
)
def test_wrong_crop_files_are_refused(tmp_path, text, problem):
    (tmp_path / "crop.json").write_text(text)
    with pytest.raises(UserError, match=problem):
        read_crop(tmp_path / "crop.json")


def test_an_empty_surface_and_broken_parameters_are_reported(around):
    def nothing(samples):
        return {**distance_field(samples), "sdf": jnp.ones(samples.points.shape[:-1])}

    def broken(samples):
        return {**distance_field(samples), "sdf": jnp.full(samples.points.shape[:-1], jnp.nan)}

    for field, message in ((nothing, "nowhere zero"), (broken, "not finite")):
        model = Model({"main": Stage(UniformSteps(8), field)}, ("main",), geometry=SignedDistance())
        with pytest.raises(UserError, match=message):
            extract_surface(model, run_of(*around).cameras["train"], 32)
