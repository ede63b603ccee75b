"""Coarse to fine.

Weights of bands against the papers' formulas, and who tells the model how far training has come.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.encodings.annealed import Annealed, FrequencyMask, RaisedCosine
from nerf.encodings.annealing import Shrinking, TrainingProgress, set_progress
from nerf.encodings.cones import Gaussians
from nerf.encodings.fourier import Fourier
from nerf.encodings.gaussian_fourier import Gaussian
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.integrated import Integrated
from nerf.foundation.instantiate import ConfigError

X = jnp.array(np.float32(np.random.default_rng(0).uniform(-1, 1, (4, 3))))
PARTS = pytest.mark.parametrize("part", [0.0, 0.1, 0.33, 0.5, 0.99, 1.0])


@nnx.jit
def encode(annealed):
    """The features of X, with their weights and without."""
    return annealed(X), annealed.encoding(X)


def weights(window, encoding, part):
    annealed = Annealed(encoding, window, 0.2, 0.6)
    set_progress(annealed, jnp.array(0.2 + 0.4 * part))
    return jax.device_get(encode(annealed))


@PARTS
def test_bands_come_in_as_in_barf(part):
    alpha, expected = part * 5, [1.0] * 3
    for k in range(5):
        w = 0.0 if alpha < k else (1 - np.cos((alpha - k) * np.pi)) / 2 if alpha - k < 1 else 1.0
        expected += [w] * 6
    found, plain = weights(RaisedCosine(), Fourier(5), part)
    np.testing.assert_allclose(found, plain * np.array(expected), atol=1e-5)


@PARTS
def test_groups_come_in_as_in_freenerf(part):
    """A third of the features, rounded down and one more, are visible; the next three in part."""
    visible = min(33 / 3 * part + 1, 33 / 3)
    mask = np.zeros(33)
    mask[: 3 * int(visible)] = 1.0
    mask[3 * int(visible) : 3 * int(visible) + 3] = visible - int(visible)
    found, plain = weights(FrequencyMask(), Fourier(5), part)
    np.testing.assert_allclose(found, plain * mask, atol=1e-5)


@pytest.mark.long
def test_levels_of_a_grid_can_come_in_too_the_first_being_there():
    grid = HashGrid(4, 2, 8, 4, 32, rngs=nnx.Rngs(0))
    found, plain = weights(RaisedCosine(visible=1.0), grid, 0.0)
    np.testing.assert_array_equal(found[:, :2], plain[:, :2])
    assert plain[:, 2:].any()
    assert not found[:, 2:].any()


@pytest.mark.parametrize("window", [RaisedCosine(), FrequencyMask()])
def test_before_the_start_nothing_changes_and_after_the_end_it_is_the_encoding_itself(window):
    annealed, seen = Annealed(Fourier(4), window, 0.2, 0.6), []
    for progress in (0.0, 0.2, 0.6, 1.0):
        set_progress(annealed, jnp.array(progress))
        features, plain = encode(annealed)
        seen.append(np.asarray(features))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    np.testing.assert_allclose(seen[3], plain, atol=1e-6)
    assert np.abs(seen[0] - seen[3]).max() > 0.5


def test_an_encoding_of_gaussians_is_still_one():
    annealed = Annealed(Integrated(Fourier(4)), RaisedCosine())
    assert annealed.takes_gaussians
    features = jax.eval_shape(
        annealed, Gaussians(X, jnp.full_like(X, 0.01), jnp.full(X.shape[:-1], 0.01))
    )
    assert features.shape == (4, annealed.num_features)
    assert not Annealed(Fourier(4), RaisedCosine()).takes_gaussians


def test_progress_reaches_every_part_that_asks_and_is_state_not_a_parameter():
    model = nnx.List(
        [Annealed(Fourier(2), RaisedCosine()), nnx.List([Annealed(Fourier(3), FrequencyMask())])]
    )
    set_progress(model, jnp.array(0.25))
    params, progress, rest = nnx.split(model, nnx.Param, TrainingProgress, ...)[1:]
    assert [float(x) for x in jax.tree.leaves(progress)] == [0.25, 0.25]
    assert not jax.tree.leaves((params, rest))


def test_what_cannot_be_annealed_is_refused():
    with pytest.raises(ConfigError, match="Gaussian has no bands"):
        Annealed(Gaussian(4, rngs=nnx.Rngs(0)), RaisedCosine())
    with pytest.raises(ConfigError, match=r"0 <= start < end <= 1"):
        Annealed(Fourier(4), RaisedCosine(), 0.5, 0.5)


def test_a_length_shrinks_by_equal_factors_between_start_and_end():
    length = Shrinking(0.128, 0.008, start=0.2, end=0.6)
    found = []
    for progress in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0):
        set_progress(length, jnp.array(progress))
        found.append(float(length()))
    np.testing.assert_allclose(found, [0.128, 0.128, 0.064, 0.032, 0.016, 0.008, 0.008], rtol=1e-5)


def test_a_length_that_grows_or_never_ends_is_refused():
    with pytest.raises(ConfigError, match="Shrinking: first=0.01, last=0.1: give first > last > 0"):
        Shrinking(0.01, 0.1)
    with pytest.raises(ConfigError, match="Shrinking: start=0.5, end=0.5: give 0 <= start < end"):
        Shrinking(0.1, 0.01, 0.5, 0.5)
