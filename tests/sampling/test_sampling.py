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


def drawn(sampler, keys):
    """Draw the samples of a first sampler for the keys, as one program."""
    return np.asarray(jax.jit(lambda keys: sampler(None, keys.shape, keys))(keys))


invert = jax.jit(invert_cdf, static_argnums=2)


@pytest.mark.parametrize("shape", BATCHES)
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("sampler", [Stratified(7), UniformSteps(7)])
def test_edges_increase_and_lie_in_the_unit_interval(sampler, shape, random):
    s = jax.jit(lambda keys: sampler(None, shape, keys))(keys_of(shape) if random else None)
    assert s.shape == (*shape, 8)
    s = np.asarray(s)
    assert (np.diff(s, axis=-1) >= 0).all() and (s >= 0).all() and (s <= 1).all()


@pytest.mark.long
def test_stratified_edges_keep_to_their_strata_and_cover_everything():
    s = drawn(Stratified(10), keys_of((1000,)))
    np.testing.assert_array_equal(s[:, 0], 0.0)
    np.testing.assert_array_equal(s[:, -1], 1.0)
    assert (np.abs(s - np.linspace(0, 1, 11)) <= 0.05 + 1e-6).all()


def test_one_offset_moves_all_edges_of_uniform_steps_but_the_first():
    s = drawn(UniformSteps(8), keys_of((50,)))
    offset = np.arange(1, 9) / 8 - s[:, 1:]
    np.testing.assert_array_equal(s[:, 0], 0.0)
    np.testing.assert_allclose(offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-6)
    assert offset.min() >= -1e-6 and offset.max() <= 1 / 8 + 1e-6 and np.ptp(offset[:, 0]) > 0.1


@pytest.mark.parametrize("sampler", [Stratified(8), UniformSteps(8)])
def test_rays_do_not_share_their_jitter(sampler):
    assert len(np.unique(drawn(sampler, keys_of((50,)))[:, 3])) == 50


@pytest.mark.long
def test_jitter_of_a_ray_does_not_depend_on_the_rest_of_the_batch():
    keys = keys_of((6,))
    whole, half = (drawn(Stratified(5), keys[-n:]) for n in (6, 3))
    np.testing.assert_array_equal(whole[3:], half)


@pytest.mark.long
def test_numbers_for_a_key_are_uniform():
    numbers = np.ravel(jax.jit(lambda keys: uniform(keys, 5))(keys_of((2000,))))
    histogram = np.histogram(numbers, 10, (0, 1))[0] / len(numbers)
    np.testing.assert_allclose(histogram, 0.1, atol=0.012)


@pytest.mark.parametrize("shape", BATCHES)
def test_inverting_a_cdf_agrees_with_a_slow_reference(shape):
    rng = np.random.default_rng(1)
    edges = np.sort(rng.uniform(size=(*shape, 9)), -1)
    weights = rng.uniform(0.01, 1, (*shape, 8))
    found = np.asarray(invert(np.float32(edges), np.float32(weights), 20, None))
    for index in np.ndindex(shape):
        cdf = np.concatenate([[0], np.cumsum(weights[index]) / weights[index].sum()])
        expected = np.interp((np.arange(20) + 0.5) / 20, cdf, edges[index])
        np.testing.assert_allclose(found[index], expected, atol=2e-6)


@pytest.mark.long
def test_importance_sampling_is_distributed_as_the_weights():
    edges, weights = np.linspace(0, 1, 6), np.array([0.1, 0.0, 0.6, 0.3, 0.0])
    n = 2000
    given = (np.float32(np.tile(x, (n, 1))) for x in (edges, weights))
    histogram = np.histogram(np.ravel(invert(*given, 8, keys_of((n,)))), 5, (0, 1))[0] / (8 * n)
    np.testing.assert_allclose(histogram, weights, atol=0.01)


@pytest.mark.long
@pytest.mark.parametrize("union", [True, False])
def test_importance_goes_where_the_weights_are_and_no_gradient_flows_back(union):
    edges, weights = jnp.linspace(0, 1, 11)[None], np.eye(10, dtype=np.float32)[4:5]
    sampler = Importance(50, union=union)

    def total(weights):
        s = sampler((edges, weights), (1,), None)
        return s.sum(), s

    grads, s = jax.device_get(jax.jit(jax.grad(total, has_aux=True))(weights))
    assert s.shape[-1] == (11 + 51 if union else 51)
    assert s[0, 0] == 0.0 and s[0, -1] == 1.0, "all of the ray is rendered"
    assert ((s > 0.4) & (s < 0.5)).mean() > 0.7
    assert (np.diff(s) >= 0).all()
    np.testing.assert_array_equal(grads, 0.0)


@pytest.mark.long
def test_importance_survives_a_ray_without_weights():
    sampler = Importance(5, padding=0.01)
    s = jax.jit(lambda: sampler((jnp.linspace(0, 1, 4), jnp.zeros(3)), (), None))()
    assert np.isfinite(s).all()


@pytest.mark.long
def test_importance_keeps_the_edges_it_was_given_unless_told_otherwise():
    """NeRF evaluates its fine network at both; a hundredth of the weights is spread evenly."""
    edges, weights = jnp.array([[0.0, 0.1, 0.5, 1.0]]), jnp.array([[0.0, 1.0, 0.0]])
    s = np.asarray(jax.jit(lambda *given: Importance(2999)(given, (1,), None))(edges, weights))
    assert s.shape == (1, 3004) and set(np.asarray(edges)[0]) <= set(s[0])
    beside = np.mean((s < 0.1 - 1e-6) | (s > 0.5 + 1e-6))
    np.testing.assert_allclose(beside, 0.01 * 2 / 3 / 1.01, atol=3 / 2999)
