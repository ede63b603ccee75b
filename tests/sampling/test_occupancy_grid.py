"""Compaction is exact, skipping changes only dead cells' density, the grid follows the field."""

import dataclasses

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
from nerf.runs.read import load_run
from nerf.sampling.occupancy_grid import MIN_PASSES, OccupancyGrid, pack_samples
from nerf.sampling.stratified import UniformSteps
from nerf.training.loop import train

pack_samples_jit = jax.jit(pack_samples, static_argnums=1)


@pytest.mark.long
@given(
    shape=st.sampled_from(
        [(1, 70, 7), (1, 1, 1), (9, 31, 64), (9, 32, 200), (4, 70, 200), (4, 70, 1)]
    ),
    fill=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    first=st.integers(0, 8),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_compaction_lists_the_live_intervals_in_order(shape, fill, first, seed):
    rays, steps, capacity = shape
    mask = np.random.default_rng(seed).uniform(size=(rays, steps)) < fill
    packed = pack_samples_jit(jnp.asarray(mask), capacity, first)
    expected = [(r, s) for r in range(first, rays) for s in range(steps) if mask[r, s]]
    used = np.asarray(packed.used)
    assert used.sum() == min(len(expected), capacity)
    got = list(
        zip(
            np.asarray(packed.ray)[used].tolist(),
            np.asarray(packed.step)[used].tolist(),
            strict=True,
        )
    )
    assert got == expected[:capacity]
    ends = np.cumsum([0 if r < first else mask[r].sum() for r in range(rays)])
    np.testing.assert_array_equal(
        packed.complete, [r >= first and ends[r] <= capacity for r in range(rays)]
    )
    assert (
        np.diff(np.asarray(packed.ray)) >= 0
    ).all()  # also where unused: sums over rays rely on it


def ball(points, viewdirs):
    """A soft ball at the origin whose colour depends on where one looks from."""
    density = 30.0 * jax.nn.relu(0.5 - jnp.linalg.norm(points, axis=-1))
    return {"density": density, "rgb": 0.5 + 0.5 * viewdirs * jnp.cos(9.0 * points)}


def rays_of(n, seed=0):
    rng = np.random.default_rng(seed)
    origins = rng.normal(size=(n, 3))
    origins *= 2.5 / np.linalg.norm(origins, axis=-1, keepdims=True)
    directions = rng.uniform(-0.7, 0.7, (n, 3)) - origins
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return Rays(*(jnp.asarray(x, jnp.float32) for x in (origins, directions, directions)))


def models(capacity):
    """The same field with a grid that knows it, and without one."""
    grid = OccupancyGrid(resolution=32)
    centres = grid.centres(jnp.arange(32**3))
    grid.restrict((jnp.linalg.norm(centres, axis=-1) < 0.5 + 0.06).reshape(32, 32, 32))
    stage = {"main": Stage(UniformSteps(96), ball)}
    return Model(stage, ("main",), occupancy=grid, max_samples_per_ray=capacity), Model(
        stage, ("main",)
    )


@pytest.mark.long
@pytest.mark.parametrize("capacity", [1, 4, 96])
def test_rendering_only_live_intervals_gives_the_exhaustive_picture(capacity):
    skipping, exhaustive = models(capacity)
    rays = rays_of(64)
    background = jnp.ones((64, 3))
    got, expected = (jax.jit(lambda m=m: m(rays, background)[-1])() for m in (skipping, exhaustive))
    np.testing.assert_allclose(got.rgb, expected.rgb, atol=2e-5)
    np.testing.assert_allclose(got.opacity, expected.opacity, atol=2e-5)
    np.testing.assert_allclose(got.depth, expected.depth, atol=2e-4)


@pytest.mark.long
def test_training_on_live_intervals_has_the_exhaustive_gradient_and_says_which_rays_are_whole():
    skipping, exhaustive = models(24)
    rays = rays_of(64)
    background = jnp.ones((64, 3))
    keys = jax.random.split(jax.random.key(3), 64)
    got, expected = (m(rays, background, keys)[-1] for m in (skipping, exhaustive))
    assert got.complete.all()
    np.testing.assert_allclose(got.rgb, expected.rgb, atol=2e-5)
    small = models(4)[0](rays, background, keys)[-1]
    whole = np.asarray(small.complete)
    assert 0 < whole.sum() < 64
    np.testing.assert_allclose(small.rgb[whole], expected.rgb[whole], atol=2e-5)


@pytest.mark.long
def test_a_grid_keeps_what_the_field_has_and_drops_the_rest():
    grid = OccupancyGrid(resolution=16, threshold=0.5, update_every=4)

    def density(points):
        return jnp.where(jnp.linalg.norm(points, axis=-1) < 0.6, 20.0, 0.0)

    for i in range(40):
        grid.refresh(density, jnp.int32(i), jax.random.key(i))
    centres = np.asarray(grid.centres(jnp.arange(16**3)))
    distance = np.linalg.norm(centres, axis=-1)
    occupied = np.asarray(grid.occupied[...])
    assert occupied[distance < 0.5].all()
    assert not occupied[distance > 0.6 + 0.12].any()


@pytest.mark.long
def test_what_is_declared_impossible_stays_empty():
    grid = OccupancyGrid(resolution=8)
    grid.restrict(np.arange(512).reshape(8, 8, 8) % 2 == 0)
    for i in range(8):
        grid.refresh(
            lambda points: jnp.full(points.shape[0], 99.0), jnp.int32(i), jax.random.key(i)
        )
    np.testing.assert_array_equal(grid.occupied[...], np.arange(512) % 2 == 0)


@nnx.jit
def refresh(grid, part, key):
    grid.refresh(lambda points: jnp.full(points.shape[0], 99.0), part, key)


note = nnx.jit(OccupancyGrid.note)


def refreshed(grid, times, first=0):
    """Where training looked in any of so many refreshes of a grid that is dense all over."""
    train_occupied = np.zeros(grid.resolution**3, bool)
    for i in range(first, first + times):
        refresh(grid, jnp.int32(i), jax.random.key(i))
        train_occupied |= np.asarray(grid.train_occupied[...])
    return train_occupied


def passed(grid, cells, weight: float, rays: int) -> None:
    """Let so many rays pass cells, each seeing them with a weight."""
    for _ in range(rays):
        note(grid, cells, jnp.full(cells.shape, weight))


@pytest.mark.long
def test_what_no_ray_sees_is_skipped_but_looked_into_now_and_then():
    grid = OccupancyGrid(resolution=16, min_weight=0.01)
    assert refreshed(grid, 20).all() and not grid.occupied[...].any(), (
        "trained, and not rendered before a ray passed"
    )
    seen = np.arange(16**3) % 3 == 0
    passed(grid, jnp.arange(16**3), 0.001, 1)
    refreshed(grid, 1, 20)
    assert grid.occupied[...].all(), "one ray decides nothing"
    for i in range(21, 61):
        passed(grid, jnp.flatnonzero(seen), 0.02, 2)
        passed(grid, jnp.flatnonzero(~seen), 0.001, 2)
        refreshed(grid, 1, i)
    np.testing.assert_array_equal(grid.occupied[...], seen)
    tried = np.asarray(grid.train_occupied[...])
    assert tried[seen].all() and 0.01 < tried[~seen].mean() < 0.06
    again = refreshed(grid, 1, 61)
    assert (again & ~tried).any() and (tried & ~again).any()
    (found,) = np.flatnonzero(again & ~seen)[:1]
    grid.note(jnp.array([found, found]), jnp.array([0.5, 0.1]))
    refreshed(grid, 1, 62)
    assert bool(grid.occupied[...][found]), "and stays where there was something to see"
    assert bool(grid.train_occupied[...][found]), "and stays where there was something to see"


@pytest.mark.long
def test_time_alone_hides_nothing_from_rendering():
    """A cell that a ray saw once, and none passed since: training drops it, a picture does not."""
    grid = OccupancyGrid(resolution=8, update_every=1, min_weight=0.01)
    passed(grid, jnp.arange(8**3), 0.5, MIN_PASSES)
    refreshed(grid, 200)
    assert grid.occupied[...].all() and grid.train_occupied[...].mean() < 0.1


@pytest.mark.long
@pytest.mark.parametrize("rays_a_refresh", [64, 8, 1])
def test_what_rays_saw_is_forgotten_by_rays_and_not_by_time(rays_a_refresh):
    """The same rays decide the same in a capture of a few small photos and of many large ones."""
    grid = OccupancyGrid(resolution=4, update_every=1, min_weight=0.01)
    seen_once_in = np.array([2, 40, 400])  # rays: the third is hidden from nearly all
    rays = 0
    for i in range(1024 // rays_a_refresh):
        for _ in range(rays_a_refresh):
            weights = np.where(rays % seen_once_in == 0, 0.1, 0.0)
            note(grid, jnp.array([0, 1, 2]), jnp.asarray(weights, jnp.float32))
            rays += 1
        if rays % 512 == 0:  # a refresh in which no ray passes changes nothing
            refreshed(grid, 5, i)
        refreshed(grid, 1, i)
        if rays == 960:
            forgotten = 0.1 * grid.forget ** (960 - 921)
            assert (
                0.999 * forgotten
                < grid.weight[...][1]
                < (0.101 if rays_a_refresh > 39 else 1.6 * forgotten)
            )
            assert np.asarray(grid.occupied[...])[:3].tolist() == [True, True, False]
    assert not grid.occupied[...][3:].any()


def test_places_without_an_interval_pass_no_cell():
    grid = OccupancyGrid(resolution=4)
    grid.note(jnp.array([64, 64, 5]), jnp.array([0.0, 0.0, 0.3]))
    assert np.flatnonzero(grid.passes[...]).tolist() == [5] and np.flatnonzero(
        grid.recent[...]
    ).tolist() == [5]


def test_no_cell_is_skipped_for_being_hidden_where_nothing_is_asked_of_it():
    grid = OccupancyGrid(resolution=8)
    refreshed(grid, 60)
    assert grid.occupied[...].all()


@pytest.mark.long
def test_what_rays_see_clearly_is_kept_though_the_density_was_looked_at_beside_it():
    grid = OccupancyGrid(resolution=8, update_every=1, min_weight=0.01, keep_weight=0.05)
    for i in range(40):
        passed(grid, jnp.array([3, 4]), 0.06, 2)
        passed(
            grid, jnp.array([4, 5]), 0.0, 6
        )  # after 4 rays a sighting of 0.06 is none of more than 0.05
        grid.refresh(
            lambda points: jnp.where(grid.index(points) == 5, 99.0, 0.0),
            jnp.int32(0),
            jax.random.key(i),
        )
    assert np.flatnonzero(grid.occupied[...]).tolist() == [3, 4], (
        "0.06 was seen since the last refresh"
    )
    passed(grid, jnp.array([3, 4]), 0.0, 3)
    passed(grid, jnp.array([4]), 0.0, 1)
    grid.refresh(
        lambda points: jnp.where(grid.index(points) == 5, 99.0, 0.0),
        jnp.int32(0),
        jax.random.key(0),
    )
    assert np.flatnonzero(grid.occupied[...]).tolist() == [3]


@pytest.mark.long
def test_sightings_are_the_weights_of_intervals_in_the_cells_of_their_middles():
    skipping, _ = models(24)
    rays, keys = rays_of(64), jax.random.split(jax.random.key(3), 64)
    rendering = skipping(rays, jnp.ones((64, 3)), keys)[-1]
    cells, weights = sample_weights_by_cell(skipping, rays, rendering)
    middle = 0.5 * (rendering.intervals.t_start + rendering.intervals.t_end)
    ray = rendering.intervals.layout.ray
    points = rays.origins[ray] + middle[:, None] * rays.directions[ray]
    there = (
        np.abs(points - skipping.occupancy.centres(cells)).max(-1)
        < 1.0 / skipping.occupancy.resolution + 1e-5
    )
    assert there[np.asarray(weights) > 0].all() and (weights > 0.01).sum() > 30
    np.testing.assert_allclose(jax.ops.segment_sum(weights, ray, 64), rendering.opacity, atol=1e-5)
    away = jnp.array([[0.3, 0.0, 0.0]])
    skipping.poses = lambda rays: dataclasses.replace(rays, origins=rays.origins + away)
    back = dataclasses.replace(rays, origins=rays.origins - away)
    np.testing.assert_array_equal(sample_weights_by_cell(skipping, back, rendering)[0], cells)
    assert sample_weights_by_cell(models(24)[1], rays, rendering) is None


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
    np.testing.assert_array_equal(grid.index(grid.centres(jnp.arange(512))), np.arange(512))


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

    for part in range(parts):
        before = np.asarray(grid.density[...])
        grid.refresh(density, jnp.int32(part), jax.random.key(part), on_lattice)
        changed = np.flatnonzero(np.asarray(grid.density[...]) != before)
        np.testing.assert_array_equal(changed, np.arange(8**3 // parts) * parts + part)
    np.testing.assert_array_equal(grid.density[...], np.arange(8**3) + 2.0)
    assert asked == ([(8, 8, 8 // parts)] * parts if used else [])
