"""A picture of the closed-form scene is the closed-form picture, however it is cut into chunks."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.evaluation.evaluate import evaluate
from nerf.fields import Samples
from nerf.foundation.devices import sizes_of
from nerf.rendering.images import (
    DENSE_CHUNK,
    RenderingStopped,
    colour_depth,
    fitting_chunk,
    make_render_image,
    rays_per_chunk,
)
from nerf.rendering.model import Model, Stage
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import synthetic

BACKGROUND = (0.2, 0.5, 1.0)


def camera_of(width, height):
    """A camera of the synthetic scene with an odd picture, off the middle."""
    camera = synthetic.load(None, "test", size=16, views=1).cameras[0]
    K = intrinsics(1.4 * width, 1.5 * width, 0.47 * width, 0.52 * height).astype(np.float32)
    return dataclasses.replace(camera, K=K, size=np.array([width, height], np.int32))


def exact(camera: Cameras):
    """Colour over the background and opacity, from the scene's closed form and rays of our own."""
    width, height = camera.size
    y, x = np.mgrid[:height, :width] + 0.5
    (fx, _, cx), (_, fy, cy), _ = camera.K.astype(np.float64)
    local = np.stack([(x - cx) / fx, -(y - cy) / fy, -np.ones_like(x)], -1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    c2w = camera.c2w.astype(np.float64)
    colour, opacity = synthetic.picture(
        np.broadcast_to(c2w[:, 3], local.shape), local @ c2w[:, :3].T
    )
    return colour + (1 - opacity[..., None]) * np.array(BACKGROUND), opacity


def model_of(field=synthetic.field, samples=1024):
    return Model({"main": Stage(UniformSteps(samples), field)}, ("main",))


@pytest.mark.long
@pytest.mark.parametrize("size", [(23, 17), (7, 31), (1, 1)])
def test_a_view_of_the_closed_form_field_is_the_closed_form_picture(size):
    camera = camera_of(*size)
    picture = make_render_image(model_of(), BACKGROUND, chunk=100)(camera)
    colour, opacity = exact(camera)
    assert picture["rgb"].shape == colour.shape
    assert picture["rgb"].dtype == picture["opacity"].dtype == picture["depth"].dtype == np.float32
    # An interval that a ball's face cuts counts whole or not at all: 20 * 3.5 / 1024 of opacity
    # at most, twice.
    np.testing.assert_allclose(picture["opacity"], opacity, atol=0.08)
    np.testing.assert_allclose(picture["rgb"], colour, atol=0.08)
    assert np.abs(picture["rgb"] - colour).mean() < 0.005
    if size == (23, 17):
        assert (
            0.2 < (opacity > 0.5).mean() < 0.8
        )  # there is something to see, and something beside it


@pytest.mark.long
@pytest.mark.parametrize("chunk", [1, 64, 153, 4096])
def test_a_view_does_not_depend_on_the_chunk(chunk):
    camera = camera_of(17, 9)
    whole = make_render_image(model_of(samples=32), BACKGROUND, chunk=17 * 9)(camera)
    got = make_render_image(model_of(samples=32), BACKGROUND, chunk=chunk)(camera)
    assert got.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("side", [10, 64, 100, 200, 333, 400, 801])
def test_chunks_of_an_image_are_seldom_padded_and_have_few_sizes(side):
    for chunk in (2**14, 2**18):
        size = fitting_chunk(side * side, chunk)
        assert size in [2**n for n in range(11, 19) if 2**n <= chunk]
        padding = -(side * side) % size / (side * side)
        assert padding <= 0.1 or size == 2**11
        assert size == chunk or -(side * side) % (2 * size) > 0.1 * side * side
    assert fitting_chunk(side * side, 17) == 17


def with_grid():
    """A model of the closed-form scene that skips what lies outside of its balls."""
    model = Model(
        {"main": Stage(UniformSteps(256), synthetic.field)},
        ("main",),
        occupancy=OccupancyGrid(16),
        max_samples_per_ray=8,
        edge_rays=2,
    )
    grid = model.occupancy
    centres = grid.centres(jnp.arange(16**3))
    density = synthetic.field(Samples(centres, centres))["density"]
    grid.restrict((density > 0.0).reshape(16, 16, 16))
    return model


def test_without_a_number_the_device_says_how_many_rays_are_rendered_at_once():
    assert rays_per_chunk(model_of(), None) == DENSE_CHUNK
    assert rays_per_chunk(with_grid(), None) == sizes_of().chunk
    assert rays_per_chunk(with_grid(), 17) == 17


THREE_DEVICES = """
import jax, numpy as np, sys
from nerf.rendering import images
from tests.rendering.test_images import BACKGROUND, camera_of, with_grid
assert len(jax.devices()) == 3
on = set()
for name in ("_render_chunk", "_render_edges"):
    def noted(*arguments, render=getattr(images, name)):
        found = render(*arguments)
        on.update(found["rgb"].devices())
        return found
    setattr(images, name, noted)
picture = images.make_render_image(with_grid(), BACKGROUND, chunk=40)(camera_of(23, 17))
np.savez(sys.argv[1], devices=len(on), **picture)
"""


@pytest.mark.whole
def test_three_devices_share_a_picture_and_it_is_that_of_one(tmp_path):
    """23 x 17 pixels are no multiple of three, and neither is a chunk."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", THREE_DEVICES, str(tmp_path / "picture.npz")]
    subprocess.run(command, env={**os.environ, **flags}, check=True, timeout=300)
    found = dict(np.load(tmp_path / "picture.npz"))
    assert found.pop("devices") == 3
    wanted = make_render_image(with_grid(), BACKGROUND, chunk=40)(camera_of(23, 17))
    assert found.keys() == wanted.keys()
    assert np.unique(wanted["opacity"]).size > 10
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


def test_depth_is_the_distance_to_a_wall_and_zero_where_nothing_is():
    def wall(samples):
        points = samples.points
        there = (jnp.abs(points[..., 2]) < 0.5) & (points[..., 0] > 0)
        return {"density": jnp.where(there, 1e4, 0.0), "rgb": jnp.zeros_like(points)}

    camera = dataclasses.replace(
        camera_of(8, 6), c2w=np.eye(4, dtype=np.float32)[:3], K=camera_of(8, 6).K
    )
    camera.c2w[2, 3] = 3.0  # looks down on the plane z = 0.5 from 2.5 above
    picture = make_render_image(model_of(wall), BACKGROUND)(camera)
    x = (np.arange(8) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    y = (np.arange(6) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    slant = np.sqrt(1 + x**2 + y[:, None] ** 2)
    np.testing.assert_allclose(picture["depth"][:, 4:], 2.5 * slant[:, 4:], atol=0.01)
    np.testing.assert_array_equal(picture["depth"][:, :3], 0.0)
    np.testing.assert_allclose(
        picture["rgb"][:, :3], np.broadcast_to(np.float32(BACKGROUND), (6, 3, 3)), atol=1e-6
    )


@pytest.mark.long
def test_whatever_else_a_field_predicts_is_part_of_the_picture():
    def field(samples):
        points = samples.points
        label = jnp.broadcast_to(
            jnp.array([1.0, 2.0]).reshape(*[1] * (points.ndim - 1), 2), (*points.shape[:-1], 2)
        )
        return {**synthetic.field(samples), "label": label}

    picture = make_render_image(model_of(field, 64), BACKGROUND, chunk=50)(camera_of(13, 5))
    assert picture["label"].shape == (5, 13, 2)
    np.testing.assert_allclose(
        picture["label"], picture["opacity"][..., None] * [1.0, 2.0], atol=1e-5
    )


@pytest.mark.long
def test_cameras_of_different_sizes_share_one_function():
    render_image = make_render_image(model_of(samples=16), BACKGROUND, chunk=32)
    for size in ((5, 9), (9, 5)):
        camera = jax.tree.map(jnp.asarray, camera_of(*size))
        assert render_image(camera)["rgb"].shape == (size[1], size[0], 3)


def test_near_is_bright_far_is_dark_and_nothing_is_black():
    depth = np.linspace(1.0, 4.0, 12, dtype=np.float32).reshape(3, 4)
    opacity = np.ones((3, 4), np.float32)
    opacity[1, 1] = 0.4
    colours = colour_depth(depth, opacity, (1.0, 4.0))
    assert colours.shape == (3, 4, 3)
    assert (colours[1, 1] == 0).all()
    brightness = colours.sum(-1)[opacity > 0.5]
    assert (np.diff(brightness) < 0).all()
    assert brightness.min() > 0.05
    np.testing.assert_array_equal(
        colour_depth(depth * 3, opacity),
        colour_depth(depth * 3, opacity, (*np.percentile(depth[opacity > 0.5] * 3, [2, 98]),)),
    )


def test_depth_of_an_empty_or_a_flat_picture_has_colours_too():
    empty = colour_depth(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32))
    assert (empty == 0).all()
    assert np.isfinite(
        colour_depth(np.full((2, 2), 3.0, np.float32), np.ones((2, 2), np.float32))
    ).all()


@pytest.mark.long
def test_a_stop_takes_effect_in_the_middle_of_a_view():
    asked = []

    def stop_soon():
        asked.append(1)
        return len(asked) > 1

    def slow(samples):
        work = jax.lax.fori_loop(0, 3000, lambda _, x: jnp.sin(x), samples.points)
        return synthetic.field(dataclasses.replace(samples, points=samples.points + 0.0 * work))

    with pytest.raises(RenderingStopped):
        make_render_image(model_of(slow, 64), BACKGROUND, 64, stop_soon)(camera_of(64, 64))
    assert len(asked) == 2, "the rest of the view is not waited for"


@pytest.mark.long
def test_scoring_that_is_stopped_has_no_scores(tmp_path):
    scene = synthetic.load(None, "test", size=16, views=3)

    def after_the_first_view():
        return len(list(tmp_path.glob("*.png"))) == 1

    assert (
        evaluate(
            model_of(samples=16), scene, "test", BACKGROUND, 64, tmp_path, after_the_first_view
        )
        is None
    )
    assert len(list(tmp_path.glob("*.png"))) == 1
