"""The made-up scene and pictures: rays hit exactly, cameras agree, textures keep to their band."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import Stratified
from nerf.scenes import drawings, toybox
from nerf.scenes.solids import normals
from tests.support.compiled import repeated, to_pixels, to_rays

SIZE = 24


@pytest.fixture(scope="module")
def seen():
    """Rays of two test views and what they hit."""
    rays = [toybox.look(c2w, SIZE) for c2w in toybox.place("test", 8)[[0, 5]]]
    origins, directions = (np.concatenate(part) for part in zip(*rays, strict=True))
    return origins, directions, toybox.trace(origins, directions)


@pytest.mark.long
def test_rays_end_on_surfaces_and_never_pass_through_one(seen):
    origins, directions, hits = seen
    there = np.isfinite(hits.t)
    assert 0.3 < there.mean() < 0.7
    ends = origins[there] + hits.t[there, None] * directions[there]
    assert np.abs(toybox.distance(ends)).max() < 1e-6
    for part in np.linspace(0.0, 0.999, 200):
        assert (
            toybox.distance(origins[there] + part * hits.t[there, None] * directions[there]) > 0.0
        ).all()
    for t in np.linspace(0.0, 6.0, 300):
        assert (toybox.distance(origins[~there] + t * directions[~there]) > 0.0).all()


def test_every_solid_is_seen_and_named_by_its_own_distance(seen):
    origins, directions, hits = seen
    assert set(np.unique(hits.label)) == {0, 1, 2, 3, toybox.NOTHING}
    for i, solid in enumerate(toybox.SOLIDS):
        mine = hits.label == i
        assert (
            np.abs(solid.distance(origins[mine] + hits.t[mine, None] * directions[mine])).max()
            < 1e-6
        )


def test_normals_face_the_camera_and_are_the_gradient_of_distance(seen):
    origins, directions, hits = seen
    there = np.isfinite(hits.t)
    assert np.allclose(np.linalg.norm(hits.normal[there], axis=-1), 1.0)
    assert ((hits.normal[there] * directions[there]).sum(-1) < 1e-6).all()
    ball = hits.label == 0
    outward = origins[ball] + hits.t[ball, None] * directions[ball] - toybox.SOLIDS[0].centre
    assert np.allclose(
        hits.normal[ball], outward / np.linalg.norm(outward, axis=-1, keepdims=True), atol=1e-6
    )
    assert not hits.normal[~there].any()


@pytest.mark.parametrize("solid", toybox.SOLIDS, ids=lambda solid: type(solid).__name__)
def test_distance_to_a_solid_has_slope_one(solid):
    points = np.random.default_rng(0).uniform(-1, 1, (3, 50, 3))
    away = solid.distance(points) > 0.05
    gradient = (
        solid.distance(points + 1e-4 * normals(solid.distance, points)) - solid.distance(points)
    ) / 1e-4
    assert np.allclose(gradient[away], 1.0, atol=1e-2)


@pytest.mark.long
def test_cameras_see_the_points_that_rays_hit_at_the_pixels_of_these_rays():
    scene = toybox.load(None, "test", sizes=(SIZE,), turned=0.7)
    origins, directions = toybox.look(toybox.place("test", 8)[3], SIZE)
    hits = toybox.trace(origins, directions)
    there = np.isfinite(hits.t)
    points = scene.transform.points(origins[there] + hits.t[there, None] * directions[there])
    camera = repeated(scene.cameras[3], len(points))
    pixels, inside = to_pixels(camera, jnp.asarray(points, jnp.float32))
    y, x = np.divmod(np.flatnonzero(there), SIZE)
    assert inside.all()
    assert np.allclose(pixels, np.stack([x, y], -1) + 0.5, atol=1e-3)
    rays = to_rays(camera, pixels)
    assert np.allclose(rays.directions, directions[there] @ scene.transform.rotation.T, atol=1e-4)


@pytest.mark.long
def test_the_volume_renderer_sees_the_same_picture():
    """Dense matter in the solids, rendered by another program, gives the picture and its depth."""

    def field(samples):
        points = samples.points
        flat = np.asarray
        inside = jax.pure_callback(
            lambda p: (toybox.distance(flat(p, np.float64)) < 0.0).astype(np.float32),
            jax.ShapeDtypeStruct(points.shape[:-1], jnp.float32),
            points,
        )
        return {"density": 1e4 * inside, "rgb": jnp.zeros_like(points)}

    scene = toybox.load(None, "test", sizes=(16,), samples=8)
    model = Model({"main": Stage(Stratified(512), field)}, ["main"])
    picture = make_render_image(model, (1.0, 1.0, 1.0), 256)(scene.cameras[6])
    coverage = scene.images[6][..., 3] / 255.0
    inner = (coverage == 0.0) | (coverage == 1.0)
    assert np.abs(picture["opacity"] - coverage)[inner].max() < 1e-3
    origins, directions = toybox.look(toybox.place("test", 8)[6], 16)
    exact = toybox.trace(origins, directions).t.reshape(16, 16)
    assert np.abs(picture["depth"] - exact)[coverage == 1.0].max() < 0.02


def test_the_texture_has_no_energy_above_its_band_and_some_at_it():
    line = np.linspace(-1.0, 1.0, 4096, endpoint=False)
    for cycles in (4.0, 16.0):
        axis = np.array([0.6, 0.0, 0.8])
        pattern = toybox.texture(line[:, None] * axis, cycles) * np.hanning(4096)[:, None]
        power = np.square(np.abs(np.fft.rfft(pattern, axis=0))).sum(-1)
        assert power[int(cycles) + 3 :].sum() < 1e-4 * power.sum()
        assert power[int(cycles / 3) :].sum() > 0.5 * power.sum()


@pytest.mark.long
def test_splits_look_from_different_places_and_options_do_what_they_say():
    small = {"sizes": (16,), "views": 6, "held_out": 4}
    scenes = {split: toybox.load(None, split, **small) for split in ("train", "val", "test")}
    assert [len(scene) for scene in scenes.values()] == [6, 4, 4]
    positions = np.concatenate([scene.cameras.position for scene in scenes.values()])
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + 9.0 * np.eye(14)
    assert apart.min() > 0.2
    turned = toybox.load(None, "test", turned=0.7, **small)
    assert all(
        np.array_equal(a, b) for a, b in zip(turned.images, scenes["test"].images, strict=True)
    )
    assert turned.digest() != scenes["test"].digest()
    shrunk = toybox.load(None, "test", scale=0.25, **small)
    for a, b in zip(shrunk.images, scenes["test"].images, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        shrunk.cameras.position, 0.25 * scenes["test"].cameras.position, atol=1e-6
    )
    np.testing.assert_allclose(shrunk.transform.points(np.ones(3)), np.full(3, 0.25))
    shiny = toybox.load(None, "test", specular=True, **small)
    brighter = [a.astype(int) - b for a, b in zip(shiny.images, scenes["test"].images, strict=True)]
    assert all(more[..., :3].min() >= 0 and not more[..., 3].any() for more in brighter)
    assert max(more.max() for more in brighter) > 50
    assert toybox.load(None, "test", **small).digest() == scenes["test"].digest()


def test_cameras_all_around_see_the_underside_of_the_disc():
    under = np.array([0.5, -0.5, -0.38])
    counts = []
    for around in (False, True):
        scene = toybox.load(None, "train", sizes=(16,), views=12, around=around)
        origins = np.asarray(scene.cameras.c2w)[..., 3].astype(np.float64)
        np.testing.assert_allclose(np.linalg.norm(origins, axis=-1), toybox.DISTANCE, rtol=1e-5)
        towards = under - origins
        length = np.linalg.norm(towards, axis=-1)
        hits = toybox.trace(origins, towards / length[:, None])
        counts.append(int((np.abs(hits.t - length) < 1e-3).sum()))
        expected = toybox.load(None, "train", sizes=(16,), views=12, around=not around)
        assert any((a != b).any() for a, b in zip(scene.images, expected.images, strict=True))
    assert counts[0] == 0 and counts[1] >= 4


def test_smaller_sizes_are_box_filtered_from_the_largest():
    scene = toybox.load(None, "test", sizes=(8, 32), held_out=2)
    assert [image.shape[0] for image in scene.images] == [8, 32, 8, 32]
    small, large = (image / 255.0 for image in scene.images[:2])
    premultiplied = large[..., :3] * large[..., 3:]
    boxed = premultiplied.reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(boxed - small[..., :3] * small[..., 3:]).max() < 0.02


@pytest.mark.long
def test_drawings_are_the_same_each_time_and_have_detail_and_colour():
    for draw in (drawings.cppn, drawings.text):
        picture = draw()
        assert picture.shape == (64, 64, 3)
        assert np.array_equal(picture, draw())
        spread = picture.astype(float)
        assert spread.std((0, 1)).min() > 20.0
        assert np.abs(np.diff(spread, axis=0)).mean() > 4.0
    assert not np.array_equal(drawings.cppn(seed=1), drawings.cppn(seed=2))


def test_a_drawing_changes_smoothly_with_its_latent_vector():
    plain = drawings.cppn()
    np.testing.assert_array_equal(drawings.cppn(latent=(0.0, 0.0)), plain)

    def distance(*latent):
        return np.sqrt(np.mean((drawings.cppn(latent=latent) / 255.0 - plain / 255.0) ** 2))

    near, farther, far = distance(0.02, 0.0), distance(0.04, 0.0), distance(1.0, 0.0)
    assert near > 0.002 and 1.5 < farther / near < 2.5
    assert far > 0.15 and distance(0.0, 1.0) > 0.15
    assert not np.array_equal(drawings.cppn(latent=(1.0, 0.0)), drawings.cppn(latent=(0.0, 1.0)))


def test_drawings_have_the_size_asked_for():
    assert drawings.cppn(size=32).shape == (32, 32, 3)
