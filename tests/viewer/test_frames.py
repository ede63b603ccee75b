"""Frames: what they show, what they share between tiers, and how they stop."""

import dataclasses
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.rendering import images
from nerf.rendering.images import RenderingError, RenderingStopped, make_render_image
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import UniformSteps
from nerf.viewer import frames as frames_module
from nerf.viewer.frames import FrameRenderer, coarser, fitted, strides
from nerf.viewer.turns import Turns
from tests.pages.test_baking import Ball
from tests.pages.test_browser import ring

WHITE = [1.0, 1.0, 1.0]


def ball_model(edge_rays=1):
    return Model({"ball": Stage(UniformSteps(24), Ball(0.7))}, ("ball",), edge_rays=edge_rays)


def renderer_of(model, chunk=512, **options):
    split = nnx.split(model)
    return FrameRenderer(lambda: split, WHITE, chunk, model.edge_rays, **options)


@pytest.mark.long
@pytest.mark.parametrize("size", [(96, 64), (100, 71), (31, 5)])
@pytest.mark.parametrize("edge_rays", [1, 2])
def test_the_finest_tier_is_the_picture_of_a_film(size, edge_rays):
    model, camera = ball_model(edge_rays), fitted(ring()[0], *size)
    frame = renderer_of(model).still(camera)
    expected = make_render_image(model, WHITE, chunk=512)(camera)
    assert expected["rgb"].std() > 0.05 and frame.stride == 1
    for name, image in expected.items():
        np.testing.assert_allclose(frame.picture[name], image, atol=1e-5)


@pytest.mark.long
def test_a_tier_has_the_middle_pixels_of_the_blocks_of_the_next(monkeypatch):
    monkeypatch.setattr(frames_module, "MIN_RAYS", 20)
    camera = fitted(ring()[0], 100, 71)
    tiers = list(renderer_of(ball_model()).frames(camera))
    assert [tier.stride for tier in tiers] == [9, 3, 1] == strides(camera)
    for coarse, fine in zip(tiers, tiers[1:], strict=False):
        for name, image in coarse.picture.items():
            np.testing.assert_array_equal(image, fine.picture[name][1::3, 1::3])
    for tier in tiers:
        expected = make_render_image(ball_model(), WHITE)(coarser(camera, tier.stride))
        np.testing.assert_allclose(tier.picture["rgb"], expected["rgb"], atol=1e-5)


@pytest.mark.long
def test_no_pixel_is_rendered_twice_and_nothing_is_compiled_for_another_size():
    renderer, rays = renderer_of(ball_model(), chunk=256), []
    renderer.warm_up(ring()[0])
    render, compiled = images.render_places, images.render_places._cache_size()

    def counted(graph, state, colour, camera, places):
        rays.append(places)
        return render(graph, state, colour, camera, places)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "render_places", counted)
        patch.setattr(frames_module, "MIN_RAYS", 20)
        for size in ((80, 60), (61, 93), (27, 25)):
            rays.clear()
            renderer.still(fitted(ring()[1], *size))
            pixels = size[0] * size[1]
            assert {len(places) for places in rays} <= {32, 256}
            places = np.concatenate(rays)
            assert len(places) <= pixels + 128 * len(strides(fitted(ring()[1], *size)))
            places = places[places.any(-1)]  # the others fill a chunk
            assert len(places) == pixels
    assert images.render_places._cache_size() == compiled


@pytest.mark.long
def test_a_frame_is_abandoned_between_two_chunks():
    renderer, asked = renderer_of(ball_model(), chunk=256), []

    def moved():
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(RenderingStopped):
        list(renderer.frames(fitted(ring()[0], 200, 200), moved))
    assert len(asked) == 4


@pytest.mark.long
def test_a_colour_that_is_not_finite_is_an_error():
    model = ball_model()
    model.stages[0].field.radius = jnp.nan
    with pytest.raises(RenderingError, match="not finite"):
        renderer_of(model).still(fitted(ring()[0], 20, 20))


@pytest.mark.long
def test_the_size_of_a_moving_picture_follows_the_measured_rate():
    renderer = renderer_of(ball_model(), chunk=256)
    renderer.rate = 256 * 15 * 10.0
    assert renderer.moving_size((600, 300), 1 / 15) == (71, 35)  # ten chunks
    assert renderer.moving_size((40, 30), 1 / 15) == (40, 30)  # never above what is wanted
    renderer.rate = 1.0
    assert renderer.moving_size((600, 300), 1 / 15) == (48, 24)  # never too small to see
    renderer.warm_up(ring()[0])
    assert renderer.rate > 1.0


def test_turns_are_given_in_the_order_in_which_they_are_asked_for():
    turns, order = Turns(), []

    def work(name):
        with turns.turn():
            order.append(name)

    threads = []
    with turns.turn():
        for name in range(5):
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            while turns.waiting < name + 1:
                time.sleep(0.001)
        order.append("first")
    for thread in threads:
        thread.join()
    assert order == ["first", 0, 1, 2, 3, 4] and turns.waiting == 0


@pytest.mark.long
def test_with_one_chunk_in_flight_nothing_runs_between_turns():
    turns, running = Turns(), []
    renderer = renderer_of(ball_model(), chunk=64, turns=turns, in_flight=1)
    render = images.render_places

    def noted(*arguments):
        found = render(*arguments)
        running.append(found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "render_places", noted)
        thread = threading.Thread(
            target=renderer.still, args=(fitted(ring()[0], 60, 60),), daemon=True
        )
        thread.start()
        for _ in range(20):
            with turns.turn():
                assert all(leaf.is_ready() for leaf in jax.tree.leaves(running))
        thread.join()
    assert len(running) > 20


@pytest.mark.long
def test_the_model_is_read_again_for_each_frame():
    model = ball_model()
    parts = [nnx.split(model)]
    renderer = FrameRenderer(lambda: parts[0], WHITE, 512)
    camera = fitted(ring()[0], 30, 30)
    before = renderer.still(camera).picture["opacity"].sum()
    smaller = Model({"ball": Stage(UniformSteps(24), Ball(0.3))}, ("ball",))
    parts[0] = nnx.split(smaller)
    assert renderer.still(camera).picture["opacity"].sum() < 0.5 * before


def test_a_fitted_camera_sees_the_same_angle_from_top_to_bottom():
    camera = ring()[0]
    wide = fitted(camera, 300, 100)
    slope = np.asarray(wide.size)[1] / np.asarray(wide.K)[1, 1]
    assert slope == pytest.approx(float(camera.size[1] / camera.K[1, 1]))
    assert dataclasses.replace(wide, K=camera.K, size=camera.size).lenses == camera.lenses
