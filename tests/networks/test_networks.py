"""Networks keep their contract and compute what their papers say.

They refuse the encodings that they cannot use.
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.encodings.fourier import Fourier
from nerf.encodings.hash_grid import HashGrid
from nerf.encodings.identity import Identity
from nerf.encodings.spherical_harmonics import SphericalHarmonics
from nerf.foundation.instantiate import ConfigError
from nerf.networks import connect
from nerf.networks.bacon import Bacon
from nerf.networks.blobs import Blobs, LocalBlobs
from nerf.networks.coordx import CoordX, is_separable, split_axes
from nerf.networks.cppn import CPPN
from nerf.networks.finer import Finer
from nerf.networks.gaussian_activation import Gaussian
from nerf.networks.imnet import IMNet
from nerf.networks.kilonerf import KiloNeRF, blocks_by_cell
from nerf.networks.layers import bfloat16_product
from nerf.networks.local_codes import DeepLocalShapes, LocalImplicitGrid
from nerf.networks.relu import ReLU
from nerf.networks.siren import Siren
from nerf.networks.softplus import Softplus
from nerf.networks.wire import Wire


@dataclasses.dataclass(frozen=True)
class Waves:
    """An encoding for these tests: the point and the sine of three times it."""

    num_dims: int

    @property
    def num_features(self):
        return 2 * self.num_dims

    def __call__(self, x):
        return jnp.concatenate([x, jnp.sin(3.0 * x)], -1)


NETWORKS = {
    "relu": lambda d: ReLU(10, 2, skip=[1]),
    "siren": lambda d: Siren(10, 2, omega=7.0),
    "softplus": lambda d: Softplus(10, 2, beta=5.0),
    "gaussian": lambda d: Gaussian(10, 2, scale=3.0),
    "wire": lambda d: Wire(7, 2, omega=5.0, scale=2.0),
    "finer": lambda d: Finer(10, 2, omega=7.0),
    "cppn": lambda d: CPPN(11, 2),
    "bacon": lambda d: Bacon(10, [1, 2, 3]),
    "imnet": lambda d: IMNet([10, 8]),
    "coordx product": lambda d: CoordX(10, 3, split=2, rank=3, num_dims=d),
    "coordx split once": lambda d: CoordX(10, 3, split=1, rank=3, num_dims=d),
    "coordx sum": lambda d: CoordX(10, 3, split=2, rank=3, product=False, num_dims=d),
    "kilonerf": lambda d: KiloNeRF(Waves(d), resolution=2, width=6, block=4),
    "deep local shapes": lambda d: DeepLocalShapes(ReLU(8, 1), Waves(d), resolution=2, features=3),
    "local implicit grid": lambda d: LocalImplicitGrid(
        ReLU(8, 1), Waves(d), resolution=2, features=3
    ),
    "blobs": lambda d: Blobs(5),
    "local blobs": lambda d: LocalBlobs(ReLU(8, 1), Waves(d), count=5, features=3),
}
EACH = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def filled(name, num_dims):
    """A network and random numbers, far from the tame start of some of its parameters."""
    network = NETWORKS[name](num_dims)
    graph, params, rest = nnx.split(
        nnx.eval_shape(lambda: network(num_dims, 4, rngs=nnx.Rngs(0))), nnx.Param, ...
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.array(np.float32(rng.normal(size=x.shape) * x.shape[0] ** -0.5)), params
    )
    rest = jax.tree.map(lambda x: jnp.array(np.float32(np.pi * rng.integers(-3, 4, x.shape))), rest)
    return graph, params, rest


def made(name, num_dims=3):
    """A network of random numbers that a test may change."""
    return nnx.merge(*filled(name, num_dims), copy=True)


@jax.jit
def _computed(state, x):
    return nnx.merge(*state)(x)


def computed(network, x):
    """What a network gives for points of any precision."""
    return np.asarray(_computed(nnx.split(network), jnp.array(np.float32(x))))


def points(count, num_dims, seed=0, reach=1.0):
    numbers = np.random.default_rng(seed).uniform(-reach, reach, (count, num_dims))
    return numbers.astype(np.float32)


def numbers(parameter):
    return np.asarray(parameter[...], np.float64)


def layers_of(mlp):
    return [(numbers(layer.kernel), numbers(layer.bias)) for layer in mlp.layers]


def textbook(mlp, x, activation):
    """W h + b and the activation, layer by layer, in numpy; the last is linear."""
    *hidden, (kernel, bias) = layers_of(mlp)
    for inner, shift in hidden:
        x = activation(x @ inner + shift)
    return x @ kernel + bias


def relu(z):
    return np.maximum(z, 0.0)


def waves(x):
    return np.concatenate([x, np.sin(3.0 * x)], -1)


@pytest.mark.long
@EACH
def test_a_network_gives_every_point_its_outputs_whatever_the_batch(name):
    network, x = made(name, 2), points(6, 2)
    expected = computed(network, x.reshape(3, 1, 2, 2))
    assert expected.shape == (3, 1, 2, 4) and np.ptp(expected, axis=(0, 1, 2)).min() > 1e-3
    for shape in [(), (1,)]:
        got = computed(network, x[0].reshape(*shape, 2))
        assert got.shape == (*shape, 4)
        np.testing.assert_allclose(got.reshape(4), expected[0, 0, 0], rtol=1e-4, atol=1e-5)


@EACH
def test_gradients_reach_every_parameter_and_are_finite(name):
    graph, params, rest = filled(name, 3)
    x = np.concatenate([points(60, 3), np.zeros((1, 3)), np.ones((1, 3))]).astype(np.float32)

    def total(params, x):
        return jnp.square(nnx.merge(graph, params, rest)(x)).sum()

    found = jax.jit(jax.grad(total))(params, x)
    for gradient in jax.tree.leaves(found):
        gradient = np.asarray(gradient)
        assert np.isfinite(gradient).all() and (gradient != 0).any()


ACTIVATIONS = {
    "siren": lambda z: np.sin(7.0 * z),
    "softplus": lambda z: np.log1p(np.exp(5.0 * z)) / 5.0,
    "gaussian": lambda z: np.exp(-((3.0 * z) ** 2)),
    "finer": lambda z: np.sin(7.0 * (np.abs(z) + 1.0) * z),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layers_have_the_activation_of_their_paper(name):
    network, x = made(name), points(20, 3)
    np.testing.assert_allclose(
        computed(network, x), textbook(network, np.float64(x), ACTIVATIONS[name]), atol=1e-4
    )


def test_a_pattern_network_mixes_five_functions_and_sees_the_radius():
    network, x = made("cppn"), points(20, 3)

    def mixed(z):
        z = 2.0 * z
        groups = [
            (np.sin, 3),
            (lambda a: np.exp(-(a**2)), 2),
            (np.tanh, 2),
            (np.abs, 2),
            (lambda a: a, 2),
        ]
        edges = np.cumsum([0] + [size for _, size in groups])
        return np.concatenate(
            [f(z[:, edges[i] : edges[i + 1]]) for i, (f, _) in enumerate(groups)], -1
        )

    given = np.concatenate([x, np.linalg.norm(x, axis=-1, keepdims=True)], -1)
    np.testing.assert_allclose(
        computed(network, x), textbook(network.layers, given, mixed), atol=1e-5
    )


@pytest.mark.long
def test_a_pattern_network_of_one_function_is_homogeneous_and_an_unknown_function_is_refused():
    network = CPPN(5, 1, functions=["tanh"])(3, 2, rngs=nnx.Rngs(0))
    x = np.float64(points(20, 3))
    given = np.concatenate([x, np.linalg.norm(x, axis=-1, keepdims=True)], -1)
    np.testing.assert_allclose(
        computed(network, x), textbook(network.layers, given, lambda z: np.tanh(2.0 * z)), atol=1e-5
    )
    with pytest.raises(ConfigError, match="tahn: did you mean 'tanh'"):
        CPPN(functions=["tahn"])


def test_imnet_concatenates_its_input_at_every_layer():
    network, x = made("imnet"), np.float64(points(20, 3))
    h = None
    for i, (kernel, bias) in enumerate(layers_of(network)):
        z = (x if h is None else np.concatenate([h, x], -1)) @ kernel + bias
        h = np.maximum(z, 0.02 * z) if i < 2 else z
    np.testing.assert_allclose(computed(network, x), h, atol=1e-5)


def test_wire_is_the_complex_gabor_wavelet():
    network, x = made("wire"), np.float64(points(20, 3))

    def gabor(z):
        return np.exp(1j * 5.0 * z - np.abs(2.0 * z) ** 2)

    h = gabor(x @ numbers(network.first.kernel) + numbers(network.first.bias))
    for layer in network.hidden:
        kernel = numbers(layer.real.kernel) + 1j * numbers(layer.imaginary.kernel)
        h = gabor(h @ kernel + numbers(layer.real.bias) + 1j * numbers(layer.imaginary.bias))
    last = numbers(network.last.kernel)
    kernel = last[:7] - 1j * last[7:]
    np.testing.assert_allclose(
        computed(network, x), (h @ kernel).real + numbers(network.last.bias), atol=1e-5
    )


@pytest.mark.long
def test_softplus_begins_near_zero_whatever_its_input():
    network = Softplus(64, 3)(5, 4, rngs=nnx.Rngs(0))
    assert np.abs(computed(network, points(200, 5))).max() < 0.05
    widths = [np.asarray(layer.kernel[...]).std() for layer in network.layers[:-1]]
    np.testing.assert_allclose(widths, np.sqrt(2.0 / 64), rtol=0.15)


@pytest.mark.long
def test_siren_begins_with_normal_preactivations_and_arcsine_like_outputs_at_every_depth():
    """Theorem 1.8 of 2006.09661: n inputs of mean square m give omega W h ~ N(0, 2 m).

    With b it is a little more. sin of N(0, v) has mean square (1 - exp(-2 v)) / 2; of a wide one
    it has the arcsine law's 1/2 and kurtosis 3/2.
    """
    omega, network = 30.0, Siren(256, 8)(3, 1, rngs=nnx.Rngs(0))
    h, deviations = np.float64(points(2000, 3)), []
    for i, (kernel, bias) in enumerate(layers_of(network)[:-1]):
        z = omega * (h @ kernel + bias)
        if i > 0:
            assert z.std() == pytest.approx(1.0, rel=0.12)
            assert z.var() == pytest.approx(2.0 * (h**2).mean() + 1.0 / (3.0 * 256.0), rel=0.05)
            assert (z**4).mean() / (z**2).mean() ** 2 == pytest.approx(3.0, rel=0.1)
        h = np.sin(z)
        assert (h**2).mean() == pytest.approx((1.0 - np.exp(-2.0 * z.var())) / 2.0, rel=0.05)
        assert (h**4).mean() / (h**2).mean() ** 2 == pytest.approx(1.6, abs=0.15)
        deviations.append(h.std())
    assert np.ptp(deviations) < 0.2 * np.mean(
        deviations
    )  # constant to 10 percent either way, over 8 layers


@pytest.mark.long
def test_finer_begins_with_first_biases_as_wide_as_asked_and_the_rest_as_siren():
    specifications = Finer(200, 2, first_bias=5.0), Siren(200, 2)
    wide, plain = (specification(3, 1, rngs=nnx.Rngs(0)) for specification in specifications)
    biases = numbers(wide.layers[0].bias)
    assert 4.5 < np.abs(biases).max() <= 5.0 and biases.std() == pytest.approx(
        5.0 / np.sqrt(3.0), rel=0.15
    )
    for i in (1, 2):
        np.testing.assert_array_equal(wide.layers[i].kernel[...], plain.layers[i].kernel[...])


def scales_of(network, x):
    return jax.jit(lambda x: network.scales(x))(jnp.array(np.float32(x)))


def test_bacon_is_a_product_of_filters_with_an_output_after_each():
    network, x = made("bacon"), np.float64(points(20, 3))
    frequencies, phases = numbers(network.frequencies), numbers(network.phases)
    h, expected = 1.0, []
    for i, head in enumerate(network.heads):
        mixed = (
            1.0
            if i == 0
            else h @ numbers(network.mixers[i - 1].kernel) + numbers(network.mixers[i - 1].bias)
        )
        h = np.sin(x @ frequencies[i] + phases[i]) * mixed
        expected.append(h @ numbers(head.kernel) + numbers(head.bias))
    np.testing.assert_allclose(scales_of(network, x), np.cumsum(expected, 0), atol=1e-4)
    np.testing.assert_allclose(computed(network, x), np.sum(expected, 0), atol=1e-4)


@pytest.mark.long
def test_bacons_spectrum_ends_at_its_band():
    """Energy beyond the i-th band, of all but the mean: below 1e-6.

    The next scale has energy there, the control.
    """
    network = nnx.jit(lambda: NETWORKS["bacon"](2)(2, 4, rngs=nnx.Rngs(0)))()
    axis = np.linspace(-1.0, 1.0, 32, endpoint=False)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    beyond = (
        np.abs(np.fft.fftfreq(32) * 32)[:, None, None],
        np.abs(np.fft.fftfreq(32) * 32)[None, :, None],
    )
    scales = np.float64(scales_of(network, x))
    for i, band in enumerate((1, 3, 6)):
        energies = [np.abs(np.fft.fft2(y - y.mean((0, 1)), axes=(0, 1))) ** 2 for y in scales]
        outside = np.broadcast_to(np.maximum(*beyond) > band, energies[i].shape)
        assert energies[i][outside].sum() < 1e-6 * energies[i].sum()
        if i < 2:
            assert energies[i + 1][outside].sum() > 0.01 * energies[i + 1].sum()


@pytest.mark.parametrize("name", ["coordx product", "coordx sum"])
def test_coordx_fuses_the_branches_of_the_axes(name):
    network, x = made(name), np.float64(points(20, 3))
    first = [
        x[:, k : k + 1] @ numbers(layer.kernel) + numbers(layer.bias)
        for k, layer in enumerate(network.first)
    ]
    h = np.stack(
        [textbook(network.shared, relu(y), relu) for y in first]
    )  # (axis, point, R * width)
    fused = (h.prod(0) if name == "coordx product" else h.mean(0)).reshape(20, 3, 10).sum(1)
    np.testing.assert_allclose(
        computed(network, x), textbook(network.tail, relu(fused), relu), atol=1e-4
    )


@pytest.mark.parametrize("name", ["coordx product", "coordx sum"])
def test_coordx_tells_the_axes_apart(name):
    """Layers that all axes shared would make it symmetric, and blind to most scenes."""
    network, x = made(name), points(20, 3)
    assert np.abs(computed(network, x) - computed(network, x[:, ::-1])).max() > 0.1


@pytest.mark.parametrize("name", ["coordx product", "coordx sum"])
@pytest.mark.parametrize("num_dims", [2, 3])
def test_coordx_on_a_lattice_is_coordx_at_its_points_with_a_branch_evaluation_a_place(
    name, num_dims, monkeypatch
):
    network, sizes = made(name, num_dims), (4, 3, 5)[:num_dims]
    axes = [points(n, 1, seed=n) for n in sizes]
    x = np.stack(np.meshgrid(*[axis[:, 0] for axis in axes], indexing="ij"), -1)
    expected, evaluated, shared = computed(network, x), [], network.shared
    monkeypatch.setattr(type(shared), "__call__", counted(type(shared).__call__, shared, evaluated))
    np.testing.assert_allclose(jax.jit(network.on_lattice)(axes), expected, atol=1e-5)
    assert evaluated == list(sizes)


def counted(call, module, seen):
    """`call`, which also notes how many rows `module` was given."""

    def wrapped(self, x):
        if self is module:
            seen.append(x.size // x.shape[-1])
        return call(self, x)

    return wrapped


@pytest.mark.long
def test_kilonerf_asks_the_network_of_the_cell_with_the_place_in_it():
    network, x = made("kilonerf"), np.float64(points(30, 3, reach=1.2))  # some of them outside
    expected = []
    for point in x:
        cell = np.clip(np.floor(point + 1.0), 0, 1).astype(
            int
        )  # two cells of length 1 along each axis
        c = (cell[0] * 2 + cell[1]) * 2 + cell[2]
        h = waves(2.0 * (point + 1.0 - cell) - 1.0)
        for i, (kernels, biases) in enumerate(zip(network.kernels, network.biases, strict=True)):
            h = h @ numbers(kernels)[c] + numbers(biases)[c]
            h = relu(h) if i < 2 else h
        expected.append(h)
    np.testing.assert_allclose(computed(network, x), expected, atol=1e-4)


blocks = jax.jit(blocks_by_cell, static_argnums=(1, 2))


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("crowd", ["all in one cell", "one in each", "at random", "none"])
def test_blocks_hold_every_sample_apart_and_each_block_samples_of_one_cell(size, crowd):
    cells = {
        "all in one cell": np.full(17, 3),
        "one in each": np.arange(17),
        "at random": np.random.default_rng(0).integers(0, 5, 17),
        "none": np.zeros(0, int),
    }[crowd]
    place, owner = jax.device_get(blocks(np.int32(cells), 20, size))
    assert len(set(place.tolist())) == len(cells) and (place < size * len(owner)).all()
    np.testing.assert_array_equal(owner[place // size], cells)


def test_deep_local_shapes_decodes_the_code_of_the_cell_with_the_place_in_it():
    network, x = made("deep local shapes"), np.float64(points(30, 3, reach=1.2))
    cell = np.clip(np.floor(x + 1.0), 0, 1).astype(int)
    codes = numbers(network.table)[(cell[:, 0] * 2 + cell[:, 1]) * 2 + cell[:, 2]]
    given = np.concatenate([waves(2.0 * (x + 1.0 - cell) - 1.0), codes], -1)
    np.testing.assert_allclose(
        computed(network, x), textbook(network.decoder, given, relu), atol=1e-5
    )


def test_a_local_implicit_grid_blends_what_the_vertices_around_say():
    network, x = made("local implicit grid"), np.float64(points(30, 3))
    cell, expected = np.floor(x + 1.0).astype(int), 0.0
    for corner in itertools.product((0, 1), repeat=3):
        vertex = cell + np.array(corner)
        seen = x + 1.0 - vertex  # from the vertex, in cells
        codes = numbers(network.table)[(vertex[:, 0] * 3 + vertex[:, 1]) * 3 + vertex[:, 2]]
        decoded = textbook(network.decoder, np.concatenate([waves(seen), codes], -1), relu)
        expected = expected + np.prod(1.0 - np.abs(seen), -1)[:, None] * decoded
    np.testing.assert_allclose(computed(network, x), expected, atol=1e-5)


def test_a_local_implicit_grid_has_no_seams_and_deep_local_shapes_has():
    below = np.float64(points(40, 3))
    below[:, 0] = -1e-6  # the face between the two cells along the first axis
    above = below * [-1.0, 1.0, 1.0]
    blended, cells = made("local implicit grid"), made("deep local shapes")
    np.testing.assert_allclose(computed(blended, below), computed(blended, above), atol=1e-5)
    assert np.abs(computed(cells, below) - computed(cells, above)).max() > 1e-2


@pytest.mark.parametrize("name, vertices", [("deep local shapes", 2), ("local implicit grid", 3)])
def test_a_place_looks_the_same_in_another_cell_with_the_same_codes(name, vertices):
    network, x = made(name), points(30, 3)
    x[:, 0] = -np.abs(x[:, 0])  # the lower cell
    before = computed(network, x)
    table = np.asarray(network.table[...]).reshape(vertices, -1, 3)
    network.table[...] = jnp.array(np.roll(table, 1, 0).reshape(-1, 3))
    np.testing.assert_allclose(computed(network, x + [1.0, 0.0, 0.0]), before, atol=1e-5)


def gaussians(network, x):
    """T_i x and g_i(x), one blob at a time."""
    blobs = network.blobs
    diagonals, shears = np.exp(numbers(blobs.log_sharpness)), np.tril(numbers(blobs.shear), -1)
    frames = [np.diag(diagonal) + shear for diagonal, shear in zip(diagonals, shears, strict=True)]
    local = [
        (x - centre) @ frame.T for frame, centre in zip(frames, numbers(blobs.centres), strict=True)
    ]
    return local, [np.exp(-0.5 * (u**2).sum(-1)) for u in local]


def test_blobs_are_a_sum_of_anisotropic_gaussians():
    network, x = made("blobs"), np.float64(points(20, 3))
    _, influence = gaussians(network, x)
    expected = np.stack(influence, -1) @ numbers(network.outputs.kernel) + numbers(
        network.outputs.bias
    )
    np.testing.assert_allclose(computed(network, x), expected, atol=1e-5)


def test_local_blobs_add_what_their_decoder_says_where_they_have_influence():
    network, x = made("local blobs"), np.float64(points(20, 3))
    local, influence = gaussians(network, x)
    expected = np.stack(influence, -1) @ numbers(network.outputs.kernel) + numbers(
        network.outputs.bias
    )
    for u, g, code in zip(local, influence, numbers(network.table), strict=True):
        given = np.concatenate([waves(np.clip(u / 3.0, -1.0, 1.0)), np.tile(code, (20, 1))], -1)
        expected = expected + g[:, None] * textbook(network.decoder, given, relu)
    np.testing.assert_allclose(computed(network, x), expected, atol=1e-4)


def test_moving_a_blob_moves_what_it_holds_and_nothing_far_from_it():
    network = made("local blobs")
    centres = np.float32([[-0.6, 0.0, 0.0]] + [[0.6, 0.0, 0.0]] * 4)
    network.blobs.centres[...] = jnp.array(centres)
    network.blobs.log_sharpness[...] = jnp.array(np.full((5, 3), np.log(20.0), np.float32))
    x, step = points(30, 3, reach=0.1), np.float32([0.0, 0.2, 0.0])
    near, far = x + centres[0], x + centres[1]
    held, other = computed(network, near), computed(network, far)
    centres[0] += step
    network.blobs.centres[...] = jnp.array(centres)
    np.testing.assert_allclose(computed(network, near + step), held, atol=1e-5)
    np.testing.assert_array_equal(computed(network, far), other)
    assert np.abs(computed(network, near) - held).max() > 1e-2


SEPARABLE = [Identity(), Fourier(3), Fourier(2, include_input=False)]
MIXED = [SphericalHarmonics(3), SphericalHarmonics(4), HashGrid(1, 3, 6, 2, 8, rngs=nnx.Rngs(0))]


@pytest.mark.parametrize(
    "encoding", SEPARABLE + MIXED, ids=lambda encoding: type(encoding).__name__
)
def test_coordx_takes_encodings_whose_features_have_an_axis_each(encoding):
    assert is_separable(encoding, 3) == (encoding in SEPARABLE)
    if encoding in SEPARABLE:
        x, encode = points(5, 3), jax.jit(lambda x: split_axes(encoding(x), 3))
        features, moved = encode(x), encode(x + np.float32([0.2, 0.0, 0.0]))
        unmoved = [np.array_equal(a, b) for a, b in zip(features, moved, strict=True)]
        assert unmoved == [False, True, True]


REFUSED = [("coordx product", SphericalHarmonics(3)), ("coordx sum", SphericalHarmonics(4))]
REFUSED += [(name, Fourier(3)) for name in list(NETWORKS)[list(NETWORKS).index("kilonerf") :]]


@pytest.mark.parametrize("name, encoding", REFUSED)
def test_an_impossible_pair_is_refused_before_a_parameter_is_drawn(name, encoding):
    network, rngs = NETWORKS[name](3), nnx.Rngs(0)
    with pytest.raises(
        ConfigError, match="^[^\n]*incompatible with [^\n]*: [^\n]*: choose [^\n]*$"
    ) as refusal:
        connect(encoding, network, 4, 3, rngs=rngs)
    assert all(type(part).__name__ in str(refusal.value) for part in (network, encoding))
    assert rngs.params.count[...] == 0


@EACH
def test_every_network_goes_with_the_points_themselves(name):
    made = jax.eval_shape(
        lambda x: connect(Identity(), NETWORKS[name](3), 4, 3, rngs=nnx.Rngs(0))(x), points(2, 3)
    )
    assert made.shape == (2, 4)


def test_products_in_bfloat16_have_gradients_of_the_same_factors():
    """They are those of the rounded factors, and each is rounded once more."""
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.bfloat16) for s in [(3, 5, 7), (7, 4)])

    def loss(product, x, kernel):
        return jnp.sin(product(x, kernel)).sum()

    def exact(x, kernel):
        return jnp.matmul(x.astype(jnp.float32), kernel.astype(jnp.float32), precision="highest")

    np.testing.assert_allclose(bfloat16_product(x, kernel), exact(x, kernel), rtol=1e-5, atol=1e-5)
    for number in (0, 1):
        found, wanted = (
            np.asarray(jax.grad(functools.partial(loss, product), number)(x, kernel), np.float32)
            for product in (bfloat16_product, exact)
        )
        assert found.shape == wanted.shape
        # A factor and the result are rounded to 8 bits.
        np.testing.assert_allclose(found, wanted, atol=2**-7 * np.abs(wanted).max())
    slope = jax.grad(functools.partial(loss, bfloat16_product))
    each = jax.vmap(slope, (0, None))(x, kernel)
    np.testing.assert_array_equal(np.float32(each), np.float32(slope(x, kernel)))


def test_layers_in_bfloat16_have_second_derivatives():
    """Losses on normals and on slopes need them."""
    network = ReLU(width=8, depth=1, dtype="bfloat16")(2, 1, rngs=nnx.Rngs(0))
    graph, params = nnx.split(network)
    points = jnp.asarray(np.random.default_rng(0).normal(size=(9, 2)), jnp.float32)

    def loss(params):
        def values(x):
            return jnp.square(nnx.merge(graph, params)(x)).sum()

        return jnp.square(jax.grad(values)(points)).sum()

    slopes = jax.tree.leaves(jax.grad(loss)(params))
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert max(np.abs(slope).max() for slope in slopes) > 1e-3
