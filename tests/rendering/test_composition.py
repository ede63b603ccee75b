"""Laws of parts together.

Spaces, samplers, the renderer, exposures, the occupancy grid and the training step.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.cones import Gaussians
from nerf.encodings.voxels import Voxels
from nerf.fields import Samples
from nerf.fields.density import DensityField
from nerf.foundation.devices import data_mesh
from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context, Target
from nerf.losses.antialiased_interlevel import AntialiasedInterlevel
from nerf.losses.interlevel import Interlevel
from nerf.losses.photometric import SquaredError
from nerf.networks.relu import ReLU
from nerf.rendering.exposure import AffineColour
from nerf.rendering.model import Model, Stage
from nerf.rendering.model_state import (
    record_sightings,
    refresh_occupancy,
    sample_weights_by_cell,
    split_model,
)
from nerf.sampling.annealed import AnnealedWeights
from nerf.sampling.importance import Importance
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.spaces import Contracted
from nerf.sampling.stratified import Stratified, UniformSteps
from nerf.scenes import synthetic
from nerf.training.gradients import init_state, make_gradients
from nerf.training.optimizers import adam
from nerf.training.ray_bank import to_device
from nerf.training.step import make_train_step

GREY = 0.4


def random_rays(n: int, seed: int = 0, distance: float = 0.0) -> Rays:
    """Return rays towards the origin that begin `distance` before it."""
    directions = np.random.default_rng(seed).normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    directions, origins = (jnp.array(np.float32(x)) for x in (directions, -distance * directions))
    return Rays(origins, directions, directions)


def ray_keys(n: int, seed: int = 0):
    return jax.random.split(jax.random.key(seed), n)


def fog(density):
    """Return a field that is equally dense everywhere in the box, and grey."""

    def field(samples):
        points = samples.points
        return {
            "density": jnp.full(points.shape[:-1], density),
            "rgb": jnp.full((*points.shape[:-1], 3), GREY),
        }

    return field


class Fog(nnx.Module):
    """A field that is equally dense everywhere in the box, with learned colour and density."""

    def __init__(self, density: float):
        self.grow = nnx.Param(jnp.array(density))
        self.colour = nnx.Param(jnp.full(3, GREY))

    def __call__(self, samples):
        points = samples.points
        return {
            "density": jnp.broadcast_to(self.grow[...], points.shape[:-1]),
            "rgb": jnp.broadcast_to(self.colour[...], points.shape),
        }


@pytest.mark.long
@pytest.mark.parametrize(
    "way", ["every interval", "picture through a grid", "training through a grid"]
)
def test_fog_in_unbounded_space_is_as_thick_as_its_path_through_the_box_is_long(way):
    """Along rays from the origin the box is |warp(far)| - |warp(near)| long.

    Opacity follows from it.
    """
    space, n, samples = Contracted(), 5, 512
    rays, white = random_rays(n), jnp.ones((n, 3))

    @jax.jit
    def render(density, keys):
        grid = None if way == "every interval" else OccupancyGrid(resolution=4)
        stage = {"main": Stage(UniformSteps(samples), fog(density))}
        return Model(stage, ["main"], space=space, occupancy=grid, max_samples_per_ray=samples)(
            rays, white, keys
        )[-1]

    for density in (0.3, 2.0):
        rendering = render(density, ray_keys(n) if way.startswith("training") else None)
        length = 0.5 * (2.0 - 1.0 / space.far) - 0.5 * space.near
        left = np.exp(-density * length)
        assert bool(rendering.complete.all())
        np.testing.assert_allclose(rendering.opacity, np.full(n, 1.0 - left), atol=0.005)
        np.testing.assert_allclose(
            rendering.rgb, np.full((n, 3), (1.0 - left) * GREY + left), atol=0.005
        )


@pytest.mark.long
def test_a_far_shell_of_unbounded_space_is_seen_at_its_distance():
    """Matter 8 to 9 units away is a thin shell in the box; its depth comes out in world units."""

    def shell(samples):
        points = samples.points
        contracted = 2.0 * jnp.linalg.norm(points, axis=-1)
        inside = (contracted > 2.0 - 1.0 / 8.0) & (contracted < 2.0 - 1.0 / 9.0)
        return {"density": jnp.where(inside, 1e4, 0.0), "rgb": jnp.zeros_like(points)}

    model = Model({"main": Stage(Stratified(512), shell)}, ["main"], space=Contracted())
    rendering = jax.jit(lambda rays: model(rays, jnp.ones((4, 3)))[-1])(random_rays(4))
    np.testing.assert_allclose(rendering.depth, np.full(4, 8.0), rtol=0.02)
    np.testing.assert_allclose(rendering.opacity, np.ones(4), atol=1e-5)


@pytest.mark.long
def test_rays_are_rendered_alike_in_a_batch_of_any_shape():
    model = Model({"main": Stage(Stratified(8), synthetic.field)}, ("main",), space=Contracted())
    rays, keys = random_rays(6, distance=2.0), ray_keys(6)

    @jax.jit
    def render(rays, keys):
        return model(rays, jnp.ones(rays.origins.shape), keys)[-1]

    flat = render(rays, keys)
    folded = jax.tree.map(lambda x: np.asarray(x).reshape(2, 3, *x.shape[1:]), rays)
    square = render(jax.tree.map(jnp.asarray, folded), keys.reshape(2, 3))
    np.testing.assert_allclose(np.reshape(square.rgb, (6, 3)), flat.rgb, atol=1e-6)
    np.testing.assert_allclose(np.reshape(square.depth, 6), flat.depth, rtol=1e-5)


@pytest.mark.long
def test_the_fine_stage_visits_empty_intervals_as_often_as_its_padding_says():
    """Weight 1 in one of m intervals: the rest together get padding (m - 1) / m of 1 + padding."""
    m, drawn, padding = 8, 999, 0.5

    def wall(samples):
        points = samples.points
        inside = (points[..., 2] > 0.25) & (
            points[..., 2] < 0.5
        )  # the third of eight intervals from above
        return {"density": jnp.where(inside, 1e6, 0.0), "rgb": jnp.zeros_like(points)}

    stages = {
        "coarse": Stage(UniformSteps(m), wall),
        "fine": Stage(Importance(drawn, padding, union=False)),
    }
    down = jnp.array([[0.0, 0.0, -1.0]])
    rays = Rays(jnp.array([[0.1, -0.2, 1.5]]), down, down)
    model = Model(stages, ["coarse", "fine"])
    coarse, fine = jax.jit(lambda rays: model(rays, jnp.zeros((1, 3))))(rays)
    np.testing.assert_allclose(coarse.intervals.weights[0], [0, 0, 1, 0, 0, 0, 0, 0], atol=1e-6)
    edges = 1.5 - np.append(fine.intervals.t_start[0], fine.intervals.t_end[0, -1])
    elsewhere = np.mean((edges < 0.25 - 1e-5) | (edges > 0.5 + 1e-5))
    assert len(edges) == drawn + 1
    np.testing.assert_allclose(elsewhere, padding * (m - 1) / m / (1.0 + padding), atol=3 / drawn)


def test_an_exposure_changes_what_is_there_and_not_the_background_behind_it():
    """Views without a photo keep their colours.

    rgb' = opacity exposure(colour) + (1 - opacity) background.
    """
    gain = np.array(
        [[0.5, 0.1, 0.0, 0.03], [0.0, -0.2, 0.0, 0.0], [0.0, 0.0, 0.3, -0.02]], np.float32
    )
    down, above = (jnp.array([row] * 3) for row in ([0.0, 0.0, -1.0], [0.1, 0.2, 2.0]))
    rays = Rays(above, down, down, jnp.array([0, 1, -1]))
    background = np.random.default_rng(0).uniform(size=(3, 3)).astype(np.float32)
    behind = jnp.array(background)

    @jax.jit
    def render(density):
        exposure = AffineColour(2)
        exposure.exposure[...] = jnp.stack([gain, -gain])
        return Model({"main": Stage(UniformSteps(16), fog(density))}, ["main"], exposure=exposure)(
            rays, behind
        )[-1].rgb

    shift = gain[:, :3] @ np.full(3, GREY) + gain[:, 3]
    matter = GREY + np.stack([shift, -shift, 0.0 * shift])
    for opaque in (0.25, 0.5, 0.999):
        expected = opaque * matter + (1.0 - opaque) * background
        density = -np.log(1.0 - opaque) / 2.0  # the box is two units long
        np.testing.assert_allclose(render(density), expected, atol=1e-5)


@pytest.mark.long
def test_rays_that_did_not_fit_count_neither_in_the_loss_nor_in_its_gradient():
    n, samples = 32, 24
    model = Model(
        {"main": Stage(UniformSteps(samples), Fog(0.7))},
        ["main"],
        occupancy=OccupancyGrid(4),
        max_samples_per_ray=10,
    )
    rays, background, keys = random_rays(n, distance=3.0), jnp.ones((n, 3)), ray_keys(n)
    target = np.random.default_rng(1).uniform(size=(n, 3)).astype(np.float32)
    graph, params, state = split_model(model)
    gradients = jax.jit(
        make_gradients(graph, {"colour": SquaredError()}, data_mesh(jax.devices()[:1]))
    )
    (grads, loss, error, count), _ = gradients(
        params, state, rays, Target(jnp.array(target)), background, keys
    )

    whole = np.asarray(jax.jit(lambda keys: model(rays, background, keys)[-1].complete)(keys))
    assert 5 < whole.sum() < n - 5
    everything = Model({"main": Stage(UniformSteps(samples), Fog(0.7))}, ["main"])
    exhaustive = jax.jit(lambda keys: everything(rays, background, keys)[-1].rgb)(keys)
    squares = np.square(np.asarray(exhaustive) - target).mean(-1)
    np.testing.assert_allclose([loss, error], [squares[whole].mean()] * 2, rtol=1e-4)
    assert float(count) == whole.sum()

    other = Target(jnp.array(np.where(whole[:, None], target, 1.0 - target)))
    (same_grads, same_loss, *_), _ = gradients(params, state, rays, other, background, keys)
    assert float(same_loss) == float(loss)
    jax.tree.map(np.testing.assert_array_equal, same_grads, grads)


class Proposal(nnx.Module):
    """A field that is only dense, within a slab."""

    def __call__(self, samples):
        return {"density": jnp.where(jnp.abs(samples.points[..., 2]) < 0.1, 20.0, 0.0)}


def looking_down(n):
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (n, 3))
    return Rays(jnp.broadcast_to(jnp.array([0.0, 0.0, 2.0]), (n, 3)), down, down)


def test_a_stage_without_colour_places_the_samples_of_the_next_and_has_no_colour_loss():
    stages = {
        "proposal": Stage(UniformSteps(32), Proposal()),
        "main": Stage(Importance(8, padding=0.0, union=False), Fog(50.0)),
    }
    model, rays, white = Model(stages, ["proposal", "main"]), looking_down(3), jnp.ones((3, 3))
    first, last = jax.jit(lambda: model(rays, white))()
    assert first.rgb is None and last.rgb.shape == (3, 3)
    middle = 2.0 - 0.5 * (last.intervals.t_start + last.intervals.t_end)[:, 1:-1]
    assert np.abs(middle).max() < 0.13, "all samples but the ends lie where the proposal is dense"
    np.testing.assert_allclose(first.depth, np.full(3, 1.9 + 1 / 20), atol=0.05)
    context = Context(model, rays, [first, last], Target(white), None)
    alone = context._replace(renderings=[last])
    np.testing.assert_array_equal(SquaredError()(context), SquaredError()(alone))


class Wall(nnx.Module):
    """A field that is opaque between z = -0.1 and 0.1, and grey."""

    def __call__(self, samples):
        inside = jnp.abs(samples.points[..., 2]) < 0.1
        return {
            "density": jnp.where(inside, 100.0, 0.0),
            "rgb": jnp.full(samples.points.shape, GREY),
        }


INTERLEVEL = [Interlevel(), AntialiasedInterlevel(radii=(0.01,))]


@pytest.mark.long
@pytest.mark.parametrize("loss", [*INTERLEVEL, None], ids=["bound", "blurred", "without"])
def test_an_interlevel_loss_pulls_a_proposal_to_the_surface(loss):
    """Its front face is at z = 0.1. Without the loss nothing teaches a proposal."""
    n = 16
    voxels = Voxels(resolution=24, features=4, rngs=nnx.Rngs(0))
    proposal = DensityField(voxels, ReLU(16, 1), rngs=nnx.Rngs(0))
    stages = {
        "proposal": Stage(UniformSteps(20), proposal),
        "main": Stage(AnnealedWeights(Importance(20, union=False)), Wall()),
    }
    model, rays, white = Model(stages, ["proposal", "main"]), looking_down(n), jnp.ones((n, 3))
    losses = {"colour": SquaredError()} | ({} if loss is None else {"interlevel": loss})
    graph, state = init_state(model, adam(3e-2))
    gradients = make_gradients(graph, losses, data_mesh(jax.devices()[:1]))
    optimizer = adam(3e-2)

    @jax.jit
    def step(params, opt_state, keys):
        (grads, *_), _ = gradients(params, state.state, rays, Target(white), white, keys)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return jax.tree.map(jnp.add, params, updates), opt_state

    @jax.jit
    def weight_at_the_wall(params):
        intervals = nnx.merge(graph, params, state.state)(rays, white)[0].intervals
        # The first interval of the wall, and those that the blur or the bound may fill.
        near = jnp.abs(2.0 - 0.5 * (intervals.t_start + intervals.t_end) - 0.1) < 0.16
        return jnp.where(near, intervals.weights, 0.0).sum(-1).mean()

    before = float(weight_at_the_wall(state.params))
    params, opt_state = state.params, state.opt_state
    for i in range(60):
        params, opt_state = step(params, opt_state, ray_keys(n, i))
    after = float(weight_at_the_wall(params))
    assert before < 0.3
    if loss is None:
        assert after == before
    else:
        assert after > 0.8


def test_a_model_whose_last_stage_has_no_colour_is_refused():
    model = Model({"main": Stage(UniformSteps(8), Proposal())}, ["main"])
    with pytest.raises(ConfigError, match="last stage returns no 'rgb'"):
        model(looking_down(1), jnp.ones((1, 3)))


def test_a_geometry_that_reads_what_a_field_does_not_return_is_refused():
    def distance(samples):
        return {"sdf": samples.points[..., 2], "rgb": samples.points}

    model = Model({"main": Stage(UniformSteps(8), distance)}, ["main"])
    with pytest.raises(ConfigError, match="VolumeDensity needs 'density', and .* sdf, rgb"):
        model(looking_down(1), jnp.ones((1, 3)))


@pytest.mark.parametrize("grid", [None, OccupancyGrid(4)])
def test_a_loss_sees_what_the_field_said_of_each_interval(grid):
    """The optical depth of fog, summed over a ray, is density times the length of its intervals."""
    model = Model(
        {"main": Stage(UniformSteps(16), Fog(0.7))},
        ["main"],
        occupancy=grid,
        max_samples_per_ray=16,
    )
    rays, white = looking_down(3), jnp.ones((3, 3))

    @jax.jit
    def of(keys):
        intervals = model(rays, white, keys)[-1].intervals
        tau = intervals.quantities["density"] * intervals.samples.lengths
        return intervals.layout.sum(tau)

    np.testing.assert_allclose(of(ray_keys(3)), np.full(3, 0.7 * 2.0), rtol=0.1)


def test_a_loss_may_ask_the_field_anywhere_and_has_random_numbers_of_its_own():
    """With a density c everywhere, the mean of c x^2 over random places is c / 3."""
    n = 400

    def elsewhere(context):
        places = jax.vmap(lambda key: jax.random.uniform(key, (3,)))(context.keys)
        density = context.model.stages[-1].field(Samples(places, places))["density"]
        return density * places[:, 0] ** 2

    model = Model({"main": Stage(UniformSteps(4), Fog(0.6))}, ["main"])
    graph, params, state = split_model(model)
    rays, target, white = random_rays(n), Target(jnp.ones((n, 3))), jnp.ones((n, 3))

    def run(*names):
        losses = dict.fromkeys(names, elsewhere)
        gradients = make_gradients(graph, losses, data_mesh(jax.devices()[:1]))
        (grads, loss, *_), _ = jax.jit(gradients)(params, state, rays, target, white, ray_keys(n))
        return float(loss), [float(slope.sum()) for slope in jax.tree.leaves(grads)]

    loss, slopes = run("first")
    np.testing.assert_allclose(loss, 0.6 / 3, rtol=0.2)
    np.testing.assert_allclose(sorted(slopes), [0.0, loss / 0.6], rtol=1e-5)
    both, _ = run("first", "second")
    assert 0.0 < abs(both - 2 * loss) < 0.1


class Keys:
    """Keys that were drawn from and keys that were split, as compiled code runs.

    To split a key twice alike gives the same keys again, and does no harm unless these are drawn
    from twice.
    """

    def __init__(self, monkeypatch):
        self.drawn: list[bytes] = []
        self.parents: set[bytes] = set()
        for name in (
            "uniform",
            "normal",
            "randint",
            "bits",
            "permutation",
            "choice",
            "bernoulli",
            "exponential",
        ):
            self._spy(monkeypatch, name, self.drawn.append)
        self._spy(monkeypatch, "split", self.parents.add)

    @staticmethod
    def _spy(monkeypatch, name, note):
        draw = getattr(jax.random, name)

        def spied(key, *args, **kwargs):
            jax.debug.callback(
                lambda data: note(np.asarray(data).tobytes()), jax.random.key_data(key)
            )
            return draw(key, *args, **kwargs)

        monkeypatch.setattr(jax.random, name, spied)

    def check(self, at_least: int) -> None:
        """Assert that no key served for two purposes."""
        jax.effects_barrier()
        assert len(self.drawn) >= at_least
        assert len(set(self.drawn)) == len(self.drawn), "two draws with one key are not independent"
        assert not set(self.drawn) & self.parents, (
            "nor are a draw and the keys that were split from its own"
        )


@pytest.mark.long
def test_no_key_of_a_training_step_is_used_twice(monkeypatch):
    """RayBank, backgrounds, jitter per ray and stage, and the grid's points are independent."""
    batch, steps = 3, 2
    scene = synthetic.load(None, "train", size=8, views=2)
    model = Model(
        {"main": Stage(UniformSteps(4), Fog(1.0))},
        ["main"],
        occupancy=OccupancyGrid(4),
        max_samples_per_ray=4,
    )
    graph, state = init_state(model, adam())
    keys = Keys(monkeypatch)
    mesh = data_mesh(jax.devices()[:1])
    step = make_train_step(graph, {"c": SquaredError()}, adam(), lambda x: 1.0, batch, None, mesh)
    step(state, to_device(scene), jnp.zeros(steps), np.int32(0), np.float32(1.0))
    keys.check(at_least=steps * (2 + batch) + 2)


@pytest.mark.long
def test_no_stage_uses_the_jitter_of_another(monkeypatch):
    n = 3
    stages = {
        "coarse": Stage(Stratified(4), fog(1.0)),
        "fine": Stage(Importance(4)),
        "last": Stage(Importance(4)),
    }
    model, rays, ours = (
        Model(stages, ["coarse", "fine", "last"]),
        random_rays(n, distance=2.0),
        ray_keys(n),
    )
    keys = Keys(monkeypatch)
    jax.block_until_ready(jax.jit(lambda ours: model(rays, jnp.ones((n, 3)), ours)[-1].rgb)(ours))
    keys.check(at_least=3 * n)
    assert not set(keys.drawn) & {row.tobytes() for row in np.asarray(jax.random.key_data(ours))}


@pytest.mark.long
def test_training_looks_into_its_own_cells_and_a_picture_into_all_that_rays_may_see():
    grid = OccupancyGrid(resolution=4)
    grid.train_occupied[...] = jnp.zeros_like(grid.train_occupied[...])
    stage = Stage(UniformSteps(32), fog(2.0))
    model = Model({"main": stage}, ["main"], occupancy=grid, max_samples_per_ray=32)
    rays, white = random_rays(5, distance=2.0), jnp.ones((5, 3))
    render = jax.jit(lambda keys: model(rays, white, keys)[-1].opacity)
    assert np.max(render(ray_keys(5))) == 0.0
    assert np.min(render(None)) > 0.9


@jax.jit
def occupied_where_half_is_dense_and_half(low, threshold):
    """The cells that a grid keeps of the first 32, half of which have density 10 and half `low`."""
    grid = OccupancyGrid(resolution=4, update_every=2)
    grid.threshold = threshold
    grid.restrict((np.arange(64) < 32).reshape(4, 4, 4))

    def density(points):
        cell = grid.index(points)
        return jnp.where(cell < 32, jnp.where(cell % 4 < 2, 10.0, low), 0.0)

    for part in range(2):
        grid.refresh(density, jnp.int32(part), jax.random.key(part))
    return grid.occupied[...]


@pytest.mark.long
@pytest.mark.parametrize(
    ("low", "threshold", "kept"),
    [(8.0, 99.0, False), (8.3, 99.0, True), (8.0, 7.9, True), (5.0, 5.1, False), (1.0, 0.9, True)],
)
def test_a_grid_keeps_cells_denser_than_its_threshold_or_than_nine_tenths_of_the_mean(
    low, threshold, kept
):
    """Half of the possible cells have density 10 and half `low`.

    Those above min(threshold, 0.9 mean) live.
    """
    cells = np.arange(64)
    expected = (cells < 32) & ((cells % 4 < 2) | kept)
    np.testing.assert_array_equal(occupied_where_half_is_dense_and_half(low, threshold), expected)


@pytest.mark.long
def test_a_grid_keeps_faint_matter_that_is_alike_everywhere():
    """As all matter is when training begins, however far it lies below the threshold."""
    grid = OccupancyGrid(resolution=4, threshold=2.0, update_every=1)

    @nnx.jit
    def refresh(grid, key):
        grid.refresh(lambda points: 1e-3 * (1.0 + 0.02 * points[..., 0]), jnp.int32(0), key)

    for i in range(80):
        refresh(grid, jax.random.key(i))
    assert grid.occupied[...].all()


@pytest.mark.long
def test_a_grid_counts_the_intervals_of_a_batch_and_no_unused_places_of_its_buffer():
    n = 8
    model = Model(
        {"main": Stage(UniformSteps(12), Fog(0.7))},
        ["main"],
        occupancy=OccupancyGrid(4),
        max_samples_per_ray=40,
    )
    rays = random_rays(n, distance=3.0)
    graph, params, state = split_model(model)

    @jax.jit
    def after_a_batch(keys):
        rendering = model(rays, jnp.ones((n, 3)), keys)[-1]
        seen = sample_weights_by_cell(model, rays, rendering)
        used = rendering.intervals.t_end > rendering.intervals.t_start
        return (
            record_sightings(graph, params, state, seen),
            used,
            seen[0],
            rendering.intervals.weights,
        )

    after, used, cells, weights = jax.device_get(after_a_batch(ray_keys(n)))
    assert 0 < used.sum() < len(used)
    assert (cells[used] < 64).all() and (cells[~used] >= 64).all()
    grid = after["occupancy"]
    np.testing.assert_array_equal(grid["passes"], np.bincount(cells[used], minlength=64))
    assert np.isclose(grid["recent"].max(), weights.max())
    assert record_sightings(graph, params, state, None) is state


class Blurred(nnx.Module):
    """A field of Gaussians that is as dense as they are wide."""

    class Encoding:
        takes_gaussians = True

    encoding = Encoding()

    def __call__(self, samples):
        assert isinstance(samples.points, Gaussians)
        return {"density": 1e3 * samples.points.variance.sum(-1)}


@pytest.mark.long
def test_a_grid_looks_at_a_field_of_gaussians_with_the_size_of_its_cells():
    """Places in a cell of width w have a variance of w^2 / 12 along each axis."""
    model = Model(
        {"main": Stage(UniformSteps(4), Blurred())},
        ["main"],
        occupancy=OccupancyGrid(4, update_every=1),
        max_samples_per_ray=4,
    )
    nnx.jit(refresh_occupancy)(model, jnp.int32(0), jax.random.key(0))
    np.testing.assert_allclose(
        model.occupancy.density[...], np.full(64, 1e3 * 3 * 0.5**2 / 12), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("order", "capacity", "reason"),
    [
        (["a", "b"], 4, r"model\.occupancy: works with one stage"),
        (["a"], None, r"model\.max_samples_per_ray: missing"),
        (["a", "b"], None, r"model\.occupancy: works with one stage"),
    ],
)
def test_a_grid_that_cannot_be_used_is_refused(order, capacity, reason):
    stages = {name: Stage(UniformSteps(4), fog(1.0)) for name in "ab"}
    with pytest.raises(ConfigError, match=reason):
        Model(stages, order, occupancy=OccupancyGrid(4), max_samples_per_ray=capacity)
