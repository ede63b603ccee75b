"""Picking pixels: each ray has the colour it sees, from each pixel worth picking and no other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import project
from nerf.evaluation.evaluate import evaluate
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import Scene, SceneError, synthetic, to_unit
from nerf.scenes.images import over
from nerf.training.ray_bank import HostRayBank, sample_rays, step_keys, to_device

SIZES = [(5, 4), (3, 9), (8, 8), (1, 1)]  # width, height
pick = jax.jit(sample_rays, static_argnums=(2, 3))


@jax.jit
def seen_by(cameras, rays):
    """Project a point of each ray into its camera; return the pixels and whether they are seen."""
    return project(cameras, rays.origins + 2.0 * rays.directions)


def mixed_scene(channels=3, alphas=None):
    """Images of different sizes whose first three channels are the number of the image, x and y."""
    scene = synthetic.load(None, "train", size=8, views=len(SIZES))
    images = []
    for i, (width, height) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        alpha = np.full_like(x, 255) if alphas is None else alphas[i]
        images.append(
            np.stack([np.full_like(x, i), x, y, alpha], -1)[..., :channels].astype(np.uint8)
        )
    K = np.array([[[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]] for w, h in SIZES], np.float32)
    cameras = dataclasses.replace(scene.cameras, K=K, size=np.array(SIZES, np.int32))
    return dataclasses.replace(scene, images=images, cameras=cameras)


@pytest.mark.long
def test_a_picked_ray_comes_with_the_colour_of_the_pixel_it_goes_through():
    scene = mixed_scene()
    rays, colours, _ = pick(to_device(scene), jax.random.key(0), 300)
    image, x, y = np.rint(np.asarray(colours) * 255).astype(int).T
    assert set(image) == set(range(len(SIZES)))
    np.testing.assert_array_equal(rays.origins, scene.cameras.position[image])
    np.testing.assert_array_equal(rays.directions, rays.viewdirs)
    pixels, inside = seen_by(scene.cameras[image], rays)
    assert np.all(inside)
    np.testing.assert_allclose(pixels, np.stack([x, y], -1) + 0.5, atol=1e-3)


@pytest.mark.long
def test_every_pixel_of_the_pool_is_drawn_equally_often_whatever_the_size_of_its_image():
    pixels = to_device(mixed_scene())
    count = pixels.pool.shape[0]
    assert count == sum(w * h for w, h in SIZES)
    colours = pick(pixels, jax.random.key(1), 400 * count)[1]
    drawn = np.unique(np.rint(np.asarray(colours) * 255).astype(int), axis=0, return_counts=True)[1]
    assert len(drawn) == count
    chi_squared = np.square(drawn - 400).sum() / 400  # mean count - 1, deviation sqrt(2 count)
    assert abs(chi_squared - count) < 5 * np.sqrt(2 * count)


@pytest.mark.long
def test_picks_depend_on_the_key_alone():
    pixels = to_device(mixed_scene())
    keys = (jax.random.key(k) for k in (0, 0, 1))
    first, again, other = (np.asarray(pick(pixels, key, 300)[1]) for key in keys)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("margin", [0, 1, 4])
def test_the_pool_is_what_lies_within_the_margin_of_matter_or_at_edges_that_cut_it_off(margin):
    rng = np.random.default_rng(margin)
    alphas = [
        np.where(rng.uniform(size=(h, w)) < 0.05, rng.integers(1, 256, (h, w)), 0) for w, h in SIZES
    ]
    for alpha in alphas:
        alpha[[0, -1]] = alpha[:, [0, -1]] = 0
    alphas[1][1, 1] = 1  # the faintest alpha counts
    alphas[2][0, 7] = 1  # also at an edge of the image
    alphas[3][:] = 0
    expected, start = [], 0
    for alpha in alphas:
        height, width = alpha.shape
        matter = np.argwhere(alpha > 0)
        for y in range(height):
            for x in range(width):
                near = len(matter) and np.abs(matter - [y, x]).max(-1).min() <= margin
                at_edge = min(y, x, height - 1 - y, width - 1 - x) < max(min(alpha.shape) // 16, 1)
                if near or (alpha is alphas[2] and at_edge):
                    expected.append(start + y * width + x)
        start += alpha.size
    assert np.asarray(to_device(mixed_scene(4, alphas), margin).pool).tolist() == expected


def test_a_scene_without_alpha_has_all_its_pixels_in_the_pool():
    pixels = to_device(mixed_scene(3))
    np.testing.assert_array_equal(pixels.pool, np.arange(pixels.values.shape[0]))


@pytest.mark.long
def test_alpha_comes_with_the_colour_and_nothing_outside_the_pool_is_picked():
    scene: Scene = synthetic.load(None, "train", size=24, views=3)
    colours = np.asarray(pick(to_device(scene, margin=0), jax.random.key(0), 2000)[1])
    assert colours.shape == (2000, 4)
    assert colours[:, 3].min() > 0.0


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
    np.testing.assert_allclose(
        jax.jit(over)(jnp.array(rgba), jnp.array(background)), expected, atol=1e-6
    )
    np.testing.assert_array_equal(over(rgba[..., :3], background), rgba[..., :3])  # opaque as it is


def test_opaque_hides_the_background_and_transparent_is_the_background():
    background = np.array([0.1, 0.2, 0.3])
    rgba = np.array([[0.5, 0.6, 0.7, 1.0], [0.5, 0.6, 0.7, 0.0]])
    np.testing.assert_allclose(over(rgba, background), [[0.5, 0.6, 0.7], [0.1, 0.2, 0.3]])


@pytest.mark.long
def test_a_picked_ray_knows_its_view():
    rays, colours, _ = pick(to_device(mixed_scene()), jax.random.key(0), 300)
    np.testing.assert_array_equal(rays.image, np.rint(np.asarray(colours)[:, 0] * 255))


def known_scene(kind=np.uint8):
    """Random colours of a type, a random mask, depths that tell the pixel; some are not known."""
    scene, rng = mixed_scene(), np.random.default_rng(3)
    most = 1.0 if kind == np.float32 else np.iinfo(kind).max + 1
    images = [(rng.uniform(size=image.shape) * most).astype(kind) for image in scene.images]
    masks = [rng.uniform(size=image.shape[:2]) < 0.5 for image in images]
    masks[3][:] = True
    depths = [
        rng.uniform(1, 2, mask.shape).astype(np.float32) * (rng.uniform(size=mask.shape) < 0.7)
        for mask in masks
    ]
    return dataclasses.replace(scene, images=images, maps={"mask": masks, "depth": depths})


@pytest.mark.long
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_masked_pixels_are_never_picked_and_colour_and_depth_keep_their_digits(kind):
    scene = known_scene(kind)
    rays, colours, maps = jax.device_get(pick(to_device(scene), jax.random.key(0), 2000))
    pixels = np.asarray(seen_by(scene.cameras[rays.image], rays)[0])
    size = 65535.0 if kind == np.uint16 else 255.0 if kind == np.uint8 else 1.0
    places = [(i, y, x) for i, (x, y) in zip(rays.image, np.floor(pixels).astype(int), strict=True)]
    assert all(scene.maps["mask"][i][y, x] for i, y, x in places)
    expected = [scene.images[i][y, x] / size for i, y, x in places]
    np.testing.assert_allclose(colours, expected, atol=1e-7)
    assert set(maps) == {"depth"}, "the mask decides which pixels there are"
    np.testing.assert_array_equal(
        maps["depth"], [scene.maps["depth"][i][y, x] for i, y, x in places]
    )
    assert 0.5 < np.mean(maps["depth"] > 0) < 0.9


@pytest.mark.long
def test_rays_of_few_views_are_grouped_by_view_and_every_pixel_is_drawn_equally_often():
    pixels = to_device(mixed_scene())
    drawn = np.zeros(pixels.pool.shape[0])
    for seed in range(400):
        rays, colours, _ = pick(pixels, jax.random.key(seed), 50, 3)
        # Three draws of a view, which have 17, 17 and 16 rays.
        image = np.asarray(rays.image)
        assert all(len(set(part)) == 1 for part in np.split(image, [17, 34]))
        i, x, y = np.rint(np.asarray(colours) * 255).astype(int).T
        np.testing.assert_array_equal(i, image)
        width = np.array(SIZES)[i, 0]
        np.add.at(drawn, np.asarray(pixels.starts)[i] + y * width + x, 1)
    by_view = np.add.reduceat(drawn, np.asarray(pixels.starts))
    sizes = np.array([w * h for w, h in SIZES])
    np.testing.assert_allclose(by_view / by_view.sum(), sizes / sizes.sum(), atol=0.03)
    largest = drawn[47:111]  # pixels of the third image
    assert drawn.min() > 0
    assert largest.std() < 0.2 * largest.mean()


@pytest.mark.long
@pytest.mark.parametrize("views", [None, 2])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_the_host_picks_the_same_rays_colours_and_depths_as_the_device(kind, views):
    scene = known_scene(kind)
    bank = HostRayBank(scene, seed=5, batch_size=40, steps=3, views=views)
    device, host = to_device(scene), bank(6)

    @jax.jit
    def rays_of(pixels, step):
        return sample_rays(pixels.at_step(step - 6), step_keys(5, step).pixels, 40, views)

    for step in (6, 7, 8):
        here, there = (rays_of(pixels, jnp.int32(step)) for pixels in (device, host))
        for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_scene_that_is_masked_all_over_is_refused():
    scene = mixed_scene()
    masks = [np.zeros(image.shape[:2], bool) for image in scene.images]
    with pytest.raises(SceneError, match="no pixel to learn from"):
        to_device(dataclasses.replace(scene, maps={"mask": masks}))


def test_colours_of_any_type_lie_between_0_and_1():
    for kind in (np.uint8, np.uint16):
        most = np.iinfo(kind).max
        values = to_unit(np.array([0, 1, most], kind))
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, [0.0, 1 / most, 1.0], rtol=1e-7)
    floats = np.array([0.123456789], np.float32)
    assert to_unit(floats) is floats


@pytest.mark.long
def test_what_is_masked_is_not_scored(tmp_path):
    """Whatever the picture holds outside the mask, it scores as a picture that is right there."""
    scene = synthetic.load(None, "test", size=24, views=2)
    masks = [np.add.outer(np.arange(24), np.arange(24)) % 24 < 15 for _ in range(2)]
    spoilt = [
        np.where(mask[..., None], image, 77)
        for image, mask in zip(scene.images, masks, strict=True)
    ]
    model = Model({"main": Stage(UniformSteps(64), synthetic.field)}, ("main",))

    def score(**changes):
        return evaluate(
            model, dataclasses.replace(scene, **changes), "test", (1.0, 0.5, 0.0), 1024, tmp_path
        )

    whole, masked, other = (
        score(),
        score(maps={"mask": masks}),
        score(maps={"mask": masks}, images=spoilt),
    )
    assert other["mean"] == masked["mean"] != whole["mean"]
    assert score(images=spoilt)["mean"]["psnr"] < whole["mean"]["psnr"] - 5
    assert masked["protocol"]["mask"] != whole["protocol"]["mask"]
    everything = score(maps={"mask": [np.ones((24, 24), bool)] * 2})
    assert everything["mean"] == whole["mean"]


@pytest.mark.long
def test_the_psnr_of_a_masked_view_is_that_of_its_pixels_alone(tmp_path):
    scene = synthetic.load(None, "test", size=16, views=1)
    mask = np.zeros((16, 16), bool)
    mask[5:9, 4:13] = True
    model = Model({"main": Stage(UniformSteps(64), synthetic.field)}, ("main",))
    scores = evaluate(
        model, dataclasses.replace(scene, maps={"mask": [mask]}), "test", (0.0,) * 3, 1024, None
    )
    from nerf.rendering.images import make_render_image

    picture = make_render_image(model, (0.0,) * 3)(scene.cameras[0])["rgb"]
    rgba = scene.images[0] / 255.0
    a, b = (np.rint(np.clip(x, 0, 1) * 255) for x in (picture, rgba[..., :3] * rgba[..., 3:]))
    error = np.square((a - b) / 255)[mask].mean()
    np.testing.assert_allclose(scores["mean"]["psnr"], -10 * np.log10(error), rtol=1e-6)


def test_pixels_in_memory_are_drawn_on_the_host_unless_jax_may_not_use_it(monkeypatch):
    """On a GPU the drawing would wait for the training step."""
    bank = HostRayBank(synthetic.load(None, "train", size=8, views=2), 5, batch_size=4, steps=3)
    assert bank.host == jax.local_devices(backend="cpu")[0]
    drawn, contexts = bank.draw, []

    def draw(steps):
        contexts.append(jax.config.jax_default_device)
        return drawn(steps)

    bank.draw = draw
    wanted = bank(0)
    assert contexts and set(contexts) == {bank.host}

    def no_cpu(backend):
        raise RuntimeError(f"Unknown backend: {backend}")

    monkeypatch.setattr(jax, "local_devices", no_cpu)
    other = HostRayBank(synthetic.load(None, "train", size=8, views=2), 5, batch_size=4, steps=3)
    assert other.host is None
    np.testing.assert_array_equal(other(0).offset, wanted.offset)
