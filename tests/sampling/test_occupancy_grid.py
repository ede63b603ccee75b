"""Compaction is exact, skipping changes only dead cells' density, the grid follows the field."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import ngp
from nerf.cameras.cameras import Rays
from nerf.rendering.model import Model, Stage
from nerf.rendering.model_state import sample_weights_by_cell
from nerf.rendering.packing import list_occupied, pack_samples
from nerf.runs.read import load_run
from nerf.sampling.occupancy_grid import MIN_PASSES, OccupancyGrid
from nerf.sampling.stratified import UniformSteps
from nerf.training.loop import train


@functools.partial(jax.jit, static_argnums=1)
def packed_of(mask, capacity, done, count):
    return pack_samples(list_occupied(mask), capacity, done, count)


@pytest.mark.long
@given(
    shape=st.sampled_from(
        [(1, 70, 7), (1, 1, 1), (9, 31, 64), (9, 32, 200), (4, 70, 200), (4, 70, 1)]
    ),
    fill=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    most=st.sampled_from([None, 0, 1, 5, 40]),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_compaction_lists_the_next_live_intervals_in_order(shape, fill, most, seed):
    rays, steps, capacity = shape
    rng = np.random.default_rng(seed)
    mask = rng.uniform(size=(rays, steps)) < fill
    live = [np.flatnonzero(row) for row in mask]
    done = count = None
    begin, end = [0] * rays, [len(row) for row in live]
    if most is not None:
        begin = [rng.integers(len(row) + 1) for row in live]
        end = [
            b + rng.integers(min(most, len(row) - b) + 1)
            for b, row in zip(begin, live, strict=True)
        ]
        done, count = np.int32(begin), np.int32(end) - np.int32(begin)
    packed = packed_of(jnp.array(mask), capacity, done, count)
    expected = [(r, s) for r in range(rays) for s in live[r][begin[r] : end[r]]]
    used = np.asarray(packed.used)
    assert used.sum() == min(len(expected), capacity)
    got = np.stack([packed.ray, packed.step], -1)[used]
    np.testing.assert_array_equal(got, np.reshape(expected[:capacity], (-1, 2)))
    ends = np.cumsum(np.int32(end) - np.int32(begin))
    np.testing.assert_array_equal(packed.complete, ends <= capacity)
    # Also where unused: sums over rays rely on it.
    assert (np.diff(np.asarray(packed.ray)) >= 0).all()
    assert (np.asarray(packed.step) < steps).all()


def ball(samples):
    """A soft ball at the origin whose colour depends on where one looks from."""
    points, viewdirs = samples.points, samples.viewdirs
    density = 30.0 * jax.nn.relu(0.5 - jnp.linalg.norm(points, axis=-1))
    return {"density": density, "rgb": 0.5 + 0.5 * viewdirs * jnp.cos(9.0 * points)}


def rays_of(n, seed=0):
    rng = np.random.default_rng(seed)
    origins = rng.normal(size=(n, 3))
    origins *= 2.5 / np.linalg.norm(origins, axis=-1, keepdims=True)
    directions = rng.uniform(-0.7, 0.7, (n, 3)) - origins
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return Rays(*(jnp.array(np.float32(x)) for x in (origins, directions, directions)))


@functools.cache
def centres_of(resolution):
    """The centre of each cell of a grid, in the order of `index`."""
    return np.asarray(jax.jit(OccupancyGrid(resolution).centres)(np.arange(resolution**3)))


def models(capacity):
    """The same field with a grid that knows it, and without one."""
    grid = OccupancyGrid(resolution=32)
    possible = np.linalg.norm(centres_of(32), axis=-1) < 0.5 + 0.06
    grid.restrict(possible.reshape(32, 32, 32))
    stage = {"main": Stage(UniformSteps(96), ball)}
    return Model(stage, ("main",), occupancy=grid, max_samples_per_ray=capacity), Model(
        stage, ("main",)
    )


def rendered(model, keys=None):
    """Render `rays_of(64)` in front of white."""
    rays = rays_of(64)
    return jax.jit(lambda keys: model(rays, jnp.ones((64, 3)), keys)[-1])(keys)


@functools.cache
def exhaustive_picture():
    return rendered(models(1)[1])


@pytest.mark.long
@pytest.mark.parametrize("capacity", [1, 4, 96])
def test_rendering_only_live_intervals_gives_the_exhaustive_picture(capacity):
    got, expected = rendered(models(capacity)[0]), exhaustive_picture()
    np.testing.assert_allclose(got.rgb, expected.rgb, atol=2e-5)
    np.testing.assert_allclose(got.opacity, expected.opacity, atol=2e-5)
    np.testing.assert_allclose(got.depth, expected.depth, atol=2e-4)


@pytest.mark.long
def test_training_on_live_intervals_has_the_exhaustive_gradient_and_says_which_rays_are_whole():
    keys = jax.random.split(jax.random.key(3), 64)
    small, (got, expected) = models(4)[0], models(24)
    small, got, expected = (jax.device_get(rendered(m, keys)) for m in (small, got, expected))
    assert got.complete.all()
    np.testing.assert_allclose(got.rgb, expected.rgb, atol=2e-5)
    whole = small.complete
    assert 0 < whole.sum() < 64
    np.testing.assert_allclose(small.rgb[whole], expected.rgb[whole], atol=2e-5)


def dense(points):
    """As dense all over."""
    return jnp.full(points.shape[0], 99.0)


@functools.partial(nnx.jit, static_argnames="density")
def refresh(grid, first, times, density=dense):
    """Refresh a grid `times` times, starting at refresh number `first`.

    Returns where training looked in any of them.
    """

    def once(number, carry):
        grid, looked = carry
        grid.refresh(density, number, jax.random.key(number))
        return grid, looked | grid.train_occupied[...]

    start = grid, jnp.zeros(grid.resolution**3, bool)
    return nnx.fori_loop(first, first + times, once, start)[1]


def refreshed(grid, times, first=0, density=dense):
    return np.asarray(refresh(grid, jnp.int32(first), jnp.int32(times), density))


@pytest.mark.long
def test_a_grid_keeps_what_the_field_has_and_drops_the_rest():
    grid = OccupancyGrid(resolution=16, threshold=0.5, update_every=4)

    def density(points):
        return jnp.where(jnp.linalg.norm(points, axis=-1) < 0.6, 20.0, 0.0)

    refreshed(grid, 40, density=density)
    distance = np.linalg.norm(centres_of(16), axis=-1)
    occupied = np.asarray(grid.occupied[...])
    assert occupied[distance < 0.5].all()
    assert not occupied[distance > 0.6 + 0.12].any()


@pytest.mark.long
def test_what_is_declared_impossible_stays_empty():
    grid = OccupancyGrid(resolution=8)
    grid.restrict(np.arange(512).reshape(8, 8, 8) % 2 == 0)
    refreshed(grid, 8)
    np.testing.assert_array_equal(grid.occupied[...], np.arange(512) % 2 == 0)


note = nnx.jit(OccupancyGrid.note)


def passed(grid, cells, weights, rays):
    """Record rays that pass cells, each with its rendering weight there."""
    cells = np.tile(np.int32(cells), rays)
    note(grid, cells, np.float32(np.broadcast_to(weights, (rays, len(cells) // rays)).reshape(-1)))


@pytest.mark.long
def test_what_no_ray_sees_is_skipped_but_looked_into_now_and_then():
    grid = OccupancyGrid(resolution=16, min_weight=0.01)
    assert refreshed(grid, 20).all() and not grid.occupied[...].any(), (
        "trained, and not rendered before a ray passed"
    )
    seen = np.arange(16**3) % 3 == 0
    passed(grid, np.arange(16**3), 0.001, 1)
    refreshed(grid, 1, 20)
    assert grid.occupied[...].all(), "one ray decides nothing"
    for i in range(21, 61):
        passed(grid, np.arange(16**3), np.where(seen, 0.02, 0.001), 2)
        refreshed(grid, 1, i)
    np.testing.assert_array_equal(grid.occupied[...], seen)
    tried = np.asarray(grid.train_occupied[...])
    assert tried[seen].all() and 0.01 < tried[~seen].mean() < 0.06
    again = refreshed(grid, 1, 61)
    assert (again & ~tried).any() and (tried & ~again).any()
    (found,) = np.flatnonzero(again & ~seen)[:1]
    passed(grid, [found, found], [0.5, 0.1], 1)
    refreshed(grid, 1, 62)
    for cells in (grid.occupied, grid.train_occupied):
        assert np.asarray(cells[...])[found], "and stays where there was something to see"


@pytest.mark.long
def test_time_alone_hides_nothing_from_rendering():
    """A cell that a ray saw once, and none passed since: training drops it, a picture does not."""
    grid = OccupancyGrid(resolution=8, update_every=1, min_weight=0.01)
    passed(grid, np.arange(8**3), 0.5, MIN_PASSES)
    refreshed(grid, 200)
    assert grid.occupied[...].all() and np.asarray(grid.train_occupied[...]).mean() < 0.1


SEEN_ONCE_IN = np.array([2, 40, 400])  # rays: the third is hidden from nearly all


@nnx.jit
def watch(grid, first, end, rays_a_refresh):
    """Record rays through three cells, from refresh `first` to refresh `end`."""

    def a_ray(ray, grid):
        grid.note(jnp.arange(3), jnp.where(ray % SEEN_ONCE_IN == 0, 0.1, 0.0))
        return grid

    def a_refresh(number, grid):
        grid.refresh(dense, number, jax.random.key(number))
        return grid

    def until_a_refresh(number, grid):
        rays = (number + 1) * rays_a_refresh
        grid = nnx.fori_loop(rays - rays_a_refresh, rays, a_ray, grid)
        # a refresh in which no ray passes changes nothing
        idle = jnp.where(rays % 512 == 0, 5, 0)
        grid = nnx.fori_loop(number, number + idle, a_refresh, grid)
        return a_refresh(number, grid)

    nnx.fori_loop(first, end, until_a_refresh, grid)


@pytest.mark.long
@pytest.mark.parametrize("rays_a_refresh", [64, 8, 1])
def test_what_rays_saw_is_forgotten_by_rays_and_not_by_time(rays_a_refresh):
    """The same rays decide the same in a capture of a few small photos and of many large ones."""
    grid = OccupancyGrid(resolution=4, update_every=1, min_weight=0.01)
    start, then, end = (jnp.int32(rays // rays_a_refresh) for rays in (0, 960, 1024))
    watch(grid, start, then, jnp.int32(rays_a_refresh))
    forgotten = 0.1 * grid.forget ** (960 - 921)
    most = 0.101 if rays_a_refresh > 39 else 1.6 * forgotten
    assert 0.999 * forgotten < np.asarray(grid.weight[...])[1] < most
    assert np.asarray(grid.occupied[...])[:3].tolist() == [True, True, False]
    watch(grid, then, end, jnp.int32(rays_a_refresh))
    assert not np.asarray(grid.occupied[...])[3:].any()


def test_places_without_an_interval_pass_no_cell():
    grid = OccupancyGrid(resolution=4)
    passed(grid, [64, 64, 5], [0.0, 0.0, 0.3], 1)
    assert np.flatnonzero(grid.passes[...]).tolist() == [5] and np.flatnonzero(
        grid.recent[...]
    ).tolist() == [5]


@pytest.mark.long
def test_no_cell_is_skipped_for_being_hidden_where_nothing_is_asked_of_it():
    grid = OccupancyGrid(resolution=8)
    refreshed(grid, 60)
    assert grid.occupied[...].all()


@pytest.mark.long
def test_what_rays_see_clearly_is_kept_though_the_density_was_looked_at_beside_it():
    grid = OccupancyGrid(resolution=8, update_every=1, min_weight=0.01, keep_weight=0.05)

    def density(points):
        return jnp.where(grid.index(points) == 5, 99.0, 0.0)

    for i in range(40):
        passed(grid, [3, 4], 0.06, 2)
        passed(grid, [4, 5], 0.0, 6)  # after 4 rays a sighting of 0.06 is none of more than 0.05
        refreshed(grid, 1, i, density)
    assert np.flatnonzero(grid.occupied[...]).tolist() == [3, 4], (
        "0.06 was seen since the last refresh"
    )
    passed(grid, [3, 4], 0.0, 3)
    passed(grid, [4], 0.0, 1)
    refreshed(grid, 1, 0, density)
    assert np.flatnonzero(grid.occupied[...]).tolist() == [3]


@pytest.mark.long
def test_sightings_are_the_weights_of_intervals_in_the_cells_of_their_middles():
    skipping, exhaustive = models(24)
    rays = rays_of(64)
    rendering = rendered(skipping, jax.random.split(jax.random.key(3), 64))
    intervals = jax.device_get(rendering.intervals)

    def sightings(rays):
        return jax.jit(lambda rays: sample_weights_by_cell(skipping, rays, rendering))(rays)

    cells, weights = sightings(rays)
    middle = 0.5 * (intervals.t_start + intervals.t_end)
    ray = intervals.layout.ray
    points = np.asarray(rays.origins)[ray] + middle[:, None] * np.asarray(rays.directions)[ray]
    centres = np.append(centres_of(32), [[np.inf] * 3], 0)  # of no cell: nowhere
    apart = np.abs(points - centres[np.asarray(cells)]).max(-1)
    seen = np.asarray(weights) > 0
    assert (apart[seen] < 1.0 / 32 + 1e-5).all()
    assert (np.asarray(weights) > 0.01).sum() > 30
    of_rays = np.bincount(ray, weights, 64)
    np.testing.assert_allclose(of_rays, rendering.opacity, atol=1e-5)
    away = jnp.array([[0.3, 0.0, 0.0]])
    skipping.poses = lambda rays: dataclasses.replace(rays, origins=rays.origins + away)
    back = dataclasses.replace(rays, origins=rays.origins - away)
    np.testing.assert_array_equal(sightings(back)[0], cells)
    assert sample_weights_by_cell(exhaustive, rays, rendering) is None


@pytest.mark.slow
@pytest.mark.whole
def test_training_keeps_what_its_rays_see_and_drops_the_inside_of_things(tmp_path):
    """Of a dense ball seen from all around, the shell is trained in the end, the core is not."""
    config = ngp.get_config()
    config.update(
        {"steps": 600, "steps_per_call": 10, "log_every": 600, "save_every": 600, "batch_size": 256}
    )
    config.scene = {"name": "nerf.scenes.synthetic:load", "size": 40, "views": 16}
    config.model.stages.main.field.encoding.update(
        {"max_resolution": 32, "log2_table_size": 12, "num_levels": 4}
    )
    train(config.to_dict(), None, tmp_path / "run")
    grid = load_run(tmp_path / "run").model.occupancy
    matter = np.asarray((grid.density[...] > grid.threshold) & grid.possible[...])
    hidden = matter & ~np.asarray(grid.train_occupied[...])
    assert 0.1 < hidden.sum() / matter.sum() < 0.9


def test_index_and_centres_are_inverse():
    grid = OccupancyGrid(resolution=8)
    there_and_back = jax.jit(lambda cells: grid.index(grid.centres(cells)))
    np.testing.assert_array_equal(there_and_back(np.arange(512)), np.arange(512))


@pytest.mark.long
def test_grid_state_is_no_parameter():
    _, params, _ = nnx.split(models(4)[0], nnx.Param, ...)
    assert not jax.tree.leaves(params)


@pytest.mark.long
@pytest.mark.parametrize("parts, used", [(1, True), (4, True), (16, False)])
def test_a_refresh_on_a_lattice_sees_every_cell_of_its_part_once_somewhere_inside(parts, used):
    grid, asked = OccupancyGrid(resolution=8, update_every=parts), []

    def density(points):
        return grid.index(points) + 2.0  # more than a cell begins with

    def on_lattice(axes):
        asked.append(tuple(axis.shape[0] for axis in axes))
        return density(jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1))

    @nnx.jit
    def refresh_part(grid, part):
        grid.refresh(density, part, jax.random.key(part), on_lattice)

    for part in range(parts):
        before = np.asarray(grid.density[...])
        refresh_part(grid, jnp.int32(part))
        changed = np.flatnonzero(np.asarray(grid.density[...]) != before)
        np.testing.assert_array_equal(changed, np.arange(8**3 // parts) * parts + part)
    np.testing.assert_array_equal(grid.density[...], np.arange(8**3) + 2.0)
    assert set(asked) == ({(8, 8, 8 // parts)} if used else set())
