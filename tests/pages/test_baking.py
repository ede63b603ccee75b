"""Baking a field of known density and colours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.foundation.errors import UserError
from nerf.pages import baking
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage, last_field
from nerf.sampling.spaces import Box, Contracted, Cropped
from nerf.sampling.stratified import UniformSteps
from tests.pages.test_browser import ring

STEPS = 96


class Ball(nnx.Module):
    """A ball whose colour depends on the place and on the direction."""

    def __init__(self, radius):
        self.radius = radius

    def __call__(self, samples):
        outside = jnp.linalg.norm(samples.means, axis=-1) - self.radius
        density = 80.0 * jax.nn.sigmoid(-60.0 * outside)
        shine = 0.15 * samples.viewdirs[..., :1] * samples.viewdirs[..., 1:2]
        return {"density": density, "rgb": 0.5 + 0.4 * samples.means + shine}


def model_of(radius, space):
    return Model({"ball": Stage(UniformSteps(STEPS), Ball(radius))}, ("ball",), space)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(baking, "MAX_RESOLUTION", 64)
    monkeypatch.setattr(baking, "SEEN_RAYS", 8192)


@pytest.mark.long
@pytest.mark.parametrize("space", [Box(), Contracted()], ids=["bounded", "contracted"])
def test_the_baked_form_looks_like_the_field_and_leaves_out_what_is_hidden(space):
    model = model_of(0.7, space)
    baked = baking.bake(model, ring(), STEPS, 21_000)
    for camera in (ring()[0], ring()[2]):
        expected, found = (make_render_image(m, [1.0, 1.0, 1.0])(camera) for m in (model, baked))
        error = np.square(found["rgb"] - expected["rgb"]).mean()
        assert expected["rgb"].std() > 0.1 and -10.0 * np.log10(error) > 30.0
    vertices = last_field(baked).vertices()
    assert not (np.linalg.norm(vertices, axis=-1) < 0.15).any()
    # What is not contracted has cells of the same size in both spaces.
    corners = np.unique(np.round(vertices[np.abs(vertices).max(-1) < 0.45][:, 0], 4))
    sides = np.diff(np.asarray(space.unwarp(jnp.asarray(corners)[:, None] * jnp.eye(3)[:1]))[:, 0])
    np.testing.assert_allclose(np.median(sides), 2.0 / 64, rtol=0.02)


@pytest.mark.long
@pytest.mark.parametrize(
    ("space", "resolution", "decibels"),
    # The cut is one cell wide, and cells of contracted space are large.
    [(Box(), 64, 30.0), (Contracted(), 96, 25.0)],
    ids=["bounded", "contracted"],
)
def test_a_crop_leaves_the_rest_empty(space, resolution, decibels, monkeypatch):
    monkeypatch.setattr(baking, "MAX_RESOLUTION", resolution)
    # The box from -0.5 to 0.4 along x, turned by 90 degrees about z.
    turned = ((0.0, 1.0, 0.0), (1.0 / 0.45, 0.0, 0.0), (0.0, 0.0, 1.0))
    model = model_of(0.7, Cropped(space, turned, (0.0, 0.05 / 0.45, 0.0)))
    baked = baking.bake(model, ring(), STEPS, 21_000)
    assert baked.space == space
    places = np.asarray(space.unwarp(jnp.asarray(last_field(baked).vertices())))
    dense = np.asarray(last_field(baked).values[...])[baking.BRICK**3 :, 0] > 0.0
    np.testing.assert_allclose(
        [places[dense].min(0)[0], places[dense].max(0)[0]], [-0.5, 0.4], atol=0.08
    )
    assert places[dense].min(0)[1] < -0.5 and places[dense].max(0)[1] > 0.5
    for camera in (ring()[0], ring()[2]):
        expected, found = (make_render_image(m, [1.0, 1.0, 1.0])(camera) for m in (model, baked))
        error = np.square(found["rgb"] - expected["rgb"]).mean()
        assert expected["rgb"].std() > 0.05 and -10.0 * np.log10(error) > decibels


@pytest.mark.long
def test_fewer_cells_are_taken_when_the_bricks_would_not_fit():
    field = last_field(baking.bake(model_of(0.5, Box()), ring(), STEPS, 300))
    assert 100 < int(field.slots[...].max()) <= 300 and field.bricks < 16


@pytest.mark.long
def test_a_field_without_matter_is_refused():
    with pytest.raises(UserError, match="see no matter: train longer"):
        baking.bake(model_of(-9.0, Box()), ring(), STEPS, 300)
