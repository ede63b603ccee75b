"""Laws of the volume renderer.

Closed forms for any partition, both layouts alike, finite gradients at the edges.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.fields import Samples
from nerf.geometry.density import VolumeDensity
from nerf.rendering.compositing import Dense, Packed, composite, weights_from_tau
from tests.support.layouts import pack

BATCHES = [(), (1,), (3, 1, 2)]
composite_jit = jax.jit(composite)
weights_of = jax.jit(weights_from_tau)


def edges_of(rng, shape, n, length):
    inner = np.sort(rng.uniform(0, length, (*shape, n - 1)), -1)
    ends = np.zeros((*shape, 1)), np.full((*shape, 1), length)
    return jnp.array(np.float32(np.concatenate([ends[0], inner, ends[1]], -1)))


def samples_of(lengths):
    """Samples of intervals of given lengths; where they are makes no difference."""
    nowhere = jnp.zeros((*lengths.shape, 3))
    return Samples(nowhere, nowhere, lengths)


@jax.jit
def slab_of(density, t):
    """A slab that is equally dense and coloured, between edges t, in front of white."""
    shape, n = t.shape[:-1], t.shape[-1] - 1
    rgb = jnp.broadcast_to(jnp.array([0.2, 0.5, 0.9]), (*shape, n, 3))
    density = {"density": jnp.full((*shape, n), density)}
    tau = VolumeDensity()(density, samples_of(jnp.diff(t, axis=-1)))
    return composite({"rgb": rgb}, tau, t[..., :-1], t[..., 1:], jnp.ones((*shape, 3)))


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
    rendering = slab_of(density, edges_of(np.random.default_rng(seed), shape, n, length))
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
    np.testing.assert_allclose(weights_of(jnp.array(np.float32(tau))), weights, rtol=1e-5)


def test_weights_and_what_is_left_sum_to_one():
    tau = np.float32(np.random.default_rng(0).exponential(3.0, (100, 30)))
    total = np.asarray(weights_of(jnp.array(tau))).sum(-1) + np.exp(-tau.sum(-1))
    np.testing.assert_allclose(total, np.ones(100), atol=1e-6)


def test_nothing_behind_an_opaque_wall_is_seen():
    tau = jnp.array([0.0, 1e10, 3.0])
    np.testing.assert_array_equal(weights_of(tau), [0.0, 1.0, 0.0])


@jax.jit
@jax.grad
def slope_of_a_picture(density):
    t = jnp.arange(9.0)
    tau = VolumeDensity()({"density": density}, samples_of(jnp.diff(t)))
    rendering = composite({"rgb": jnp.full((8, 3), 0.3)}, tau, t[:-1], t[1:], jnp.ones(3))
    return rendering.rgb.sum() + rendering.depth


@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0, 1e4, 1e10, 1e30])
def test_gradients_are_finite_for_any_density(value):
    assert np.isfinite(slope_of_a_picture(jnp.array(np.full(8, value, np.float32)))).all()


@pytest.mark.long
def test_the_packed_layout_renders_what_the_dense_one_does():
    rng = np.random.default_rng(0)
    counts = [3, 0, 5, 1, 0]
    ray = np.repeat(np.arange(5), counts)
    tau = np.float32(rng.exponential(1.0, len(ray)))
    rgb = np.float32(rng.uniform(size=(len(ray), 3)))
    start = np.float32(rng.uniform(size=len(ray)))
    background = np.float32(rng.uniform(size=(5, 3)))
    given = {"rgb": rgb, "x": tau}, tau, start, start + np.float32(0.1)
    packed = composite_jit(*given, background, pack(ray, 5))
    for r in range(5):
        dense = composite_jit(*jax.tree.map(lambda x, r=r: x[ray == r], given), background[r])
        for name in ("rgb", "opacity", "depth"):
            np.testing.assert_allclose(getattr(packed, name)[r], getattr(dense, name), atol=1e-6)
        np.testing.assert_allclose(packed.extras["x"][r], dense.extras["x"], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4, 100])
def test_vectors_of_any_size_are_summed_alike_in_both_layouts(channels):
    """So are the gradients; a vector is composited as each of its channels alone is."""
    rng = np.random.default_rng(0)
    counts = [3, 0, 5, 1, 0]
    ray = np.repeat(np.arange(5), counts)
    tau = np.float32(rng.exponential(0.5, len(ray)))
    value = np.float32(rng.normal(size=(len(ray), channels)))
    slope = np.float32(rng.normal(size=(5, channels)))
    # Rays of a dense layout are as long as the longest; the rest has no optical depth.
    slots = np.concatenate([np.arange(n) for n in counts])

    def scattered(x):
        empty = np.zeros((5, max(counts), *x.shape[1:]), np.float32)
        empty[ray, slots] = x
        return empty

    def run(tau, value, layout):
        def of(tau, value):
            background, nowhere = jnp.zeros((5, 3)), jnp.zeros_like(tau)
            quantities = {"label": value}
            return composite(quantities, tau, nowhere, nowhere, background, layout).extras["label"]

        total, pull = jax.vjp(of, tau, value)
        return total, *pull(slope)

    packed = jax.device_get(jax.jit(run)(tau, value, pack(ray, 5)))
    dense = jax.device_get(jax.jit(run)(scattered(tau), scattered(value), Dense()))
    weights = np.asarray(weights_of(scattered(tau)))
    expected = np.einsum("rs,rsc->rc", weights, scattered(value))
    np.testing.assert_allclose(packed[0], expected, atol=1e-5)
    np.testing.assert_allclose(dense[0], expected, atol=1e-5)
    for of_packed, of_dense in zip(packed[1:], dense[1:], strict=True):
        np.testing.assert_allclose(of_packed, of_dense[ray, slots], atol=1e-4)


def test_the_packed_sum_of_a_ray_does_not_lose_digits_to_the_rays_before_it():
    layout = pack(np.repeat(np.arange(2), 4), 2)
    tau = jnp.array([1e9, 1e9, 1e9, 1e9, 0.1, 0.1, 0.1, 0.1])
    running = np.asarray(jax.jit(Packed.cumsum)(layout, tau))
    np.testing.assert_allclose(running[4:], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)


@jax.jit
def running_sum_and_derivatives(layout, x, g):
    running, transpose = jax.vjp(layout.cumsum, x)
    return running, transpose(g)[0], jax.jvp(layout.cumsum, (x,), (g,))[1]


@pytest.mark.parametrize("counts", [[1], [70], [3, 0, 5, 1], [1, 2, 60], [8, 8, 1, 0, 1]])
def test_the_packed_running_sum_and_its_derivatives_are_those_of_each_ray(counts):
    rng = np.random.default_rng(0)
    ray = jnp.array(np.repeat(np.arange(len(counts)), counts))
    x, g = (np.float32(rng.exponential(size=sum(counts))) for _ in range(2))
    layout = pack(ray, len(counts))
    running, back, ahead = jax.device_get(running_sum_and_derivatives(layout, x, g))
    for r in range(len(counts)):
        own = np.asarray(ray) == r
        np.testing.assert_allclose(running[own], np.cumsum(x[own]), rtol=1e-5)
        np.testing.assert_allclose(back[own], np.cumsum(g[own][::-1])[::-1], rtol=1e-5)
        np.testing.assert_allclose(ahead[own], np.cumsum(g[own]), rtol=1e-5)


def test_every_quantity_is_composited_by_its_name():
    tau = np.float32([0.5, 1.0])
    quantities = {
        "rgb": np.zeros((2, 3), np.float32),
        "label": np.eye(2, dtype=np.float32),
        "albedo": np.ones(2, np.float32),
    }
    start = np.float32([0.0, 1.0])

    @jax.jit
    def both(*given):
        return composite(*given), weights_from_tau(given[1])

    rendering, weights = both(quantities, tau, start, start + 1, np.zeros(3, np.float32))
    assert set(rendering.extras) == {"label", "albedo"}
    np.testing.assert_allclose(rendering.extras["label"], weights)
    np.testing.assert_allclose(rendering.extras["albedo"], rendering.opacity)


def black(tau, t):
    """Return the rendering of black intervals between edges t in front of black."""
    zeros = np.zeros((len(tau), 3), np.float32)
    return composite_jit({"rgb": zeros}, np.float32(tau), t[:-1], t[1:], zeros[0], Dense())


def test_depth_is_where_the_wall_is():
    t = np.linspace(0.0, 4.0, 41, dtype=np.float32)
    rendering = black(np.where(t[:-1] >= 2.0, 1e3, 0.0) * np.diff(t), t)
    assert abs(float(rendering.depth) - 2.05) < 1e-3


def test_a_thin_veil_is_as_far_as_it_is_whatever_it_lets_through():
    tau = np.where(np.arange(40) == 19, 0.1, 0.0)
    rendering = black(tau, np.linspace(0.0, 4.0, 41, dtype=np.float32))
    assert float(rendering.opacity) == pytest.approx(1 - np.exp(-0.1), rel=1e-5)
    assert float(rendering.depth) == pytest.approx(1.95, rel=1e-5)


def test_a_packed_layout_may_be_an_argument_of_what_is_compiled():
    """The number of rays is known when a function is compiled.

    A ray without intervals has a total of 0.
    """
    layout = pack([0, 0, 2], 4)
    total = jax.jit(lambda layout, x: layout.sum(x))(layout, jnp.array([1.0, 2.0, 5.0]))
    np.testing.assert_array_equal(total, [3.0, 0.0, 5.0, 0.0])
