"""Interlevel losses: slow references, laws of histograms, and whom they teach."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context, Target
from nerf.losses.antialiased_interlevel import AntialiasedInterlevel, blurred_cdf
from nerf.losses.interlevel import Interlevel
from nerf.rendering.compositing import Dense, Intervals, Rendering
from tests.support.layouts import pack

BATCHES = [(), (1,), (3, 1, 2)]
LOSSES = [Interlevel(), AntialiasedInterlevel(radii=(0.03,))]
EACH_LOSS = pytest.mark.parametrize("loss", LOSSES, ids=["bound", "blurred"])


def random_histogram(seed, n, shape=(), near=0.5, far=6.0):
    """Return edges (*shape, n + 1) from `near` to `far`, and weights that sum to less than 1."""
    rng = np.random.default_rng(seed)
    inner = np.sort(rng.uniform(near, far, (*shape, n - 1)), -1)
    ends = [np.full((*shape, 1), end) for end in (near, far)]
    edges = np.concatenate([ends[0], inner, ends[1]], -1)
    return np.float32(edges), np.float32(0.9 * rng.dirichlet(np.full(n, 0.3), shape))


def context_of(*histograms):
    """Return the context of stages that rendered these histograms."""
    stages = []
    for edges, weights in histograms:
        edges, weights = jnp.asarray(edges), jnp.asarray(weights)
        intervals = Intervals(weights, edges[..., :-1], edges[..., 1:], Dense())
        opacity = weights.sum(-1)
        complete = jnp.ones(opacity.shape, bool)
        stages.append(Rendering(None, opacity, opacity, {}, complete, intervals))
    return Context(None, None, stages, Target(jnp.zeros((*opacity.shape, 3))), None)


@functools.partial(jax.jit, static_argnums=0)
def loss_of(loss, *histograms):
    return loss(context_of(*histograms))


def value(loss, *histograms):
    return np.asarray(loss_of(loss, *histograms))


def bound_by_loops(proposal, final):
    """Return equation 13 of 2111.12077 for one ray, one pair of intervals after the other."""
    (other, proposed), (edges, weights) = proposal, final
    total = 0.0
    for i, weight in enumerate(weights):
        bound = 0.0
        for j, candidate in enumerate(proposed):
            if min(other[j + 1], edges[i + 1]) > max(other[j], edges[i]):
                bound += float(candidate)
        total += max(0.0, float(weight) - bound) ** 2 / (float(weight) + 1e-7)
    return total


def normalised(t, near, far):
    g = [np.float64(x) / (1.0 + np.float64(x)) for x in (t, near, far)]
    return (g[0] - g[1]) / (g[2] - g[1])


def blur_by_quadrature(other, edges, weights, radius, points=400):
    """Return the blurred weight in intervals, by moving each interval to many places of the box."""
    cumulative = np.concatenate([[0.0], np.cumsum(np.float64(weights))])
    offsets = ((np.arange(points) + 0.5) / points * 2.0 - 1.0) * radius
    found = np.zeros(len(other) - 1)
    for offset in offsets:
        for j in range(len(found)):
            ends = [np.interp(x + offset, edges, cumulative) for x in other[j : j + 2]]
            found[j] += (ends[1] - ends[0]) / points
    return found


def blurred_by_loops(proposal, final, radius):
    """Return the loss of 2304.06706 for one ray, by quadrature."""
    (other, proposed), (edges, weights) = proposal, final
    s_other, s = (normalised(t, edges[0], edges[-1]) for t in (other, edges))
    blurred = blur_by_quadrature(s_other, s, weights, radius)
    total = 0.0
    for v, candidate in zip(blurred, np.float64(proposed), strict=True):
        total += max(0.0, v - candidate) ** 2 / (candidate + 1e-5)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_agrees_with_loops_over_pairs_for_each_stage(seed):
    first, second = random_histogram(seed, 7), random_histogram(seed + 10, 5)
    final = random_histogram(seed + 20, 9)
    expected = 0.3 * sum(bound_by_loops(proposal, final) for proposal in (first, second))
    assert expected > 1e-3
    np.testing.assert_allclose(value(Interlevel(0.3), first, second, final), expected, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_blurred_loss_agrees_with_quadrature_for_each_stage(seed):
    first, second = random_histogram(seed, 7), random_histogram(seed + 10, 5)
    final = random_histogram(seed + 20, 9)
    radii = (0.2, 0.03)
    pairs = zip((first, second), radii, strict=True)
    expected = 0.3 * sum(blurred_by_loops(proposal, final, r) for proposal, r in pairs)
    assert expected > 1e-3
    loss = AntialiasedInterlevel(radii, 0.3)
    np.testing.assert_allclose(value(loss, first, second, final), expected, rtol=2e-3)


@pytest.mark.parametrize("radius", [1e-4, 0.01, 0.3, 2.0])
def test_a_blurred_histogram_keeps_its_mass_and_increases(radius):
    edges, weights = random_histogram(0, 12, near=0.0, far=1.0)
    x = np.linspace(-3.0, 4.0, 2001, dtype=np.float32)
    cdf = np.asarray(blurred_cdf(jnp.array(x), (jnp.array(edges), jnp.array(weights)), radius))
    np.testing.assert_allclose(cdf[[0, -1]], [0.0, weights.sum()], atol=1e-6)
    assert np.diff(cdf).min() > -1e-6
    mean = np.sum(0.5 * (x[1:] + x[:-1]) * np.diff(cdf))
    middles = 0.5 * (edges[1:] + edges[:-1])
    np.testing.assert_allclose(mean, np.sum(middles * weights), atol=2e-3)


@pytest.mark.parametrize("shape", BATCHES)
@EACH_LOSS
def test_a_loss_is_one_number_a_ray_for_any_batch(loss, shape):
    proposal, final = random_histogram(0, 6, shape), random_histogram(1, 4, shape)
    got = value(loss, proposal, final)
    assert got.shape == shape
    for index in np.ndindex(shape):
        alone = value(loss, *[tuple(x[index] for x in h) for h in (proposal, final)])
        np.testing.assert_allclose(got[index], alone, rtol=1e-4, atol=1e-7)


def merged(histogram, groups):
    """Join neighbouring intervals of a histogram."""
    edges, weights = histogram
    return edges[np.cumsum([0, *groups])], np.add.reduceat(weights, np.cumsum([0, *groups[:-1]]))


def test_a_proposal_that_is_the_final_histogram_in_fewer_intervals_is_perfect():
    final = random_histogram(3, 8)
    np.testing.assert_allclose(value(Interlevel(), merged(final, [3, 1, 4]), final), 0.0, atol=1e-7)
    edges, weights = merged(final, [3, 1, 4])
    assert value(Interlevel(), (edges, 0.5 * weights), final) > 0.01
    # More than the final weights is a bound too.
    assert value(Interlevel(), (edges, 2.0 * weights), final) == 0.0
    # Without a blur worth the name the resampled weights are those that were joined.
    sharp = AntialiasedInterlevel(radii=(1e-6,))
    np.testing.assert_allclose(value(sharp, (edges, weights), final), 0.0, atol=1e-5)


def split(histogram, i, share):
    """Split an interval in two, and its weight in proportion to the lengths in s."""
    edges, weights = histogram
    g = edges / (1.0 + edges)
    place = g[i] + share * (g[i + 1] - g[i])
    parts = [share * weights[i], (1.0 - share) * weights[i]]
    return (
        np.float32(np.insert(edges, i + 1, place / (1.0 - place))),
        np.float32(np.concatenate([weights[:i], parts, weights[i + 1 :]])),
    )


def test_splitting_an_interval_of_the_final_histogram_changes_no_blurred_weight():
    proposal, final = random_histogram(0, 6), random_histogram(1, 7)
    loss = AntialiasedInterlevel(radii=(0.05,))
    i = int(np.argmax(final[1]))
    np.testing.assert_allclose(
        value(loss, proposal, split(final, i, 0.3)), value(loss, proposal, final), rtol=1e-3
    )


def test_splitting_intervals_keeps_a_bound():
    final = random_histogram(3, 8)
    proposal, i = merged(final, [3, 1, 4]), int(np.argmax(final[1]))
    assert value(Interlevel(), proposal, split(final, i, 0.4)) < 1e-7


def test_the_bound_is_that_of_any_increasing_function_of_the_distance():
    proposal, final = random_histogram(0, 6), random_histogram(1, 7)
    moved = [(np.float32(np.log(edges) ** 3), weights) for edges, weights in (proposal, final)]
    np.testing.assert_allclose(
        value(Interlevel(), *moved), value(Interlevel(), proposal, final), rtol=1e-5
    )


@EACH_LOSS
def test_the_gradient_reaches_the_proposal_alone(loss):
    proposal, final = random_histogram(0, 6), random_histogram(1, 7)

    def of(proposal, final):
        return loss(context_of(proposal, final))

    of_proposal, of_final = jax.jit(jax.grad(of, (0, 1)))(proposal, final)
    assert np.min(of_proposal[1]) < 0.0
    for gradient in (of_proposal[0], *of_final):
        np.testing.assert_array_equal(gradient, 0.0)


@EACH_LOSS
@pytest.mark.parametrize("case", ["no weights", "no proposal", "no final", "no length", "opaque"])
def test_losses_and_gradients_are_finite_at_the_edges(loss, case):
    (other, proposed), (edges, weights) = random_histogram(0, 6), random_histogram(1, 7)
    if case in ("no weights", "no proposal"):
        proposed = np.zeros_like(proposed)
    if case in ("no weights", "no final"):
        weights = np.zeros_like(weights)
    if case == "no length":
        other, edges = np.full_like(other, 2.0), np.full_like(edges, 2.0)
    if case == "opaque":
        weights, proposed = np.eye(7, dtype=np.float32)[3], np.eye(6, dtype=np.float32)[0]

    def of(proposed):
        return loss(context_of((other, proposed), (edges, weights)))

    total, gradient = jax.jit(jax.value_and_grad(of))(proposed)
    assert np.isfinite(total) and np.isfinite(gradient).all()
    if case in ("no weights", "no final"):
        assert total == 0.0 and not np.any(gradient)


def test_the_blurred_loss_changes_smoothly_when_a_surface_passes_an_edge():
    """Its bound does not: a thin surface beside an edge is bounded by one interval or the other."""
    other, proposed = np.linspace(1.0, 2.0, 5), np.array([0.1, 0.8, 0.05, 0.05])

    def of(loss, place):
        edges = np.array([1.0, place - 0.001, place + 0.001, 2.0])
        histograms = (other, proposed), (edges, np.array([0.0, 0.9, 0.0]))
        return value(loss, *[tuple(np.float32(x) for x in h) for h in histograms])

    places = np.linspace(1.45, 1.55, 51)
    jump, smooth = (
        np.abs(np.diff([of(loss, place) for place in places])).max()
        for loss in (Interlevel(), AntialiasedInterlevel(radii=(0.1,)))
    )
    ends = [of(AntialiasedInterlevel(radii=(0.1,)), place) for place in (1.45, 1.55)]
    assert jump > 0.5
    assert smooth < 0.1 * abs(ends[1] - ends[0])


@EACH_LOSS
def test_a_model_that_cannot_have_the_loss_is_refused(loss):
    proposal, final = random_histogram(0, 6), random_histogram(1, 7)
    with pytest.raises(ConfigError, match="there is one stage"):
        loss(context_of(final))
    packed = context_of(proposal, final)
    layout = pack(np.zeros(7, int), 1)
    object.__setattr__(packed.renderings[1].intervals, "layout", layout)
    with pytest.raises(ConfigError, match="occupancy grid skips intervals"):
        loss(packed)


def test_there_is_one_radius_for_each_proposal():
    histograms = [random_histogram(seed, 6) for seed in range(3)]
    with pytest.raises(ConfigError, match="the model has 2 proposal stages"):
        AntialiasedInterlevel(radii=(0.1,))(context_of(*histograms))
