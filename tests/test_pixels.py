"""Picking pixels: each ray comes with the colour it sees, from every pixel worth picking and no other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras import project
from nerf.pixels import over, pick, to_device
from nerf.scenes import Scene, synthetic

SIZES = [(5, 4), (3, 9), (8, 8), (1, 1)]  # width, height


def mixed_scene(channels=3, alphas=None):
    """Images of different sizes whose first three channels are the number of the image, x and y."""
    scene = synthetic.load(None, "train", size=8, views=len(SIZES))
    images = []
    for i, (width, height) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        alpha = np.full_like(x, 255) if alphas is None else alphas[i]
        images.append(np.stack([np.full_like(x, i), x, y, alpha], -1)[..., :channels].astype(np.uint8))
    K = np.array([[[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]] for w, h in SIZES], np.float32)
    cameras = dataclasses.replace(scene.cameras, K=K, size=np.array(SIZES, np.int32))
    return dataclasses.replace(scene, images=images, cameras=cameras)


def test_a_picked_ray_comes_with_the_colour_of_the_pixel_it_goes_through():
    scene = mixed_scene()
    rays, colours = jax.jit(pick, static_argnums=2)(to_device(scene), jax.random.key(0), 300)
    image, x, y = np.rint(np.asarray(colours) * 255).astype(int).T
    assert set(image) == set(range(len(SIZES)))
    np.testing.assert_array_equal(rays.origins, scene.cameras.position[image])
    np.testing.assert_array_equal(rays.directions, rays.viewdirs)
    own = jax.tree.map(jnp.asarray, scene.cameras[image])
    pixels, inside = project(own, rays.origins + 2.0 * rays.directions)
    assert inside.all()
    np.testing.assert_allclose(pixels, np.stack([x, y], -1) + 0.5, atol=1e-3)


def test_every_pixel_of_the_pool_is_drawn_equally_often_whatever_the_size_of_its_image():
    pixels = to_device(mixed_scene())
    count = pixels.pool.shape[0]
    assert count == sum(w * h for w, h in SIZES)
    _, colours = pick(pixels, jax.random.key(1), 400 * count)
    drawn = np.unique(np.rint(np.asarray(colours) * 255).astype(int), axis=0, return_counts=True)[1]
    assert len(drawn) == count
    chi_squared = np.square(drawn - 400).sum() / 400  # mean count - 1, deviation sqrt(2 count)
    assert abs(chi_squared - count) < 5 * np.sqrt(2 * count)


def test_picks_depend_on_the_key_alone():
    pixels = to_device(mixed_scene())
    first, again, other = (pick(pixels, jax.random.key(k), 50)[1] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("margin", [0, 1, 4])
def test_the_pool_is_what_lies_within_the_margin_of_matter(margin):
    rng = np.random.default_rng(margin)
    alphas = [np.where(rng.uniform(size=(h, w)) < 0.05, rng.integers(1, 256, (h, w)), 0) for w, h in SIZES]
    alphas[2][0, 7] = 1  # the faintest alpha counts, and a corner too
    alphas[3][:] = 0
    expected, start = [], 0
    for alpha in alphas:
        height, width = alpha.shape
        matter = np.argwhere(alpha > 0)
        for y in range(height):
            for x in range(width):
                if len(matter) and np.abs(matter - [y, x]).max(-1).min() <= margin:
                    expected.append(start + y * width + x)
        start += alpha.size
    assert np.asarray(to_device(mixed_scene(4, alphas), margin).pool).tolist() == expected


def test_a_scene_without_alpha_has_all_its_pixels_in_the_pool():
    pixels = to_device(mixed_scene(3))
    np.testing.assert_array_equal(pixels.pool, np.arange(pixels.values.shape[0]))


def test_alpha_comes_with_the_colour_and_nothing_outside_the_pool_is_picked():
    scene: Scene = synthetic.load(None, "train", size=24, views=3)
    _, colours = pick(to_device(scene, margin=0), jax.random.key(0), 2000)
    assert colours.shape == (2000, 4)
    assert float(colours[:, 3].min()) > 0.0


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 2)])
def test_straight_alpha_goes_over_a_background_by_porter_and_duff(shape):
    rng = np.random.default_rng(0)
    rgba, background = (
        rng.uniform(size=(*shape, 4)).astype(np.float32),
        rng.uniform(size=(*shape, 3)).astype(np.float32),
    )
    alpha = rgba[..., 3:]
    expected = alpha * rgba[..., :3] + (1 - alpha) * background
    np.testing.assert_allclose(over(rgba, background), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(over)(jnp.asarray(rgba), jnp.asarray(background)), expected, atol=1e-6)
    np.testing.assert_array_equal(over(rgba[..., :3], background), rgba[..., :3])  # opaque as it is


def test_opaque_hides_the_background_and_transparent_is_the_background():
    background = np.array([0.1, 0.2, 0.3])
    rgba = np.array([[0.5, 0.6, 0.7, 1.0], [0.5, 0.6, 0.7, 0.0]])
    np.testing.assert_allclose(over(rgba, background), [[0.5, 0.6, 0.7], [0.1, 0.2, 0.3]])
