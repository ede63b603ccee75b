"""Every config builds, states its paper and command, and renders something finite."""

import json
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from nerf.cameras.cameras import Rays
from nerf.foundation.instantiate import build, build_inside
from nerf.runs.config_checks import check_config
from nerf.scenes.base import LabelClass
from tests.conftest import ROOT

FILES = sorted(p.relative_to(ROOT).with_suffix("") for p in (ROOT / "configs").rglob("*.py"))
NAMES = [path.as_posix() for path in FILES if path.name not in ("__init__", "base")]


def load(name):
    return json.loads(import_module(name.replace("/", ".")).get_config().to_json())


def build_model(config, space):
    return build(
        config["model"],
        rngs=nnx.Rngs(0),
        space=build(config["spaces"][space]),
        num_images=3,
        positions=np.eye(3),
        classes=(LabelClass(0, "a", (0, 0, 0)), LabelClass(5, "b", (9, 9, 9))),
    )


def colour_of(model, keys=None):
    direction = jnp.array([[0.0, 0.6, -0.8]])
    rays = Rays(jnp.array([[0.0, 0.0, 0.5]]), direction, direction, jnp.zeros(1, jnp.int32))
    return model(rays, jnp.ones((1, 3)), keys)[-1]


def render(config, space):
    return colour_of(build_model(config, space))


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


def equations(jaxpr):
    """Yield the equations of a program and of the programs inside of it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.parametrize("name", NAMES)
def test_the_products_of_a_config_say_their_precision_in_both_directions(name):
    """By default GPUs and TPUs multiply numbers of float32 with a part of their bits."""

    def gradient():
        model = build_model(load(name), "bounded")
        keys = jax.random.key(0)[None]
        return nnx.grad(lambda model: colour_of(model, keys).rgb.sum())(model)

    found = 0
    for equation in equations(jax.make_jaxpr(gradient)().jaxpr):
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found += 1
            types = {str(x.aval.dtype) for x in equation.invars}
            highest = equation.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2
            assert types == {"bfloat16"} or highest, equation
    assert found > 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", ["bounded", "unbounded"])
def test_a_config_builds_and_renders_a_colour(name, space):
    """Traced, not computed: compiling each takes minutes, and its parts' tests check numbers."""
    assert jax.eval_shape(lambda: render(load(name), space)).rgb.shape == (1, 3)
