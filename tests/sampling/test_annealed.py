"""Annealed weights: flat at the start of training, unchanged at its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.encodings.annealing import set_progress
from nerf.foundation.instantiate import ConfigError
from nerf.sampling.annealed import AnnealedWeights
from nerf.sampling.importance import Importance

EDGES = jnp.linspace(0.0, 1.0, 6)
WEIGHTS = jnp.array([0.0, 0.7, 0.1, 0.0, 0.2])


def given_to(progress, weights=WEIGHTS, bias=10.0):
    """Return the weights that the inner sampler gets."""
    annealed = AnnealedWeights(lambda previous, shape, keys: previous[1], bias)
    set_progress(annealed, jnp.array(progress))
    return np.asarray(jax.jit(lambda w: annealed((EDGES, w), (), None))(weights))


@pytest.mark.parametrize("progress", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("bias", [1.0, 10.0])
def test_the_exponent_is_that_of_the_paper(progress, bias):
    exponent = bias * progress / ((bias - 1.0) * progress + 1.0)
    expected = [float(w) ** exponent for w in np.asarray(WEIGHTS, np.float64)]
    np.testing.assert_allclose(given_to(progress, bias=bias), expected, rtol=1e-5)


def test_samples_cover_the_ray_at_the_start_and_follow_the_weights_at_the_end():
    graph, state = nnx.split(AnnealedWeights(Importance(100, padding=0.0, union=False)))

    @jax.jit
    def inside(progress):
        sampler = nnx.merge(graph, jax.tree.map(lambda _: progress, state))
        s = sampler((EDGES, WEIGHTS), (), None)
        return ((s > 0.2) & (s < 0.4)).mean()

    found = [float(inside(progress)) for progress in jnp.array([0.0, 0.05, 0.2, 1.0])]
    np.testing.assert_allclose(found[0], 0.2, atol=0.02)
    np.testing.assert_allclose(found[-1], 0.7, atol=0.02)
    assert found == sorted(found)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_no_gradient_flows_through_the_weights(progress):
    annealed = AnnealedWeights(lambda previous, shape, keys: previous[1])
    set_progress(annealed, jnp.array(progress))
    slope = jax.grad(lambda w: annealed((EDGES, w), (), None).sum())(WEIGHTS)
    np.testing.assert_array_equal(slope, 0.0)


def test_a_bias_that_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match="bias=0"):
        AnnealedWeights(Importance(4), bias=0.0)
