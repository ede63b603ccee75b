"""Levels of a hash grid fade where a pixel's cone is wider than their cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from nerf.encodings.cones import Gaussians
from nerf.encodings.downweighted import Downweighted
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.identity import Identity
from nerf.foundation.instantiate import ConfigError

LEVELS = {"num_levels": 3, "features_per_level": 2, "log2_table_size": 9}


@pytest.fixture(scope="module")
def encoding():
    grid = HashGrid(**LEVELS, min_resolution=4, max_resolution=64, rngs=nnx.Rngs(0))
    return Downweighted(grid)


def weights(encoding, deviation, shape=(5,)):
    """Return the weight of each feature for cones with a deviation across, in units of the box."""
    x = jnp.array(np.random.default_rng(0).uniform(-1, 1, (*shape, 3)).astype(np.float32))
    # The variance along the ray must not matter.
    cones = Gaussians(x, jnp.full_like(x, 9.0), jnp.full(shape, deviation**2, jnp.float32))
    faded, plain = nnx.jit(lambda e, cones: (e(cones), e.grid(cones.mean)))(encoding, cones)
    found = np.asarray(faded) / np.asarray(plain)
    np.testing.assert_allclose(found, np.broadcast_to(found.reshape(-1, 6)[0], found.shape), 1e-5)
    return found.reshape(-1, 6)[0]


@pytest.mark.parametrize("shape", [(), (3, 1, 2)])
@pytest.mark.parametrize("deviation", [0.01, 0.05, 0.3])
def test_a_level_keeps_the_share_of_the_footprint_that_one_cell_holds(encoding, deviation, shape):
    found = weights(encoding, deviation, shape)
    for feature, level in enumerate(encoding.bands):
        cell = 2.0 / (4, 16, 64)[level]
        inside = stats.norm.cdf(0.5 * cell, scale=deviation) - stats.norm.cdf(
            -0.5 * cell, scale=deviation
        )
        np.testing.assert_allclose(found[feature], inside, rtol=1e-4)
    assert found[0] >= found[2] >= found[4] < found[0]  # finer levels fade first


def test_a_cone_without_width_is_a_point_and_a_wide_one_has_no_features(encoding):
    np.testing.assert_array_equal(weights(encoding, 0.0), 1.0)
    assert weights(encoding, 1e4).max() < 1e-3
    x = jnp.zeros((2, 3))
    np.testing.assert_array_equal(encoding(x), encoding.grid(x))


def test_gradients_are_finite_at_the_camera(encoding):
    graph, state = nnx.split(encoding)

    @jax.jit
    @jax.grad
    def slope(across):
        cones = Gaussians(jnp.zeros((1, 3)), jnp.zeros((1, 3)), across)
        return nnx.merge(graph, state)(cones).sum()

    for across in (0.0, 1e-30, 1e-12):
        assert np.isfinite(slope(jnp.full(1, across))).all()


def test_only_hash_grids_have_levels():
    with pytest.raises(ConfigError, match="Identity has no levels"):
        Downweighted(Identity())
