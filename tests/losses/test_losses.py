"""Losses: worked numbers, one a ray, summed over the stages."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.losses import Context, Target
from nerf.losses.depth import DepthError
from nerf.losses.distortion import Distortion
from nerf.losses.photometric import Charbonnier, SquaredError
from nerf.losses.silhouette import Silhouette
from nerf.rendering.compositing import (
    MIN_OPACITY,
    Dense,
    Intervals,
    Rendering,
    composite,
    opacity_logit,
)
from tests.support.layouts import pack

BATCHES = [(), (1,), (3, 1, 2)]


def rendering(rgb, depth=None):
    rgb = jnp.array(rgb, jnp.float32)
    nothing = jnp.array(np.zeros(rgb.shape[:-1], np.float32))
    everything = jnp.array(np.ones(rgb.shape[:-1], bool))
    return Rendering(rgb, nothing, nothing if depth is None else depth, {}, everything, None)


def zeros(*shape):
    return jnp.array(np.zeros(shape, np.float32))


def seen(stages, target):
    """Return the context of renderings alone, without a model, rays or keys."""
    return Context(None, None, stages, target, None)


def compiled(loss):
    """The loss as one program."""
    return jax.jit(lambda stages, target: loss(seen(stages, target)))


def test_squared_error_of_worked_numbers():
    target = Target(jnp.array([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]]))
    coarse, fine = (
        rendering([[0.6, 0.5, 0.3], [1.0, 0.0, 0.0]]),
        rendering([[0.5, 0.5, 0.5], [0.0, 0.0, 1.0]]),
    )
    # (0.1^2 + 0 + 0.2^2) / 3 + 0 and 0 + (1 + 0 + 1) / 3
    plain, weighted = compiled(SquaredError()), compiled(SquaredError(weight=3.0))
    np.testing.assert_allclose(plain([coarse, fine], target), [0.05 / 3, 2 / 3], rtol=1e-5)
    np.testing.assert_allclose(weighted([coarse], target), [0.05, 0.0], rtol=1e-5)


def test_charbonnier_of_worked_numbers():
    target = Target(zeros(2, 3))
    # sqrt(0.3^2 + 0.4^2 + 1.2^2) = 1.3, and eps where nothing differs
    stage = rendering([[0.3, 0.4, 0.0], [0.0, 0.0, 0.0]])
    wide, weighted = compiled(Charbonnier(eps=1.2)), compiled(Charbonnier(weight=2.0))
    np.testing.assert_allclose(wide([stage], target), [1.3, 1.2], rtol=1e-6)
    np.testing.assert_allclose(weighted([stage, stage], target), [2.000004, 0.004], rtol=1e-5)


@pytest.mark.parametrize("loss", [SquaredError(0.7), Charbonnier(0.7)])
@pytest.mark.parametrize("shape", BATCHES)
def test_a_loss_is_one_number_a_ray_for_any_batch_and_sums_over_stages(loss, shape):
    rng = np.random.default_rng(0)
    a, b, target = (jnp.array(rng.uniform(size=(*shape, 3)), jnp.float32) for _ in range(3))
    of = compiled(loss)
    got = of([rendering(a), rendering(b)], Target(target))
    assert got.shape == shape
    each = [np.asarray(of([rendering(x)], Target(target))) for x in (a, b)]
    np.testing.assert_allclose(got, sum(each), rtol=1e-5)


@pytest.mark.parametrize("loss", [SquaredError(), Charbonnier()])
def test_a_perfect_ray_has_the_least_loss_and_a_zero_gradient(loss):
    target = jnp.array([0.2, 0.4, 0.9])
    of = jax.jit(jax.value_and_grad(lambda rgb: loss(seen([rendering(rgb)], Target(target)))))
    best, slope = of(target)
    np.testing.assert_array_equal(slope, np.zeros(3))
    assert of(jnp.array(np.asarray(target) + np.float32(0.01)))[0] > best


def test_charbonnier_forgives_an_outlier():
    """Its slope is bounded by 1, where that of the squared error grows with the difference."""
    loss = compiled(Charbonnier())
    of = jax.jit(jax.grad(lambda rgb: loss([rendering(rgb)], Target(jnp.zeros(3)))))
    slope = of(np.full(3, 100.0, np.float32))
    np.testing.assert_allclose(np.linalg.norm(slope), 1.0, rtol=1e-4)


@functools.partial(jax.jit, static_argnames=("weight", "robust"))
def depth_loss(depth, known, **options):
    rgb = jnp.zeros((*depth.shape, 3))
    return DepthError(**options)(seen([rendering(rgb, depth)], Target(rgb, {"depth": known})))


def test_depth_error_of_worked_numbers():
    # sqrt((0.3 / 0.4)^2 + 1) - 1 = 0.25; sqrt((1.2 / 0.5)^2 + 1) - 1 = 1.6
    np.testing.assert_allclose(
        depth_loss(jnp.array([1.3]), jnp.array([1.0]), robust=0.4), [0.25], rtol=1e-5
    )
    np.testing.assert_allclose(
        depth_loss(jnp.array([0.8]), jnp.array([2.0]), robust=0.5, weight=2.0), [3.2], rtol=1e-5
    )


@pytest.mark.parametrize("shape", BATCHES)
def test_depth_teaches_only_where_it_is_known(shape):
    rng = np.random.default_rng(1)
    depth, known = (np.float32(rng.uniform(1, 2, shape)) for _ in range(2))
    some = np.where(np.arange(known.size).reshape(shape) % 2 == 0, np.float32(0.0), known)
    whole, part = depth_loss(depth, known), depth_loss(depth, some)
    assert part.shape == shape
    np.testing.assert_array_equal(part, np.where(some > 0, whole, 0.0))
    slope = np.asarray(jax.jit(jax.grad(lambda d: depth_loss(d, some).sum()))(depth))
    assert np.isfinite(slope).all() and (slope[some == 0] == 0).all()
    rgb = jnp.array(np.ones((*shape, 3), np.float32))
    np.testing.assert_array_equal(DepthError()(seen([rendering(rgb)], Target(rgb))), 0.0)


def test_depth_error_forgives_outliers():
    slope = jax.jit(jax.grad(lambda d: depth_loss(d, jnp.array(1.0), robust=0.1)))(50.0)
    np.testing.assert_allclose(slope, 10.0, rtol=1e-3)


@pytest.mark.long
def test_distortion_is_the_double_sum_of_its_equation_in_both_layouts():
    rng = np.random.default_rng(2)
    t = np.sort(rng.uniform(0.1, 9.0, (5, 8)), -1)
    w = rng.dirichlet(np.ones(8), 5)[:, :7]
    x = t / (1 + t)
    middle, length = 0.5 * (x[:, 1:] + x[:, :-1]), np.diff(x)
    pairs = w[:, :, None] * w[:, None] * np.abs(middle[:, :, None] - middle[:, None])
    wanted = 0.3 * (pairs.sum((1, 2)) + (w**2 * length).sum(-1) / 3)

    def loss(*intervals):
        found = dataclasses.replace(
            rendering(np.zeros((5, 3))),
            intervals=Intervals(*jax.tree.map(jnp.asarray, intervals)),
        )
        return compiled(Distortion(0.3))([found], Target(zeros(5, 3)))

    given = [np.float32(v) for v in (w, t[:, :-1], t[:, 1:])]
    np.testing.assert_allclose(loss(*given, Dense()), wanted, rtol=1e-5)
    packed = pack(np.repeat(np.arange(5), 7), 5)
    np.testing.assert_allclose(loss(*(v.reshape(-1) for v in given), packed), wanted, rtol=1e-5)


def test_distortion_is_least_where_one_thin_interval_is_seen():
    start, end = (jnp.array(ends) for ends in ([1.0, 1.01, 1.5], [1.01, 1.5, 2.0]))
    loss = compiled(Distortion())

    def of(w):
        intervals = Intervals(jnp.array(w), start, end, Dense())
        found = dataclasses.replace(rendering(zeros(3)), intervals=intervals)
        return float(loss([found], Target(zeros(3))))

    assert 0 < of([1.0, 0.0, 0.0]) < of([0.5, 0.5, 0.0]) < of([0.5, 0.0, 0.5])
    assert of([0.0, 0.0, 0.0]) == 0


def test_depth_error_is_quadratic_up_to_a_tenth_of_a_unit_unless_told_otherwise():
    # sqrt((0.075 / 0.1)^2 + 1) - 1 = 0.25
    np.testing.assert_allclose(depth_loss(jnp.array([1.075]), jnp.array([1.0])), [0.25], rtol=1e-4)


@pytest.mark.parametrize("shape", BATCHES)
def test_a_batch_without_depth_has_a_loss_of_0_for_each_ray(shape):
    rgb = jnp.array(np.ones((*shape, 3), np.float32))
    got = DepthError()(seen([rendering(rgb)], Target(rgb)))
    assert got.shape == shape and not np.any(got)


@pytest.mark.parametrize("empty_only", [False, True])
def test_silhouettes_of_a_volume_are_the_cross_entropy_of_its_opacity(empty_only):
    alpha, tau = np.float32([0.0, 0.0, 1.0, 0.3]), np.float32([0.4, 30.0, 0.4, 2.0])
    ends = [jnp.zeros((4, 1)), jnp.ones((4, 1))]

    def losses(tau):
        quantities = {"rgb": jnp.zeros((4, 1, 3))}
        found = composite(quantities, tau[:, None], *ends, jnp.ones((4, 3)))
        loss = Silhouette(2.0, empty_only=empty_only)
        return loss(seen([found], Target(zeros(4, 3), {"alpha": jnp.array(alpha)})))

    opacity = -np.expm1(-tau.astype(float))
    wanted = -alpha * np.log(opacity) + (1.0 - alpha) * tau
    if empty_only:
        wanted[2:] = 0.0
    np.testing.assert_allclose(jax.jit(losses)(jnp.array(tau)), 2.0 * wanted, rtol=1e-5)
    # An opaque ray that should be empty is pulled as strongly as any other.
    slopes = jax.jit(jax.grad(lambda tau: losses(tau).sum()))(jnp.array(tau))
    np.testing.assert_allclose(slopes[:2], 2.0, rtol=1e-5)
    assert slopes[2] == 0.0 if empty_only else slopes[2] < -2.0


@pytest.mark.parametrize("tau", [0.0, 1e-30, 1e-3, 1e4, 1e30])
def test_the_logit_of_an_opacity_has_a_finite_slope(tau):
    slope = jax.jit(jax.grad(opacity_logit))(tau)
    assert 0.0 <= slope < 1.1 / MIN_OPACITY and np.isfinite(opacity_logit(jnp.float32(tau)))


def test_silhouettes_without_alpha_are_0_for_each_ray():
    black = zeros(3, 2, 3)
    got = Silhouette(required=False)(seen([rendering(black)], Target(black)))
    assert got.shape == (3, 2) and not np.any(got)


def test_distortion_of_one_interval_from_the_camera_on():
    """A third of 0.6^2 / 2, of the last stage alone.

    From t = 0 to 1, that is x = 0 to 1/2, with weight 0.6.
    """
    intervals = Intervals(jnp.array([0.6]), jnp.array([0.0]), jnp.array([1.0]), Dense())
    found, black = (
        dataclasses.replace(rendering(zeros(3)), intervals=intervals),
        rendering(zeros(3)),
    )
    loss = compiled(Distortion())
    for stages in ([found], [black, black, found]):
        np.testing.assert_allclose(loss(stages, Target(zeros(3))), 0.06, rtol=1e-6)
