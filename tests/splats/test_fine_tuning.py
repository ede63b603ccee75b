"""Fine-tuning finds splats that show given pictures, and windows see a part of a view."""

import dataclasses

import jax
import numpy as np
import pytest

from nerf.splats import fine_tuning, targets
from nerf.splats.fine_tuning import fine_tune, from_free, to_free
from nerf.splats.rasterizer import rasterize
from nerf.splats.targets import View, choose_windows
from tests.splats.test_rasterizer import BLACK, SIZE, camera_at
from tests.splats.test_splats import covariances, random_splats

pytestmark = pytest.mark.long
EYES = ([3.0, 0.0, 0.5], [0.0, 3.0, 1.0], [-2.5, 1.0, -0.5], [1.0, -3.0, 0.2])


def shaken(splats):
    """Return splats that are a little off in everything."""
    rng = np.random.default_rng(1)

    def off(x, by):
        return (x + by * rng.normal(size=x.shape)).astype(np.float32)

    return dataclasses.replace(
        splats,
        means=off(splats.means, 0.03),
        scales=splats.scales * np.exp(off(0.0 * splats.scales, 0.3)),
        opacities=np.clip(off(splats.opacities, 0.1), 0.05, 0.95),
        harmonics=off(splats.harmonics, 0.1),
    )


def error(splats, views):
    return np.mean(
        [np.square(rasterize(splats, v.camera, BLACK) - v.picture).mean() for v in views]
    )


def test_splats_come_to_show_the_pictures(monkeypatch):
    monkeypatch.setattr(fine_tuning, "STEPS", 120)
    monkeypatch.setattr(fine_tuning, "MAX_SECONDS", 1e9)
    splats = random_splats(80, 1)
    views = [View(camera, rasterize(splats, camera, BLACK)) for camera in map(camera_at, EYES)]
    held_out = camera_at([2.0, 2.0, 0.0])
    others = [View(held_out, rasterize(splats, held_out, BLACK))]
    begin = shaken(splats)
    tuned = fine_tune(begin, views, BLACK, np.random.default_rng(0))
    assert error(tuned, views) < 0.15 * error(begin, views)
    assert error(tuned, others) < 0.5 * error(begin, others)
    again = fine_tune(begin, views, BLACK, np.random.default_rng(0))
    jax.tree.map(np.testing.assert_array_equal, again, tuned)
    lengths = np.linalg.norm(tuned.quaternions, axis=-1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)
    assert (tuned.scales > 0).all() and (tuned.opacities > 0).all() and (tuned.opacities < 1).all()


def test_a_slow_computer_takes_fewer_steps(monkeypatch):
    monkeypatch.setattr(fine_tuning, "MAX_SECONDS", 1e-9)
    splats = random_splats(5, 0)
    picture = rasterize(splats, camera_at(EYES[0]), BLACK)
    tuned = fine_tune(splats, [View(camera_at(EYES[0]), picture)], BLACK, np.random.default_rng(0))
    np.testing.assert_allclose(tuned.means, splats.means)


def test_the_free_numbers_stand_for_the_splats():
    splats = jax.tree.map(jax.numpy.asarray, random_splats())
    back = from_free(to_free(splats), splats.means, splats.scales[:, :1])
    for name in ("means", "scales", "opacities", "harmonics"):
        np.testing.assert_allclose(getattr(back, name), getattr(splats, name), rtol=1e-5)
    np.testing.assert_allclose(covariances(back), covariances(splats), atol=1e-6)


def test_a_window_sees_a_part_of_the_picture(monkeypatch):
    monkeypatch.setattr(targets, "WHOLE", 24)
    monkeypatch.setattr(targets, "WINDOW", 24)
    splats = random_splats(50, 1)
    cameras = jax.tree.map(lambda *x: np.stack(x), *map(camera_at, EYES))
    windows = choose_windows(cameras, np.random.default_rng(0))
    assert len(windows) > len(EYES), "many windows of each view"
    wholes = [rasterize(splats, camera_at(eye), BLACK) for eye in EYES]
    for window in windows[:6]:
        assert window.size.tolist() == [24, 24]
        number = int(np.argmin(np.abs(cameras.position - window.position).sum(-1)))
        x, y = np.rint(SIZE / 2 - window.K[:2, 2]).astype(int)
        part = wholes[number][y : y + 24, x : x + 24]
        np.testing.assert_allclose(rasterize(splats, window, BLACK), part, atol=1e-4)


def test_small_pictures_are_their_own_windows_and_seen_once():
    cameras = jax.tree.map(lambda *x: np.stack(x), *[camera_at(eye) for eye in EYES * 5])
    windows = choose_windows(cameras, np.random.default_rng(0))
    assert len(windows) == 20
    assert len({window.position.tobytes() for window in windows}) == 4
