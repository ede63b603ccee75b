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
from nerf.sampling.spaces import Box, Contracted
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
    baked = baking.bake(model, ring(), STEPS)
    for camera in (ring()[0], ring()[2]):
        expected, found = (make_render_image(m, [1.0, 1.0, 1.0])(camera) for m in (model, baked))
        error = np.square(found["rgb"] - expected["rgb"]).mean()
        assert expected["rgb"].std() > 0.1 and -10.0 * np.log10(error) > 30.0
    inside = np.linalg.norm(last_field(baked).vertices(), axis=-1) < 0.15
    assert not inside.any()


@pytest.mark.long
def test_fewer_cells_are_taken_when_the_bricks_would_not_fit(monkeypatch):
    monkeypatch.setattr(baking, "MAX_BRICKS", 300)
    field = last_field(baking.bake(model_of(0.5, Box()), ring(), STEPS))
    assert 100 < int(field.slots[...].max()) <= 300 and field.bricks < 16


@pytest.mark.long
def test_a_field_without_matter_is_refused():
    with pytest.raises(UserError, match="see no matter: train longer"):
        baking.bake(model_of(-9.0, Box()), ring(), STEPS)
