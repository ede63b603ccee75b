"""The field of proposal networks: density and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.encodings.hash_grid import HashGrid
from nerf.fields import Samples
from nerf.fields.density import DensityField
from nerf.networks.relu import ReLU


def field(bias=0.0):
    grid = HashGrid(2, 2, 8, 4, 8, rngs=nnx.Rngs(0))
    grid.table[...] = grid.table[...] * 1e4  # as after some training
    return DensityField(grid, ReLU(16, 1), bias, rngs=nnx.Rngs(0))


def points(shape):
    return jnp.array(np.random.default_rng(0).uniform(-1, 1, (*shape, 3)), jnp.float32)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 2)])
def test_it_returns_a_density_of_every_point_and_no_colour(shape):
    got = field()(Samples(points(shape), points(shape)))
    assert set(got) == {"density"}
    assert got["density"].shape == shape and np.all(np.asarray(got["density"]) > 0.0)


def test_the_density_depends_on_the_point_and_not_on_the_view_direction():
    x = points((40,))
    one, other = (np.asarray(field()(Samples(x, d))["density"]) for d in (x, -x))
    np.testing.assert_array_equal(one, other)
    assert np.ptp(one) > 1e-2


def test_the_bias_is_the_log_of_a_factor():
    x = points((10,))
    plain, denser = (np.asarray(field(b)(Samples(x, x))["density"]) for b in (0.0, 2.0))
    np.testing.assert_allclose(denser, np.exp(2.0) * plain, rtol=1e-4)


def test_gradients_reach_every_parameter_and_are_finite():
    graph, params = nnx.split(field())
    x = points((60,))

    def total(params):
        return nnx.merge(graph, params)(Samples(x, x))["density"].sum()

    for gradient in jax.tree.leaves(jax.grad(total)(params)):
        assert np.isfinite(gradient).all() and np.any(gradient)
