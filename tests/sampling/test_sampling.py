"""Samplers give increasing edges that cover what they should.

Each ray has its own jitter, and the distribution is right.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.sampling.importance import Importance, invert_cdf
from nerf.sampling.stratified import Stratified, UniformSteps, uniform

BATCHES = [(), (1,), (3, 1, 2)]


def keys_of(shape, seed=0):
    return jax.random.split(jax.random.key(seed), shape)


@pytest.mark.parametrize("shape", BATCHES)
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("sampler", [Stratified(7), UniformSteps(7)])
def test_edges_increase_and_lie_in_the_unit_interval(sampler, shape, random):
    s = jax.jit(lambda keys: sampler(None, shape, keys))(keys_of(shape) if random else None)
    assert s.shape == (*shape, 8)
    assert (jnp.diff(s, axis=-1) >= 0).all() and (s >= 0).all() and (s <= 1).all()


@pytest.mark.long
def test_stratified_edges_keep_to_their_strata_and_cover_everything():
    s = Stratified(10)(None, (1000,), keys_of((1000,)))
    np.testing.assert_array_equal(s[:, 0], 0.0)
    np.testing.assert_array_equal(s[:, -1], 1.0)
    assert (jnp.abs(s - jnp.linspace(0, 1, 11)[None]) <= 0.05 + 1e-6).all()


@pytest.mark.parametrize("sampler", [Stratified(8), UniformSteps(8)])
def test_rays_do_not_share_their_jitter(sampler):
    s = sampler(None, (50,), keys_of((50,)))
    assert len(np.unique(np.asarray(s[:, 3]))) == 50


@pytest.mark.long
def test_jitter_of_a_ray_does_not_depend_on_the_rest_of_the_batch():
    keys = keys_of((6,))
    whole, half = (Stratified(5)(None, (n,), keys[-n:]) for n in (6, 3))
    np.testing.assert_array_equal(whole[3:], half)


def test_numbers_for_a_key_are_uniform():
    numbers = np.asarray(uniform(keys_of((2000,)), 5)).ravel()
    histogram = np.histogram(numbers, 10, (0, 1))[0] / len(numbers)
    np.testing.assert_allclose(histogram, 0.1, atol=0.012)


@pytest.mark.parametrize("shape", BATCHES)
def test_inverting_a_cdf_agrees_with_a_slow_reference(shape):
    rng = np.random.default_rng(1)
    edges = np.sort(rng.uniform(size=(*shape, 9)), -1)
    weights = rng.uniform(0.01, 1, (*shape, 8))
    drawn = invert_cdf(jnp.asarray(edges, jnp.float32), jnp.asarray(weights, jnp.float32), 20, None)
    for index in np.ndindex(shape):
        cdf = np.concatenate([[0], np.cumsum(weights[index]) / weights[index].sum()])
        expected = np.interp((np.arange(20) + 0.5) / 20, cdf, edges[index])
        np.testing.assert_allclose(drawn[index], expected, atol=2e-6)


@pytest.mark.long
def test_importance_sampling_is_distributed_as_the_weights():
    edges, weights = jnp.linspace(0, 1, 6), jnp.array([0.1, 0.0, 0.6, 0.3, 0.0])
    n = 2000
    drawn = invert_cdf(jnp.tile(edges, (n, 1)), jnp.tile(weights, (n, 1)), 8, keys_of((n,)))
    histogram = np.histogram(np.asarray(drawn).ravel(), 5, (0, 1))[0] / (8 * n)
    np.testing.assert_allclose(histogram, weights, atol=0.01)


@pytest.mark.long
@pytest.mark.parametrize("union", [True, False])
def test_importance_goes_where_the_weights_are_and_no_gradient_flows_back(union):
    edges, weights = jnp.linspace(0, 1, 11)[None], jnp.zeros((1, 10)).at[0, 4].set(1.0)
    sampler = Importance(50, union=union)
    s = sampler((edges, weights), (1,), None)
    assert s.shape[-1] == (11 + 51 if union else 51)
    assert ((s > 0.4) & (s < 0.5)).mean() > 0.7
    assert (jnp.diff(s) >= 0).all()
    grads = jax.grad(lambda w: sampler((edges, w), (1,), None).sum())(weights)
    np.testing.assert_array_equal(grads, 0.0)


def test_importance_survives_a_ray_without_weights():
    s = Importance(5, padding=0.01)((jnp.linspace(0, 1, 4), jnp.zeros(3)), (), None)
    assert jnp.isfinite(s).all()


def test_importance_keeps_the_edges_it_was_given_unless_told_otherwise():
    """NeRF evaluates its fine network at both; a hundredth of the weights is spread evenly."""
    edges, weights = jnp.array([[0.0, 0.1, 0.5, 1.0]]), jnp.array([[0.0, 1.0, 0.0]])
    s = np.asarray(Importance(2999)((edges, weights), (1,), None))
    assert s.shape == (1, 3004) and set(np.asarray(edges)[0]) <= set(s[0])
    beside = np.mean((s < 0.1 - 1e-6) | (s > 0.5 + 1e-6))
    np.testing.assert_allclose(beside, 0.01 * 2 / 3 / 1.01, atol=3 / 2999)
