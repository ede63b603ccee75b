"""Fields with a surface: the sphere that they begin with, gradients, and the eikonal loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.annealing import Shrinking, set_progress
from nerf.encodings.fourier import Fourier
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.identity import Identity
from nerf.encodings.integrated import Integrated
from nerf.fields import Samples
from nerf.fields.surface import SurfaceField
from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context, Target
from nerf.losses.eikonal import Eikonal
from nerf.networks.relu import ReLU
from nerf.networks.siren import Siren
from nerf.rendering.compositing import Dense, Intervals, Rendering
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import UniformSteps
from tests.support.layouts import pack


def grid_field(**options):
    grid = HashGrid(2, 2, 10, 4, 8, simplex=False, rngs=nnx.Rngs(0))
    return SurfaceField(grid, Fourier(2), ReLU(16, 1), rngs=nnx.Rngs(1), **options)


def smooth_field(**options):
    network = Siren(16, 2, omega=3.0)
    return SurfaceField(Identity(), Fourier(2), network, rngs=nnx.Rngs(1), **options)


def places(count=64, seed=0):
    rng = np.random.default_rng(seed)
    points, directions = rng.uniform(-0.9, 0.9, (count, 3)), rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return Samples(jnp.array(points, jnp.float32), jnp.array(directions, jnp.float32))


@pytest.mark.parametrize("quantity, sign", [("sdf", 1.0), ("logit", -1.0)])
@pytest.mark.parametrize("spacing", [None, 0.01])
def test_a_field_with_an_untrained_table_is_a_sphere(quantity, sign, spacing):
    field = grid_field(quantity=quantity, radius=0.4, scale=2.0, spacing=spacing)
    samples = places()
    got = jax.jit(field)(samples)
    points = np.asarray(samples.points)
    norm = np.linalg.norm(points, axis=-1)
    np.testing.assert_allclose(got[quantity], sign * 2.0 * (norm - 0.4), atol=2e-3)
    np.testing.assert_allclose(got["normals"], points / norm[:, None], atol=0.03)
    np.testing.assert_allclose(got["gradient"], sign * 2.0 * points / norm[:, None], atol=0.05)
    derived = {quantity, "gradient"} | ({"laplacian"} if spacing else set())
    assert set(got) == {*derived, "normals", "rgb"}


@pytest.mark.parametrize("radius", [0.0, 0.4])
def test_an_unsigned_distance_begins_as_that_of_a_point_or_sphere(radius):
    field = grid_field(quantity="udf", radius=radius)
    samples = places(200)
    got = jax.jit(field)(samples)
    norm = np.linalg.norm(samples.points, axis=-1)
    assert (np.asarray(got["udf"]) >= 0).all() and set(got) == {"udf", "gradient", "normals", "rgb"}
    np.testing.assert_allclose(got["udf"], np.abs(norm - radius), atol=2e-3)
    # Normals point away from the surface on both of its sides.
    away = (np.sign(norm - radius) / norm)[:, None] * samples.points
    clear = np.abs(norm - radius) > 0.02
    np.testing.assert_allclose(got["normals"][clear], away[clear], atol=0.03)


def test_an_unsigned_distance_has_finite_gradients_on_its_surface_and_inside():
    network = Siren(16, 2, omega=3.0)
    field = SurfaceField(Identity(), Fourier(2), network, quantity="udf", rngs=nnx.Rngs(1))
    points = jnp.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])

    def total(points):
        return sum(x.sum() for x in field(Samples(points, jnp.ones_like(points))).values())

    assert np.isfinite(jax.jit(jax.grad(total))(points)).all()


@pytest.mark.parametrize("gain", [0.0, 0.1, 3.0])
def test_the_gain_is_a_factor_on_what_the_network_adds_to_the_sphere(gain):
    samples = places()
    sphere = np.linalg.norm(samples.points, axis=-1) - 0.5
    one, other = (jax.jit(smooth_field(gain=g))(samples) for g in (1.0, gain))
    added = np.asarray(one["sdf"]) - sphere
    assert np.abs(added).max() > 0.05
    np.testing.assert_allclose(np.asarray(other["sdf"]) - sphere, gain * added, atol=1e-6)


def test_a_small_gain_slows_the_surface_down_and_not_the_colour():
    """One step of equal size for each parameter, as Adam takes, moves the surface by the gain."""
    samples = places(200)

    def moved(gain):
        """Return how far a step of 1e-3 moves the distance and the colour, on average."""
        graph, state = nnx.split(smooth_field(gain=gain))

        @jax.jit
        def change(state):
            quantities = nnx.merge(graph, state)(samples)
            slope = jax.grad(lambda s: nnx.merge(graph, s)(samples)["sdf"].sum())(state)
            towards = jax.tree.map(lambda p, g: p + 1e-3 * jnp.sign(g), state, slope)
            after = nnx.merge(graph, towards)(samples)
            return [jnp.abs(after[name] - quantities[name]).mean() for name in ("sdf", "rgb")]

        return [float(x) for x in change(state)]

    (far, colour), (near, same) = moved(1.0), moved(0.1)
    np.testing.assert_allclose(near, 0.1 * far, rtol=1e-3)
    assert same > 0.5 * colour


def test_the_spacing_may_follow_training_progress():
    field = smooth_field(spacing=Shrinking(0.2, 0.002, end=0.5))
    samples = places()
    exact = np.asarray(jax.jit(smooth_field())(samples)["gradient"])
    graph, state = nnx.split(field)
    errors = []
    for progress in (0.0, 0.25, 0.5):
        field = nnx.merge(graph, state)
        set_progress(field, jnp.array(progress))
        got = nnx.jit(lambda field: field(samples)["gradient"])(field)
        errors.append(np.abs(np.asarray(got) - exact).max())
    assert errors[0] > 5 * errors[1] > 25 * errors[2], errors


@pytest.mark.parametrize("spacing", [None, 1e-3])
def test_the_gradient_is_that_of_the_quantity(spacing):
    field = smooth_field(spacing=spacing)
    samples, h = places(), 1e-2
    value = jax.jit(lambda points: field(Samples(points, points))["sdf"])

    def at(offset):
        return np.asarray(value(jnp.array(np.asarray(samples.points) + np.float32(offset))))

    expected = np.stack([(at(x) - at(-x)) / (2 * h) for x in h * np.eye(3)], -1)
    np.testing.assert_allclose(jax.jit(field)(samples)["gradient"], expected, atol=5e-3)


def test_the_colour_depends_on_normal_and_direction():
    field, samples = smooth_field(), places()
    rgb = jax.jit(lambda samples: field(samples)["rgb"])
    other = Samples(samples.points, -samples.viewdirs)
    assert np.abs(rgb(samples) - rgb(other)).max() > 1e-3


def test_a_colour_without_normals_costs_no_gradient():
    """The compiler leaves out the gradient, which would run the network backwards."""

    def work(reads_normals):
        field = smooth_field(reads_normals=reads_normals)
        rgb = jax.jit(lambda samples: field(samples)["rgb"]).lower(places()).compile()
        return rgb.cost_analysis()["flops"]

    # The three inputs of the colour network alone are 3 % of the work.
    assert work(False) < 0.9 * work(True)
    field, samples = smooth_field(reads_normals=False), places()
    got = jax.jit(field)(samples)
    np.testing.assert_allclose(np.linalg.norm(got["normals"], axis=-1), 1.0, rtol=1e-4)


def test_a_field_at_the_centre_of_its_sphere_has_finite_gradients():
    def total(points):
        got = smooth_field()(Samples(points, jnp.ones_like(points)))
        return sum(x.sum() for x in got.values())

    assert np.isfinite(jax.grad(total)(jnp.zeros((2, 3)))).all()


def test_unusable_parts_are_refused():
    with pytest.raises(ConfigError, match="quantity: sfd: did you mean 'sdf'"):
        smooth_field(quantity="sfd")
    with pytest.raises(ConfigError, match="takes Gaussians"):
        SurfaceField(Integrated(Fourier(2)), Fourier(2), ReLU(8, 1), rngs=nnx.Rngs(0))


def seen_with(gradient, lengths):
    t = jnp.concatenate([jnp.zeros((len(lengths), 1)), jnp.cumsum(lengths, -1)], -1)
    zeros = jnp.zeros(lengths.shape)
    intervals = Intervals(zeros, t[:, :-1], t[:, 1:], Dense(), None, {"gradient": gradient})
    nothing, whole = jnp.zeros(len(lengths)), jnp.ones(len(lengths), bool)
    rendering = Rendering(jnp.zeros((len(lengths), 3)), nothing, nothing, {}, whole, intervals)
    return Context(None, None, [rendering], Target(jnp.zeros((len(lengths), 3))), None)


def test_the_eikonal_loss_of_worked_numbers():
    gradient = jnp.array([[[3.0, 4.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 2.0], [9.0, 9.0, 9.0]]])
    lengths = jnp.array([[0.1, 0.1], [0.1, 0.0]])
    # ((5 - 1)^2 + 0) / 2, and (2 - 1)^2 of the one interval that was evaluated
    np.testing.assert_allclose(Eikonal(0.5)(seen_with(gradient, lengths)), [4.0, 0.5], rtol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_the_eikonal_loss_of_a_drawn_interval_is_on_average_that_of_all(packed):
    rng = np.random.default_rng(0)
    count, copies = np.array([3, 0, 1, 4]), 3000
    points = rng.uniform(-1.0, 1.0, (4, 4, 3)).astype(np.float32)
    used = np.arange(4) < count[:, None]
    error = np.where(used, (np.linalg.norm(points, axis=-1) - 1.0) ** 2, 0.0)
    expected = error.sum(-1) / np.maximum(count, 1)
    points, used = np.tile(points, (copies, 1, 1)), np.tile(used, (copies, 1))
    layout = Dense()
    if packed:
        # Of the buffer, the last eleven slots are not used.
        ray = np.append(np.repeat(np.arange(len(used)), 4)[used.reshape(-1)], [len(used) - 1] * 11)
        points = np.append(points[used], np.full((11, 3), 9.0, np.float32), 0)
        used = np.arange(len(ray)) < len(ray) - 11
        layout = pack(ray, 4 * copies)
    start = jnp.zeros(used.shape)
    samples = Samples(jnp.array(points), jnp.array(points))
    known = Intervals(start, start, jnp.array(used, jnp.float32), layout, samples)
    nothing, whole = jnp.zeros(4 * copies), jnp.ones(4 * copies, bool)
    rendering = Rendering(None, nothing, nothing, {}, whole, known)

    # The gradient of this field is the point itself.
    def field(samples):
        return {"density": samples.points[..., 0], "gradient": samples.points}

    model = Model({"main": Stage(UniformSteps(4), field)}, ("main",))
    rays = Rays(*[jnp.zeros((4 * copies, 3))] * 3)
    keys = jax.random.split(jax.random.key(0), 4 * copies)
    context = Context(model, rays, [rendering], Target(jnp.zeros((4 * copies, 3))), keys)
    got = np.asarray(jax.jit(lambda: Eikonal(2.0, drawn=True)(context))()).reshape(copies, 4)
    np.testing.assert_allclose(got.mean(0), 2.0 * expected, atol=0.03)
    # Every interval is drawn, and no other error appears.
    for mine, true in zip(got.T, 2.0 * error, strict=True):
        assert set(np.round(mine, 4)) <= set(np.round(true, 4).astype(np.float32)) | {0.0}
    assert (got[:, 1] == 0.0).all()


def test_the_eikonal_loss_has_a_finite_gradient_where_the_distance_is_flat():
    lengths = jnp.ones((1, 2))
    loss = jax.grad(lambda gradient: Eikonal()(seen_with(gradient, lengths)).sum())
    assert np.isfinite(loss(jnp.zeros((1, 2, 3)))).all()
