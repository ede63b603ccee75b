"""Losses: worked numbers, one a ray, summed over the stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.losses import Charbonnier, SquaredError
from nerf.rendering import Rendering

BATCHES = [(), (1,), (3, 1, 2)]


def rendering(rgb):
    rgb = jnp.asarray(rgb, jnp.float32)
    nothing = jnp.zeros(rgb.shape[:-1])
    return Rendering(rgb, nothing, nothing, {}, jnp.ones(rgb.shape[:-1], bool), None)


def test_squared_error_of_worked_numbers():
    target = jnp.array([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]])
    coarse, fine = rendering([[0.6, 0.5, 0.3], [1.0, 0.0, 0.0]]), rendering([[0.5, 0.5, 0.5], [0.0, 0.0, 1.0]])
    # (0.1^2 + 0 + 0.2^2) / 3 + 0 and 0 + (1 + 0 + 1) / 3
    np.testing.assert_allclose(SquaredError()([coarse, fine], target), [0.05 / 3, 2 / 3], rtol=1e-5)
    np.testing.assert_allclose(SquaredError(weight=3.0)([coarse], target), [0.05, 0.0], rtol=1e-5)


def test_charbonnier_of_worked_numbers():
    target = jnp.zeros((2, 3))
    # sqrt(0.3^2 + 0.4^2 + 1.2^2) = 1.3, and eps where nothing differs
    stage = rendering([[0.3, 0.4, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(Charbonnier(eps=1.2)([stage], target), [1.3, 1.2], rtol=1e-6)
    np.testing.assert_allclose(Charbonnier(weight=2.0)([stage, stage], target), [2.000004, 0.004], rtol=1e-5)


@pytest.mark.parametrize("loss", [SquaredError(0.7), Charbonnier(0.7)])
@pytest.mark.parametrize("shape", BATCHES)
def test_a_loss_is_one_number_a_ray_for_any_batch_and_sums_over_stages(loss, shape):
    rng = np.random.default_rng(0)
    a, b, target = (jnp.asarray(rng.uniform(size=(*shape, 3)), jnp.float32) for _ in range(3))
    got = jax.jit(lambda a, b: loss([rendering(a), rendering(b)], target))(a, b)
    assert got.shape == shape
    np.testing.assert_allclose(got, loss([rendering(a)], target) + loss([rendering(b)], target), rtol=1e-5)


@pytest.mark.parametrize("loss", [SquaredError(), Charbonnier()])
def test_a_perfect_ray_has_the_least_loss_and_a_zero_gradient(loss):
    target = jnp.array([0.2, 0.4, 0.9])
    best, slope = jax.value_and_grad(lambda rgb: loss([rendering(rgb)], target))(target)
    np.testing.assert_array_equal(slope, np.zeros(3))
    assert float(loss([rendering(target + 0.01)], target)) > float(best)


def test_charbonnier_forgives_an_outlier():
    """Its slope is bounded by 1, where that of the squared error grows with the difference."""
    far = jnp.full(3, 100.0)
    slope = jax.grad(lambda rgb: Charbonnier()([rendering(rgb)], jnp.zeros(3)))(far)
    np.testing.assert_allclose(np.linalg.norm(slope), 1.0, rtol=1e-4)
