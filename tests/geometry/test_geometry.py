"""Kinds of geometry: their formulas, what a sphere looks like through each, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.annealing import Shrinking, set_progress
from nerf.fields import Samples
from nerf.geometry import Geometry, WithSurface
from nerf.geometry.density import VolumeDensity
from nerf.geometry.neus import NeuS
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.signed_distance import SignedDistance
from nerf.geometry.volsdf import VolSDF
from nerf.rendering.compositing import Dense
from nerf.rendering.intervals import sample_intervals
from nerf.rendering.model import Model, Stage
from nerf.sampling.spaces import Box, Contracted
from nerf.sampling.stratified import UniformSteps

RADIUS = 0.5
SHARP = {
    "NeuS": lambda: NeuS(sharpness=2000.0),
    "VolSDF": lambda: VolSDF(beta=0.002),
    "Occupancy": Occupancy,
    "SignedDistance": SignedDistance,
}


def samples_of(steps):
    """Intervals with given steps, at places that make no difference."""
    steps = jnp.asarray(steps, jnp.float32)
    nowhere = jnp.zeros_like(steps)
    return Samples(nowhere, nowhere, jnp.linalg.norm(steps, axis=-1), steps)


def sphere(samples):
    """The signed distance of a sphere, or a steep logit of its inside, and normals as colours."""
    points = samples.means
    norm = jnp.linalg.norm(points, axis=-1)
    normals = points / norm[..., None]
    sdf = norm - RADIUS
    return {
        "sdf": sdf,
        "logit": -1000.0 * sdf,
        "gradient": normals,
        "rgb": 0.5 + 0.5 * normals,
    }


def through_centre():
    """Rays that meet the sphere, at the distance 1.5, or pass it."""
    origins = jnp.array([[0.0, 0.0, 2.0], [0.7, 0.0, 2.0]])
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (2, 3))
    return Rays(origins, down, down)


@pytest.mark.parametrize("name", SHARP)
def test_a_sphere_is_opaque_where_it_begins_and_nothing_beside_it(name):
    model = Model({"main": Stage(UniformSteps(400), sphere)}, ["main"], geometry=SHARP[name]())
    seen = jax.jit(lambda rays: model(rays, jnp.zeros((2, 3)))[-1])(through_centre())
    np.testing.assert_allclose(seen.opacity, [1.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(seen.depth[0], 1.5, atol=0.01)
    np.testing.assert_allclose(seen.rgb[0], [0.5, 0.5, 1.0], atol=0.02)
    assert "gradient" not in seen.extras, "what is hidden is not composited"


@pytest.mark.parametrize("name", SHARP)
def test_a_surface_has_a_level_that_is_positive_inside(name):
    geometry = SHARP[name]()
    assert isinstance(geometry, WithSurface)
    inside, outside = (sphere(Samples(x, x)) for x in (jnp.full((1, 3), v) for v in (0.1, 0.5)))
    assert geometry.level(inside) > 0 > geometry.level(outside)


def test_fog_has_no_surface():
    assert isinstance(VolumeDensity(), Geometry) and not isinstance(VolumeDensity(), WithSurface)


def test_an_occupancy_is_the_opacity_of_an_interval():
    logit = jnp.array([-30.0, -2.0, 0.0, 3.0, 30.0, 200.0])
    tau = Occupancy()({"logit": logit}, samples_of(np.ones((6, 3))))
    np.testing.assert_allclose(-np.expm1(-tau), 1 / (1 + np.exp(-np.float64(logit))), rtol=1e-5)
    assert float(tau[-1]) == 200.0, "an opacity of nearly 1 keeps its digits"
    np.testing.assert_allclose(Occupancy(0.5).density({"logit": logit}), 2.0 * tau, rtol=1e-6)


def test_neus_is_the_relative_fall_of_the_logistic_distribution_of_both_ends():
    rng = np.random.default_rng(0)
    sdf, steps = rng.uniform(-0.2, 0.2, 50), rng.normal(0.0, 0.05, (50, 3))
    gradient = rng.normal(size=(50, 3))
    change = np.minimum((gradient * steps).sum(-1), 0.0)
    start, end = (1 / (1 + np.exp(-20.0 * (sdf + half * change))) for half in (-0.5, 0.5))
    expected = np.maximum((start - end) / start, 0.0)
    quantities = {"sdf": jnp.array(sdf, jnp.float32), "gradient": jnp.array(gradient, jnp.float32)}
    tau = NeuS(sharpness=20.0)(quantities, samples_of(steps))
    np.testing.assert_allclose(-np.expm1(-np.float64(tau)), expected, atol=2e-6)
    assert (expected[change == 0] == 0).all() and (change == 0).any()


def test_neus_keeps_its_digits_deep_inside():
    """Phi is 0 there in float32, and its logarithm falls by sharpness times distance."""
    quantities = {"sdf": jnp.array([-5.0]), "gradient": jnp.array([[0.0, 0.0, 1.0]])}
    tau = NeuS(sharpness=1000.0)(quantities, samples_of([[0.0, 0.0, -0.01]]))
    np.testing.assert_allclose(tau, [10.0], rtol=1e-3)


def test_volsdf_is_the_distribution_of_laplace():
    sdf = np.array([-0.5, -0.1, 0.0, 0.1, 0.5])
    beta = 0.1
    expected = np.where(sdf >= 0, 0.5 * np.exp(-sdf / beta), 1 - 0.5 * np.exp(sdf / beta)) / beta
    geometry, quantities = VolSDF(beta), {"sdf": jnp.array(sdf, jnp.float32)}
    np.testing.assert_allclose(geometry.density(quantities), expected, rtol=1e-4)
    tau = geometry(quantities, samples_of(np.full((5, 3), 0.1)))
    np.testing.assert_allclose(tau, expected * 0.1 * np.sqrt(3), rtol=1e-4)


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("sdf", [-2.0, -1e-3, 0.0, 1e-3, 2.0])
def test_gradients_are_finite_on_both_sides(name, sdf):
    geometry = SHARP[name]()

    def total(sdf):
        quantities = {
            "sdf": sdf,
            "logit": -1000.0 * sdf,
            "gradient": jnp.array([[0.0, 0.0, 1.0]]),
        }
        return geometry(quantities, samples_of([[0.0, 0.0, -0.02]])).sum()

    value, slope = jax.jit(jax.value_and_grad(total))(jnp.array([sdf]))
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_the_width_of_volsdf_may_follow_training_progress_and_is_then_not_learned():
    geometry = VolSDF(Shrinking(0.1, 0.001, end=1.0))
    assert not jax.tree.leaves(nnx.state(geometry, nnx.Param))
    assert len(jax.tree.leaves(nnx.state(VolSDF(0.1), nnx.Param))) == 1
    quantities = {"sdf": jnp.array([-0.02, 0.0, 0.02], jnp.float32)}
    for progress, width in ((0.0, 0.1), (0.5, 0.01), (1.0, 0.001)):
        set_progress(geometry, jnp.array(progress))
        expected = VolSDF(width, min_beta=0.0).density(quantities)
        np.testing.assert_allclose(geometry.density(quantities), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["NeuS", "VolSDF"])
def test_a_grid_is_told_a_density_that_no_direction_exceeds(name):
    rng = np.random.default_rng(1)
    sdf = jnp.array(rng.uniform(-0.02, 0.02, 200), jnp.float32)
    gradient = rng.normal(size=(200, 3))
    gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True)
    quantities = {"sdf": sdf, "gradient": jnp.array(gradient, jnp.float32)}
    short = 1e-4
    geometry = {"NeuS": NeuS(200.0), "VolSDF": VolSDF(0.01)}[name]
    bound = np.asarray(geometry.density(quantities))
    against, across = (
        np.asarray(geometry(quantities, samples_of(short * direction))) / short
        for direction in (-gradient, np.roll(gradient, 1, axis=-1))
    )
    np.testing.assert_allclose(against, bound, rtol=0.03, atol=0.1)
    assert (across <= bound * 1.03 + 0.1).all()


@pytest.mark.parametrize("space", [Box(), Contracted()])
def test_the_step_of_an_interval_leads_from_its_start_to_its_end_in_the_box(space):
    origins = jnp.array([[0.2, -0.1, 0.3], [2.0, 1.0, -0.5]])
    directions = jnp.array([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]])
    start = jnp.array([[0.2, 1.5], [0.1, 4.0]])
    end = start + 0.01
    rays = Rays(origins, directions, directions)
    samples = sample_intervals(space, sphere, rays, start, end, Dense())
    ends = [space.warp(origins[:, None] + t[..., None] * directions[:, None]) for t in (start, end)]
    np.testing.assert_allclose(samples.steps, ends[1] - ends[0], atol=1e-5)
