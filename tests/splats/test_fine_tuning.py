"""Fine-tuning finds splats that show given pictures, from small pictures of the views."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import pixels_to_rays
from nerf.cameras.resizing import resized
from nerf.splats import blending, fine_tuning, targets
from nerf.splats.fine_tuning import fine_tune, from_free, to_free
from nerf.splats.rasterizer import find_tiles, rasterize
from nerf.splats.targets import View, choose_cameras
from tests.splats.test_rasterizer import AWAY, BLACK, FOCAL, SIZE, camera_at
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


def test_splats_that_no_tile_shows_stay_where_they_are():
    splats = jax.tree.map(jnp.asarray, random_splats(30, 1))
    camera = camera_at(EYES[0])
    tiles = next(iter(find_tiles(splats, camera)))
    arrays = jax.tree.map(jnp.asarray, (splats.means, splats.scales[:, :1], camera, tiles))

    def step(free, state, weight):
        target = jnp.zeros((*weight.shape, 3))
        rest = (target, weight, jnp.asarray(BLACK), jnp.float32(1.0))
        begin = jax.tree.map(jnp.array, (free, state))  # a copy, as a step takes its arrays over
        return jax.device_get(fine_tuning._step(*begin, *arrays, *rest))

    free = to_free(splats)
    count, side = len(tiles.corners), blending.TILE
    moved, state = step(free, fine_tuning.OPTIMIZER.init(free), jnp.ones((count, side, side)))
    assert np.abs(moved["place"]).max() > 0.01
    # Adam's momentum alone would move them further.
    stayed, _ = step(moved, state, jnp.zeros((count, side, side)))
    jax.tree.map(np.testing.assert_array_equal, stayed, moved)


def test_cameras_see_small_whole_pictures_each_once(monkeypatch):
    size, side = 64, 32
    eyes = [camera_at(eye, size=size) for eye in EYES]
    cameras = jax.tree.map(lambda *x: np.stack(x), *eyes)
    share = np.array([0.2, 0.7], np.float32)  # of the picture, where a ray is compared
    monkeypatch.setattr(targets, "SIDE", side)
    small = choose_cameras(cameras, np.random.default_rng(0))
    assert len({camera.position.tobytes() for camera in small}) == len(EYES) == len(small)
    for camera in small:
        assert camera.size.tolist() == [side, side]
        number = int(np.argmin(np.abs(cameras.position - camera.position).sum(-1)))
        few, many = (pixels_to_rays(c, share * c.size) for c in (camera, eyes[number]))
        np.testing.assert_allclose(few.directions, many.directions, atol=1e-6)
    monkeypatch.setattr(targets, "PIXELS", 1)
    monkeypatch.setattr(targets, "MIN_PICTURES", 3)
    assert len(choose_cameras(cameras, np.random.default_rng(0))) == 3


def test_pictures_that_are_small_are_not_enlarged():
    cameras = jax.tree.map(lambda *x: np.stack(x), *map(camera_at, EYES))
    for camera in choose_cameras(cameras, np.random.default_rng(0)):
        assert max(camera.size) == SIZE


def test_splats_that_show_small_pictures_show_large_ones_too(monkeypatch):
    """A viewer's window has more pixels than the photos, and thin things must not lose light."""
    monkeypatch.setattr(fine_tuning, "STEPS", 120)
    monkeypatch.setattr(fine_tuning, "MAX_SECONDS", 1e9)
    wires = random_splats(60, 1)
    wires = dataclasses.replace(wires, scales=np.full_like(wires.scales, 0.6 * AWAY / FOCAL))
    small = [camera_at(eye) for eye in EYES]
    large = [resized(camera, 4.0) for camera in small]
    truth = [rasterize(wires, camera, BLACK) for camera in large]
    means = [x.reshape(SIZE, 4, SIZE, 4, 3).mean((1, 3)) for x in truth]
    views = [View(camera, picture) for camera, picture in zip(small, means, strict=True)]
    tuned = fine_tune(shaken(wires), views, BLACK, np.random.default_rng(0))
    light = np.mean([rasterize(tuned, camera, BLACK) for camera in large])
    assert light == pytest.approx(np.mean(truth), rel=0.2)
