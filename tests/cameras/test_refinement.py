"""Learned poses and exposures.

Twists are SE(3)'s exponential, and what was wrong with photos is found again.
"""

import dataclasses
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.linalg import expm

from nerf.cameras.refinement import (
    CameraRefinement,
    drift,
    move_cameras,
    rotate,
    translation,
    without_drift,
)
from nerf.evaluation import alignment, metrics
from nerf.evaluation.alignment import make_align
from nerf.rendering.exposure import AffineColour
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage
from nerf.runs.read import load_run, reload_split
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import synthetic
from nerf.training.loop import train
from tests.support.compiled import to_rays
from tests.support.plugins import GAINS, small_toybox, toybox_with_wrong_poses

rotate_jit, translation_jit = jax.jit(rotate), jax.jit(translation)


def matrix_of(twist):
    """exp of the 4x4 matrix of a twist."""
    (a, b, c), v = twist[:3], twist[3:]
    return expm(
        np.vstack([np.column_stack([[[0, -c, b], [c, 0, -a], [-b, a, 0]], v]), np.zeros(4)])
    )


@pytest.mark.parametrize("size", [0.0, 1e-7, 0.099, 0.101, 1.0, 3.0])
def test_a_twist_moves_as_the_matrix_exponential_does(size):
    random = np.random.default_rng(0)
    twists = random.normal(size=(3, 2, 6))
    twists *= size / np.linalg.norm(twists[..., :3], axis=-1, keepdims=True)
    x = random.normal(size=(3, 2, 3))
    turned, moved = rotate_jit(twists[..., :3], x), translation_jit(twists)
    for i in np.ndindex(3, 2):
        M = matrix_of(twists[i])
        np.testing.assert_allclose(turned[i], M[:3, :3] @ x[i], atol=2e-6)
        np.testing.assert_allclose(moved[i], M[:3, 3], atol=2e-6)


@pytest.mark.long
def test_gradients_of_no_motion_are_those_of_the_lie_algebra():
    x = jnp.array([0.3, -0.2, 0.9])
    turn = jax.jit(jax.jacobian(lambda w: rotate(w, x)))(jnp.zeros(3))
    np.testing.assert_allclose(turn, np.cross(np.eye(3), x).T, atol=1e-7)
    shift = jax.jit(jax.jacobian(translation))(jnp.zeros(6))
    np.testing.assert_allclose(shift, np.hstack([np.zeros((3, 3)), np.eye(3)]), atol=1e-7)


@pytest.mark.long
def test_rays_of_moved_cameras_are_moved_rays_and_other_cameras_stay():
    scene = synthetic.load(None, "train", size=16, views=4)
    poses = CameraRefinement(scene.cameras.position)
    poses.refined[...] = 0.1 * jax.random.normal(jax.random.key(0), (4, 6))
    image = jnp.array([0, 1, 2, 3])
    pixels = jnp.array([[3.0, 4.0]] * 4)
    rays = to_rays(scene.cameras, pixels, image)
    moved = nnx.jit(CameraRefinement.__call__)(poses, rays)
    wanted = to_rays(move_cameras(scene.cameras, poses.twists), pixels)
    np.testing.assert_allclose(moved.origins, wanted.origins, atol=1e-6)
    np.testing.assert_allclose(moved.directions, wanted.directions, atol=1e-6)
    assert np.abs(moved.origins - rays.origins).max() > 0.01
    nobody = dataclasses.replace(rays, image=jnp.full(4, -1))
    np.testing.assert_array_equal(poses(nobody).origins, rays.origins)


@pytest.mark.long
def test_what_moves_all_cameras_alike_is_no_correction():
    """A world turned, shifted and enlarged a little is all drift; one camera has no other."""
    random = np.random.default_rng(0)
    for n in (1, 2, 12):
        places = random.normal(size=(n, 3))
        modes = drift(places)
        np.testing.assert_allclose(
            np.einsum("nik,nil->kl", modes, modes), np.eye(modes.shape[-1]), atol=1e-9
        )
        turn, shift, scale = random.normal(size=3), random.normal(size=3), random.normal()
        moved = np.cross(turn, places) + shift + scale * places
        alike = jnp.asarray(np.concatenate([np.broadcast_to(turn, places.shape), moved], -1))
        np.testing.assert_allclose(without_drift(alike, jnp.asarray(modes)), 0.0, atol=1e-5)
    other = jnp.asarray(random.normal(size=(12, 6)))
    left = without_drift(other, jnp.asarray(modes))
    np.testing.assert_allclose(without_drift(left, jnp.asarray(modes)), left, atol=1e-5)
    assert jnp.linalg.norm(left) > 0.5 * jnp.linalg.norm(other)


@pytest.mark.long
def test_exposures_have_the_identity_as_their_mean_and_others_see_that():
    exposure = AffineColour(5)
    rgb = jax.random.uniform(jax.random.key(0), (5, 3))
    np.testing.assert_array_equal(exposure(rgb, jnp.arange(5)), rgb)
    exposure.exposure[...] = jax.random.normal(jax.random.key(1), (5, 3, 4))
    np.testing.assert_allclose(
        jnp.stack([exposure(jnp.broadcast_to(rgb[:1], (5, 3)), jnp.arange(5)).mean(0)]),
        rgb[:1],
        atol=1e-5,
    )
    np.testing.assert_array_equal(exposure(rgb, jnp.full(5, -1)), rgb)
    assert np.abs(exposure(rgb, jnp.arange(5)) - rgb).max() > 0.1


def test_correcting_colours_undoes_gain_and_bias_and_nothing_else():
    random = np.random.default_rng(0)
    truth = random.uniform(0.2, 0.7, (20, 30, 3))
    mixed = truth @ (np.eye(3) + 0.1 * random.normal(size=(3, 3))) * 0.8 + [0.05, 0.0, 0.1]
    assert metrics.psnr(mixed, truth) < 25
    assert metrics.psnr_corrected(mixed, truth) > 55  # rounding to 8 bits is left
    noisy = np.clip(truth + 0.03 * random.normal(size=truth.shape), 0, 1)
    assert metrics.psnr_corrected(noisy, truth) == pytest.approx(
        metrics.psnr(noisy, truth), abs=0.5
    )


def blurred_ball(samples):
    """Something smooth and coloured, which tells where a camera stands."""
    points = samples.points
    distance = jnp.linalg.norm(
        points - jnp.broadcast_to(jnp.array([0.1, 0.0, 0.0]), points.shape), axis=-1
    )
    return {
        "density": 30.0 * jax.nn.sigmoid((0.6 - distance) * 20.0),
        "rgb": 0.5 + 0.5 * jnp.sin(5.0 * points),
    }


@pytest.mark.slow
def test_a_camera_is_brought_back_to_where_its_picture_was_taken():
    model = Model({"main": Stage(UniformSteps(24), blurred_ball)}, ("main",))
    camera = synthetic.load(None, "test", size=40, views=1).cameras[0]
    look = make_render_image(model, (1.0, 1.0, 1.0), chunk=1600)
    truth = look(camera)["rgb"]
    wrong = move_cameras(camera, np.array([0.02, -0.01, 0.015, 0.03, 0.02, -0.02], np.float32))
    before = metrics.psnr(look(wrong)["rgb"], truth)
    for mask in (np.ones((40, 40), bool), np.arange(40)[:, None] + np.zeros(40) > 10):
        found = make_align(model, (1.0, 1.0, 1.0))(wrong, truth, mask)
        assert metrics.psnr(look(found)["rgb"], truth) > before + 10


def small(name, scene, steps):
    config = import_module(f"configs.systems.{name}").get_config()
    config.update(
        {
            "steps": steps,
            "steps_per_call": 10,
            "log_every": steps,
            "save_every": steps,
            "batch_size": 256,
        }
    )
    config.scene = {"name": f"tests.support.plugins:{scene}"}
    return config


def with_small_grid(config):
    """The config with a hash grid that a few pictures fill."""
    config.model.stages.main.field.encoding.update(
        {"max_resolution": 64, "log2_table_size": 12, "num_levels": 4}
    )
    return config


def learning_poses(steps):
    """A config that learns the poses of a scene whose training cameras are each a little off."""
    config = small("poses", "toybox_with_wrong_poses", steps)
    config.optimizer.groups.refined.learning_rate = 3e-3
    encoding = config.model.stages.main.field.encoding
    encoding.encoding.update({"max_resolution": 64, "log2_table_size": 12, "num_levels": 4})
    encoding.window.visible = 2.0
    return config


@pytest.mark.slow
@pytest.mark.whole
def test_poses_that_are_learned_are_the_cameras_of_the_run_and_held_out_ones_are_aligned(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(alignment, "STEPS", 2)
    monkeypatch.setattr(alignment, "PIXELS_PER_STEP", 64)
    config = learning_poses(20)
    results = train(config.to_dict(), None, tmp_path / "run", plugins=("tests",))
    given = toybox_with_wrong_poses(None, "train").cameras
    run = load_run(tmp_path / "run", ("tests",))
    learned = run.cameras["train"].c2w
    twists = np.asarray(run.model.poses.twists)
    assert (np.abs(twists).max(1) > 1e-3).all()
    np.testing.assert_allclose(learned, move_cameras(given, twists).c2w, atol=1e-6)
    np.testing.assert_array_equal(reload_split(run, "train", None, ("tests",)).cameras.c2w, learned)
    assert np.isfinite(results["psnr_aligned"]) and results["psnr_aligned"] != results["psnr"]
    assert "twist" in results["protocol"]["psnr_aligned"]
    assert set(next(iter(results["per_image"].values()))) >= {
        "psnr",
        "psnr_aligned",
        "psnr_corrected",
    }


@pytest.mark.slow
@pytest.mark.whole
def test_poses_that_are_learned_come_nearer_to_the_truth_and_show_more(tmp_path):
    config = learning_poses(300)
    config.batch_size = 1024
    results = train(config.to_dict(), None, tmp_path / "run", plugins=("tests",))
    truth = small_toybox("train").cameras.c2w
    given = toybox_with_wrong_poses(None, "train").cameras.c2w
    learned = load_run(tmp_path / "run", ("tests",)).cameras["train"].c2w
    before, after = (
        np.median(np.abs(c2w[..., :3] - truth[..., :3]).max((1, 2))) for c2w in (given, learned)
    )
    assert after < 0.7 * before
    assert results["psnr_aligned"] > results["psnr"]
    with config.unlocked():
        del config.model.poses
    control = train(config.to_dict(), None, tmp_path / "control", plugins=("tests",))
    assert "psnr_aligned" not in control
    assert results["psnr"] > control["psnr"] + 2


@pytest.mark.whole
@pytest.mark.parametrize(
    "steps, rate, correlation",
    [(120, 3e-2, 0.9), pytest.param(200, 1e-2, 0.95, marks=pytest.mark.slow)],
)
def test_exposures_that_are_learned_leave_the_scene_with_the_mean_of_them(
    tmp_path, steps, rate, correlation
):
    config = with_small_grid(small("exposure", "toybox_with_exposures", steps))
    config.optimizer.groups.exposure.learning_rate = rate
    train(config.to_dict(), None, tmp_path / "run", plugins=("tests",))
    exposure = load_run(tmp_path / "run", ("tests",)).model.exposure
    grey = jnp.full((16, 3), 0.5)
    seen = np.asarray(exposure(grey, jnp.arange(16))).mean(-1)
    assert np.corrcoef(seen, GAINS)[0, 1] > correlation
    assert np.ptp(seen) > 0.5 * 0.5 * np.ptp(GAINS) / GAINS.mean()


@pytest.mark.slow
@pytest.mark.whole
def test_a_robust_loss_forgives_passers_by(tmp_path):
    """By the switch that the documentation names."""
    reached = {}
    for loss in ("SquaredError", "Charbonnier"):
        config = with_small_grid(small("exposure", "toybox_with_passers_by", 300))
        del config.model.exposure
        config.losses.colour.name = f"nerf.losses.photometric:{loss}"
        reached[loss] = train(config.to_dict(), None, tmp_path / loss, plugins=("tests",))["psnr"]
    assert reached["Charbonnier"] > reached["SquaredError"] + 0.5
