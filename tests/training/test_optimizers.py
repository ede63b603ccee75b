"""Adam against its paper, by groups; schedules by their ends and their order."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nerf.training.optimizers import Cosine, Exponential, adam


def papers_adam(gradients, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Algorithm 1 of 1412.6980, from parameter 0."""
    value = m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        value -= learning_rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return value


def descend(optimizer, params, gradients):
    state = optimizer.init(params)
    for g in gradients:
        updates, state = optimizer.update(
            jax.tree.map(lambda p, g=g: jnp.full_like(p, g), params), state, params
        )
        params = optax.apply_updates(params, updates)
    return params


PARAMS = {
    "stages": {
        0: {
            "field": {
                "encoding": {"table": jnp.zeros((4, 2))},
                "base": {"layers": {0: {"kernel": jnp.zeros(3)}}},
            }
        }
    }
}
GRADIENTS = np.random.default_rng(0).normal(size=5)


@pytest.mark.long
def test_without_groups_everything_moves_as_in_the_paper():
    moved = descend(adam(0.01, b1=0.8, b2=0.95, eps=1e-3), PARAMS, GRADIENTS)
    for leaf in jax.tree.leaves(moved):
        np.testing.assert_allclose(
            leaf, np.full(leaf.shape, papers_adam(GRADIENTS, 0.01, 0.8, 0.95, 1e-3)), rtol=1e-4
        )


def test_runs_that_differ_in_learning_rates_share_one_program():
    """Compiling a step again takes longer than many of them."""

    def program(rate):
        optimizer = adam(rate, groups={"table": {"learning_rate": 10.0 * rate}})
        state = optimizer.init(PARAMS)
        return jax.jit(optimizer.update).lower(PARAMS, state, PARAMS).as_text()

    assert program(1e-3) == program(2e-3)


def test_a_group_moves_with_its_own_numbers_and_the_rest_with_the_defaults():
    optimizer = adam(1e-3, eps=1e-8, groups={"table": {"learning_rate": 0.1, "eps": 1e-2}})
    field = descend(optimizer, PARAMS, GRADIENTS)["stages"][0]["field"]
    table = papers_adam(GRADIENTS, 0.1, eps=1e-2)
    np.testing.assert_allclose(field["encoding"]["table"], np.full((4, 2), table), rtol=1e-4)
    kernel = papers_adam(GRADIENTS, 1e-3)
    np.testing.assert_allclose(field["base"]["layers"][0]["kernel"], np.full(3, kernel), rtol=1e-4)


@pytest.mark.long
def test_a_group_is_a_whole_name_on_the_path_not_a_part_of_one():
    params = {"table": jnp.zeros(1), "tables": jnp.zeros(1)}
    moved = descend(adam(1e-3, groups={"table": {"learning_rate": 0.1}}), params, GRADIENTS[:1])
    assert abs(float(moved["table"][0])) > 50 * abs(float(moved["tables"][0]))


@pytest.mark.parametrize(
    "schedule", [Cosine(), Cosine(final=0.3), Exponential(), Exponential(final=0.01)]
)
def test_a_schedule_falls_from_one_to_its_final_value_and_never_rises(schedule):
    values = np.asarray(jax.jit(jax.vmap(schedule))(jnp.linspace(0.0, 1.0, 101)))
    np.testing.assert_allclose(values[[0, -1]], [1.0, schedule.final], rtol=1e-5)
    assert (np.diff(values) <= 1e-7).all()
    np.testing.assert_allclose(
        schedule(jnp.float32(1.7)), schedule.final, rtol=1e-5
    )  # past the end it stays


def test_cosine_is_half_a_period_and_exponential_falls_by_equal_ratios():
    progress = np.linspace(0.0, 1.0, 11)
    cosine = [float(Cosine(0.1)(jnp.float32(p))) for p in progress]
    np.testing.assert_allclose(cosine, 0.1 + 0.9 * (1 + np.cos(np.pi * progress)) / 2, atol=1e-6)
    exponential = np.array([float(Exponential(0.1)(jnp.float32(p))) for p in progress])
    np.testing.assert_allclose(exponential[1:] / exponential[:-1], np.full(10, 0.1**0.1), rtol=1e-5)


@pytest.mark.long
def test_warm_up_rises_from_almost_nothing_and_changes_nothing_afterwards():
    progress = jnp.linspace(0.0, 1.0, 1001)
    warm, plain = (np.asarray(jax.vmap(Cosine(0.05, warmup))(progress)) for warmup in (0.1, 0.0))
    assert 0.0 < warm[0] < 0.02
    assert (np.diff(warm[:95]) > 0).all()
    np.testing.assert_allclose(warm[100:], plain[100:], rtol=1e-6)
