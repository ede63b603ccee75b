"""Losses that make surfaces smooth: their values on spheres and planes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.identity import Identity
from nerf.fields import Samples
from nerf.fields.surface import SurfaceField
from nerf.foundation.instantiate import ConfigError
from nerf.geometry.neus import NeuS
from nerf.losses import Context, Target
from nerf.losses.curvature import Curvature
from nerf.losses.smoothness import NormalSmoothness
from nerf.networks.softplus import Softplus
from nerf.rendering.compositing import Dense, Intervals, Packed, Rendering
from nerf.rendering.model import Model, Stage
from nerf.rendering.surface import Surface
from nerf.sampling.stratified import UniformSteps
from tests.support.layouts import pack

SPHERE = pytest.mark.parametrize("radius", [0.3, 0.6])


def quantities_at(field, points):
    """The quantities of a field, compiled."""
    return jax.jit(lambda points: field(Samples(points, points)))(points)


def sphere_field(radius=0.5, **options):
    """A field that is the exact distance of a sphere, since its network counts for nothing."""
    network = Softplus(8, 1)
    options = {"radius": radius, "gain": 0.0, **options}
    return SurfaceField(Identity(), Identity(), network, rngs=nnx.Rngs(0), **options)


def seen_with(laplacian, lengths, layout):
    """A context of two rays of two intervals each."""
    t = jnp.concatenate([jnp.zeros((2, 1)), jnp.cumsum(lengths, -1)], -1)
    values = [jnp.zeros((2, 2)), t[:, :-1], t[:, 1:], laplacian]
    if isinstance(layout, Packed):
        values = [x.reshape(-1) for x in values]
    intervals = Intervals(*values[:3], layout, None, {"laplacian": values[3]})
    nothing, whole = jnp.zeros(2), jnp.ones(2, bool)
    rendering = Rendering(jnp.zeros((2, 3)), nothing, nothing, {}, whole, intervals)
    return Context(None, None, [rendering], Target(jnp.zeros((2, 3))), None)


@pytest.mark.parametrize("layout", [Dense(), pack([0, 0, 1, 1], 2)])
def test_the_curvature_loss_of_worked_numbers(layout):
    laplacian = jnp.array([[3.0, -5.0], [2.0, 9.0]])
    lengths = jnp.array([[0.1, 0.1], [0.1, 0.0]])
    # (3 + 5) / 2, and 2 of the one interval that was evaluated
    got = Curvature(0.5)(seen_with(laplacian, lengths, layout))
    np.testing.assert_allclose(got, [2.0, 1.0], rtol=1e-6)


@SPHERE
def test_the_laplacian_of_a_sphere_is_twice_its_mean_curvature(radius):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(100, 3))
    points *= radius / np.linalg.norm(points, axis=-1, keepdims=True)
    points = jnp.array(points, jnp.float32)
    got = quantities_at(sphere_field(radius, spacing=0.01), points)["laplacian"]
    np.testing.assert_allclose(got, 2.0 / radius, rtol=0.02, atol=0.02)
    assert "laplacian" not in quantities_at(sphere_field(radius), points)


def test_the_laplacian_of_a_plane_is_0_and_that_of_a_paraboloid_that_of_its_equation():
    points = jnp.array(np.random.default_rng(1).uniform(-0.9, 0.9, (50, 3)), jnp.float32)

    def laplacian(level):
        field = sphere_field(spacing=0.02)
        field._level = lambda x: (level(x), jnp.zeros((*x.shape[:-1], 15)))
        return quantities_at(field, points)["laplacian"]

    flat = laplacian(lambda x: x @ jnp.array([0.6, 0.0, 0.8]) - 0.2)
    np.testing.assert_allclose(flat, 0.0, atol=2e-3)
    bent = laplacian(lambda x: jnp.square(x) @ jnp.array([1.0, 2.0, -0.5]))
    np.testing.assert_allclose(bent, 5.0, atol=0.02)


def model_of(field):
    stage = {"main": Stage(UniformSteps(64), field)}
    return Model(stage, ["main"], geometry=NeuS(), renderer=Surface())


def loss_of(loss, model, offsets):
    """The loss of rays that look down at given distances from the axis, and their keys."""
    offsets = np.asarray(offsets, np.float32)
    origins = np.stack([offsets, 0 * offsets, 0 * offsets + 2.0], -1)
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), origins.shape)
    rays, white = Rays(jnp.array(origins), down, down), jnp.ones(origins.shape)
    keys = jax.random.split(jax.random.key(0), len(offsets))

    @jax.jit
    def compiled(rays):
        return loss(Context(model, rays, model(rays, white), Target(white), keys))

    return compiled(rays), keys


def test_the_curvature_loss_needs_a_field_with_a_spacing():
    with pytest.raises(ConfigError, match="losses.curvature: .* give the field a spacing"):
        loss_of(Curvature(), model_of(sphere_field()), [0.0])
    got, _ = loss_of(Curvature(1.0), model_of(sphere_field(0.5, spacing=0.01)), [0.0])
    np.testing.assert_allclose(got, [4.0], rtol=0.02)


@SPHERE
def test_normals_near_a_point_of_a_sphere_differ_by_their_angle(radius):
    loss = NormalSmoothness(1.0, radius=0.05)
    got, keys = loss_of(loss, model_of(sphere_field(radius)), [0.0, 0.1, 0.2, 0.8])
    x = np.array([0.0, 0.1, 0.2])
    points = np.stack([x, 0 * x, np.sqrt(radius**2 - x**2)], -1)
    shift = jax.vmap(lambda key: jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0))
    near = points + 0.05 * np.asarray(shift(keys))[:3]
    normals, others = (p / np.linalg.norm(p, axis=-1, keepdims=True) for p in (points, near))
    angle = np.arccos((normals * others).sum(-1))
    np.testing.assert_allclose(got[:3], 2.0 * np.sin(angle / 2.0), rtol=1e-3)
    assert got[3] == 0.0, "a ray beside the sphere has no surface"
    assert (np.asarray(got[:3]) > 0.005).all()


def test_the_normals_of_a_plane_do_not_differ():
    def plane(samples):
        up = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), samples.means.shape)
        return {"sdf": samples.means[..., 2], "gradient": up, "normals": up, "rgb": 0.5 + 0.0 * up}

    got, _ = loss_of(NormalSmoothness(1.0, radius=0.1), model_of(plane), [0.0, 0.3])
    np.testing.assert_allclose(got, 0.0, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("loss", [Curvature(1.0), NormalSmoothness(1.0)])
def test_gradients_are_finite_and_reach_the_network(loss):
    field = sphere_field(0.5, gain=1.0, spacing=0.01)
    graph, state = nnx.split(field)

    def total(state):
        return loss_of(loss, model_of(nnx.merge(graph, state)), [0.0, 0.3, 0.9])[0].sum()

    slopes = jax.tree.leaves(jax.jit(jax.grad(total))(state))
    assert all(np.isfinite(x).all() for x in slopes)
    assert any(np.abs(x).max() > 0 for x in slopes)


@pytest.mark.long
def test_normals_that_are_equal_have_a_finite_gradient():
    """The length of a difference has none at 0, as between points of a plane."""

    def total(tilt):
        def plane(samples):
            normal = jnp.stack([jnp.sin(tilt), 0.0 * tilt, jnp.cos(tilt)])
            normals = jnp.broadcast_to(normal, samples.means.shape)
            sdf = (samples.means * normals).sum(-1)
            return {"sdf": sdf, "gradient": normals, "normals": normals, "rgb": 0.5 + 0.0 * normals}

        return loss_of(NormalSmoothness(1.0), model_of(plane), [0.0, 0.3])[0].sum()

    assert np.isfinite(jax.grad(total)(0.1))
