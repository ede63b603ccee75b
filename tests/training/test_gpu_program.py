"""What a GPU would run: the training step, lowered for one and read, without having one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.rendering.compositing import Packed, _added_up, _ends_of_running_sums
from tests.support.layouts import pack
from tests.training.test_training import SEED_AND_RATE, small_ngp, step_of


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
        assert set(operations) <= {"constant", "compare", "return"}, condition


@pytest.mark.parametrize("counts", [[1], [3, 0, 5, 1, 0], [1, 2, 60], [0, 0, 7]])
def test_both_ways_to_sum_along_rays_agree(counts):
    """Slots that no ray uses are zero."""
    rng = np.random.default_rng(0)
    used = pack(np.repeat(np.arange(len(counts)), counts), len(counts))
    unused = jnp.full(9, len(counts) - 1, jnp.int32)
    layout = Packed(jnp.concatenate([used.ray, unused]), used.ends, used.longest)
    x = rng.normal(size=(sum(counts) + 9, 4)).astype(np.float32)
    x[sum(counts) :] = 0.0
    added = _added_up(layout, jnp.array(x))
    starts = np.cumsum([0, *counts[:-1]])
    wanted = [x[a : a + n].sum(0) for a, n in zip(starts, counts, strict=True)]
    np.testing.assert_allclose(added, wanted, atol=1e-5)
    np.testing.assert_allclose(_ends_of_running_sums(layout, jnp.array(x)), wanted, atol=1e-5)
