"""Latent codes of images: each ray is rendered with that of its image, all else with the mean."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs.systems import appearance
from nerf.api import query
from nerf.cameras.cameras import Rays, pixel_centres, pixels_to_rays, repeat_camera
from nerf.encodings.fourier import Fourier
from nerf.encodings.identity import Identity
from nerf.evaluation import metrics
from nerf.fields import Samples
from nerf.fields.composed import Composed
from nerf.fields.surface import SurfaceField
from nerf.foundation.instantiate import ConfigError
from nerf.geometry.signed_distance import SignedDistance
from nerf.losses import Context, Target
from nerf.losses.eikonal import Eikonal
from nerf.losses.smoothness import NormalSmoothness
from nerf.meshes.colours import surface_colours
from nerf.meshes.levels import surface_level
from nerf.networks.relu import ReLU
from nerf.networks.softplus import Softplus
from nerf.rendering.codes import ImageCodes
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import Model, Stage
from nerf.rendering.model_state import refresh_occupancy
from nerf.rendering.surface import Surface
from nerf.rendering.surface_depth import BLOCKED, surface_depth
from nerf.runs.models import build_model
from nerf.runs.read import load_run
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.stratified import UniformSteps
from nerf.scenes.images import on_background
from nerf.training.loop import train
from tests.cameras.test_refinement import small, with_small_grid
from tests.support.plugins import small_toybox, toybox_with_exposures

# The code of each image: radius, slope and a number more. The mean is 1/2 in all.
CODES = np.array([[0.3, 0.25, 0.2], [0.6, 0.5, 0.9], [0.6, 0.75, 0.4]], np.float32)
MEAN = CODES.mean(0)
IMAGES = np.array([1, 0, -1, 2, 0, 1])
EXPECTED = np.stack([CODES[i] if i >= 0 else MEAN for i in IMAGES])
ALONG_AXIS = np.float32([0.0, 0.0, 1.0])


class Told(nnx.Module):
    """A ball whose radius, slope and colour its code tells, in fog that is as dense as it is."""

    code_features = 3

    def __call__(self, samples):
        code, points = samples.code, samples.points
        distance = jnp.sqrt(jnp.square(points).sum(-1) + 1e-12)
        outward = points / distance[..., None]
        return {
            "density": 40.0 * code[..., 0],
            "sdf": distance - code[..., 0],
            "gradient": code[..., 1:2] * outward,
            "normals": code[..., 1:2] * points,
            "rgb": code,
        }


def codes_of(values=CODES):
    codes = ImageCodes(len(values), 3, rngs=nnx.Rngs(0))
    codes.codes[...] = jnp.array(values)
    return codes


def model_of(grid=False, values=CODES, **options):
    options["codes"] = codes_of(values)
    if grid:
        options.update(occupancy=OccupancyGrid(4, update_every=1), max_samples_per_ray=128)
    return Model({"main": Stage(UniformSteps(128), Told())}, ["main"], **options)


def rays_of(images=IMAGES, width=0.0):
    """Return rays down onto the ball from ever higher, side by side over a width along x."""
    number = np.arange(len(images))
    x = width * (number / (len(images) - 1) - 0.5)
    origins = np.stack([x, 0.0 * x, 2.0 + 0.1 * number], -1).astype(np.float32)
    down = np.broadcast_to(-ALONG_AXIS, origins.shape)
    return Rays(*map(jnp.array, (origins, down, down, np.asarray(images))))


def keys_of(count):
    return jax.random.split(jax.random.key(0), count)


WAYS = ["every interval", "picture through a grid", "training through a grid"]


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_a_ray_has_the_code_of_its_own_image_and_no_image_the_mean(way):
    rays, black = rays_of(width=1.6), jnp.zeros((len(IMAGES), 3))
    keys = keys_of(len(IMAGES)) if way.startswith("training") else None

    @jax.jit
    def render(keys):
        model = model_of(way != "every interval")
        if model.occupancy is not None:
            # Stairs, so that the rays have unlike numbers of occupied intervals.
            cell = np.arange(4)
            model.occupancy.restrict(np.broadcast_to(cell <= cell[:, None, None], (4, 4, 4)))
        seen = model(rays, black, keys)[-1]
        return seen.rgb / seen.opacity[:, None]

    np.testing.assert_allclose(render(keys), EXPECTED, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("grid", [False, True])
def test_a_gradient_reaches_the_codes_of_the_batch_alone_unless_the_mean_is_used(grid):
    @jax.jit
    @jax.grad
    def slopes(values, images):
        rays = dataclasses.replace(rays_of([0, 0]), image=images)
        return model_of(grid, values)(rays, jnp.zeros((2, 3)), keys_of(2))[-1].rgb.sum()

    own = np.abs(slopes(jnp.array(CODES), jnp.array([0, 2]))).max(1)
    assert own[0] > 0.1 and own[2] > 0.1 and own[1] == 0.0
    shared = slopes(jnp.array(CODES), jnp.array([-1, -1]))
    assert np.abs(shared).max() > 0.1
    np.testing.assert_allclose(shared, np.broadcast_to(shared[:1], (3, 3)), rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("training", [False, True])
def test_a_surface_is_met_and_shown_as_the_code_of_the_image_says(training):
    keys = keys_of(len(IMAGES)) if training else None
    model, rays = model_of(geometry=SignedDistance(), renderer=Surface()), rays_of()
    seen = jax.jit(lambda keys: model(rays, jnp.ones((len(IMAGES), 3)), keys)[-1])(keys)
    np.testing.assert_array_equal(seen.opacity, np.ones(len(IMAGES)))
    np.testing.assert_allclose(seen.depth, rays.origins[:, 2] - EXPECTED[:, 0], atol=1e-3)
    np.testing.assert_allclose(seen.rgb, EXPECTED, atol=1e-5)
    np.testing.assert_allclose(seen.intervals.samples.code[:, 0], EXPECTED, atol=1e-6)


@pytest.mark.long
def test_meshes_and_depth_have_the_mean_code():
    model = model_of(geometry=SignedDistance())
    points = np.float32([[0.0, 0.0, 0.8], [0.1, 0.0, 0.0]])
    np.testing.assert_allclose(surface_level(model)(points), MEAN[0] - [0.8, 0.1], atol=1e-6)
    shown = surface_colours(model_of(), points, np.stack([ALONG_AXIS] * 2), 0.05)
    np.testing.assert_allclose(shown, np.stack([255 * MEAN] * 2), atol=0.51)
    for grid in (False, True):
        rays = rays_of([-1, 1])
        model = model_of(grid)
        found = jax.jit(lambda rays, model=model: surface_depth(model, rays))(rays)
        entry = np.asarray(rays.origins)[:, 2] - 1.0
        deep = -np.log(1.0 - BLOCKED) / (40.0 * np.array([MEAN[0], CODES[1, 0]]))
        np.testing.assert_allclose(found, entry + deep, atol=2e-3)


@pytest.mark.long
def test_a_grid_is_refreshed_with_the_mean_code():
    model = model_of(grid=True)
    nnx.jit(refresh_occupancy)(model, jnp.int32(0), jax.random.key(0))
    np.testing.assert_allclose(model.occupancy.density[...], np.full(64, 40.0 * MEAN[0]), rtol=1e-5)


def loss_of(loss, values=CODES):
    model, rays = model_of(values=values, geometry=SignedDistance(), renderer=Surface()), rays_of()
    white, keys = jnp.ones((len(IMAGES), 3)), keys_of(len(IMAGES))

    @jax.jit
    def compiled():
        return loss(Context(model, rays, model(rays, white), Target(white), keys))

    return np.asarray(compiled())


@pytest.mark.long
def test_a_loss_at_points_of_rays_has_their_codes_and_elsewhere_the_mean():
    """The slope of the ball is the second number of a code."""
    of_rays = np.square(EXPECTED[:, 1] - 1.0)
    np.testing.assert_allclose(loss_of(Eikonal(1.0)), of_rays, rtol=1e-4)
    np.testing.assert_allclose(loss_of(Eikonal(1.0, drawn=True)), of_rays, rtol=1e-4)
    everywhere = loss_of(Eikonal(1.0, everywhere=True)) - of_rays
    np.testing.assert_allclose(everywhere, np.full(len(IMAGES), (MEAN[1] - 1.0) ** 2), rtol=1e-4)
    # Normals are the slope times the point, and so are their differences.
    steeper = CODES * np.float32([1.0, 3.0, 1.0])
    smooth, more = (loss_of(NormalSmoothness(1.0), values) for values in (CODES, steeper))
    np.testing.assert_allclose(more, 3.0 * smooth, rtol=1e-3)
    alike = steeper.copy()
    alike[:, 1] = steeper[:, 1].mean()
    np.testing.assert_allclose(loss_of(NormalSmoothness(1.0), alike), more, rtol=1e-3)


def composed(code_features=16):
    network = ReLU(16, 1)
    return Composed(Identity(), Fourier(1), network, code_features=code_features, rngs=nnx.Rngs(0))


def surface(code_features):
    network = Softplus(16, 1)
    parts = Identity(), Fourier(1), network
    return SurfaceField(*parts, code_features=code_features, rngs=nnx.Rngs(0))


@pytest.mark.long
@pytest.mark.parametrize("make, shape", [(composed, "density"), (surface, "sdf")])
def test_colours_depend_on_the_code_and_the_shape_does_not(make, shape):
    field = make(3)
    points = jax.random.uniform(jax.random.key(0), (5, 3))
    shown = jax.jit(lambda code: field(Samples(points, points, code=code)))
    one, other = (shown(jnp.full((5, 3), value)) for value in (0.0, 1.0))
    for name in {*one} - {"rgb"}:
        np.testing.assert_array_equal(one[name], other[name])
    assert shape in one and np.abs(one["rgb"] - other["rgb"]).max() > 1e-3


def test_samples_of_a_model_without_codes_have_none():
    model = Model({"main": Stage(UniformSteps(4), composed(0))}, ["main"])
    rays = rays_of()
    seen = jax.jit(lambda: model(rays, jnp.ones((len(IMAGES), 3)))[-1])()
    assert seen.intervals.samples.code is None

    def field(samples):
        assert samples.code is None
        return {"density": samples.points[..., 0]}

    evaluate_field(model, field, Samples(rays.origins, rays.viewdirs))


def test_codes_and_fields_that_do_not_fit_are_refused():
    def build(field, codes):
        fields = {"first": composed(0), "main": field}
        stages = {name: Stage(UniformSteps(4), one) for name, one in fields.items()}
        return Model(stages, ["first", "main"], codes=codes)

    key = r"^model\.stages\.main\.field\.code_features="
    with pytest.raises(ConfigError, match=key + "16: the model has no codes to read: set it to 0"):
        build(composed(), None)
    with pytest.raises(ConfigError, match=key + "16: .* has 3 numbers: set it to 3$"):
        build(composed(), codes_of())
    unread = r"^model\.codes: no field .*Composed with code_features=3"
    with pytest.raises(ConfigError, match=unread):
        build(composed(0), codes_of())
    assert build(composed(3), codes_of()).codes.features == 3
    assert build(None, None).codes is None


@pytest.mark.long
def test_the_codes_of_the_config_begin_small_and_unlike_one_another():
    config = appearance.get_config().to_dict()
    model = build_model(config, False, small_toybox("train").cameras, ())
    codes = np.asarray(model.codes.codes[...])
    assert codes.shape == (16, 16) and 0.005 < codes.std() < 0.02
    assert len(np.unique(codes, axis=0)) == 16


def appearance_config(steps, codes):
    config = with_small_grid(small("appearance", "toybox_with_exposures", steps))
    config.batch_size = 512
    # Colours do not depend on the direction, which of 16 views tells the image as a code does.
    config.model.stages.main.field.direction_encoding.num_degrees = 1
    if not codes:
        del config.model.codes, config.optimizer.groups.codes
        config.model.stages.main.field.code_features = 0
    return config


def psnr_of_training(run):
    """The PSNR of the training pictures of a run, each rendered with the code of its image."""
    scene = toybox_with_exposures(None, "train")

    @jax.jit
    def render(camera, number):
        pixels = pixel_centres(camera, 0, 32 * 32)
        images = jnp.full(len(pixels), number)
        rays = pixels_to_rays(repeat_camera(camera, len(pixels)), pixels, images)
        return run.model(rays, jnp.ones((len(pixels), 3)))[-1].rgb

    scores = [
        metrics.psnr(
            np.asarray(render(scene.cameras[i], i)).reshape(32, 32, 3),
            on_background(image, (1.0, 1.0, 1.0)),
        )
        for i, image in enumerate(scene.images)
    ]
    return np.mean(scores)


@pytest.mark.whole
def test_codes_let_every_training_picture_have_its_own_brightness(tmp_path):
    """Without codes, pictures that are 0.6 to 1 times as bright are seen as one."""
    reached = {}
    for codes in (True, False):
        config = appearance_config(200, codes).to_dict()
        train(config, None, tmp_path / str(codes), plugins=("tests",))
        run = load_run(tmp_path / str(codes), ("tests",))
        reached[codes] = psnr_of_training(run)
        assert np.isfinite(query(run, np.zeros((1, 3)), ALONG_AXIS[None])["rgb"]).all()
    assert reached[True] > reached[False] + 1.2, reached
