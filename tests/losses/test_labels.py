"""Classes of rays: the head's logits, composited, and their cross-entropy, in numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.fourier import Fourier
from nerf.fields import Samples
from nerf.fields.composed import Composed
from nerf.fields.labelled import Labelled
from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context, Target
from nerf.losses.labels import LabelError
from nerf.networks.relu import ReLU
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import UniformSteps
from nerf.scenes.base import LabelClass

CLASSES = [LabelClass(n, str(n), (n, n, n)) for n in (0, 3, 40)]


def labelled(classes=CLASSES):
    rngs = nnx.Rngs(0)
    network = ReLU(width=8, depth=1)
    field = Composed(Fourier(2), Fourier(1), network, network, density_bias=0.5, rngs=rngs)
    made = Labelled(field, classes, ReLU(width=8, depth=1), rngs=rngs)
    made.behind[...] = jnp.array([0.5, -1.0, 2.0])[: len(classes)]
    return made


def rays_of(count=5):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    directions = jnp.asarray(directions / np.linalg.norm(directions, axis=-1)[:, None], jnp.float32)
    return Rays(-0.5 * directions, directions, directions)


def rendered(field, rays):
    model = Model({"main": Stage(UniformSteps(6), field)}, ("main",))
    return model, model(rays, jnp.ones((len(rays.origins), 3)))


def test_logits_are_composited_over_those_of_what_is_behind():
    field, rays = labelled(), rays_of()
    _, (rendering,) = rendered(field, rays)
    intervals = rendering.intervals
    weights = np.asarray(intervals.weights, np.float64)  # (5, 6)
    at_samples = np.asarray(field.head(field.encoding(intervals.samples.points)), np.float64)
    left = 1.0 - weights.sum(-1)
    expected = (weights[..., None] * at_samples).sum(1) + left[:, None] * [0.5, -1.0, 2.0]
    composited, opacity = rendering.extras, rendering.opacity
    np.testing.assert_allclose(field.of_ray(composited["logits"], opacity), expected, atol=1e-5)
    best = np.array([1, 4, 41])[expected.argmax(-1)]
    picture = field.picture(composited, opacity)
    np.testing.assert_array_equal(picture["labels"], best)
    assert "logits" not in picture and picture["labels"].dtype == np.uint16


def test_a_class_does_not_depend_on_the_direction_and_the_field_keeps_its_quantities():
    field = labelled()
    points = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (7, 3)), jnp.float32)
    one, other = (
        field(Samples(points, jnp.broadcast_to(jnp.asarray(d), points.shape)))
        for d in ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    )
    np.testing.assert_array_equal(one["logits"], other["logits"])
    assert np.abs(one["rgb"] - other["rgb"]).max() > 1e-3
    inner = field.field(Samples(points, jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (7, 3))))
    for name, values in inner.items():
        np.testing.assert_array_equal(one[name], values)


def context_of(field, labels, rays):
    model, renderings = rendered(field, rays)
    target = Target(jnp.ones((len(labels), 3)), {"labels": jnp.asarray(labels, jnp.uint16)})
    return Context(model, rays, renderings, target, None)


@pytest.mark.parametrize("moves_matter", [True, False])
def test_the_loss_is_the_cross_entropy_of_known_pixels(moves_matter):
    # 0 is unknown, 1, 4 and 41 are the classes, and 3 and 60000 are none of the scene's.
    labels = [0, 1, 4, 41, 3, 60000]
    field = labelled()
    context = context_of(field, labels, rays_of(6))
    loss = LabelError(weight=0.3, moves_matter=moves_matter)(context)
    rendering = context.renderings[0]
    logits = field.of_ray(rendering.extras["logits"], rendering.opacity)
    logits = np.asarray(logits, np.float64)
    likely = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.zeros(6)
    for ray, index in ((1, 0), (2, 1), (3, 2)):
        expected[ray] = -0.3 * np.log(likely[ray, index])
    np.testing.assert_allclose(loss, expected, atol=1e-5)


@pytest.mark.parametrize("moves_matter", [True, False])
def test_the_shape_learns_from_labels_only_if_it_may(moves_matter):
    graph, params = nnx.split(labelled())

    def total(params):
        context = context_of(nnx.merge(graph, params), [1, 4, 41, 1, 4], rays_of())
        return LabelError(moves_matter=moves_matter)(context).sum()

    gradients = jax.grad(total)(params)
    sizes = {
        "/".join(map(str, path)): float(np.abs(leaf[...]).max())
        for path, leaf in nnx.to_flat_state(gradients)
    }
    heads = [size for name, size in sizes.items() if name.startswith(("head", "behind"))]
    density = [size for name, size in sizes.items() if name.startswith("field/network")]
    assert min(heads) > 0.0 and density
    assert (max(density) > 0.0) == moves_matter


def test_a_scene_without_classes_is_refused():
    with pytest.raises(ConfigError, match="no label of the training views is known"):
        labelled([])
    with pytest.raises(ConfigError, match="function has no encoding"):
        Labelled(lambda samples: {}, CLASSES, rngs=nnx.Rngs(0))
    context = context_of(labelled(), [1] * 5, rays_of())
    bare = Model({"main": Stage(UniformSteps(6), lambda samples: {})}, ("main",))
    with pytest.raises(ConfigError, match="LabelError: function has no classes: use nerf.fields"):
        LabelError()(context._replace(model=bare))
