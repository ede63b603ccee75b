"""The training step lowered for a GPU: its program is read, and needs no GPU."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.rendering.compositing import Packed, _added_up, _ends_of_running_sums, _spread
from tests.support.layouts import pack
from tests.training.test_training import SEED_AND_RATE, small_ngp, step_of, synthetic


@pytest.fixture(scope="module")
def program() -> tuple[str, set[str]]:
    """The training step of the fast config for a GPU, and the types of its tables."""
    step, state, pixels = step_of(small_ngp(), jax.devices()[:1])
    traced = step.trace(state, pixels, jnp.zeros(10), *SEED_AND_RATE)
    tables = [x for x in jax.tree.leaves(state.params) if x.shape[0] > 1000]
    assert tables
    types = {f"tensor<{'x'.join(map(str, x.shape))}xf32>" for x in tables}
    return traced.lower(lowering_platforms=("cuda",)).as_text(), types


@pytest.mark.whole
def test_only_the_gradient_of_tables_adds_floats_in_any_order(program):
    """Other sums are in the same order in each run; integers and maxima do not depend on it."""
    text, tables = program
    scatters = re.findall(r'"stablehlo\.scatter".*?\}\) : \((.*?)\) ->', text, re.S)
    bodies = re.findall(r'"stablehlo\.scatter".*?\}\) :', text, re.S)
    into = set()
    for types, body in zip(scatters, bodies, strict=True):
        operand, indices = re.findall(r"tensor<[^>]*>", types)[:2]
        one_place = indices == "tensor<1xi32>"
        if "stablehlo.add" in body and "f32" in operand and not one_place:
            into.add(operand)
    assert into == tables


@pytest.mark.whole
def test_the_number_of_rounds_of_a_loop_does_not_depend_on_numbers_on_the_device(program):
    """A GPU would wait for the host in every round."""
    text, _ = program
    conditions = re.findall(r"stablehlo\.while.*?cond \{(.*?)\} do \{", text, re.S)
    assert len(conditions) > 3
    for condition in conditions:
        operations = re.findall(r"stablehlo\.(\w+)", condition)
        # A counter and a number that is known when the step is compiled.
        assert sorted(operations) == ["compare", "constant", "return"], condition


@pytest.mark.whole
@pytest.mark.parametrize("make", [small_ngp, synthetic])
def test_products_have_the_precision_of_the_config_in_both_directions(make):
    """By default a GPU would multiply numbers of float32 with 10 of their 23 bits."""
    step, state, pixels = step_of(make(), jax.devices()[:1])
    traced = step.trace(state, pixels, jnp.zeros(10), *SEED_AND_RATE)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    products = re.findall(r"stablehlo\.dot_general .*", text)
    kinds = []
    for product in products:
        types = re.findall(r"x(f32|bf16)>", product.partition(" : ")[2])
        assert types in (["bf16", "bf16", "f32"], ["f32", "f32", "f32"]), product
        assert types[0] == "bf16" or "precision = [HIGHEST, HIGHEST]" in product, product
        kinds.append(types[0])
    # A product of camera and ray, and for the network forwards, of its inputs and of its kernels.
    half = make is small_ngp
    assert kinds.count("bf16") == (17 if half else 0)
    assert kinds.count("f32") == (1 if half else 18)


@pytest.mark.parametrize("counts", [[1], [3, 0, 5, 1, 0], [1, 2, 60], [0, 0, 7]])
def test_both_ways_to_sum_along_rays_are_the_transpose_of_spreading(counts):
    """Slots that no ray uses belong to the last one."""
    rng = np.random.default_rng(0)
    used = pack(np.repeat(np.arange(len(counts)), counts), len(counts))
    unused = jnp.full(90, len(counts) - 1, jnp.int32)
    layout = Packed(jnp.concatenate([used.ray, unused]), used.ends, used.longest)
    x = rng.normal(size=(sum(counts) + 90, 4)).astype(np.float32)
    spread = np.asarray(_spread(layout, jnp.eye(len(counts))))  # (m, r)
    for way in (_added_up, _ends_of_running_sums):
        np.testing.assert_allclose(way(layout, jnp.array(x)), spread.T @ x, atol=1e-4)
