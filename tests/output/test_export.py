"""What leaves a trained run.

Points on the surface, and cameras that our own readers give back, in the file's units.
"""

import dataclasses
import json
import re
from importlib import import_module

import imageio.v3 as iio
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ngp
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC
from nerf.encodings.cones import takes_gaussians
from nerf.foundation.errors import UserError
from nerf.output import point_cloud
from nerf.output.export import export, to_file
from nerf.output.point_cloud import Surveyed, normals_of, survey
from nerf.rendering.model import Model, Stage
from nerf.runs.models import build_model
from nerf.runs.read import Run, load_run
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import Similarity, synthetic
from nerf.scenes.formats import nerfstudio
from nerf.scenes.formats.colmap import pose_of
from nerf.scenes.formats.colmap_model import read_model
from nerf.scenes.formats.transforms import check_frames, read_transforms
from nerf.scenes.ply import read_points
from nerf.training.loop import train
from tests.conftest import ROOT
from tests.support.small_scenes import write_small_tabletop

TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
MOVED = Similarity(1 / 37, TURN * np.sign(np.linalg.det(TURN)), np.array([0.3, -0.2, 0.1]))
CENTRE, RADIUS = np.array([0.1, 0.0, -0.1]), 0.5


def ball(samples):
    """Hard to the eye: a ray that enters it is stopped within two hundredths."""
    points = samples.points
    inside = jnp.linalg.norm(points - jnp.broadcast_to(CENTRE, points.shape), axis=-1) < RADIUS
    return {"density": jnp.where(inside, 400.0, 0.0), "rgb": 0.5 + 0.5 * points}


def run_of(cameras, names, field=ball, transform=MOVED):
    model = Model({"main": Stage(UniformSteps(512), field)}, ("main",))
    return Run(
        ROOT,
        {"chunk": 512, "background": (1.0, 1.0, 1.0)},
        model,
        0,
        transform,
        cameras,
        names,
        stamp="",
    )


@pytest.fixture(scope="module")
def around():
    """A dozen pictures of a closed-form scene, for their cameras, and four more."""
    scenes = {
        split: synthetic.load(None, split, size=32, views=views)
        for split, views in (("train", 12), ("test", 4))
    }
    cameras = {split: scene.cameras for split, scene in scenes.items()}
    return cameras, {
        split: [f"{split}/{i:02d}.png" for i in range(len(c))] for split, c in cameras.items()
    }


def test_points_lie_on_the_surface_in_the_files_units_with_its_normals_and_colours(around):
    cloud = survey(run_of(*around), 3000)
    assert len(cloud.points) == 3000
    inside = MOVED.points(cloud.points)  # the normalised world, where the ball is
    away = np.linalg.norm(inside - CENTRE, axis=-1)
    assert np.abs(away - RADIUS).max() < 0.02
    assert np.ptp(cloud.points, axis=0).min() > 37 * 0.6  # of a ball that is 37 across
    radial = (inside - CENTRE) / away[:, None] @ MOVED.rotation
    cosine = (cloud.normals * radial).sum(-1)
    assert np.median(cosine) > 0.99
    assert (cosine > 0).mean() > 0.99
    np.testing.assert_allclose(cloud.colours / 255, np.clip(0.5 + 0.5 * inside, 0, 1), atol=0.03)


def test_what_is_in_the_air_is_no_point(around):
    """A fog before the ball draws the mean place of what a ray sees off the surface.

    Such rays are left out.
    """

    def foggy(samples):
        seen, before = ball(samples), samples.points[..., 0] > 0.1
        return {**seen, "density": seen["density"] + jnp.where(before, 1.0, 0.0)}

    def of(points):
        return np.linalg.norm(MOVED.points(points) - CENTRE, axis=-1)

    assert np.quantile(of(survey(run_of(*around, foggy), 500).points), 0.99) < RADIUS + 0.06

    def fog(samples):
        return {**ball(samples), "density": jnp.full(samples.points.shape[:-1], 0.5)}

    nothing = survey(run_of(*around, fog), 100)
    assert len(nothing.points) == 0
    assert nothing.foggy > 0.9
    assert nothing.empty < 0.1


def test_a_surveyed_field_is_given_what_the_field_asks_for(around):
    assert not takes_gaussians(Surveyed(ball))
    for name in ("integrated", "positional"):
        config = import_module(f"configs.systems.{name}").get_config().to_dict()
        field = (
            build_model(config, unbounded=False, cameras=around[0]["train"], plugins=())
            .stages[0]
            .field
        )
        assert takes_gaussians(Surveyed(field)) == takes_gaussians(field) == (name == "integrated")


def test_normals_face_where_they_are_told_to():
    spots = np.random.default_rng(0).uniform(size=(200, 3)) * [1, 1, 0]
    for side in (1.0, -1.0):
        up = np.broadcast_to([0.3, 0.0, side], spots.shape)
        np.testing.assert_allclose(
            normals_of(spots, up), np.broadcast_to([0, 0, side], spots.shape), atol=1e-9
        )
    assert normals_of(spots[:1], spots[:1] + 1).shape == (1, 3)
    assert normals_of(spots[:0], spots[:0]).shape == (0, 3)


def test_exported_cameras_are_read_back_as_they_were(around, tmp_path):
    """The readers of transforms.json and of COLMAP's text give them back.

    That is the places of the file, and every number of the lens.
    """
    cameras, names = around
    bent = np.zeros((12, 8), np.float32)
    bent[::2, :4] = [0.05, -0.01, 0.001, 0.002]
    model = np.where(np.arange(12) % 3 == 0, FISHEYE, cameras["train"].model).astype(np.int32)
    cameras = {
        **cameras,
        "train": dataclasses.replace(cameras["train"], distortion=bent, model=model),
    }
    run = run_of(cameras, names)
    for path in (name for split in names.values() for name in split):
        (tmp_path / "scene" / path).parent.mkdir(exist_ok=True, parents=True)
        iio.imwrite(tmp_path / "scene" / path, np.full((32, 32, 3), 100, np.uint8))
    tmp_path, root = tmp_path / "exported", tmp_path / "scene"
    done = export(run, tmp_path, 500, root)
    assert [path.name for path in done.written] == [
        "points.ply",
        "transforms.json",
        "test",
        "train",
        "sparse",
    ]
    assert done.notes[0] == "points: 500"
    frames, _ = check_frames(
        read_transforms(tmp_path / "transforms.json"), tmp_path, "transforms.json"
    )
    frames = {frame.name: frame for frame in frames}
    sparse = read_model(tmp_path / "sparse")
    photos = {photo.name: photo for photo in sparse.photos.values()}
    assert frames.keys() == photos.keys() == {name for split in names.values() for name in split}
    for split, some in cameras.items():
        wanted = MOVED.poses_back(some.c2w.astype(np.float64))
        for i, name in enumerate(names[split]):
            np.testing.assert_allclose(frames[name].c2w, wanted[i], atol=1e-5 * 37)
            np.testing.assert_allclose(pose_of(photos[name]), wanted[i], atol=1e-5 * 37)
            np.testing.assert_allclose(frames[name].K, some.K[i], rtol=1e-6)
            np.testing.assert_allclose(frames[name].distortion, some.distortion[i], rtol=1e-6)
            assert frames[name].model == some.model[i]
    points, colours = read_points(tmp_path / "points.ply", "points.ply")
    np.testing.assert_array_equal(points, sparse.xyz)
    np.testing.assert_array_equal(colours, sparse.rgb)
    scene = nerfstudio.load(tmp_path, "test")
    assert list(scene.names) == names["test"]
    assert scene.points is not None
    assert len(scene.points) == 500


def test_lenses_that_colmap_does_not_have_are_left_to_transforms(around, tmp_path):
    cameras, names = around
    flat = dataclasses.replace(cameras["test"], model=np.full(4, ORTHOGRAPHIC, np.int32))
    round_ = dataclasses.replace(cameras["test"], model=np.full(4, EQUIRECTANGULAR, np.int32))
    names = {**names, "val": [f"val/{i}.png" for i in range(4)]}
    done = export(
        run_of({**cameras, "test": flat, "val": round_}, names), tmp_path, 10, tmp_path / "gone"
    )
    assert [path.name for path in done.written] == ["points.ply", "transforms.json"]
    assert any("COLMAP has no such lenses" in note for note in done.notes)
    frames = {
        frame["file_path"]: frame
        for frame in json.loads((tmp_path / "transforms.json").read_text())["frames"]
    }
    assert frames["test/00.png"]["fl_x"] == pytest.approx(
        float(flat.K[0, 0, 0]) / 37
    )  # pixels per unit of the file
    assert "fl_x" not in frames["val/0.png"]
    assert to_file(flat, MOVED).K[0, 0, 2] == flat.K[0, 0, 2]


def test_images_go_with_the_export_in_full_size_under_their_own_names(around, tmp_path):
    """Names without endings, as in Blender's files; the run sees them at a third of their size."""
    cameras, names = around
    names = {split: [name.removesuffix(".png") for name in own] for split, own in names.items()}
    rng = np.random.default_rng(0)
    for name in (name for own in names.values() for name in own):
        (tmp_path / "scene" / name).parent.mkdir(exist_ok=True, parents=True)
        iio.imwrite(tmp_path / "scene" / f"{name}.png", rng.integers(0, 255, (97, 98, 3), np.uint8))
    run = run_of(cameras, names)
    done = export(run, tmp_path / "out", 50, tmp_path / "scene")
    assert not [note for note in done.notes if note.startswith(("images:", "mask", "depth"))]
    masked = export(
        dataclasses.replace(run, maps=("mask",)), tmp_path / "masked", 50, tmp_path / "scene"
    )
    fix = "to train on the export, copy them and add mask_path to the frames in transforms.json"
    assert f"mask maps: not exported: {fix}" in masked.notes
    for file in (tmp_path / "scene").rglob("*.png"):
        copy = tmp_path / "out" / file.relative_to(tmp_path / "scene")
        assert copy.read_bytes() == file.read_bytes()
    for split, own in cameras.items():
        scene = nerfstudio.load(tmp_path / "out", split, max_side=40)
        assert list(scene.names) == [f"{name}.png" for name in names[split]]
        assert (scene.cameras.size == own.size).all()
        np.testing.assert_allclose(scene.cameras.K, own.K, rtol=1e-6)
        back = scene.transform.poses_back(scene.cameras.c2w.astype(np.float64))
        np.testing.assert_allclose(
            back, MOVED.poses_back(own.c2w.astype(np.float64)), atol=1e-5 * 37
        )
    photos = read_model(tmp_path / "out" / "sparse").photos.values()
    assert {photo.name for photo in photos} == {
        f"{name}.png" for own in names.values() for name in own
    }


def test_images_that_are_not_there_are_told_with_the_flag_that_gives_them(around, tmp_path):
    (tmp_path / "scene.json").write_text(json.dumps({"root": str(tmp_path / "moved")}))
    run = dataclasses.replace(run_of(*around), folder=tmp_path)
    done = export(run, tmp_path / "out", 50)
    fix = "give the scene's folder with --scene, otherwise the export cannot be trained on"
    assert f"images: 16 of 16 are not in {tmp_path / 'moved'}: {fix}" in done.notes
    with pytest.raises(UserError, match="the scene's own folder"):
        export(run, tmp_path / "moved", 50)


def test_few_points_are_told_with_the_reason(around, tmp_path, monkeypatch):
    monkeypatch.setattr(point_cloud, "MIN_TRIES", 1000)

    def note_of(density):
        def field(samples):
            return {**ball(samples), "density": jnp.full(samples.points.shape[:-1], density)}

        return export(run_of(*around, field), tmp_path, 100, tmp_path / "gone").notes[0]

    fog = (
        r"points: 0 of 100: of 1024 rays [01] % met nothing and (99|100) % only fog: "
        r"train longer than these 0 steps"
    )
    assert re.match(fog, note_of(0.5))
    assert note_of(0.0).endswith(
        "100 % met nothing and 0 % only fog: little of the pictures shows anything solid"
    )


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Runs on a scene and on the same scene turned, 37 times as large and moved."""
    folder = tmp_path_factory.mktemp("twins")
    there = Similarity(37.0, MOVED.rotation, np.array([100.0, -50.0, 30.0]))
    config = ngp.get_config()
    config.update({"steps": 150, "batch_size": 512, "log_every": 150, "save_every": 150})
    config.model.stages.main.field.encoding.update({"log2_table_size": 12, "num_levels": 4})
    config.model.occupancy.resolution = 32
    results = {}
    for name, move in (("plain", Similarity()), ("moved", there)):
        scene = write_small_tabletop(folder / name)
        for file in scene.glob("*.json"):
            data = json.loads(file.read_text())
            for frame in data["frames"]:
                c2w = np.array(frame["transform_matrix"])
                frame["transform_matrix"] = [*move.poses(c2w[:3]).tolist(), [0, 0, 0, 1]]
            file.write_text(json.dumps(data))
        results[name] = train(config.to_dict(), scene, folder / f"run_{name}")
    return folder, there, results


@pytest.mark.slow
def test_a_scene_turned_scaled_and_moved_gives_the_same_psnr_cameras_and_depth_in_its_own_units(
    twins,
):
    folder, there, results = twins
    assert abs(results["plain"]["psnr"] - results["moved"]["psnr"]) < 0.7
    runs = {name: load_run(folder / f"run_{name}") for name in results}
    cameras = {name: to_file(run.cameras["test"], run.transform) for name, run in runs.items()}
    np.testing.assert_allclose(
        cameras["moved"].c2w, there.poses(cameras["plain"].c2w), rtol=1e-5, atol=1e-4
    )
    depths = {
        name: [
            np.load(file)["array"] for file in sorted((folder / f"run_{name}/eval").glob("*.npz"))
        ]
        for name in runs
    }
    plain, moved = (np.stack(depths[name]) for name in ("plain", "moved"))
    both = (plain > 0) & (moved > 0)
    assert both.mean() > 0.1
    ratio = moved[both] / plain[both]
    assert np.median(ratio) == pytest.approx(37.0, rel=0.01)
    assert np.quantile(np.abs(ratio / 37.0 - 1), 0.8) < 0.05
    middles = {name: survey(run, 5000).points.mean(0) for name, run in runs.items()}
    assert np.linalg.norm(there.points(middles["plain"]) - middles["moved"]) < 37 * 0.1
