"""Every config builds, states its paper and command, and renders something finite."""

import json
from importlib import import_module

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from nerf.building import build, build_inside
from nerf.cameras import Rays
from nerf.runs import check_config
from tests.conftest import ROOT

NAMES = sorted(p.stem for p in (ROOT / "configs").glob("*.py") if p.stem not in ("__init__", "base"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", ["bounded", "unbounded"])
def test_a_config_builds_and_renders(name, space):
    module = import_module(f"configs.{name}")
    config = json.loads(module.get_config().to_json())
    check_config(config)
    model = build(config["model"], rngs=nnx.Rngs(0), space=build(config["spaces"][space]))
    for section in ("optimizer", "schedule"):
        build(config[section])
    assert build_inside(config["losses"], (), {})
    direction = jnp.array([[0.0, 0.6, -0.8]])
    rays = Rays(jnp.array([[0.0, 0.0, 0.5]]), direction, direction)
    rendering = jax.jit(lambda: model(rays, jnp.ones((1, 3)))[-1])()
    assert jnp.isfinite(rendering.rgb).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_config_tells_its_command(name):
    assert f"--config=configs/{name}.py" in import_module(f"configs.{name}").__doc__
