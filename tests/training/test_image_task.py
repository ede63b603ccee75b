"""The image task: one picture, with the scene, training, scoring and rendering of posed photos."""

import dataclasses
import json
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import ngp
from nerf.cameras.cameras import Rays, pixels_to_rays
from nerf.cameras.resizing import resized
from nerf.comparing.report.build import Question, build_report
from nerf.evaluation.evaluate import evaluate
from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError
from nerf.geometry.opaque import Opaque
from nerf.losses import Context, Target
from nerf.losses.slopes import SlopeError
from nerf.output.fit import write_fit
from nerf.output.frames import RenderOptions
from nerf.output.parts import Part
from nerf.output.video_rendering import render_still
from nerf.rendering.compositing import weights_from_tau
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage
from nerf.runs.read import load_run, reload_split
from nerf.sampling.spaces import Plane
from nerf.sampling.stratified import Stratified
from nerf.scenes import SceneError, drawings, picture
from nerf.training.image_task import grid_psnr, image_task, unused_by_image_task
from nerf.training.loop import train
from nerf.training.ray_bank import to_device


def numbered(height, width):
    """A picture whose pixels tell their row and column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.zeros_like(x)], -1).astype(np.uint8)


def places(scene, i=0):
    """Points of the plane at the pixel centres of a view, (h w 2)."""
    camera = scene.cameras[i]
    width, height = camera.size
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = jnp.asarray(np.stack([x, y], -1).reshape(-1, 2), jnp.float32)
    many = jax.tree.map(lambda v: np.broadcast_to(v, (len(pixels), *v.shape)), camera)
    return np.asarray(pixels_to_rays(many, pixels).origins[:, :2]).reshape(height, width, 2)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 5)])
def test_each_pixel_is_in_one_split_and_keeps_its_place(height, width):
    image = numbered(height, width)
    whole = picture.load(None, "train", source=image)
    at = places(whole)
    side = max(height, width) / 2
    assert np.allclose(at[..., 0], (image[..., 1] + 0.5 - width / 2) / side, atol=1e-6)
    assert np.allclose(at[..., 1], -(image[..., 0] + 0.5 - height / 2) / side, atol=1e-6)
    counted = whole.maps["mask"][0].astype(int)
    for split in ("val", "test"):
        scene = picture.load(None, split, source=image)
        assert "mask" not in scene.maps
        for i, part in enumerate(scene.images):
            y, x = part[..., 0], part[..., 1]
            counted[y, x] += 1
            assert np.allclose(places(scene, i), at[y, x], atol=1e-6)
    assert (counted == 1).all()


def test_training_sees_every_fourth_pixel_alone():
    scene = picture.load(None, "train", source=numbered(6, 8))
    pool = np.asarray(to_device(scene).pool)
    assert len(pool) == 12
    assert not (scene.images[0].reshape(-1, 3)[pool][:, :2] % 2).any()


def test_a_file_is_read_and_a_wrong_one_is_told(tmp_path):
    Image.fromarray(numbered(6, 8)).save(tmp_path / "p.png")
    assert np.array_equal(picture.load(tmp_path / "p.png", "train").images[0], numbered(6, 8))
    assert picture.load(tmp_path / "p.png", "train", max_side=4).images[0].shape == (3, 4, 3)
    (tmp_path / "no.png").write_text("no")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:6000])
    for wrong in (None, tmp_path / "no.png", tmp_path / "absent.png", tmp_path / "cut.png"):
        with pytest.raises(SceneError) as error:
            picture.load(wrong, "train")
        assert "\n" not in str(error.value)
    with pytest.raises(SceneError, match="2x2"):
        picture.load(None, "train", source=numbered(1, 8))


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2)])
def test_an_opaque_sample_is_seen_as_it_is_and_the_plane_drops_what_is_not_in_it(batch):
    nowhere = jnp.zeros((*batch, 2, 3))
    tau = Opaque()({}, Samples(nowhere, nowhere))
    assert np.allclose(weights_from_tau(tau), np.broadcast_to([1.0, 0.0], (*batch, 2)))
    points = jnp.broadcast_to(jnp.arange(3.0), (*batch, 3))
    assert Plane().warp(points).shape == (*batch, Plane.num_dims)
    assert np.allclose(Plane().stretch(Plane().warp(points)), 1.0)


def test_a_picture_seen_larger_is_seen_at_the_same_places():
    scene = picture.load(None, "train", source=numbered(6, 8))

    def field(samples):
        points = samples.points
        return {"rgb": jnp.concatenate([0.5 + 0.5 * points, jnp.zeros_like(points[..., :1])], -1)}

    model = Model({"main": Stage(Stratified(1), field)}, ["main"], space=Plane(), geometry=Opaque())
    render = make_render_image(model, (1.0, 1.0, 1.0), 64)
    small, large = (render(resized(scene.cameras[0], factor))["rgb"] for factor in (1.0, 4.0))
    assert large.shape == (24, 32, 3)
    assert np.allclose(large.reshape(6, 4, 8, 4, 3).mean((1, 3)), small, atol=1e-5)
    assert np.allclose(small[..., :2], 0.5 + 0.5 * places(scene), atol=1e-5)


def test_the_slopes_of_a_picture_are_those_of_its_colours_in_the_plane():
    """Its longer side of eight pixels is two units long, so a pixel is a quarter of one."""
    y, x = np.mgrid[:6, :8]
    image = np.stack([10 * x, 50 - 8 * y, 20 + 0 * x], -1).astype(np.uint8)
    scene = picture.load(None, "train", source=image, slopes=True)
    expected = np.broadcast_to(np.array([[40, 0], [0, 32], [0, 0]]) / 255, (6, 8, 3, 2))
    np.testing.assert_allclose(scene.maps["slopes"][0], expected, atol=1e-5)
    assert set(scene.maps) == {"mask", "slopes"}
    assert set(picture.load(None, "train", source=image).maps) == {"mask"}


def test_slopes_alone_are_compared_and_a_constant_costs_nothing():
    x = jnp.array(np.random.default_rng(0).uniform(-1, 1, (5, 2)), jnp.float32)
    slopes = jnp.stack(
        [
            jnp.stack([2 * x[:, 0], 0 * x[:, 0]], -1),
            jnp.stack([0 * x[:, 0], 3 + 0 * x[:, 0]], -1),
            jnp.stack([x[:, 1], x[:, 0]], -1),
        ],
        1,
    )

    def loss(constant, slopes):
        def field(samples):
            a, b = samples.points[..., 0], samples.points[..., 1]
            return {"rgb": constant + jnp.stack([a**2, 3 * b, a * b], -1)}

        stages = {"main": Stage(Stratified(1), field)}
        model = Model(stages, ["main"], space=Plane(), geometry=Opaque())
        down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (5, 3))
        rays = Rays(jnp.concatenate([x, jnp.ones((5, 1))], -1), down, down)
        target = Target(jnp.zeros((5, 3)), {"slopes": slopes})
        return SlopeError(weight=2.0)(Context(model, rays, [], target, None))

    np.testing.assert_allclose(loss(0.0, slopes), np.zeros(5), atol=1e-10)
    np.testing.assert_allclose(loss(0.7, slopes), np.zeros(5), atol=1e-10)
    other = slopes.at[:, 1, 0].add(0.6)
    np.testing.assert_allclose(loss(0.7, other), np.full(5, 2.0 * 0.36 / 6), rtol=1e-5)


def config_of(name, **changes):
    config = import_module(f"configs.systems.{name}").get_config().to_dict()
    return json.loads(json.dumps({**config, **changes}))


def test_the_task_keeps_encoding_and_network_and_tells_what_it_cannot():
    config = config_of("siren")
    before = json.dumps(config)
    field = image_task(config)["model"]["stages"]["main"]["field"]
    old = config["model"]["stages"]["main"]["field"]
    assert (field["encoding"], field["network"]) == (old["encoding"], old["network"])
    assert json.dumps(config) == before
    plain = image_task(config_of("positional"))["model"]["stages"]["main"]["field"]["network"]
    assert (plain["width"], plain["depth"]) == (64, 4)
    # One layer before the density and two before the colour, with the one that joins them.
    both = image_task(ngp.get_config().to_dict())["model"]["stages"]["main"]["field"]["network"]
    assert both["depth"] == 1 + 1 + 2
    del config["model"]["stages"]["main"]["field"]["encoding"]
    with pytest.raises(ConfigError, match="has no encoding"):
        image_task(config)


def test_the_task_keeps_how_large_a_picture_may_be_and_no_other_key_of_scenes():
    config = config_of("siren")
    config["scene"] = {**config["scene"], "max_side": 24, "validation": True}
    assert image_task(config)["scene"] == {"name": "nerf.scenes.picture:load", "max_side": 24}


def test_a_changed_value_that_a_picture_cannot_use_is_named():
    config = config_of("siren")
    field = "model.stages.main.field"
    used = ["scene.max_side=24", f"{field}.network.width=32", f"{field}.encoding=None", "steps=10"]
    unused = [
        "scene.name=nerf.scenes.formats.colmap:load",
        "model.max_samples_per_ray=4",
        f"{field}.view_encoding.num_degrees=2",
    ]
    lines = unused_by_image_task(config, [*used, *unused])
    assert [line.partition(": ")[0] for line in lines] == [
        f"--config.{change}" for change in unused
    ]
    assert f"uses scene.max_side, {field}.encoding, {field}.network of these" in lines[0]
    plain = config_of("positional")
    assert unused_by_image_task(plain, [f"{field}.width=32"]) == []


def waves(side):
    """A picture that half of its pixels along each axis tell."""
    y, x = np.mgrid[:side, :side] / side * 2.0 - 1.0
    shifted = np.stack(
        [np.sin(5.0 * x + 2.0 * y), np.sin(4.0 * x - 5.0 * y), np.sin(6.0 * x * y)], -1
    )
    return np.rint(127.5 + 110.0 * shifted).astype(np.uint8)


def test_a_network_learns_a_picture_is_saved_and_is_drawn_larger(tmp_path):
    """Held-out PSNR far above the picture's own spread, and the same again from the checkpoint.

    The still is drawn at four times the size.
    """
    Image.fromarray(waves(64)).save(tmp_path / "picture.png")
    config = image_task(
        config_of(
            "siren", steps=200, batch_size=256, steps_per_call=50, log_every=50, save_every=50
        )
    )
    results = train(config, tmp_path / "picture.png", tmp_path / "run")
    truth = picture.load(tmp_path / "picture.png", "test").images[0] / 255.0
    spread = -10.0 * np.log10(np.square(truth - truth.mean((0, 1))).mean())
    assert results["psnr"] > spread + 4.0
    run = load_run(tmp_path / "run")
    scene = reload_split(run, "test", None)
    again = evaluate(run.model, scene, "test", config["background"], config["chunk"], None)
    assert again["mean"]["psnr"] == results["psnr"]
    large_camera = resized(run.cameras["train"][:1], 4.0)
    render_still([Part(run, large_camera)], tmp_path / "large.png", RenderOptions())
    large = np.asarray(Image.open(tmp_path / "large.png")) / 255.0
    assert large.shape == (256, 256, 3)
    whole = waves(64) / 255.0
    assert (
        -10.0 * np.log10(np.square(large.reshape(64, 4, 64, 4, 3).mean((1, 3)) - whole).mean())
        > spread + 4.0
    )
    assert Image.open(write_fit(tmp_path / "run", "siren")).width > 300


def test_runs_on_a_picture_are_compared_in_one_picture_and_without_films(tmp_path, capsys):
    Image.fromarray(waves(16)).save(tmp_path / "picture.png")
    folders = []
    for name in ("siren", "relu"):
        steps = {"steps": 20, "steps_per_call": 10, "log_every": 10, "save_every": 10}
        config = image_task(config_of(name, batch_size=32, **steps))
        folders.append(str(tmp_path / name))
        train(config, tmp_path / "picture.png", folders[-1])
    question = Question(
        folders, "nerf compare", tmp_path / "page.html", figures=tmp_path / "figures"
    )
    capsys.readouterr()
    build_report(question)
    assert "fly-through" not in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "every config's picture, error and spectrum" in page and "<video" not in page
    assert Image.open(tmp_path / "figures" / "fits.png").width > 500
    build_report(dataclasses.replace(question, megabytes=0.05))
    assert "error and spectrum" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "picture.png").unlink()
    capsys.readouterr()
    build_report(question)
    assert "no picture of the fits" in capsys.readouterr().err
    assert "error and spectrum" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_grid_with_a_number_for_each_pixel_is_the_picture_and_a_coarser_one_is_worse():
    image = drawings.cppn(32)
    assert grid_psnr(image, image.size) > 60.0
    scores = [grid_psnr(image, count) for count in (image.size // 2, image.size // 8, 3)]
    assert scores[0] > scores[1] > scores[2]
