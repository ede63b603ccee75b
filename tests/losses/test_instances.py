"""Masks of single objects: their formula, and supervision by numbers that differ between views."""

import dataclasses
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.encodings.fourier import Fourier
from nerf.evaluation.instances import count_pixels, find_objects, summary
from nerf.fields.composed import Composed
from nerf.fields.instances import Instances
from nerf.foundation.instantiate import ConfigError, build
from nerf.losses import Context, Target
from nerf.losses.instances import InstanceError, assign, number_rays, overlaps
from nerf.networks.relu import ReLU
from nerf.rendering.images import make_render_image
from nerf.runs.budget import Budget
from nerf.runs.config_files import load_config
from nerf.training.session import Session
from nerf.training.supervision import views_per_step
from tests.conftest import ROOT
from tests.losses.test_labels import rays_of, rendered

TABLETOP = ROOT / "data" / "tabletop"
VIEWS, KERNELS, RAYS = 3, 4, 40


def with_kernels(seed=0):
    rngs = nnx.Rngs(seed)
    network = ReLU(width=8, depth=1)
    field = Composed(Fourier(2), Fourier(1), network, network, density_bias=0.5, rngs=rngs)
    made = Instances(field, KERNELS, 5, 3, ReLU(width=8, depth=1), rngs=rngs)
    made.behind[...] = jnp.arange(5.0)
    return made


def test_masks_are_those_of_kernels_on_composited_features():
    field, rays = with_kernels(), rays_of()
    _, (rendering,) = rendered(field, rays)
    intervals = rendering.intervals
    weights = np.asarray(intervals.weights, np.float64)
    features = np.asarray(field.head(field.encoding(intervals.samples.points)), np.float64)
    of_rays = (weights[..., None] * features).sum(1)
    of_rays += (1.0 - weights.sum(-1))[:, None] * np.arange(5.0)
    kernels = np.asarray(field.codes[...] @ field.kernel_of.kernel[...]) + np.asarray(
        field.kernel_of.bias[...]
    )
    expected = of_rays @ kernels[:, :5].T + kernels[:, 5]
    scores = field.of_ray(rendering.extras["objects"], rendering.opacity)
    np.testing.assert_allclose(scores[:, 1:], expected, atol=1e-4)
    np.testing.assert_array_equal(scores[:, 0], 0.0)


def test_a_picture_shows_the_largest_mask_above_one_half():
    field = with_kernels()
    field.behind[...] = jnp.zeros(5)
    field.kernel_of.bias[...] = jnp.zeros(6)
    scores = jnp.array([[0.0, -1.0, 2.0, 3.0, 1.0], [0.0, -1.0, -2.0, -0.1, -3.0]])
    shown = field.picture({"objects": scores, "normals": jnp.ones((2, 3))}, jnp.ones(2))
    np.testing.assert_array_equal(shown["instances"], [4, 1])
    assert shown["instances"].dtype == np.uint16
    assert set(shown) == {"instances", "normals"}


def a_batch(seed):
    """Return views, marks and masks of rays, with unknown ones and such without an object."""
    rng = np.random.default_rng(seed)
    image = np.repeat([7, 2, 9], [15, 15, 10])
    marks = rng.choice([0, 1, 5, 300, 65535], RAYS)
    return jnp.asarray(image), jnp.asarray(marks, jnp.uint16), rng.random((RAYS, KERNELS))


def best_sum(image, marks, masks):
    """Return the largest sum of the Dice coefficients of each view, by trying all assignments."""
    sums = {}
    for view in np.unique(image):
        mine = image == view
        known = mine & (marks > 0)
        objects = [n for n in np.unique(marks[mine]) if n > 1]
        table = np.zeros((len(objects), KERNELS))
        for i, n in enumerate(objects):
            q = (mine & (marks == n)).astype(float)
            for j in range(KERNELS):
                m = masks[:, j] * known
                table[i, j] = 2.0 * (q * m).sum() / ((q**2).sum() + (m**2).sum())
        sums[view] = max(
            table[range(len(objects)), list(chosen)].sum()
            for chosen in permutations(range(KERNELS), len(objects))
        )
    return sums


@pytest.mark.parametrize("seed", range(8))
def test_the_assignment_of_each_view_has_the_largest_dice_coefficients(seed):
    image, marks, masks = a_batch(seed)
    rays = number_rays(image, marks, VIEWS, KERNELS)
    dice, there = overlaps(jnp.asarray(masks, jnp.float32), rays, VIEWS)
    pairs = assign(jnp.where(there[..., None], dice, 0.0))
    for row in np.asarray(pairs):
        assert sorted(row) == list(range(KERNELS))
    chosen = np.take_along_axis(np.asarray(dice), np.asarray(pairs)[..., None], -1)[..., 0]
    expected = best_sum(np.asarray(image), np.asarray(marks), masks)
    # Views are numbered by their numbers.
    for i, view in enumerate(sorted(expected)):
        assert (chosen[i] * there[i]).sum() == pytest.approx(expected[view], abs=1e-5)


def test_rays_are_ranked_in_their_view_and_objects_without_a_kernel_are_unknown():
    image = jnp.array([4, 4, 4, 4, 1, 1, 1, 1])
    marks = jnp.array([9, 0, 1, 3, 9, 12, 3, 30], jnp.uint16)
    rays = number_rays(image, marks, 2, 3)
    np.testing.assert_array_equal(rays.view, [1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(rays.on_object, [1, 0, 0, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(np.asarray(rays.rank)[[0, 3, 4, 5, 6]], [1, 0, 1, 2, 0])
    np.testing.assert_array_equal(rays.known, [1, 0, 1, 1, 1, 1, 1, 0])


def test_rays_of_more_views_than_there_may_be_are_unknown():
    image, marks = jnp.array([5, 1, 9, 1, 7]), jnp.array([3, 3, 3, 1, 1], jnp.uint16)
    rays = number_rays(image, marks, 2, 3)
    np.testing.assert_array_equal(rays.known, [1, 1, 0, 1, 0])
    dice, there = overlaps(jnp.ones((5, 3)), rays, 2)
    np.testing.assert_array_equal(there, [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(dice[:, 0, 0], [2 / 3, 1.0])


def losses_of(field, marks, image):
    rays = dataclasses.replace(rays_of(RAYS), image=image)
    model, renderings = rendered(field, rays)
    target = Target(jnp.ones((RAYS, 3)), {"instances": marks})
    keys = jax.random.split(jax.random.key(0), RAYS)
    return InstanceError(0.5, VIEWS)(Context(model, rays, renderings, target, keys))


def test_the_loss_is_its_formula():
    field = with_kernels()
    image, marks, _ = a_batch(3)
    found = np.asarray(losses_of(field, marks, image), np.float64)
    _, (rendering,) = rendered(field, rays_of(RAYS))
    scores = np.asarray(field.of_ray(rendering.extras["objects"], rendering.opacity), np.float64)
    masks = 1.0 / (1.0 + np.exp(-scores[:, 1:]))
    rays = number_rays(image, marks, VIEWS, KERNELS)
    dice, there = (np.asarray(x) for x in overlaps(jnp.asarray(masks, jnp.float32), rays, VIEWS))
    pairs = np.asarray(assign(jnp.asarray(dice * there[..., None])))
    for r in range(RAYS):
        view, rank = int(rays.view[r]), int(rays.rank[r])
        mean = np.mean([1.0 - dice[view, i, pairs[view, i]] for i in np.flatnonzero(there[view])])
        truth = np.zeros(KERNELS)
        if marks[r] > 1:
            truth[pairs[view, rank]] = 1.0
        entropy = -np.sum(truth * np.log(masks[r]) + (1 - truth) * np.log(1 - masks[r]))
        expected = 0.5 * (entropy + mean) if marks[r] > 0 else 0.0
        assert found[r] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_numbers_may_be_permuted_in_every_view():
    field = with_kernels()
    image, marks, _ = a_batch(1)
    renumbered = np.asarray(marks).copy()
    for view, numbers in ((7, [300, 65535, 5]), (2, [65535, 5, 300]), (9, [2, 40, 41])):
        for old, new in zip([5, 300, 65535], numbers, strict=True):
            renumbered[(image == view) & (marks == old)] = new
    one, other = (losses_of(field, jnp.asarray(m), image) for m in (marks, renumbered))
    np.testing.assert_allclose(one, other, rtol=1e-5)
    # Without an assignment of its own for each view they may not be: swap two in one view alone.
    merged = jnp.where(image == 7, jnp.where(marks > 1, jnp.uint16(5), marks), marks)
    assert not np.allclose(losses_of(field, merged, image), one)


def test_masks_learn_and_matter_does_not_move():
    field = with_kernels()
    image, marks, _ = a_batch(2)
    graph, state = nnx.split(field)
    gradients = jax.grad(lambda s: losses_of(nnx.merge(graph, s), marks, image).sum())(state)
    pure = nnx.to_pure_dict(gradients)
    for name in ("head", "codes", "kernel_of", "behind"):
        assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(pure[name])), name
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(pure["field"]))


def test_a_field_without_masks_is_refused():
    field = with_kernels()
    image, marks, _ = a_batch(0)
    with pytest.raises(ConfigError, match="has no masks: use nerf.fields.instances:Instances"):
        losses_of(field.field, marks, image)
    with pytest.raises(ConfigError, match="has no encoding, which the head reads"):
        Instances(lambda samples: {}, rngs=nnx.Rngs(0))


def test_the_loss_says_of_how_many_views_the_rays_may_be():
    assert views_per_step({"instances": InstanceError()}) == 8
    assert views_per_step({"a": InstanceError(1.0, 4), "b": InstanceError(1.0, 6)}) == 4
    assert views_per_step({"colours": lambda context: 0.0}) is None


@pytest.mark.whole
def test_objects_are_found_from_numbers_that_differ_between_views():
    scene = {"name": "nerf.scenes.permuted_instances:load", "without": ["background", "table"]}
    scene["max_side"] = 50
    train, test = (build(scene, root=TABLETOP, split=split) for split in ("train", "test"))
    config = load_config("instances", ["batch_size=512", "steps_per_call=20"])
    session = Session({**config, "scene": scene, "log_every": 20}, train)
    session.compile()
    for _ in session.calls(Budget(160)):
        pass
    model = session.model()
    render = make_render_image(model, (1.0, 1.0, 1.0), None)
    views = range(0, len(test), 8)
    shown = [render(test.cameras[i])["instances"] for i in views]
    counts = [count_pixels(picture, test, i) for i, picture in zip(views, shown, strict=True)]
    found = summary(counts, find_objects(model, test.cameras))
    assert found["true"] == 11
    # Objects that had no kernel of their own in all views would share about 1/11 of the pixels.
    assert found["iou"] > 0.3
    assert 4 <= len(found["objects"]) <= 12
