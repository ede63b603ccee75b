"""The method for nerfbaselines: same rays, same pictures, same scores.

`make setup` installs nerfbaselines, which is no requirement of the library. Tests that need it are
skipped without it; the others use a stand-in for its cameras and datasets.
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest

import nerf
from nerf.evaluation import metrics
from nerf.scenes import Similarity
from nerf.scenes.images import on_background
from tests.cameras.test_cameras import random_rotation
from tests.conftest import ROOT
from tests.support.compiled import to_pixels, to_rays
from tests.support.small_scenes import write_small_tabletop
from tests.support.stand_ins import opencv_pixels, some_cameras, stand_in_dataset

FILE = ROOT / "examples" / "nerfbaselines_method.py"
SIZE = 40  # of the photos, in pixels
SMALL = {
    "steps": 20,
    "steps_per_call": 10,
    "log_every": 10,
    "save_every": 20,
    "batch_size": 64,
    "chunk": SIZE * SIZE,
}
LOADER = "nerfbaselines.datasets.blender:load_blender_dataset"
MODELS = range(4)
AGREED = 0.01  # dB


@pytest.fixture
def adapter(monkeypatch):
    """The module of the method, imported as nerfbaselines does."""
    monkeypatch.syspath_prepend(FILE.parent)
    return importlib.import_module(FILE.stem)


def similarity():
    rotation = random_rotation(np.random.default_rng(7))
    return Similarity(0.4, rotation, np.array([0.3, -0.2, 0.1]))


@pytest.mark.long
def test_points_are_seen_where_the_equations_of_opencv_put_them(adapter):
    cameras, points = some_cameras()
    transform = similarity()
    ours = adapter.convert_cameras(cameras, transform)
    pixels, _ = to_pixels(ours, transform.points(points).astype(np.float32))
    np.testing.assert_allclose(pixels, opencv_pixels(cameras, points), atol=2e-3)


@pytest.mark.long
def test_rays_pass_through_the_points_that_their_pixels_see(adapter):
    cameras, points = some_cameras(1)
    transform = similarity()
    ours = adapter.convert_cameras(cameras, transform)
    rays = to_rays(ours, opencv_pixels(cameras, points).astype(np.float32))
    towards = transform.points(points) - np.asarray(rays.origins)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    np.testing.assert_allclose(rays.directions, towards, atol=2e-5)


def test_a_camera_without_distortion_needs_no_columns(adapter):
    cameras, _ = some_cameras()
    one = dataclasses.replace(cameras[0], distortion_parameters=np.zeros(0))
    ours = adapter.convert_cameras(one, Similarity())
    assert ours.c2w.shape == (3, 4) and not ours.distortion.any()


def test_an_unknown_camera_model_is_refused_in_one_line(adapter):
    cameras, _ = some_cameras()
    cameras.camera_models[2] = 4
    with pytest.raises(nerf.UserError, match="camera model 4 .*: undistort the images$"):
        adapter.convert_cameras(cameras, Similarity())


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The bundled scene with fewer and smaller photos, whose pixels are opaque or empty.

    Blending such pixels rounds nothing, and nerfbaselines rounds otherwise than we do.
    """
    folder = write_small_tabletop(tmp_path_factory.mktemp("scene"), SIZE)
    for path in folder.rglob("*.png"):
        image = imageio.imread(path)
        image[..., 3] = np.where(image[..., 3] < 128, 0, 255)
        imageio.imwrite(path, image)
    described = {"loader": LOADER, "evaluation_protocol": "default"}
    (folder / "nb-info.json").write_text(json.dumps(described))
    return folder


def truth_of(dataset):
    """Return the photos over the background."""
    colour = dataset["metadata"]["background_color"] / np.float32(255.0)
    return [on_background(image, colour) for image in dataset["images"]]


@pytest.mark.long
def test_a_dataset_becomes_the_scene_that_our_loader_reads(adapter, scene):
    converted = adapter.convert_dataset(stand_in_dataset(scene, SIZE))
    loaded = nerf.load_scene(scene)
    assert len(converted) == len(loaded) and not converted.unbounded
    for ours, theirs in zip(loaded.images, converted.images, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # The two normalised worlds differ in their rotation; the file's world is the same.
    for scene_of in (loaded, converted):
        poses = scene_of.transform.poses_back(np.asarray(scene_of.cameras.c2w, np.float64))
        expected = stand_in_dataset(scene, SIZE)["cameras"].poses * [1.0, -1.0, -1.0, 1.0]
        np.testing.assert_allclose(poses, expected, atol=1e-5)
    np.testing.assert_allclose(converted.cameras.K, loaded.cameras.K, rtol=1e-6)
    assert converted.transform.scale == pytest.approx(loaded.transform.scale, rel=1e-5)


def test_masks_points_and_padding_of_a_dataset_reach_the_scene(adapter, scene):
    dataset = stand_in_dataset(scene, SIZE)
    dataset["images"] = np.stack(
        [np.pad(image[..., :3], ((0, 3), (0, 5), (0, 0))) for image in dataset["images"]]
    )
    mask = np.zeros((SIZE + 3, SIZE + 5), bool)
    mask[:7] = True
    dataset["masks"] = np.stack([mask] * len(dataset["images"]))
    dataset["points3D_xyz"] = np.random.default_rng(0).normal(size=(9, 3))
    converted = adapter.convert_dataset(dataset)
    assert converted.unbounded
    assert converted.images[0].shape == (SIZE, SIZE, 3)
    assert converted.maps["mask"][0].sum() == 7 * SIZE
    back = converted.transform.points_back(converted.points)
    np.testing.assert_allclose(back, dataset["points3D_xyz"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"color_space": "linear"}}, "'linear': not sRGB: convert"),
        ({"images": [np.zeros((SIZE, SIZE), np.uint8)]}, "convert it to an 8-bit RGB"),
    ],
)
def test_images_that_cannot_be_trained_on_are_refused_in_one_line(adapter, scene, change, message):
    dataset = {**stand_in_dataset(scene, SIZE), **change}
    count = len(dataset["images"])
    dataset["image_paths"] = dataset["image_paths"][:count]
    dataset["cameras"] = dataset["cameras"][:count]
    with pytest.raises(nerf.UserError, match=message) as error:
        adapter.convert_dataset(dataset)
    assert "\n" not in str(error.value)


def test_the_background_is_the_one_that_nerfbaselines_blends_with(adapter, scene):
    dataset = stand_in_dataset(scene, SIZE)
    assert adapter.background_of(dataset) == (1.0, 1.0, 1.0)
    dataset["metadata"] = {}
    assert adapter.background_of(dataset) == (0.0, 0.0, 0.0)
    dataset["images"] = [image[..., :3] for image in dataset["images"]]
    assert adapter.background_of(dataset) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give --data or --checkpoint"),
        ({"train_dataset": {}, "config_overrides": {"config": "no"}}, "no: no such config"),
    ],
)
def test_a_mistake_is_shown_in_one_line(adapter, capsys, arguments, message):
    with pytest.raises(nerf.UserError, match=message) as error:
        adapter.NerfMethod(**arguments)
    error.value.write_to_logger()  # what the command line of nerfbaselines calls
    assert capsys.readouterr().err == f"{error.value}\n"


@pytest.fixture(scope="module")
def run(scene, tmp_path_factory):
    """A run of `nerf train` with its scores."""
    folder = tmp_path_factory.mktemp("run")
    return nerf.train(nerf.load_config("tiny", SMALL), scene, folder)


@pytest.mark.whole
def test_a_run_is_rendered_for_a_dataset_s_cameras_as_it_was_scored(adapter, scene, run, tmp_path):
    method = adapter.NerfMethod(checkpoint=str(run.folder))
    dataset = stand_in_dataset(scene, SIZE, "test")
    own = [scores["psnr"] for scores in run.results["per_image"].values()]
    for camera, truth, expected in zip(dataset["cameras"], truth_of(dataset), own, strict=True):
        picture = method.render(camera)
        assert picture["color"].dtype == np.uint8
        assert picture["depth"].shape == picture["accumulation"].shape == (SIZE, SIZE)
        error = np.square(picture["color"] / 255.0 - truth).mean()
        assert -10.0 * np.log10(error) == pytest.approx(expected, abs=AGREED)
    method.save(str(tmp_path))
    assert nerf.load_run(tmp_path).stamp == run.stamp


@pytest.mark.whole
def test_a_trained_method_is_saved_as_a_run_and_resumes(adapter, scene, tmp_path):
    dataset = stand_in_dataset(scene, SIZE)
    changes = {"config": "tiny", **{key: str(value) for key, value in SMALL.items()}}
    method = adapter.NerfMethod(train_dataset=dataset, config_overrides=changes)
    info = method.get_info()
    assert info["num_iterations"] == 20 and info["loaded_step"] is None
    psnrs = [method.train_iteration(step)["psnr"] for step in range(20)]
    assert np.isfinite(psnrs).all() and len(set(psnrs)) == 20
    with pytest.raises(nerf.UserError, match="all 20 steps are taken"):
        method.train_iteration(20)
    method.save(str(tmp_path / "run"))
    trained = nerf.load_run(tmp_path / "run")
    camera = dataset["cameras"][0]
    ours = nerf.render_image(trained, trained.cameras["train"][0])
    picture = method.render(camera)
    assert np.abs(ours["rgb"] * 255.0 - picture["color"]).max() < 0.51
    depth = ours["depth"] / trained.transform.scale
    np.testing.assert_allclose(picture["depth"], depth, rtol=1e-3, atol=1e-3)
    again = adapter.NerfMethod(checkpoint=str(tmp_path / "run"))
    assert again.get_info()["loaded_step"] == 20
    np.testing.assert_array_equal(again.render(camera)["color"], picture["color"])
    with pytest.raises(nerf.UserError, match="give train_dataset to train"):
        again.train_iteration(20)
    longer = adapter.NerfMethod(
        checkpoint=str(tmp_path / "run"), train_dataset=dataset, config_overrides={"steps": "40"}
    )
    assert longer.get_info()["loaded_step"] == 20
    assert np.isfinite([longer.train_iteration(step)["loss"] for step in range(20, 40)]).all()
    longer.save(str(tmp_path / "longer"))
    assert nerf.load_run(tmp_path / "longer").step == 40
    for change, reason in ({"seed": "7"}, "seed: 0 -> 7"), ({"config": "ngp"}, "has its own"):
        with pytest.raises(nerf.UserError, match=reason):
            adapter.NerfMethod(
                checkpoint=str(tmp_path / "run"), train_dataset=dataset, config_overrides=change
            )
    dataset["images"][0] = dataset["images"][1]
    with pytest.raises(nerf.UserError, match="trained on other views"):
        adapter.NerfMethod(checkpoint=str(tmp_path / "run"), train_dataset=dataset)


@pytest.fixture
def nerfbaselines(monkeypatch):
    """The package itself, which knows the method."""
    reason = "nerfbaselines is no requirement: pip install --no-deps nerfbaselines==1.2.12"
    monkeypatch.setenv("NERFBASELINES_REGISTER", str(FILE))
    monkeypatch.syspath_prepend(FILE.parent)
    return pytest.importorskip("nerfbaselines", reason=reason)


def test_rays_are_those_of_nerfbaselines(nerfbaselines, adapter):
    from nerfbaselines.cameras import get_rays

    assert nerfbaselines.camera_model_to_int("full_opencv") == 3
    assert [nerfbaselines.camera_model_from_int(i) for i in MODELS] == list(adapter.CAMERA_MODELS)
    cameras, _ = some_cameras()
    theirs = nerfbaselines.new_cameras(**dataclasses.asdict(cameras))
    pixels = np.random.default_rng(3).integers(0, (100, 70), (len(cameras), 2))
    origins, directions = get_rays(theirs, pixels)
    rays = to_rays(
        adapter.convert_cameras(cameras, Similarity()), (pixels + 0.5).astype(np.float32)
    )
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    np.testing.assert_allclose(rays.origins, origins, atol=1e-5)
    np.testing.assert_allclose(rays.directions, directions, atol=2e-5)


@pytest.mark.whole
def test_nerfbaselines_scores_a_run_as_we_do(nerfbaselines, scene, run, tmp_path, monkeypatch):
    from nerfbaselines.datasets import load_dataset
    from nerfbaselines.evaluation import evaluate, render_all_images
    from nerfbaselines.io import read_image
    from nerfbaselines.utils import image_to_srgb

    # LPIPS would need PyTorch, and would download weights.
    monkeypatch.setattr("nerfbaselines.metrics.lpips", lambda a, b: np.zeros(len(a)))
    (run.folder / "nb-info.json").write_text('{"method": "nerf-compare"}')
    with nerfbaselines.load_checkpoint(str(run.folder), backend="python") as (method, nb_info):
        assert isinstance(method, nerfbaselines.Method)
        info = method.get_info()
        dataset = load_dataset(
            str(scene),
            "test",
            features=info["required_features"],
            supported_camera_models=info["supported_camera_models"],
        )
        predictions = tmp_path / "predictions"
        list(render_all_images(method, dataset, output=str(predictions), nb_info=nb_info))
    scores = evaluate(str(predictions), str(tmp_path / "scores.json"))["metrics"]
    assert scores["psnr"] == pytest.approx(run.results["psnr"], abs=AGREED)
    assert scores["ssim"] == pytest.approx(run.results["ssim"], abs=1e-3)
    # On the very same bytes the metrics agree to the digits that nerfbaselines writes.
    pairs = []
    for file in sorted((predictions / "color").rglob("*.png")):
        truth = read_image(predictions / "gt-color" / file.relative_to(predictions / "color"))
        truth = image_to_srgb(truth, np.uint8, background_color=np.full(3, 255, np.uint8))
        pairs.append([read_image(file) / np.float32(255.0), truth / np.float32(255.0)])
    for name, measure in (("psnr", metrics.psnr), ("ssim", metrics.ssim)):
        own = np.mean([measure(*pair) for pair in pairs])
        assert scores[name] == pytest.approx(own, abs=2e-5), name


@pytest.mark.whole
def test_the_command_trains_and_saves_a_run(nerfbaselines, scene, tmp_path):
    changes = [f"--set={key}={value}" for key, value in {"config": "tiny", **SMALL}.items()]
    flags = ["--method=nerf-compare", "--backend=python", "--logger=none", "--eval-all-iters=99"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NERFBASELINES_NO_UPDATE_CHECK": "1"}
    subprocess.run(
        [
            *(sys.executable, "-m", "nerfbaselines", "train", *flags, *changes),
            *(f"--data={scene}", f"--output={tmp_path}"),
        ],
        env=environment,
        check=True,
        capture_output=True,
        timeout=300,
    )
    trained = nerf.load_run(tmp_path / "checkpoint-20")
    names = [f"train/{path.name}" for path in (scene / "train").glob("*.png")]
    assert trained.step == 20 and sorted(trained.names["train"]) == sorted(names)
