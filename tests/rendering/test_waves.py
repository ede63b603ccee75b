"""Waves give the sums over whole rays, and evaluate little behind opaque surfaces."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.rendering import waves
from nerf.rendering.compositing import Packed, composite
from nerf.rendering.packing import list_occupied

RAYS, STEPS = 300, 70


@functools.partial(jax.jit, static_argnums=(3, 4))
def summed(mask, tau, values, stop, wave=2**13):
    """Composite intervals of given optical depths and colours, and count those evaluated."""
    edges = jnp.linspace(1.0, 2.0, STEPS + 1)

    def evaluate(packed):
        def at(x):
            return jnp.where(packed.used, x[packed.ray, packed.step], 0.0)

        rgb = jnp.stack([at(values)] * 3, -1)
        start, end = edges[packed.step], edges[packed.step + 1]
        black, layout = jnp.zeros((RAYS, 3)), Packed(packed.ray, packed.ends, longest=STEPS)
        part = composite({"rgb": rgb}, at(tau), start, end, black, layout, packed.complete)
        count = layout.sum(packed.used.astype(jnp.float32))
        return dataclasses.replace(part, extras={"count": count})

    def read(part, transmittance):
        return {"rgb": transmittance[:, None] * part.rgb, "evaluated": part.extras["count"]}

    return waves.sum_in_waves(list_occupied(mask), evaluate, read, stop, wave)


def truth(mask, tau, values):
    """Sum along whole rays in double precision."""
    tau = np.where(mask, tau, 0.0).astype(np.float64)
    before = np.exp(-(np.cumsum(tau, -1) - tau))
    weights = before * -np.expm1(-tau)
    return (weights * values).sum(-1), np.exp(-tau.sum(-1)), before


@pytest.mark.long
@given(
    fill=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    depth=st.sampled_from([0.01, 0.3, 5.0]),
    seed=st.integers(0, 99),
    wave=st.sampled_from([1, 2**8, 2**9 - 1, 2**13]),
)
@settings(max_examples=30, deadline=None)
def test_waves_sum_up_to_the_whole_rays_and_stop_behind_opaque_ones(fill, depth, seed, wave):
    rng = np.random.default_rng(seed)
    # Some rays have nothing and some have everything.
    share = fill * rng.choice([0.0, 0.5, 1.0], (RAYS, 1))
    mask = rng.uniform(size=(RAYS, STEPS)) < share
    tau = np.float32(rng.uniform(0.5, 1.5, (RAYS, STEPS)) * depth)
    values = np.float32(rng.uniform(size=(RAYS, STEPS)))
    colour, transmittance, before = truth(mask, tau, values)
    stop = 1e-3
    sums, left = summed(mask, tau, values, stop, wave)
    np.testing.assert_allclose(sums["rgb"][:, 0], colour, atol=1.01 * stop)
    np.testing.assert_allclose(left, transmittance, atol=1.01 * stop)
    exact, left = summed(mask, tau, values, -1.0, wave)
    np.testing.assert_allclose(exact["rgb"], np.stack([colour] * 3, -1), atol=2e-6)
    np.testing.assert_allclose(left, transmittance, atol=2e-6)
    # Everything that light reaches is evaluated.
    needed = (mask & (before > 1.01 * stop)).sum(-1)
    assert (np.asarray(sums["evaluated"]) >= needed).all()
    np.testing.assert_array_equal(exact["evaluated"], mask.sum(-1))


def test_a_wall_hides_what_is_behind_it():
    everything = np.ones((RAYS, STEPS), bool)
    wall = np.full((RAYS, STEPS), 20.0, np.float32)
    sums, _ = summed(everything, wall, np.ones_like(wall), 1e-4)
    np.testing.assert_array_equal(sums["evaluated"], waves.MIN_PER_RAY)
