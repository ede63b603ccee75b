"""Fields keep their contract, whichever network they are, and shared parts do what they say."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.encodings.fourier import Fourier
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.spherical_harmonics import SphericalHarmonics
from nerf.fields import Samples
from nerf.fields.composed import Composed
from nerf.fields.image import ImageField
from nerf.fields.nerf import NeRFField
from nerf.foundation.instantiate import ConfigError
from nerf.networks.coordx import CoordX
from nerf.networks.kilonerf import KiloNeRF
from nerf.networks.layers import MLP, truncated_exp
from nerf.networks.relu import ReLU
from nerf.rendering.model import Model, Stage
from nerf.rendering.model_state import refresh_occupancy
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.stratified import UniformSteps

BATCHES = [(), (1,), (3, 1, 2)]


def nerf_field(dtype="float32", seed=0):
    return NeRFField(
        Fourier(4), Fourier(2), width=16, depth=4, skip=2, dtype=dtype, rngs=nnx.Rngs(seed)
    )


def ngp_field(dtype="float32", seed=0):
    grid = HashGrid(2, 2, 8, 4, 8, rngs=nnx.Rngs(seed))
    grid.table[...] = grid.table[...] * 1e4  # as after some training
    networks = (ReLU(16, depth, dtype=dtype) for depth in (1, 2))
    return Composed(grid, SphericalHarmonics(3), *networks, rngs=nnx.Rngs(seed))


def composed_field(dtype="float32", seed=0):
    return Composed(Fourier(4), Fourier(2), ReLU(16, 2, dtype=dtype), rngs=nnx.Rngs(seed))


FIELDS = pytest.mark.parametrize("make", [nerf_field, ngp_field, composed_field])


@functools.cache
def made(make, dtype="float32"):
    """The parts of a field, whose parameters are drawn once."""
    return nnx.split(make(dtype))


@jax.jit
def apply(field, points, viewdirs):
    return nnx.merge(*field)(Samples(points, viewdirs))


@functools.cache
def predict(make, dtype="float32"):
    """What a field says of `inputs((60,))`, and of the same points seen from behind."""
    points, viewdirs = inputs((60,))
    found = [apply(made(make, dtype), points, v) for v in (viewdirs, -viewdirs)]
    return jax.device_get(found)


def inputs(shape, seed=0):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(*shape, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    points = rng.uniform(-1, 1, (*shape, 3))
    return jnp.array(np.float32(points)), jnp.array(np.float32(directions))


@pytest.mark.long
@FIELDS
@pytest.mark.parametrize("shape", BATCHES)
def test_a_field_predicts_density_and_colour_of_every_point_alike_under_jit(make, shape):
    points, viewdirs = inputs((60,))
    count = int(np.prod(shape))
    given = (np.asarray(x)[:count].reshape(*shape, 3) for x in (points, viewdirs))
    got = jax.device_get(apply(made(make), *given))
    assert got["density"].shape == shape
    assert got["rgb"].shape == (*shape, 3)
    expected = predict(make)[0]
    np.testing.assert_allclose(got["density"].reshape(-1), expected["density"][:count], rtol=1e-4)
    np.testing.assert_allclose(got["rgb"].reshape(-1, 3), expected["rgb"][:count], rtol=1e-4)


@FIELDS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_densities_are_not_negative_and_colours_lie_between_0_and_1(make, dtype):
    field = nnx.merge(*made(make, dtype), copy=True)
    for layer in [layer for name, layer in nnx.iter_graph(field) if isinstance(layer, nnx.Linear)]:
        layer.kernel[...] = layer.kernel[...] * 3.0  # far from the tame start
    got = jax.device_get(apply(nnx.split(field), *inputs((60,))))
    assert got["density"].dtype == got["rgb"].dtype == np.float32
    assert (got["density"] >= 0).all()
    assert ((got["rgb"] >= 0) & (got["rgb"] <= 1)).all()
    assert np.ptp(got["rgb"]) > 0.5


@FIELDS
def test_colours_cost_nothing_where_density_alone_is_used(make):
    samples = Samples(*inputs((60,)))

    def density(field, samples):
        return nnx.merge(*field)(samples)["density"]

    alone, whole = jax.jit(density), jax.jit(lambda field, samples: nnx.merge(*field)(samples))
    expected = predict(make)[0]["density"]
    np.testing.assert_allclose(alone(made(make), samples), expected, rtol=1e-5)
    costs = [
        function.lower(made(make), samples).compile().cost_analysis()["flops"]
        for function in (alone, whole)
    ]
    assert costs[0] < 0.9 * costs[1]


@FIELDS
def test_colour_depends_on_where_one_looks_from_and_density_does_not(make):
    one, other = predict(make)
    np.testing.assert_array_equal(one["density"], other["density"])
    assert np.abs(one["rgb"] - other["rgb"]).max() > 1e-3


@FIELDS
def test_both_outputs_depend_on_the_point(make):
    points, viewdirs = inputs((60,))
    got = apply(made(make), points, np.broadcast_to(viewdirs[:1], viewdirs.shape))
    assert np.ptp(got["density"]) > 1e-2
    assert np.ptp(got["rgb"], axis=0).min() > 1e-2


@FIELDS
def test_bfloat16_is_float32_but_for_its_rounding(make):
    exact, rounded = (predict(make, dtype)[0] for dtype in ("float32", "bfloat16"))
    np.testing.assert_allclose(rounded["density"], exact["density"], rtol=0.1, atol=0.02)
    np.testing.assert_allclose(rounded["rgb"], exact["rgb"], atol=0.02)
    assert np.abs(rounded["rgb"] - exact["rgb"]).max() > 0  # it is not float32 by another name


@pytest.mark.long
@FIELDS
def test_gradients_reach_every_parameter_and_are_finite(make):
    points, viewdirs = inputs((60,))
    graph, params = made(make)

    def total(params):
        got = nnx.merge(graph, params)(Samples(points, viewdirs))
        return got["density"].sum() + jnp.square(got["rgb"]).sum()

    for gradient in jax.tree.leaves(jax.device_get(jax.jit(jax.grad(total))(params))):
        assert np.isfinite(gradient).all()
        assert (gradient != 0).any()


def test_the_encoded_point_enters_again_at_the_skip_layer():
    field = nnx.merge(*made(nerf_field), copy=True)
    points, viewdirs = inputs((60,))
    before_skip, skip = field.trunk.layers[1], field.trunk.layers[2]
    assert [layer.kernel.shape[0] for layer in field.trunk.layers] == [27, 16, 16 + 27, 16]
    before_skip.kernel[...] = jnp.zeros_like(before_skip.kernel[...])  # the only way left is around
    assert np.ptp(apply(nnx.split(field), points, viewdirs)["density"]) > 1e-3
    skip.kernel[...] = skip.kernel[...].at[16:].set(0.0)
    assert np.ptp(apply(nnx.split(field), points, viewdirs)["density"]) == 0.0


@pytest.mark.long
@pytest.mark.parametrize("skip", [(), (1,), (1, 2)])
def test_a_multilayer_perceptron_is_the_textbooks(skip):
    mlp = MLP([5, 7, 6, 2], skip=skip, rngs=nnx.Rngs(0))
    for i, layer in enumerate(mlp.layers):
        bias = np.linspace(-0.2, 0.1 * (i + 1), layer.bias.shape[0], dtype=np.float32)
        layer.bias[...] = jnp.array(bias)
    x = first = np.random.default_rng(0).normal(size=(10, 5))
    for i, layer in enumerate(mlp.layers):
        x = np.concatenate([x, first], -1) if i in skip else x
        x = x @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...])
        x = np.maximum(x, 0) if i < 2 else x
    np.testing.assert_allclose(jax.jit(mlp)(np.float32(first)), x, atol=1e-5)


@pytest.mark.parametrize("shape", BATCHES)
def test_truncated_exp_is_exp_and_its_own_slope_up_to_where_it_is_held(shape):
    x = np.float32(np.random.default_rng(0).uniform(-20, 15, shape))
    value, back = jax.jit(lambda x: jax.vjp(truncated_exp, x))(x)
    np.testing.assert_allclose(value, np.exp(x), rtol=1e-5)
    np.testing.assert_allclose(back(jnp.ones_like(value))[0], np.exp(x), rtol=1e-5)


@pytest.mark.parametrize("x", [15.0, 16.0, 100.0, 1e30])
def test_truncated_exp_is_finite_and_can_come_back_from_any_height(x):
    value, slope = jax.jit(jax.value_and_grad(truncated_exp))(jnp.float32(x))
    np.testing.assert_allclose([value, slope], [np.exp(15.0)] * 2, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("network", [CoordX(8, 3), ReLU(8, 2)], ids=["split", "plain"])
def test_density_on_a_lattice_is_the_density_at_its_points(network):
    field = Composed(Fourier(2), Fourier(2), network, rngs=nnx.Rngs(0))
    axes = [jnp.array(np.linspace(-0.9, 0.3 * n, n, dtype=np.float32)) for n in (2, 3, 4)]
    points = jnp.array(np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    got, expected = jax.jit(
        lambda: (field.on_lattice(axes)["density"], field(Samples(points, points))["density"])
    )()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("network, lattice", [(CoordX(8, 3), True), (ReLU(8, 2), False)])
def test_a_grid_is_refreshed_on_a_lattice_only_where_that_is_faster(network, lattice, monkeypatch):
    given = []
    monkeypatch.setattr(OccupancyGrid, "refresh", lambda self, *of: given.append(of))
    field = Composed(Fourier(2), Fourier(2), network, rngs=nnx.Rngs(0))
    stage = {"main": Stage(UniformSteps(4), field)}
    grid = OccupancyGrid(resolution=4)
    model = Model(stage, ("main",), occupancy=grid, max_samples_per_ray=4)
    refresh_occupancy(model, jnp.int32(0), jax.random.key(0))
    assert [on_lattice is not None for *_, on_lattice in given] == [lattice]


@pytest.mark.parametrize("shape", BATCHES)
def test_a_picture_is_a_colour_for_each_place(shape):
    @dataclasses.dataclass(frozen=True)
    class Doubled:
        num_features: int = 4

        def __call__(self, x):
            return jnp.concatenate([x, 2.0 * x], -1)

    field = ImageField(Doubled(), ReLU(8, 1), rngs=nnx.Rngs(0))
    points = jnp.array(np.random.default_rng(0).uniform(-1, 1, (*shape, 2)), jnp.float32)
    rgb = jax.jit(field)(Samples(points, jnp.ones((*shape, 3))))["rgb"]
    assert rgb.shape == (*shape, 3)
    raw = jax.jit(field.network)(np.concatenate([points, 2.0 * points], -1))
    np.testing.assert_allclose(rgb, 1.0 / (1.0 + np.exp(-np.asarray(raw))), rtol=1e-5)


def test_fields_refuse_a_network_that_cannot_use_their_encoding():
    with pytest.raises(ConfigError, match="KiloNeRF: incompatible with Fourier"):
        Composed(Fourier(4), Fourier(2), KiloNeRF(Fourier(2)), rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="CoordX: incompatible with HashGrid"):
        ImageField(HashGrid(1, 3, 6, 2, 4, rngs=nnx.Rngs(0)), CoordX(num_dims=2), rngs=nnx.Rngs(0))
