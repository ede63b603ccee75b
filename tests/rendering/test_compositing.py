"""Laws of the volume renderer.

Closed forms for any partition, both layouts alike, finite gradients at the edges.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.geometry.density import VolumeDensity
from nerf.rendering.compositing import Dense, Packed, composite, weights_from_tau

BATCHES = [(), (1,), (3, 1, 2)]
composite_jit = jax.jit(composite)


def edges_of(rng, shape, n, length):
    inner = np.sort(rng.uniform(0, length, (*shape, n - 1)), -1)
    ends = np.zeros((*shape, 1)), np.full((*shape, 1), length)
    return jnp.asarray(np.concatenate([ends[0], inner, ends[1]], -1), jnp.float32)


@pytest.mark.long
@pytest.mark.parametrize("shape", BATCHES)
@given(
    density=st.floats(0, 50),
    length=st.floats(0.01, 10),
    n=st.sampled_from([1, 2, 7, 40]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_a_homogeneous_slab_absorbs_as_beer_and_lambert_say_for_any_partition(
    shape, density, length, n, seed
):
    t = edges_of(np.random.default_rng(seed), shape, n, length)
    quantities = {
        "density": jnp.full((*shape, n), density),
        "rgb": jnp.broadcast_to(jnp.array([0.2, 0.5, 0.9]), (*shape, n, 3)),
    }
    tau = VolumeDensity()(quantities, jnp.diff(t, axis=-1))
    rendering = composite_jit(quantities, tau, t[..., :-1], t[..., 1:], jnp.ones((*shape, 3)))
    opacity = 1 - np.exp(-density * length)
    rounding = (
        2e-6 + 1e-7 * density * length
    )  # of the sum of optical depths before an interval, in float32
    np.testing.assert_allclose(rendering.opacity, np.full(shape, opacity), atol=rounding)
    expected = opacity * np.array([0.2, 0.5, 0.9]) + (1 - opacity)
    np.testing.assert_allclose(
        rendering.rgb, np.broadcast_to(expected, (*shape, 3)), atol=1.5 * rounding
    )


def test_weights_are_those_of_the_definition():
    tau = np.array([0.1, 0.0, 2.0, 0.7, 5.0])
    transmittance, weights = 1.0, []
    for value in tau:
        alpha = 1 - np.exp(-value)
        weights.append(transmittance * alpha)
        transmittance *= 1 - alpha
    np.testing.assert_allclose(weights_from_tau(jnp.asarray(tau, jnp.float32)), weights, rtol=1e-5)


def test_weights_and_what_is_left_sum_to_one():
    tau = jax.random.exponential(jax.random.key(0), (100, 30)) * 3.0
    total = weights_from_tau(tau).sum(-1) + jnp.exp(-tau.sum(-1))
    np.testing.assert_allclose(total, np.ones(100), atol=1e-6)


def test_nothing_behind_an_opaque_wall_is_seen():
    tau = jnp.array([0.0, 1e10, 3.0])
    np.testing.assert_array_equal(weights_from_tau(tau), [0.0, 1.0, 0.0])


@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0, 1e4, 1e10, 1e30])
def test_gradients_are_finite_for_any_density(value):
    def picture(density):
        quantities = {"density": density, "rgb": jnp.full((8, 3), 0.3)}
        t = jnp.arange(9.0)
        tau = VolumeDensity()(quantities, jnp.diff(t))
        rendering = composite(quantities, tau, t[:-1], t[1:], jnp.ones(3))
        return rendering.rgb.sum() + rendering.depth

    grads = jax.grad(picture)(jnp.full(8, value))
    assert jnp.isfinite(grads).all()


@pytest.mark.long
def test_the_packed_layout_renders_what_the_dense_one_does():
    rng = np.random.default_rng(0)
    counts = [3, 0, 5, 1, 0]
    ray = jnp.asarray(np.repeat(np.arange(5), counts))
    tau = jnp.asarray(rng.exponential(1.0, len(ray)), jnp.float32)
    rgb = jnp.asarray(rng.uniform(size=(len(ray), 3)), jnp.float32)
    start = jnp.asarray(rng.uniform(size=len(ray)), jnp.float32)
    background = jnp.asarray(rng.uniform(size=(5, 3)), jnp.float32)
    packed = composite({"rgb": rgb, "x": tau}, tau, start, start + 0.1, background, Packed(ray, 5))
    for r in range(5):
        own = np.asarray(ray) == r
        dense = composite(
            {"rgb": rgb[own], "x": tau[own]}, tau[own], start[own], start[own] + 0.1, background[r]
        )
        for name in ("rgb", "opacity", "depth"):
            np.testing.assert_allclose(getattr(packed, name)[r], getattr(dense, name), atol=1e-6)
        np.testing.assert_allclose(packed.extras["x"][r], dense.extras["x"], atol=1e-6)


def test_the_packed_sum_of_a_ray_does_not_lose_digits_to_the_rays_before_it():
    ray = jnp.repeat(jnp.arange(2), 4)
    tau = jnp.array([1e9, 1e9, 1e9, 1e9, 0.1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(Packed(ray, 2).cumsum(tau)[4:], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("counts", [[1], [70], [3, 0, 5, 1], [1, 2, 60], [8, 8, 1, 0, 1]])
def test_the_packed_running_sum_and_its_gradient_are_those_of_each_ray(counts):
    rng = np.random.default_rng(0)
    ray = jnp.asarray(np.repeat(np.arange(len(counts)), counts))
    x, g = (jnp.asarray(rng.exponential(size=sum(counts)), jnp.float32) for _ in range(2))
    running, transpose = jax.vjp(Packed(ray, len(counts)).cumsum, x)
    for r in range(len(counts)):
        own = np.asarray(ray) == r
        np.testing.assert_allclose(running[own], np.cumsum(x[own]), rtol=1e-5)
        np.testing.assert_allclose(transpose(g)[0][own], np.cumsum(g[own][::-1])[::-1], rtol=1e-5)


def test_every_quantity_is_composited_by_its_name():
    tau = jnp.array([0.5, 1.0])
    quantities = {
        "density": tau,
        "rgb": jnp.zeros((2, 3)),
        "label": jnp.array([[1.0, 0.0], [0.0, 1.0]]),
        "albedo": jnp.ones(2),
    }
    rendering = composite(
        quantities, tau, jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0]), jnp.zeros(3)
    )
    weights = weights_from_tau(tau)
    assert set(rendering.extras) == {"label", "albedo"}
    np.testing.assert_allclose(rendering.extras["label"], weights)
    np.testing.assert_allclose(rendering.extras["albedo"], rendering.opacity)


@pytest.mark.long
def test_depth_is_where_the_wall_is():
    t = jnp.linspace(0.0, 4.0, 41)
    density = jnp.where(t[:-1] >= 2.0, 1e3, 0.0)
    rendering = composite(
        {"density": density, "rgb": jnp.zeros((40, 3))},
        density * jnp.diff(t),
        t[:-1],
        t[1:],
        jnp.zeros(3),
        Dense(),
    )
    assert abs(float(rendering.depth) - 2.05) < 1e-3


def test_a_thin_veil_is_as_far_as_it_is_whatever_it_lets_through():
    tau = jnp.zeros(40).at[19].set(0.1)
    t = jnp.linspace(0.0, 4.0, 41)
    rendering = composite({"rgb": jnp.zeros((40, 3))}, tau, t[:-1], t[1:], jnp.zeros(3))
    assert float(rendering.opacity) == pytest.approx(1 - np.exp(-0.1), rel=1e-5)
    assert float(rendering.depth) == pytest.approx(1.95, rel=1e-5)


def test_a_packed_layout_may_be_an_argument_of_what_is_compiled():
    """The number of rays is known when a function is compiled.

    A ray without intervals has a total of 0.
    """
    layout = Packed(jnp.array([0, 0, 2]), 4)
    total = jax.jit(lambda layout, x: layout.sum(x))(layout, jnp.array([1.0, 2.0, 5.0]))
    np.testing.assert_array_equal(total, [3.0, 0.0, 5.0, 0.0])
