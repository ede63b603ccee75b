"""Every config builds, states its paper and command, and renders something finite."""

import json
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.foundation.instantiate import build, build_inside
from nerf.runs.config_checks import check_config
from tests.conftest import ROOT

FILES = sorted(p.relative_to(ROOT).with_suffix("") for p in (ROOT / "configs").rglob("*.py"))
NAMES = [path.as_posix() for path in FILES if path.name not in ("__init__", "base")]


def load(name):
    return json.loads(import_module(name.replace("/", ".")).get_config().to_json())


def render(config, space):
    model = build(
        config["model"],
        rngs=nnx.Rngs(0),
        space=build(config["spaces"][space]),
        num_images=3,
        positions=np.eye(3),
    )
    direction = jnp.array([[0.0, 0.6, -0.8]])
    return model(Rays(jnp.array([[0.0, 0.0, 0.5]]), direction, direction), jnp.ones((1, 3)))[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_sound_and_tells_its_command(name):
    config = load(name)
    check_config(config)
    for section in ("optimizer", "schedule"):
        build(config[section])
    assert build_inside(config["losses"], (), {})
    assert f"--config={name}.py" in import_module(name.replace("/", ".")).__doc__


@pytest.mark.long
@pytest.mark.parametrize("name, space", [("configs/nerf", "bounded"), ("configs/ngp", "unbounded")])
def test_a_config_renders_something_finite(name, space):
    rendering = jax.jit(lambda: render(load(name), space))()
    assert jnp.isfinite(rendering.rgb).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", ["bounded", "unbounded"])
def test_a_config_builds_and_renders_a_colour(name, space):
    """Traced, not computed: compiling each takes minutes, and its parts' tests check numbers."""
    assert jax.eval_shape(lambda: render(load(name), space)).rgb.shape == (1, 3)
